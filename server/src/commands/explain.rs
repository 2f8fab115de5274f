//! Prints the explanation of a query as a tree of its parts, each with its estimated and actual cost.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::config::values;

/// Maximum number of characters of the query's text in a line.
const TEXT_MAX: usize = 70;

/// The tree as text. The operands of a part are indented below it.
pub fn tree(root: &Value) -> String {
    let mut text = String::new();
    part(&mut text, root, 0);
    text
}

fn part(text: &mut String, node: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let _ =
        write!(text, "{indent}{}  {}", node["operation"].as_str().unwrap_or("?"), shortened(&node["text"]));
    let steps = node["steps"].as_u64().unwrap_or(0);
    let _ = write!(text, "  ({steps} {}", if steps == 1 { "step" } else { "steps" });
    for (key, word) in [("stepInvariant", "evaluated once"), ("parallel", "parallel")] {
        if node[key] == true {
            let _ = write!(text, ", {word}");
        }
    }
    let _ = writeln!(text, ", bytes {}..{} of the query)", node["span"][0], node["span"][1]);
    for key in ["estimated", "actual"] {
        if node[key].is_object() {
            let _ = writeln!(text, "{indent}    {key:<10}{}", cost(&node[key]));
        }
    }
    for child in node["children"].as_array().into_iter().flatten() {
        part(text, child, depth + 1);
    }
}

fn cost(cost: &Value) -> String {
    let count = |key: &str| cost[key].as_u64().unwrap_or(0);
    let time = Duration::try_from_secs_f64(cost["seconds"].as_f64().unwrap_or(0.0)).unwrap_or_default();
    format!(
        "{} series, {} chunks, {} samples, {}, {time:.1?}",
        count("series"),
        count("chunks"),
        count("samples"),
        rounded(count("bytes")),
    )
}

/// A readable size: exact below 10 KiB, otherwise in the unit that leaves two digits.
fn rounded(bytes: u64) -> String {
    let shift = (0..4).rev().map(|i| i * 10).find(|shift| bytes >> shift >= 10).unwrap_or(0);
    values::show_size((bytes >> shift) << shift)
}

fn shortened(text: &Value) -> String {
    let text: String = text.as_str().unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= TEXT_MAX {
        return text;
    }
    let start: String = text.chars().take(TEXT_MAX - 1).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_of_two_parts() {
        let cost = |series: u64| json!({"series": series, "chunks": 3, "samples": 240, "bytes": 48_000, "seconds": 0.0015});
        let child = json!({
            "operation": "range selector", "text": "up[5m]", "span": [5, 11], "steps": 60,
            "stepInvariant": false, "parallel": true, "estimated": cost(40), "actual": null, "children": [],
        });
        let root = json!({
            "operation": "rate", "text": "rate(up[5m])", "span": [0, 12], "steps": 60,
            "stepInvariant": true, "parallel": false, "estimated": cost(40), "actual": cost(39),
            "children": [child],
        });
        assert_eq!(
            tree(&root),
            "rate  rate(up[5m])  (60 steps, evaluated once, bytes 0..12 of the query)\n    \
             estimated 40 series, 3 chunks, 240 samples, 46KiB, 1.5ms\n    \
             actual    39 series, 3 chunks, 240 samples, 46KiB, 1.5ms\n  \
             range selector  up[5m]  (60 steps, parallel, bytes 5..11 of the query)\n      \
             estimated 40 series, 3 chunks, 240 samples, 46KiB, 1.5ms\n"
        );
        let long = json!("x ".repeat(100));
        assert_eq!(shortened(&long).chars().count(), TEXT_MAX);
    }
}
