//! Which modules may import which: between the crates, and between the folders of one crate.
//!
//! From top to bottom, the crates are the server, the facade (the root package), query and engine. The server, the
//! examples and the programs that embed the database use only the facade, which shows that it is complete. Inside a
//! crate, and inside some of its folders, each module has a level. A module imports only modules of a lower level; the
//! modules of level 0, the vocabulary, may import one another. `lib.rs`, `main.rs` and the folder's own `mod.rs` may
//! import all. A new folder gets its level here.

use super::Finding;
use super::source::{Source, is_ident, line_at, words};

/// A folder and the names that its files must not speak of.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        "engine/src/",
        &["barograph_query", "barograph_server", "tokio", "axum", "hyper", "serde_json", "promqltest"],
    ),
    ("query/src/", &["barograph_server", "tokio", "axum", "hyper", "rocksdb", "serde_json", "promqltest"]),
    ("query/analytics/", &["barograph", "barograph_engine", "barograph_query", "barograph_server"]),
    ("src/", &["barograph_server", "tokio", "axum", "hyper", "rocksdb"]),
    ("server/", &["rocksdb", "promqltest", "barograph_engine", "barograph_query"]),
    ("examples/", &["barograph_engine", "barograph_query"]),
    ("tests/embed/", &["barograph_engine", "barograph_query"]),
];

/// The folder that alone may name RocksDB's types: all above it speak to a narrow seam.
const ROCKSDB_HOME: &str = "engine/src/store/";

/// The file of the query crate that alone may name the engine beyond its model, budget and rollups.
const ENGINE_ADAPTER: &str = "query/src/source/engine.rs";

/// The levels of the modules of a crate or of a folder, 0 the lowest.
struct Levels {
    root: &'static str,
    /// The path that leads to `root` in the crate.
    path: &'static str,
    modules: &'static [(&'static str, u8)],
}

const LEVELS: &[Levels] = &[
    Levels {
        root: "engine/src/",
        path: "crate::",
        modules: &[
            ("budget", 0),
            ("clock", 0),
            ("error", 0),
            ("fail", 0),
            ("model", 0),
            ("options", 0),
            ("process", 0),
            ("sync", 0),
            ("workers", 0),
            ("codec", 1),
            ("line", 1),
            ("remote", 2),
            ("rollup", 2),
            ("chunk", 2),
            ("rollup", 2),
            ("index", 2),
            ("wal", 2),
            ("store", 3),
            ("head", 3),
            ("stats", 4),
            ("view", 4),
            ("compact", 5),
            ("engine", 6),
        ],
    },
    Levels {
        root: "engine/src/engine/",
        path: "crate::engine::",
        modules: &[
            ("health", 0),
            ("jobs", 0),
            ("known", 0),
            ("lifecycle", 0),
            ("memory", 0),
            ("retention", 0),
            ("shortened", 0),
            ("subscribe", 0),
            ("base", 1),
            ("admit", 2),
            ("directory", 2),
            ("notes", 3),
            ("report", 3),
            ("snapshot", 3),
            ("tiers", 3),
            ("trial", 3),
            ("write", 3),
            ("upkeep", 4),
            ("open", 5),
        ],
    },
    Levels {
        root: "query/src/",
        path: "crate::",
        modules: &[
            ("accuracy", 0),
            ("annotations", 0),
            ("budget", 0),
            ("crew", 0),
            ("error", 0),
            ("explain", 0),
            ("merge", 0),
            ("numbers", 0),
            ("request", 0),
            ("series", 0),
            ("source", 0),
            ("span", 0),
            ("steps", 0),
            ("usage", 0),
            ("value", 0),
            ("histogram", 1),
            ("tiers", 1),
            ("turn", 1),
            ("functions", 2),
            ("syntax", 3),
            ("plan", 4),
            ("exec", 5),
        ],
    },
    Levels {
        root: "query/src/functions/",
        path: "crate::functions::",
        modules: &[
            ("aggregates", 0),
            ("expansion", 0),
            ("named", 0),
            ("window", 0),
            ("analytics", 1),
            ("buckets", 1),
            ("checks", 1),
            ("range", 1),
            ("arguments", 2),
            ("left_out", 2),
            ("eval", 3),
            ("search", 3),
            ("vectors", 3),
            ("suggest", 4),
            ("table", 4),
        ],
    },
    Levels {
        root: "query/src/exec/",
        path: "crate::exec::",
        modules: &[
            ("trace", 0),
            ("binary", 1),
            ("select", 1),
            ("window", 2),
            ("aggregate", 3),
            ("call", 3),
            ("accuracy", 4),
            ("explain", 4),
            ("finish", 4),
        ],
    },
    Levels {
        root: "server/src/",
        path: "crate::",
        modules: &[
            ("allocator", 0),
            ("clock", 0),
            ("config", 0),
            ("json", 0),
            ("cli", 1),
            ("error", 1),
            ("memory", 1),
            ("open_files", 1),
            ("remote_read", 1),
            ("client", 2),
            ("runtime", 2),
            ("telemetry", 2),
            ("admission", 3),
            ("ingest", 3),
            ("http", 4),
            ("state", 5),
            ("api", 6),
            ("monitor", 6),
            ("listen", 7),
            ("app", 8),
            ("commands", 9),
        ],
    },
    Levels {
        root: "server/src/api/",
        path: "crate::api::",
        modules: &[
            ("endpoint", 0),
            ("call", 1),
            ("gate", 2),
            ("selectors", 2),
            ("export", 3),
            ("prometheus", 3),
            ("influx", 3),
            ("admin", 3),
            ("ladders", 3),
            ("status", 3),
            ("hdr", 4),
            ("routes", 5),
            ("dispatch", 6),
        ],
    },
];

