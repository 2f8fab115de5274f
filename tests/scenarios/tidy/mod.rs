//! The rules for source code as a test: reads every Rust file of the repository and fails with a list of the
//! violations.
//!
//! Rules that a lint can check are lints in `Cargo.toml`. These are the others: the direction of imports, the length of
//! files, words of unfinished work, files that nothing compiles, and names of files in the documentation. For each
//! rule, a test shows that it catches a bad snippet, so that a rule that stops working is noticed.

mod layers;
mod pages;
mod rules;
mod source;

use source::Source;
use std::path::{Path, PathBuf};

/// The folders with Rust code of this repository.
const FOLDERS: &[&str] = &["src", "engine", "query", "server", "tests", "benches", "examples", "fuzz"];

/// One violation of a rule.
pub struct Finding {
    /// Path from the root of the repository.
    pub path: String,
    /// Line from 1.
    pub line: usize,
    /// The rule and how it is violated.
    pub what: String,
}

impl Finding {
    fn new(source: &Source, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: source.path.clone(), line, what: what.into() }
    }
}

#[test]
fn the_house_rules_hold() {
    let sources = read_all();
    assert!(sources.len() > 20, "only {} Rust files found: the walk is broken", sources.len());
    let mut findings = rules::dead_files(&sources);
    findings.extend(pages::check(Path::new(env!("CARGO_MANIFEST_DIR")), &sources));
    for source in &sources {
        findings.extend(rules::check(source));
        findings.extend(layers::check(source));
    }
    let list: Vec<String> = findings.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
    assert!(list.is_empty(), "{} breaches of the house rules:\n{}", list.len(), list.join("\n"));
}

fn read_all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in FOLDERS {
        walk(&root.join(folder), &mut paths);
    }
    paths.sort();
    let mut sources: Vec<Source> = paths
        .iter()
        .map(|path| {
            let name = path
                .strip_prefix(root)
                .expect("the walk starts at the root")
                .to_str()
                .expect("our names are ASCII");
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
            Source::new(name, &text)
        })
        .collect();
    mark_test_modules(&mut sources);
    sources
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder of the repository can be read").path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// A file is a test if its parent declares it under `#[cfg(test)]`, or if its parent is a test itself.
fn mark_test_modules(sources: &mut [Source]) {
    loop {
        let is_test = |source: &Source| {
            let names = rules::parents_of(&source.path);
            let hidden =
                |parent: &Source| !names.iter().any(|(_, name)| rules::declares(&parent.production, name));
            rules::declaring(source, sources).any(hidden)
        };
        let marked: Vec<usize> = (0..sources.len())
            .filter(|&at| !sources[at].production.is_empty() && is_test(&sources[at]))
            .collect();
        if marked.is_empty() {
            return;
        }
        marked.into_iter().for_each(|at| sources[at].mark_as_tests());
    }
}
