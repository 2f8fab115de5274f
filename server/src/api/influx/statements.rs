//! `/query` of InfluxDB 1: the statements by which writers create a database and look for it.

use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::{INFLUX_VERSION, version_header};
use crate::api::call::Call;
use crate::api::reply::{JSON, Reply};
use crate::api::routes::Access;
use crate::error::ApiError;
use crate::storage;

/// What a version 1 client asks of `/query`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Statement {
    CreateDatabase(String),
    ShowDatabases,
    ShowRetentionPolicies,
    Other,
}

/// The statements of a text, which semicolons part where they stand outside of quotes.
fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quote, mut is_escaped) = (0, None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), b'\\') => is_escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b';') => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found.retain(|statement| !statement.trim().is_empty());
    found
}

fn statement(text: &str) -> Statement {
    let mut rest = text;
    let mut words = Vec::new();
    while words.len() < 2
        && let Some((word, after)) = next_word(rest)
    {
        words.push(word.to_ascii_uppercase());
        rest = after;
    }
    match (words.first().map(String::as_str), words.get(1).map(String::as_str)) {
        (Some("CREATE"), Some("DATABASE")) => match identifier(rest) {
            Some(name) => Statement::CreateDatabase(name),
            None => Statement::Other,
        },
        (Some("SHOW"), Some("DATABASES")) if rest.trim().is_empty() => Statement::ShowDatabases,
        (Some("SHOW"), Some("RETENTION"))
            if next_word(rest).is_some_and(|(word, _)| word.eq_ignore_ascii_case("POLICIES")) =>
        {
            Statement::ShowRetentionPolicies
        }
        _ => Statement::Other,
    }
}

fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The identifier that a text begins with: bare, or in double quotes, inside which a backslash escapes a quote, a
/// backslash and a line feed.
fn identifier(text: &str) -> Option<String> {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        return next_word(text).map(|(word, _)| word.to_owned());
    };
    let mut name = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => return (!name.is_empty()).then_some(name),
            '\\' => match letters.next()? {
                'n' => name.push('\n'),
                escaped @ ('"' | '\\') => name.push(escaped),
                _ => return None,
            },
            letter => name.push(letter),
        }
    }
}

/// `/query`: creating a database puts its name on the list, durably; listing them lists those and the values of the
/// label `db`. Several statements are answered one after the other, if all can be.
///
/// # Errors
/// 400 for every other statement; 403 where the token may not write and a database is to be created.
pub async fn query(call: Call) -> Result<Reply, ApiError> {
    let asked: Vec<Statement> = statements(call.params.require("q")?).into_iter().map(statement).collect();
    if asked.is_empty() || asked.contains(&Statement::Other) {
        return Err(ApiError::bad_data(
            "InfluxQL is not spoken here, only CREATE DATABASE, SHOW DATABASES and SHOW RETENTION POLICIES; ask in \
             PromQL at /api/v1/query",
        ));
    }
    if asked.iter().any(|statement| matches!(statement, Statement::CreateDatabase(_))) {
        call.require(Access::Write)?;
    }
    let mut results = Vec::with_capacity(asked.len());
    for (id, statement) in asked.into_iter().enumerate() {
        let mut result = json!({ "statement_id": id });
        if let Some(series) = series(&call, statement).await? {
            result["series"] = json!([series]);
        }
        results.push(result);
    }
    let body = json!({ "results": results });
    Ok(Reply::ok(JSON, format!("{body}\n"))
        .header(version_header(), HeaderValue::from_static(INFLUX_VERSION)))
}

/// What a statement answers, if it answers something.
async fn series(call: &Call, statement: Statement) -> Result<Option<Value>, ApiError> {
    match statement {
        Statement::CreateDatabase(name) => {
            let database = call.database()?;
            storage::blocking(move || database.create_database(&name)).await??;
            Ok(None)
        }
        Statement::Other => Ok(None),
        Statement::ShowDatabases => {
            let database = call.database()?;
            let names = storage::blocking(move || database.databases()).await??;
            let values: Vec<[String; 1]> = names.into_iter().map(|name| [name]).collect();
            Ok(Some(json!({ "name": "databases", "columns": ["name"], "values": values })))
        }
        Statement::ShowRetentionPolicies => Ok(Some(json!({
            "columns": ["name", "duration", "shardGroupDuration", "replicaN", "default"],
            "values": [["autogen", "0s", "24h0m0s", 1, true]],
        }))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_writers() {
        for (text, name) in [
            ("CREATE DATABASE x", "x"),
            (" create database \"a b\" WITH DURATION 1d ", "a b"),
            (r#"CREATE DATABASE "a\"\\b\nc""#, "a\"\\b\nc"),
        ] {
            assert_eq!(statement(text), Statement::CreateDatabase(name.to_owned()), "{text}");
        }
        assert_eq!(statement("show databases"), Statement::ShowDatabases);
        assert_eq!(statement("SHOW RETENTION POLICIES ON x"), Statement::ShowRetentionPolicies);
        for text in [
            "",
            "CREATE DATABASE",
            "CREATE DATABASE \"\"",
            "CREATE DATABASE \"open",
            "DROP DATABASE x",
            "SELECT * FROM cpu",
            "SHOW",
        ] {
            assert_eq!(statement(text), Statement::Other, "{text}");
        }
    }

    #[test]
    fn semicolons_part_statements() {
        assert_eq!(statements("a; b ;;c;"), ["a", " b ", "c"]);
        assert_eq!(statements(r#"a "x;\";y" ';' b;c"#), [r#"a "x;\";y" ';' b"#, "c"]);
        assert_eq!(statements("a \"open; b"), ["a \"open; b"]);
        for text in ["", " ; ", ";"] {
            assert!(statements(text).is_empty(), "{text:?}");
        }
    }
}