/// Foreign names in a crate, and imports that point upward inside one.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = foreign(source);
    findings.extend(
        LEVELS
            .iter()
            .filter(|levels| source.path.starts_with(levels.root))
            .flat_map(|levels| upward(source, levels)),
    );
    findings
}

fn foreign(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, names) in FOREIGN.iter().filter(|(folder, _)| source.path.starts_with(folder)) {
        for name in *names {
            findings.extend(words(&source.code, name).map(|at| {
                Finding::new(
                    source,
                    line_at(&source.code, at),
                    format!("{name} does not belong in this crate"),
                )
            }));
        }
    }
    if source.path.starts_with("engine/src/") && !source.path.starts_with(ROCKSDB_HOME) {
        findings.extend(words(&source.production, "rocksdb").map(|at| {
            Finding::new(
                source,
                line_at(&source.code, at),
                format!("rocksdb is named only below {ROCKSDB_HOME}"),
            )
        }));
    }
    if source.path.starts_with("query/src/") && source.path != ENGINE_ADAPTER {
        findings.extend(words(&source.production, "barograph_engine").filter_map(|at| {
            let rest = &source.production[at + "barograph_engine".len()..];
            (!["::model", "::budget", "::rollup"].iter().any(|module| rest.starts_with(module))).then(|| {
                let what =
                    format!("only {ENGINE_ADAPTER} may name the engine beyond its model, budget and rollups");
                Finding::new(source, line_at(&source.code, at), what)
            })
        }));
    }
    findings
}

fn upward(source: &Source, levels: &Levels) -> Vec<Finding> {
    let inside: Vec<&str> = source.path[levels.root.len()..].trim_end_matches(".rs").split('/').collect();
    let own = inside[0];
    if matches!(own, "lib" | "main" | "mod" | "tests") {
        return Vec::new();
    }
    let level_of =
        |module: &str| levels.modules.iter().find(|(name, _)| *name == module).map(|(_, level)| *level);
    let Some(own_level) = level_of(own) else {
        return vec![Finding::new(
            source,
            1,
            format!("module {own} has no level: give it one in tests/scenarios/tidy/layers.rs"),
        )];
    };
    let depth = if inside.last() == Some(&"mod") { inside.len() - 1 } else { inside.len() };
    let imports = crate_paths(&source.production, levels.path, depth);
    imports
        .into_iter()
        .filter(|(_, module)| module != own)
        .filter_map(|(at, module)| {
            let level = level_of(&module)?;
            let allowed = level < own_level || level == 0;
            (!allowed).then(|| {
                let what = format!(
                    "{own} (level {own_level}) names {module} (level {level}): only lower levels may be named"
                );
                Finding::new(source, line_at(&source.code, at), what)
            })
        })
        .collect()
}

/// The modules below a root that code names, through the root's path or through enough `super::` to reach it.
fn crate_paths(code: &str, path: &str, depth: usize) -> Vec<(usize, String)> {
    let to_root = "super::".repeat(depth);
    let mut paths = Vec::new();
    for root in [path, to_root.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = &code[..at];
            if before.ends_with("::") || before.bytes().last().is_some_and(is_ident) {
                continue;
            }
            paths.extend(first_names(&code[at + root.len()..]).into_iter().map(|name| (at, name)));
        }
    }
    paths
}

