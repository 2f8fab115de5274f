//! The house rules that one file can break on its own. Each is a function from a file to what it found.

use super::Finding;
use super::source::{Source, close_of, is_ident, item_end, line_at, words};

/// Production lines of a file; tables of data may pass it and are named here.
const FILE_LINES: usize = 600;
const LONG_TABLES: &[&str] = &[];

/// Lines of one function, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// The files that may hold `unsafe`: the memory map, which has to trust the file system; the handler of forks; the cursor
/// of the store, which holds what it borrows from; the name under which jemalloc looks for its settings; and the test
/// and the example that fork.
const UNSAFE_HOMES: &[&str] = &[
    "engine/src/process.rs",
    "engine/src/store/rocks/cursor.rs",
    "engine/src/wal/mmap.rs",
    "examples/daemon.rs",
    "server/src/allocator.rs",
    "tests/embed/fork.rs",
];

/// Drawers: names that say nothing of what is inside.
const DRAWERS: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "misc", "stuff"];

/// Words of unfinished work, in comments.
const LEFTOVERS: &[&str] =
    &["for now", "todo", "fixme", "xxx", "hack", "not yet implemented", "in a real system", "stub"];

/// Macros that must not stay.
const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Folders whose code is embedded and so never prints.
const SILENT: &[&str] = &["engine/src/", "query/src/", "src/"];

/// All rules over one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let rules = [
        doc,
        file_length,
        function_length,
        fenced_unsafe,
        macros,
        printing,
        lint_exemptions,
        unwraps,
        leftovers,
        dead_code,
        drawers,
    ];
    rules.iter().flat_map(|rule| rule(source)).collect()
}

/// A sibling `tests.rs` is told by its name.
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

fn function_length(source: &Source) -> Vec<Finding> {
    let code = &source.production;
    let mut findings = Vec::new();
    for at in words(code, "fn") {
        let name: String =
            code[at + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let (Some(_), end) = item_end(code, at) else { continue };
        let first = line_at(code, at);
        let lines = line_at(code, end - 1) - first + 1;
        if !name.is_empty() && lines > FUNCTION_LINES {
            findings.push(Finding::new(
                source,
                first,
                format!("fn {name} has {lines} lines, the limit is {FUNCTION_LINES}"),
            ));
        }
    }
    findings
}

fn fenced_unsafe(source: &Source) -> Vec<Finding> {
    if UNSAFE_HOMES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    at_words(source, &source.code, "unsafe", "unsafe outside its home (see UNSAFE_HOMES)")
}

fn macros(source: &Source) -> Vec<Finding> {
    MACROS.iter().flat_map(|name| macro_calls(source, &source.code, name)).collect()
}

fn printing(source: &Source) -> Vec<Finding> {
    if !SILENT.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    ["println", "eprintln", "print", "eprint"]
        .iter()
        .flat_map(|name| macro_calls(source, &source.production, name))
        .collect()
}

fn macro_calls(source: &Source, code: &str, name: &str) -> Vec<Finding> {
    words(code, name)
        .filter(|&at| code[at + name.len()..].starts_with('!'))
        .map(|at| Finding::new(source, line_at(code, at), format!("{name}! must not stay")))
        .collect()
}

fn lint_exemptions(source: &Source) -> Vec<Finding> {
    let code = &source.code;
    let mut findings = Vec::new();
    for start in code.match_indices('#').map(|(at, _)| at) {
        let open = start + 1 + usize::from(code[start + 1..].starts_with('!'));
        let Some(inside) = code[open..].strip_prefix('[') else { continue };
        if inside.starts_with("allow(") {
            findings.push(Finding::new(
                source,
                line_at(code, start),
                "allow: use #[expect(lint, reason = \"…\")]",
            ));
        }
        let whole = &code[open..close_of(code, open)];
        if inside.starts_with("expect(") && words(whole, "reason").next().is_none() {
            findings.push(Finding::new(source, line_at(code, start), "expect without a reason"));
        }
    }
    findings
}

fn unwraps(source: &Source) -> Vec<Finding> {
    let what = "unwrap outside tests: handle it, or expect(\"the invariant\")";
    let calls = source.production.match_indices(".unwrap()");
    calls.map(|(at, _)| Finding::new(source, line_at(&source.production, at), what)).collect()
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

/// A plain comment that reads as a statement: it ends like one and begins or continues like code.
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

fn at_words(source: &Source, code: &str, word: &str, what: &str) -> Vec<Finding> {
    words(code, word).map(|at| Finding::new(source, line_at(code, at), what)).collect()
}

/// Files that no `mod` line names, which cargo would pass over in silence.
pub fn dead_files(sources: &[Source]) -> Vec<Finding> {
    let inside =
        sources.iter().filter(|source| source.path.contains("src/") && !parents_of(&source.path).is_empty());
    inside
        .filter(|source| declaring(source, sources).next().is_none())
        .map(|source| Finding::new(source, 1, "no mod line names this file: it is never compiled"))
        .collect()
}

/// The files that declare `source` as their module; a file beside it may, with a `#[path]`.
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

    /// What the rules say of a production file of engine with this text below its doc.
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
        assert_caught(&format!("fn long(\n) {{\n{}}}\n", "    g();\n".repeat(68)), "fn long has 71 lines");
        assert!(found(&format!("fn long(\n) {{\n{}}}\n", "    g();\n".repeat(67))).is_empty());
    }

    #[test]
    fn unsafe_and_leftover_macros_are_caught() {
        assert_caught("fn f() { unsafe { g() } }", "unsafe outside");
        assert!(check(&Source::new("engine/src/wal/mmap.rs", "//! Map.\nunsafe fn f() {}")).is_empty());
        assert_caught("fn f() { todo!() }", "todo!");
        assert_caught("fn f() { dbg!(1); }", "dbg!");
        assert_caught("fn f() { println!(); }", "println!");
    }

    #[test]
    fn lint_exemptions_are_caught() {
        // The attributes below are inside strings: input for the rule under test. They exempt no code in this file.
        assert_caught("#[allow(dead_code)]\nfn f() {}", "allow");
        assert_caught("#![allow(dead_code)]", "allow");
        assert_caught("#[expect(dead_code)]\nfn f() {}", "without a reason");
    }

    #[test]
    fn unwraps_are_caught() {
        assert_caught("fn f() { g().unwrap(); }", "unwrap");
    }

    #[test]
    fn leftover_words_and_dead_code_are_caught() {
        assert_caught("// Good enough for now.\n", "for now");
        assert_caught("/// FIXME: slow\nfn f() {}", "fixme");
        assert_caught("// let a = b.c();\n", "commented-out");
        assert_caught("//     self.flush();\n", "commented-out");
        assert!(found("// A reader waits for nowhere; then it goes on.\n").is_empty());
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
