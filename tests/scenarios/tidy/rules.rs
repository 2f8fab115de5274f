//! The rules that a single file can violate. Each is a function from a file to its violations.

use super::Finding;
use super::source::{Source, is_ident, words};

/// Maximum production lines of a file. Tables of data may exceed it and are named here.
const FILE_LINES: usize = 600;
const LONG_TABLES: &[&str] = &[];

/// Names that say nothing about the contents.
const DRAWERS: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "misc", "stuff"];

/// Words of unfinished work, in comments.
const LEFTOVERS: &[&str] =
    &["for now", "todo", "fixme", "xxx", "hack", "not yet implemented", "in a real system", "stub"];

/// All rules for one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let rules = [doc, file_length, leftovers, dead_code, drawers];
    rules.iter().flat_map(|rule| rule(source)).collect()
}

/// A sibling `tests.rs` is recognised by its name.
fn doc(source: &Source) -> Vec<Finding> {
    let opens = source.first_line.starts_with("//! ") || source.path.ends_with("/tests.rs");
    (!opens)
        .then(|| Finding::new(source, 1, "the file does not open with `//!` and what it owns"))
        .into_iter()
        .collect()
}

fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.production_lines;
    let long = lines > FILE_LINES && !LONG_TABLES.contains(&source.path.as_str());
    let what = format!("{lines} production lines, the limit is {FILE_LINES}");
    long.then(|| Finding::new(source, 1, what)).into_iter().collect()
}

fn leftovers(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, comment) in &source.comments {
        let lower = comment.to_lowercase();
        let found = LEFTOVERS.iter().find(|word| words(&lower, word).next().is_some());
        findings.extend(found.map(|word| {
            Finding::new(source, *line, format!("a comment says \"{word}\": finish it or say what is true"))
        }));
    }
    findings
}

/// A comment that reads as a statement: it ends like one, and begins or continues like code.
fn dead_code(source: &Source) -> Vec<Finding> {
    let plain = source
        .comments
        .iter()
        .filter(|(_, comment)| !comment.starts_with("///") && !comment.starts_with("//!"));
    plain
        .filter(|(_, comment)| reads_as_code(comment.trim_start_matches('/').trim()))
        .map(|(line, _)| Finding::new(source, *line, "commented-out code"))
        .collect()
}

fn reads_as_code(text: &str) -> bool {
    const STARTS: &[&str] = &[
        "let ", "use ", "pub ", "fn ", "return ", "self.", "if let ", "match ", "mod ", "impl ", "#[",
        "assert",
    ];
    let ends = text.ends_with(';') || text.ends_with('{') || text.ends_with("),") || text == "}";
    let quoted = text.contains('`');
    let code_like = STARTS.iter().any(|start| text.starts_with(start))
        || text.ends_with(");")
        || text.contains(" = ")
        || text == "}";
    ends && code_like && !quoted
}

fn drawers(source: &Source) -> Vec<Finding> {
    let named = source.path.trim_end_matches(".rs").split('/').find(|part| DRAWERS.contains(part));
    named
        .map(|name| {
            Finding::new(source, 1, format!("\"{name}\" names no thing: call the file after what it owns"))
        })
        .into_iter()
        .collect()
}

/// Files that no `mod` line names, which cargo ignores without a message.
pub fn dead_files(sources: &[Source]) -> Vec<Finding> {
    let inside =
        sources.iter().filter(|source| source.path.contains("src/") && !parents_of(&source.path).is_empty());
    inside
        .filter(|source| declaring(source, sources).next().is_none())
        .map(|source| Finding::new(source, 1, "no mod line names this file: it is never compiled"))
        .collect()
}

