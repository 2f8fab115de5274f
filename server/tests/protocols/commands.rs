//! The commands of the program, run against a real server.

use std::path::PathBuf;

use barograph_server::cli::{Cli, Command, InspectCommand};
use barograph_server::commands;
use clap::Parser;
use serde_json::json;

use crate::harness::{Server, gzip, server};

fn command(server: &Server, words: &[&str]) -> Command {
    let url = format!("http://{}", server.address);
    let all = ["barograph"].iter().chain(words).copied().chain(["--url", &url]);
    Cli::try_parse_from(all).unwrap().command
}

fn import(server: &Server, words: &[&str]) -> anyhow::Result<bool> {
    match command(server, &[&["import"], words].concat()) {
        Command::Import(args) => commands::import::run(&args),
        other => panic!("{other:?}"),
    }
}

fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn files_are_imported_in_batches() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..2_500).map(|i| format!("m value={i} {i}\n")).collect();
    let plain = file(&dir, "plain.lp", lines.as_bytes());
    let packed = file(&dir, "packed", &gzip(b"p value=1 1\np text=\"two\nlines\" 2\np value=3 3"));
    let files = [plain.to_str().unwrap(), packed.to_str().unwrap()];
    assert!(
        import(&server, &[files[0], files[1], "--batch", "100", "--precision", "s", "--db", "old"]).unwrap()
    );
    assert_eq!(server.export("m").lines().count(), 2_500);
    assert!(server.export("m").ends_with("m,db=old value=2499 2499000000000\n"));
    assert_eq!(server.export("p"), "p,db=old value=1 1000000000\np,db=old value=3 3000000000\n");
    assert_eq!(server.export("p_text"), "p_text,db=old value=\"two\nlines\" 2000000000\n");
}

#[test]
fn bad_lines_fail_the_import_unless_told_otherwise() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "mixed.lp", b"m value=1 1\nnonsense\nm value=2 2\n");
    let path = path.to_str().unwrap();
    assert!(!import(&server, &[path]).unwrap());
    assert!(import(&server, &[path, "--skip-bad"]).unwrap());
    assert_eq!(server.export("m").lines().count(), 2);
    let broken = file(&dir, "broken.gz", &gzip(b"m value=1 1\n")[..15]);
    assert!(import(&server, &[broken.to_str().unwrap()]).is_err());
    assert!(import(&server, &["/nowhere/at/all.lp"]).is_err());
}

#[test]
fn an_export_is_a_file_that_imports() {
    let source = server(&[]);
    source.write("a,t=x value=1.5 1\na,t=y value=-0 2\nb note=\"n\" 3\n");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.lp");
    let words = ["export", "--match", "a", "--match", "b_note", "--output", path.to_str().unwrap()];
    let Command::Export(args) = command(&source, &words) else { panic!("export") };
    commands::export::run(&args).unwrap();
    let copy = server(&[]);
    assert!(import(&copy, &[path.to_str().unwrap()]).unwrap());
    for selector in ["a", "b_note"] {
        assert_eq!(copy.export(selector), source.export(selector));
    }
    assert!(commands::export::run(&args).is_err(), "an existing file is not overwritten");
}

#[test]
fn questions_and_inspections_are_answered() {
    let server = server(&[]);
    server.write("up,job=a value=1 1000000000\n");
    for words in [
        &["query", "up", "--time", "1"][..],
        &["query", "up", "--start", "0", "--end", "5", "--step", "1s", "--format", "csv"],
        &["query", "1+1", "--format", "json"],
        &["query", "sum(rate(up[5m]))", "--time", "1", "--explain"],
    ] {
        let Command::Query(args) = command(&server, words) else { panic!("query") };
        commands::query::run(&args).unwrap();
    }
    let Command::Query(args) = command(&server, &["query", "sum("]) else { panic!("query") };
    assert!(commands::query::run(&args).unwrap_err().to_string().contains("parse error"));
    for words in [&["inspect"][..], &["inspect", "cardinality", "--start", "-1h", "--top", "3"]] {
        let Command::Inspect(args) = command(&server, words) else { panic!("inspect") };
        commands::inspect::run(&args).unwrap();
    }
}

fn cardinality(words: &[&str]) -> serde_json::Value {
    let words = [&["barograph", "inspect", "cardinality"], words].concat();
    let Command::Inspect(args) = Cli::try_parse_from(words).unwrap().command else { panic!("inspect") };
    let Some(InspectCommand::Cardinality(args)) = args.report else { panic!("cardinality") };
    commands::inspect::cardinality(&args).unwrap()
}

#[test]
fn the_cardinality_of_a_folder_is_counted_over_all_its_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let day = 86_400_000_000_000_i64;
    // Each day another start gives the same series other ids.
    for n in 0..3 {
        let database = barograph::Database::open(dir.path()).unwrap();
        let at = n * day;
        let lines = format!("up,job=a value=1 {at}\nup,job=b{n} value=1 {at}\ndown,job=a value=1 {at}\n");
        database.write_lines(lines.as_bytes(), &barograph::LineOptions::default()).unwrap();
        database.close().unwrap();
    }
    let path = dir.path().to_str().unwrap();
    let all = cardinality(&[path]);
    assert_eq!((&all["headStats"]["numSeries"], &all["headStats"]["numLabelPairs"]), (&json!(5), &json!(6)));
    assert_eq!(
        all["seriesCountByMetricName"],
        json!([{"name": "up", "value": 4}, {"name": "down", "value": 1}])
    );
    assert_eq!(all["labelValueCountByLabelName"][0], json!({"name": "job", "value": 4}));
    assert_eq!(all["memoryInBytesByLabelName"][0], json!({"name": "__name__", "value": 12}));
    let second = cardinality(&["--data-dir", path, "--start", "86400", "--end", "90000", "--top", "1"]);
    assert_eq!(second["headStats"]["numSeries"], 3);
    assert_eq!(second["seriesCountByLabelValuePair"], json!([{"name": "__name__=up", "value": 2}]));
}

/// What the program prints of an error has each cause once.
#[test]
fn the_words_of_the_system_are_told_once() {
    use barograph_server::api::auth::Tokens;
    use barograph_server::config::Sources;
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let below_a_file = file(&dir, "plain", b"").join("below");
    let sources = Sources { file: Some(missing.clone()), ..Sources::default() };
    let mut told = vec![
        (anyhow::Error::from(sources.build().unwrap_err()), "No such file"),
        (anyhow::Error::from(Tokens::load(&missing).err().unwrap()), "No such file"),
        (
            anyhow::Error::from(barograph::Error::io(
                "create",
                &missing,
                std::io::ErrorKind::NotFound.into(),
            )),
            "not found",
        ),
    ];
    if cfg!(feature = "rocksdb") {
        let opened = barograph_server::storage::open(&below_a_file, barograph::Options::default());
        told.push((opened.err().unwrap(), "Not a directory"));
    }
    for (error, words) in told {
        let printed = format!("{:#}", error.context("cannot open"));
        assert_eq!(printed.matches(words).count(), 1, "{printed}");
    }
}
