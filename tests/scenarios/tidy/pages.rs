//! Checks that source files named in the documentation exist, so that the pages follow a file that moves.

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;
use super::source::Source;

/// The folders that paths in a page may be relative to.
const ROOTS: &[&str] =
    &["", "engine/src/", "query/src/", "server/src/", "engine/src/engine/", "server/src/api/"];

/// The pages in the root; those of `docs` are added.
const PAGES: &[&str] = &["ARCHITECTURE.md", "README.md", "CHANGELOG.md"];

/// Names of files in the pages of the repository at `root` that are not among `sources`.
pub fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let docs = std::fs::read_dir(root.join("docs")).into_iter().flatten().flatten();
    let docs = docs.map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()));
    let pages = PAGES.iter().map(|page| (*page).to_owned()).chain(docs);
    pages
        .flat_map(|page| {
            let text = std::fs::read_to_string(root.join(&page)).unwrap_or_default();
            missing(&text, &paths)
                .into_iter()
                .map(|(line, what)| Finding { path: page.clone(), line, what })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn missing(text: &str, paths: &BTreeSet<&str>) -> Vec<(usize, String)> {
    let mut missing = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
        for name in text.split(|c| !is_of_path(c)).filter(|name| name.ends_with(".rs") && *name != ".rs") {
            if !is_there(name, paths) {
                missing.push((line, format!("names {name}, which is not there")));
            }
        }
    }
    missing
}

/// A bare name, in a sentence about its folder, may be that of any file.
fn is_there(name: &str, paths: &BTreeSet<&str>) -> bool {
    if !name.contains('/') {
        return paths.iter().any(|path| path.rsplit('/').next() == Some(name));
    }
    ROOTS.iter().any(|root| paths.contains(format!("{root}{name}").as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_moved_is_found() {
        let paths = BTreeSet::from(["engine/src/wal/mod.rs", "engine/src/wal/format.rs"]);
        let text =
            "The log (`wal/mod.rs`, `format.rs`;\n`engine/src/wal/format.rs`) and `wal/map.rs`, `map.rs`.";
        let found = missing(text, &paths);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 2]);
        assert!(found[0].1.contains("wal/map.rs"), "{found:?}");
    }
}