/// The files that declare `source` as their module; with a `#[path]`, a file beside it may.
pub fn declaring<'a>(source: &'a Source, sources: &'a [Source]) -> impl Iterator<Item = &'a Source> {
    let parents = parents_of(&source.path);
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    sources.iter().filter(move |parent| {
        let above = parents.iter().any(|(path, name)| *path == parent.path && declares(&parent.code, name));
        let is_beside = parent.path.rsplit_once('/').is_some_and(|(other, _)| other == folder);
        let by_path = is_beside && parent.code.contains("#[path");
        above || by_path && parents.iter().any(|(_, name)| declares(&parent.code, name))
    })
}

/// The files that may declare a module, and the name they declare it by; none for the root of a crate.
pub fn parents_of(path: &str) -> Vec<(String, String)> {
    let Some((folder, file)) = path.rsplit_once('/') else { return Vec::new() };
    let (folder, name) = match file {
        "lib.rs" | "main.rs" | "build.rs" => return Vec::new(),
        "mod.rs" => match folder.rsplit_once('/') {
            Some((above, name)) => (above, name),
            None => return Vec::new(),
        },
        _ => (folder, file.trim_end_matches(".rs")),
    };
    let beside = ["mod.rs", "lib.rs", "main.rs"].map(|root| format!("{folder}/{root}"));
    beside.into_iter().chain([format!("{folder}.rs")]).map(|parent| (parent, name.to_owned())).collect()
}

/// Whether `code` declares `mod name`.
pub fn declares(code: &str, name: &str) -> bool {
    words(code, "mod").any(|at| {
        let rest = code[at + 3..].trim_start();
        rest.starts_with(name) && !rest.as_bytes().get(name.len()).copied().is_some_and(is_ident)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "//! What it owns.\n";

    /// The violations in a production file of the engine with this text below its doc comment.
    fn found(text: &str) -> Vec<String> {
        check(&Source::new("engine/src/wal/writer.rs", &format!("{DOC}{text}")))
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    fn assert_caught(text: &str, by: &str) {
        let found = found(text);
        assert!(
            found.len() == 1 && found[0].contains(by),
            "{text:?} gives {found:?}, expected one finding with {by:?}"
        );
    }

    #[test]
    fn a_clean_file_passes() {
        let text = "// Why it is so; and more of it.\n#[expect(dead_code, reason = \"x\")]\nfn f() -> &'static str { \"todo!() unsafe .unwrap()\" }\n";
        assert!(found(text).is_empty(), "{:?}", found(text));
        assert!(found("#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }").is_empty());
    }

    #[test]
    fn a_missing_doc_is_caught() {
        let source = Source::new("engine/src/wal/writer.rs", "fn f() {}");
        assert_eq!(check(&source).len(), 1);
    }

    #[test]
    fn length_limits_are_caught() {
        assert_caught(&"const A: u8 = 1;\n".repeat(600), "601 production lines");
        assert!(found(&"const A: u8 = 1;\n".repeat(599)).is_empty());
    }

    #[test]
    fn leftover_words_and_dead_code_are_caught() {
        assert_caught("// Good enough for now.\n", "for now");
        assert_caught("/// FIXME: slow\nfn f() {}", "fixme");
        assert_caught("// let a = b.c();\n", "commented-out");
        assert_caught("//     self.flush();\n", "commented-out");
        assert!(found("// A reader waits for nowhere; then it continues.\n").is_empty());
    }

    #[test]
    fn drawers_are_caught() {
        let source = Source::new("engine/src/utils.rs", DOC);
        assert_eq!(check(&source).len(), 1);
    }

    #[test]
    fn dead_files_are_caught() {
        let lib = Source::new("engine/src/lib.rs", "//! L.\npub mod wal;\n");
        let wal = Source::new("engine/src/wal/mod.rs", "//! W.\nmod writer;\n");
        let writer = Source::new("engine/src/wal/writer.rs", DOC);
        let orphan = Source::new("engine/src/wal/write.rs", DOC);
        let dead: Vec<_> =
            dead_files(&[lib, wal, writer, orphan]).into_iter().map(|finding| finding.path).collect();
        assert_eq!(dead, ["engine/src/wal/write.rs"]);
    }
}
