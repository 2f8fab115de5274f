//! `/query` of InfluxDB 1: the statements with which writers create, look up and drop a database.

use barograph::{Matcher, TimeRange};
use hyper::header::HeaderValue;

use super::{INFLUX_VERSION, version_header};
use crate::admission::Writer;
use crate::api::call::Call;
use crate::api::gate::Asked;
use crate::error::ApiError;
use crate::http::auth::Access;
use crate::http::reply::{JSON, Reply};
use crate::json;
use barograph::Database;
use barograph::budget::Work;

/// Maximum number of statements in a request; each may list all databases.
const STATEMENTS_MAX: usize = 100;

/// A statement that a version 1 client sends to `/query`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Statement {
    CreateDatabase(String),
    DropDatabase(String),
    ShowDatabases,
    ShowRetentionPolicies,
    Other,
}

/// The statements in a text, separated by semicolons outside of quotes. Stops after [`STATEMENTS_MAX`].
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
                found.extend(Some(&text[start..at]).filter(|statement| !statement.trim().is_empty()));
                start = at + 1;
            }
            _ => {}
        }
        if found.len() > STATEMENTS_MAX {
            return found;
        }
    }
    found.extend(Some(&text[start..]).filter(|statement| !statement.trim().is_empty()));
    found
}

fn statement(text: &str) -> Statement {
    read(text).unwrap_or(Statement::Other)
}

/// Parses a statement, if it is a supported one.
fn read(text: &str) -> Option<Statement> {
    let (verb, rest) = next_word(text)?;
    let (what, rest) = next_word(rest)?;
    match (&*verb.to_ascii_uppercase(), &*what.to_ascii_uppercase()) {
        ("CREATE", "DATABASE") => {
            let (name, rest) = identifier(without(rest, &["IF", "NOT", "EXISTS"]))?;
            // The rest of the statement sets how long samples are kept, which is not a property of a database here.
            let is_whole = next_word(rest).is_none_or(|(word, _)| word.eq_ignore_ascii_case("WITH"));
            is_whole.then_some(Statement::CreateDatabase(name))
        }
        ("DROP", "DATABASE") => {
            let (name, rest) = identifier(without(rest, &["IF", "EXISTS"]))?;
            rest.trim().is_empty().then_some(Statement::DropDatabase(name))
        }
        ("SHOW", "DATABASES") => rest.trim().is_empty().then_some(Statement::ShowDatabases),
        ("SHOW", "RETENTION") => {
            let (word, _) = next_word(rest)?;
            word.eq_ignore_ascii_case("POLICIES").then_some(Statement::ShowRetentionPolicies)
        }
        _ => None,
    }
}

/// The text after `words`, or the whole text if it does not begin with them.
fn without<'t>(text: &'t str, words: &[&str]) -> &'t str {
    let mut rest = text;
    for wanted in words {
        match next_word(rest) {
            Some((word, after)) if word.eq_ignore_ascii_case(wanted) => rest = after,
            _ => return text,
        }
    }
    rest
}

fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The identifier at the beginning of a text, and the rest. An identifier is bare, or in double quotes, inside which a
/// backslash escapes a quote, a backslash or a line feed.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        let (word, rest) = next_word(text)?;
        return (!word.contains(['"', '\''])).then(|| (word.to_owned(), rest));
    };
    let mut name = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => return (!name.is_empty()).then_some((name, letters.as_str())),
            '\\' => match letters.next()? {
                'n' => name.push('\n'),
                escaped @ ('"' | '\\') => name.push(escaped),
                _ => return None,
            },
            letter => name.push(letter),
        }
    }
}