/// The names that follow a root: one, or the first of each branch of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start().bytes().take_while(|&byte| is_ident(byte)).map(char::from).collect::<String>()
    };
    if !rest.starts_with('{') {
        return vec![name(rest)];
    }
    let mut names = vec![name(&rest[1..])];
    let mut depth = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => names.push(name(&rest[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_crate_must_not_name_the_ones_above_it() {
        assert_eq!(
            findings("engine/src/wal/mod.rs", "use tokio::sync::Mutex;"),
            ["tokio does not belong in this crate"]
        );
        assert_eq!(findings("query/src/exec/mod.rs", "use barograph_server::api;").len(), 1);
        assert!(findings("server/src/app.rs", "use tokio::net;").is_empty());
        for path in ["server/src/app/mod.rs", "server/tests/protocols/main.rs", "examples/embed.rs"] {
            assert!(findings(path, "use barograph::{Database, budget::Work};").is_empty());
            assert_eq!(
                findings(path, "use barograph_engine::model::Labels;"),
                ["barograph_engine does not belong in this crate"]
            );
            assert_eq!(findings(path, "fn f(error: barograph_query::QueryError) {}").len(), 1);
        }
    }

    #[test]
    fn rocksdb_stays_in_the_store() {
        assert_eq!(findings("engine/src/view/mod.rs", "fn f(db: &rocksdb::DB) {}").len(), 1);
        assert!(findings("engine/src/store/mod.rs", "fn f(db: &rocksdb::DB) {}").is_empty());
    }

    #[test]
    fn the_query_crate_knows_the_model_alone() {
        assert_eq!(findings("query/src/exec/mod.rs", "use barograph_engine::Engine;").len(), 1);
        assert!(findings("query/src/exec/mod.rs", "use barograph_engine::model::Labels;").is_empty());
        assert!(findings("query/src/source/engine.rs", "use barograph_engine::Engine;").is_empty());
    }

    #[test]
    fn imports_point_downward() {
        assert!(findings("engine/src/head/mod.rs", "use crate::chunk::Chunk;").is_empty());
        assert_eq!(
            findings("engine/src/chunk/mod.rs", "use crate::{model::{Labels, Sample}, head::Head};"),
            ["chunk (level 2) names head (level 3): only lower levels may be named"]
        );
        assert_eq!(findings("engine/src/chunk/open.rs", "use super::super::wal::Writer;").len(), 1);
        assert!(
            findings("engine/src/chunk/open.rs", "use super::sealed::Chunk; use crate::chunk::Kind;")
                .is_empty()
        );
        assert_eq!(findings("engine/src/novelty.rs", "").len(), 1);
        assert_eq!(
            findings("server/src/state.rs", "use crate::{config::Config, api::call::Call};"),
            ["state (level 5) names api (level 6): only lower levels may be named"]
        );
    }

    #[test]
    fn folders_have_levels_of_their_own() {
        assert_eq!(
            findings("server/src/api/call.rs", "use crate::api::{endpoint::Endpoint, routes::Route};"),
            ["call (level 1) names routes (level 5): only lower levels may be named"]
        );
        assert_eq!(findings("server/src/api/influx/v3.rs", "use super::super::export;").len(), 1);
        assert!(
            findings("server/src/api/influx/v3.rs", "use super::Work; use crate::api::gate::Asked;")
                .is_empty()
        );
        assert!(findings("server/src/api/mod.rs", "use crate::api::routes::Route;").is_empty());
        assert_eq!(findings("server/src/api/novelty.rs", "").len(), 1);
    }

    #[test]
    fn imports_between_rooms_point_downward() {
        assert!(findings("query/src/exec/aggregate/mod.rs", "use crate::exec::window::subquery;").is_empty());
        assert_eq!(
            findings("query/src/exec/window/mod.rs", "use crate::exec::{Evaluator, aggregate};"),
            ["window (level 2) names aggregate (level 3): only lower levels may be named"]
        );
        assert_eq!(findings("query/src/exec/call.rs", "use super::aggregate;").len(), 1);
        assert_eq!(findings("query/src/functions/window/slide.rs", "use super::super::table;").len(), 1);
        assert_eq!(
            findings("engine/src/engine/admit/idle.rs", "use crate::engine::{Engine, write::Writer};"),
            ["admit (level 2) names write (level 3): only lower levels may be named"]
        );
        assert!(findings("query/src/exec/mod.rs", "use finish::range; use self::call;").is_empty());
        assert_eq!(findings("query/src/exec/novelty.rs", "").len(), 1);
    }
}
