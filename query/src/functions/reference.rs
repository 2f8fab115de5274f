//! The reference page of the query language, from the tables and `reference.md`.

use std::fmt::Write;

use super::{Family, Function, NameRule, aggregates, all};

/// The text around the tables.
const TEMPLATE: &str = include_str!("reference.md");

/// The chapters in the order of the page.
const FAMILIES: [(Family, &str); 8] = [
    (Family::Change, "Change over a window"),
    (Family::OverTime, "Statistics over a window"),
    (Family::Histogram, "Histograms"),
    (Family::Label, "Labels and order"),
    (Family::Convert, "Scalars, vectors, absence"),
    (Family::Time, "Time"),
    (Family::Math, "Arithmetic"),
    (Family::Trigonometry, "Trigonometry"),
];

/// The page as Markdown: what `docs/query-language.md` holds.
pub fn reference_markdown() -> String {
    TEMPLATE
        .replace("{{aggregations}}\n", &aggregation_table())
        .replace("{{functions}}\n", &function_tables())
}

fn aggregation_table() -> String {
    let mut text = String::from("| aggregation | what it makes | example |\n|---|---|---|\n");
    for aggregate in aggregates::all() {
        let param = aggregate.param.map_or(String::new(), |param| format!("{param}, "));
        let call = format!("{}({param}vector)", aggregate.name);
        row(&mut text, &call, aggregate.doc, aggregate.example);
    }
    text.push('\n');
    text
}

fn function_tables() -> String {
    let mut text = String::new();
    for (family, title) in FAMILIES {
        writeln!(text, "### {title}\n\n| function | what it gives | example |\n|---|---|---|")
            .expect("writing to a string does not fail");
        for function in all().iter().filter(|function| function.family == family) {
            row(&mut text, &call(function), &sentences(function), function.example);
        }
        text.push('\n');
    }
    text
}

fn row(text: &mut String, call: &str, doc: &str, example: &str) {
    let example = example.replace('|', "\\|");
    writeln!(text, "| `{call}` | {doc} | `{example}` |").expect("writing to a string does not fail");
}

fn call(function: &Function) -> String {
    format!("{}({})", function.name, function.signature)
}

fn sentences(function: &Function) -> String {
    let keeps = if function.name_rule == NameRule::Keep { " The name stays." } else { "" };
    let scalar = if function.returns == super::ValueType::Scalar { " A scalar." } else { "" };
    format!("{}{scalar}{keeps}", function.doc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse;

    #[test]
    fn the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/query-language.md");
        let current = reference_markdown();
        if std::env::var_os("BAROGRAPH_WRITE_DOCS").is_some() {
            std::fs::write(path, &current).expect("the page can be written");
        }
        let page = std::fs::read_to_string(path).expect("docs/query-language.md can be read");
        assert!(
            page == current,
            "docs/query-language.md is stale: run this test with BAROGRAPH_WRITE_DOCS=1"
        );
    }

    #[test]
    fn every_entry_is_on_the_page() {
        let page = reference_markdown();
        for name in all().iter().map(|f| f.name).chain(aggregates::all().iter().map(|a| a.name)) {
            assert!(page.contains(&format!("\n| `{name}(")), "{name}");
        }
        assert!(!page.contains("{{"));
    }

    #[test]
    fn every_example_is_a_query() {
        let examples = all().iter().map(|f| f.example).chain(aggregates::all().iter().map(|a| a.example));
        for example in examples {
            parse(example).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
        let blocks = TEMPLATE.split("```promql\n").skip(1);
        for line in blocks.flat_map(|block| block.split("```").next().into_iter().flat_map(str::lines)) {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