/// `/query`: CREATE DATABASE adds the name to the list, durably, and DROP DATABASE removes it; SHOW DATABASES returns
/// the listed names and the values of the label `db`. Several statements are answered in order, if all are supported.
///
/// # Errors
/// 400 for every other statement, for too many, and for dropping a database that has samples; 403 for creating or
/// dropping a database if the token may not write, or if the database belongs to another tenant.
pub async fn query(call: Call) -> Result<Reply, ApiError> {
    let text = call.params.require("q")?;
    let texts = statements(text);
    if texts.len() > STATEMENTS_MAX {
        return Err(ApiError::bad_data(format!(
            "more than {STATEMENTS_MAX} statements in q, a fixed limit; send them in several requests"
        )));
    }
    let asked: Vec<Statement> = texts.into_iter().map(statement).collect();
    if asked.is_empty() || asked.contains(&Statement::Other) {
        return Err(ApiError::bad_data(
            "InfluxQL is not supported, only CREATE DATABASE, DROP DATABASE, SHOW DATABASES and SHOW RETENTION \
             POLICIES; ask in PromQL at /api/v1/query",
        ));
    }
    let is_change =
        |asked: &Statement| matches!(asked, Statement::CreateDatabase(_) | Statement::DropDatabase(_));
    if asked.iter().any(is_change) {
        call.require(Access::Write)?;
    }
    for statement in &asked {
        if let Statement::CreateDatabase(name) | Statement::DropDatabase(name) = statement {
            call.check_change_of_database(name)?;
        }
    }
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?.named(text)).await?;
    let reply = admitted.whole(JSON, move |work| {
        let mut out = Writer::new(work, false);
        out.text(b"{\"results\":[")?;
        // When a read is repeated, statements that were already executed have no further effect.
        for (id, statement) in asked.iter().enumerate() {
            let comma = if id > 0 { "," } else { "" };
            out.text(format!("{comma}{{\"statement_id\":{id}").as_bytes())?;
            answer(&database, work, statement, &mut out)?;
            out.text(b"}")?;
        }
        out.text(b"]}\n")?;
        out.finish()
    });
    Ok(reply.await?.header(version_header(), HeaderValue::from_static(INFLUX_VERSION)))
}

/// Executes a statement and writes its result, if it has one.
fn answer(
    database: &Database,
    work: &Work,
    statement: &Statement,
    out: &mut Writer<'_>,
) -> Result<(), ApiError> {
    match statement {
        Statement::CreateDatabase(name) => {
            database.create_database(name)?;
            Ok(())
        }
        Statement::DropDatabase(name) => drop_database(database, work, name),
        Statement::Other => Ok(()),
        Statement::ShowDatabases => {
            let names = database.reader(work).databases()?;
            out.text(b",\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],\"values\":")?;
            json::items(
                out,
                &names,
                |name| name.len() + 8,
                |out, name| json::list(out, [name], |out, name| json::string(out, name)),
            )?;
            out.text(b"}]")
        }
        Statement::ShowRetentionPolicies => {
            let policies = serde_json::json!({
                "columns": ["name", "duration", "shardGroupDuration", "replicaN", "default"],
                "values": [["autogen", "0s", "24h0m0s", 1, true]],
            });
            out.text(format!(",\"series\":[{policies}]").as_bytes())
        }
    }
}

/// Removes the name of a database from the list. Only the admin call, which has a separate right and setting, deletes
/// samples.
fn drop_database(database: &Database, work: &Work, name: &str) -> Result<(), ApiError> {
    let with_it = vec![Matcher::equal("db", name)];
    if !database.reader(work).label_values("db", &[with_it], TimeRange::ALL, 1)?.is_empty() {
        return Err(ApiError::bad_data(format!(
            "database {name:?} has samples, which DROP DATABASE does not delete here: delete them by POST to \
             /api/v1/admin/tsdb/delete_series?match[]={{db={name:?}}} (needs enable_admin, and a token with the right \
             admin where there are tokens), then drop it"
        )));
    }
    database.drop_database(name)?;
    Ok(())
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
            ("CREATE DATABASE \"a\"WITH NAME x", "a"),
            ("CREATE DATABASE if not exists \"a b\"", "a b"),
            ("CREATE DATABASE if", "if"),
        ] {
            assert_eq!(statement(text), Statement::CreateDatabase(name.to_owned()), "{text}");
        }
        for (text, name) in [("drop database x ", "x"), ("DROP DATABASE IF EXISTS \"a b\"", "a b")] {
            assert_eq!(statement(text), Statement::DropDatabase(name.to_owned()), "{text}");
        }
        assert_eq!(statement("show databases"), Statement::ShowDatabases);
        assert_eq!(statement("SHOW RETENTION POLICIES ON x"), Statement::ShowRetentionPolicies);
        for text in [
            "",
            "CREATE DATABASE",
            "CREATE DATABASE \"\"",
            "CREATE DATABASE \"open",
            "CREATE DATABASE 'x'",
            "CREATE DATABASE a b",
            "DROP DATABASE",
            "DROP DATABASE a b",
            "DROP DATABASE IF NOT EXISTS a",
            "DROP SERIES FROM a",
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
        assert_eq!(
            statements(&"a;".repeat(1_000_000)).len(),
            STATEMENTS_MAX + 1,
            "no more than is needed to refuse"
        );
    }
}
