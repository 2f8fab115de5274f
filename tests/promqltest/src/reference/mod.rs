//! The reference page of the query language, `docs/query-language.md`: the text of `query/src/functions/reference.md`,
//! the tables of functions and aggregations, and the answer of every example.
//!
//! The answers are computed when the page is generated, over the data set in `data.txt`, which the page prints. A new
//! function needs only its entry in the table; its example must be a query over that data set with a result that is not
//! empty. A test compares the page with the generated text. With `BAROGRAPH_WRITE_DOCS=1` it writes the page instead.
//!
//! # Not here
//! The entries (`query/src/functions/table`) and the text around them.

use std::fmt::Write;

use barograph_query::syntax::{parse, pretty};

use barograph_query::functions::{Family, Function, NameRule, Origin, ValueType, aggregates, all};

mod example;

pub use example::{Examples, RUN_FROM_MINUTES, RUN_STEP_MINUTES, RUN_TO_MINUTES};

/// The text around the generated parts.
const TEMPLATE: &str = include_str!("../../../../query/src/functions/reference.md");

/// The data set of the examples, as a script.
const DATA: &str = include_str!("data.txt");

/// The first line of a block of queries in the text that get their answers below them.
const ANSWERED: &str = "```promql answered\n";

/// The chapters in the order of the page.
const FAMILIES: [(Family, &str); 10] = [
    (Family::Change, "Change over a window"),
    (Family::OverTime, "Statistics over a window"),
    (Family::WholeRange, "Over the whole query"),
    (Family::Analytics, "Analytics"),
    (Family::Histogram, "Histograms"),
    (Family::Label, "Labels and order"),
    (Family::Convert, "Scalars, vectors, absence"),
    (Family::Time, "Time"),
    (Family::Math, "Arithmetic"),
    (Family::Trigonometry, "Trigonometry"),
];

/// The page as Markdown, the content of `docs/query-language.md`.
///
/// # Errors
/// Each example that fails or has an empty result, one line each.
pub fn page() -> Result<String, String> {
    let mut examples = Examples::new(DATA)?;
    let text = TEMPLATE
        .replace("{{data}}\n", DATA)
        .replace("{{aggregations}}\n", &aggregations(&mut examples))
        .replace("{{functions}}\n", &functions(&mut examples));
    let text = with_answers(&text, &mut examples);
    examples.finish()?;
    Ok(text)
}

fn aggregations(examples: &mut Examples) -> String {
    let mut text = String::new();
    for aggregate in aggregates::all() {
        let param = aggregate.param.map_or(String::new(), |param| format!("{param}, "));
        let more = aggregate.more.map_or(String::new(), |more| format!("{more}…, "));
        let signature = format!("{}({param}{more}vector)", aggregate.name);
        let doc = format!("{}{}", aggregate.doc, origin(aggregate.source));
        entry(&mut text, &signature, &doc, &examples.answered(aggregate.example));
    }
    text
}

fn functions(examples: &mut Examples) -> String {
    let mut text = String::new();
    for (family, title) in FAMILIES {
        push(&mut text, format_args!("### {title}\n\n"));
        for function in all().iter().filter(|function| function.family == family) {
            let signature = format!("{}({})", function.name, function.usage());
            let example = match function.name {
                _ if is_about_steps(function) => examples.answered_over_steps(function.example),
                _ => examples.answered(function.example),
            };
            entry(&mut text, &signature, &sentences(function), &example);
            if function.is_template() {
                let query = parse(function.example).expect("the example was evaluated");
                push(&mut text, format_args!("It stands for:\n\n```promql\n{}\n```\n\n", pretty(&query)));
            }
        }
    }
    text
}

/// Functions for which a single evaluation would show nothing.
fn is_about_steps(function: &Function) -> bool {
    let about_bounds = ["start", "end", "step", "range", "max_of", "min_of"];
    function.spans_steps() || about_bounds.contains(&function.name)
}

/// The origin of a definition that does not come from PromQL.
fn origin(source: Origin) -> &'static str {
    match source {
        Origin::PromQl => "",
        Origin::MetricsQl => " An extension, also of MetricsQL.",
        Origin::Barograph => " An extension.",
    }
}

fn entry(text: &mut String, signature: &str, doc: &str, example: &str) {
    push(text, format_args!("#### `{signature}`\n\n{doc}\n\n```promql\n{example}```\n\n"));
}

fn sentences(function: &Function) -> String {
    let keeps = if function.name_rule == NameRule::Keep { " The name stays." } else { "" };
    let scalar = if function.returns == ValueType::Scalar { " A scalar." } else { "" };
    format!("{}{scalar}{keeps}{}", function.doc, origin(function.source))
}

/// Inserts the answer below each query of the blocks that ask for it.
fn with_answers(page: &str, examples: &mut Examples) -> String {
    let mut parts = page.split(ANSWERED);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (block, rest) = part.split_once("```").unwrap_or((part, ""));
        text.push_str("```promql\n");
        for (index, query) in block.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            let blank = if index > 0 { "\n" } else { "" };
            push(&mut text, format_args!("{blank}{}", examples.answered(query)));
        }
        push(&mut text, format_args!("```{rest}"));
    }
    text
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/query-language.md");
        let current = page().unwrap_or_else(|faults| panic!("examples that show nothing:\n{faults}"));
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
    fn every_entry_is_on_the_page_with_its_answer() {
        let page = page().unwrap();
        for name in all().iter().map(|f| f.name).chain(aggregates::all().iter().map(|a| a.name)) {
            let (_, entry) = page.split_once(&format!("\n#### `{name}(")).unwrap_or_else(|| panic!("{name}"));
            let (_, example) = entry.split_once("```promql\n").unwrap();
            let (example, _) = example.split_once("```").unwrap();
            assert!(example.contains(name), "{name}: {example}");
            assert!(example.lines().last().unwrap().starts_with("# "), "{name}: {example}");
        }
        assert!(!page.contains("{{data") && !page.contains("{{func") && !page.contains("{{aggr"));
    }

    #[test]
    fn every_block_of_the_text_is_queries() {
        let blocks = TEMPLATE.replace(ANSWERED, "```promql\n");
        let blocks = blocks.split("```promql\n").skip(1);
        for line in blocks.flat_map(|block| block.split("```").next().into_iter().flat_map(str::lines)) {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
