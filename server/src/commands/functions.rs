//! `barograph functions`: the functions and aggregations of the query language, from the tables that the parser uses.

use std::fmt::Write;

use barograph::internals::functions::{self, Function, NameRule, aggregates, nearest};

/// The text to print: every name with its first sentence, or the full help of one.
///
/// # Errors
/// There is no function of that name; the error suggests the most similar one.
pub fn text(name: Option<&str>) -> anyhow::Result<String> {
    let Some(name) = name else { return Ok(all()) };
    if let Some(function) = functions::find(name) {
        return Ok(function_help(function));
    }
    if let Some(info) = aggregates::find(name) {
        let param = info.param.map_or_else(String::new, |param| format!("{param}, "));
        let more = info.more.map_or_else(String::new, |more| format!("{more}…, "));
        let head = format!("{}({param}{more}instant vector), also by (…) and without (…)", info.name);
        return Ok(help(&head, info.doc, "", info.source.as_str(), info.example));
    }
    let hint = nearest(name).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    anyhow::bail!("no function or aggregation is called {name:?}{hint}; `barograph functions` lists them")
}

fn all() -> String {
    let mut out = String::new();
    let aggregates = aggregates::all().iter().map(|info| (info.name, info.doc));
    let functions = functions::all().iter().map(|function| (function.name, function.doc));
    for (title, entries) in
        [("Aggregations", aggregates.collect::<Vec<_>>()), ("Functions", functions.collect())]
    {
        let width = entries.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        line(&mut out, format_args!("{title}"));
        for (name, doc) in entries {
            let sentence = doc.split_inclusive(". ").next().unwrap_or(doc).trim_end();
            line(&mut out, format_args!("  {name:width$}  {sentence}"));
        }
        out.push('\n');
    }
    out + "`barograph functions NAME` describes one; docs/query-language.md has the whole language.\n"
}

fn function_help(function: &Function) -> String {
    let head = format!("{}({}): {}", function.name, function.usage(), function.returns);
    let name = match function.name_rule {
        NameRule::Keep => "The metric's name stays.",
        NameRule::Drop => "The metric's name is dropped.",
    };
    help(&head, function.doc, name, function.source.as_str(), function.example)
}

fn help(head: &str, doc: &str, name: &str, source: &str, example: &str) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("{head}\n\n{doc} {name}\n"));
    line(&mut out, format_args!("From:     {source}"));
    line(&mut out, format_args!("Example:  {example}"));
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_listed_and_explained() {
        let list = text(None).unwrap();
        for name in functions::all().iter().map(|f| f.name).chain(aggregates::all().iter().map(|a| a.name)) {
            assert!(list.contains(&format!("\n  {name} ")), "{name}");
            let one = text(Some(name)).unwrap();
            assert!(one.starts_with(&format!("{name}(")) && one.contains("Example:  "), "{one}");
        }
        assert!(text(Some("rate")).unwrap().contains("range-vector"));
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest() {
        let error = text(Some("rat")).unwrap_err().to_string();
        assert!(error.contains("\"rat\"") && error.contains("did you mean rate?"), "{error}");
    }
}
