//! README and docs match the repository: the Rust code they show is `examples/embed.rs`, which cargo compiles; each
//! path and make target they name exists; and the profile that embedders copy is the one we build with.

use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first code block in this language.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let from = text.split_once(&format!("```{language}\n")).expect("the README has such a block").1;
    from.split_once("```").expect("the block ends").0
}

#[test]
fn the_rust_is_the_example() {
    let example = read("examples/embed.rs");
    let opening = "#![expect(clippy::print_stdout, reason = \"a program\")]\n\n";
    let program = example.split_once(opening).expect("the example opens with its doc and this").1;
    assert_eq!(block(&read("README.md"), "rust"), program);
}

#[test]
fn make_knows_each_target() {
    let (readme, makefile) = (read("README.md"), read("Makefile"));
    let targets: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("make "))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    assert!(targets.len() >= 5, "{targets:?}");
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "the Makefile has no target {target}");
    }
}

#[test]
fn the_tree_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = read("README.md");
    let tree = block(&readme, "text");
    let mut folders = 0;
    for line in tree.lines() {
        for (at, _) in line.match_indices("/ ") {
            let name = line[..at].rsplit(' ').next().expect("a split has a last part");
            let path = if line.starts_with(' ') { format!("engine/src/{name}") } else { name.to_owned() };
            assert!(root.join(&path).is_dir(), "the README names {path}, which is not there");
            folders += 1;
        }
    }
    assert!(folders >= 12, "only {folders} folders found in the README's tree");
}

/// The profile that embedders copy is the one we build with; otherwise cargo compiles RocksDB again.
#[test]
fn what_an_embedder_copies_is_ours() {
    let guide = read("docs/embedding.md");
    let lines: Vec<&str> = guide.lines().map(str::trim).collect();
    let sections = |path: &str, prefix: &str| {
        let text = read(path);
        let parts = text
            .split("\n\n")
            .flat_map(|part| part.split_once(prefix).map(|(_, rest)| format!("{prefix}{rest}")));
        parts.collect::<Vec<String>>()
    };
    let ours = [sections("Cargo.toml", "[profile."), sections(".cargo/config.toml", "[target.")].concat();
    assert_eq!(ours.len(), 6, "{ours:?}");
    for section in ours {
        let wanted: Vec<&str> = section.trim_end().lines().map(str::trim).collect();
        assert!(
            lines.windows(wanted.len()).any(|found| found == wanted),
            "docs/embedding.md lacks {section}"
        );
    }
}
