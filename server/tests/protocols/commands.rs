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
fn bad_lines_fail_the_import_unless_an_option_allows_them() {
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

fn summary(server: &Server, words: &[&str]) -> anyhow::Result<commands::import::Summary> {
    match command(server, &[&["import"], words].concat()) {
        Command::Import(args) => commands::import::import(&args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_import_counts_what_holds_data() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let text = b"# head\n\nm a=1,b=2i 1\nm text=\"one\ntwo\" 2\nbad\n\n# tail\nm a=3 3";
    let path = file(&dir, "counted.lp", text);
    let found = summary(&server, &[path.to_str().unwrap()]).unwrap();
    assert_eq!((found.lines, found.bad, found.samples, found.events, found.shown), (4, 1, Some(3), 1, 1));
    if cfg!(feature = "rocksdb") {
        let data = dir.path().join("data");
        let words = ["barograph", "import", path.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let Command::Import(args) = Cli::try_parse_from(words).unwrap().command else { panic!("import") };
        let found = commands::import::import(&args).unwrap();
        assert_eq!((found.lines, found.bad, found.samples, found.events), (4, 1, Some(3), 1));
    }
}

#[test]
fn refused_lines_go_into_a_file_that_can_be_put_right() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::from("# CONTEXT-DATABASE:a\n");
    for i in 0..211 {
        text.push_str(&format!("m value={i} {i}\nr{i} value=wrong {i}\n"));
    }
    text.push_str("# CONTEXT-DATABASE:b\nlong text=\"one\ntwo\",value=wrong 1\n");
    let path = file(&dir, "mixed.lp", text.as_bytes());
    let rejects = dir.path().join("rejects.lp");
    let words = [path.to_str().unwrap(), "--rejects", rejects.to_str().unwrap(), "--batch", "100"];
    let found = summary(&server, &words).unwrap();
    assert_eq!((found.lines, found.bad, found.shown, found.samples), (423, 212, 20, Some(211)));
    let shown = std::fs::read_to_string(&rejects).unwrap();
    let lines: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!((lines.len(), lines[0], lines[210]), (213, "r0 value=wrong 0", "r210 value=wrong 210"));
    assert!(
        shown.starts_with("# CONTEXT-DATABASE:a\n# ") && shown.contains("mixed.lp:3: column 10: "),
        "{shown}"
    );
    assert!(shown.ends_with("long text=\"one\ntwo\",value=wrong 1\n"), "{shown}");
    assert!(summary(&server, &words).is_err(), "a file that is there is not overwritten");
    std::fs::write(&rejects, shown.replace("wrong", "1")).unwrap();
    let found = summary(&server, &[rejects.to_str().unwrap()]).unwrap();
    assert_eq!((found.lines, found.bad), (212, 0));
    assert_eq!(server.export("r7"), "r7,db=a value=1 7\n");
    assert_eq!(server.export("long"), "long,db=b value=1 1\n");
    let none = dir.path().join("none.lp");
    summary(&server, &[rejects.to_str().unwrap(), "--rejects", none.to_str().unwrap()]).unwrap();
    assert!(!none.exists(), "a file without lines does not stay");
}

#[test]
fn lines_without_room_in_an_answer_are_requested_again() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..10_050).map(|i| format!("m value={i} 1\nbad{i} text=\"a\nb\",v=x 1\n")).collect();
    let path = file(&dir, "many.lp", text.as_bytes());
    let rejects = dir.path().join("rejects.lp");
    let words = [path.to_str().unwrap(), "--rejects", rejects.to_str().unwrap(), "--batch", "1000000"];
    let found = summary(&server, &words).unwrap();
    assert_eq!((found.lines, found.bad), (20_100, 10_050));
    let shown = std::fs::read_to_string(&rejects).unwrap();
    for i in [0, 9_999, 10_000, 10_049] {
        assert_eq!(shown.matches(&format!("bad{i} text=\"a\nb\",v=x 1\n")).count(), 1, "{i}");
    }
    assert_eq!(shown.lines().filter(|line| line.starts_with("bad")).count(), 10_050);
}

#[test]
fn all_files_are_looked_at_before_the_first_is_stored() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let good = file(&dir, "good.lp", b"m value=1 1\n");
    let wide: Vec<u8> = "\u{feff}m value=1 1\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let wide_packed = file(&dir, "wide.gz", &gzip(&wide));
    let wide = file(&dir, "wide.lp", &wide);
    let missing = dir.path().join("missing.lp");
    for (path, words) in [
        (missing.as_path(), "No such file"),
        (dir.path(), "a directory"),
        (&wide, "UTF-16"),
        (&wide_packed, "UTF-16"),
    ] {
        let error = summary(&server, &[good.to_str().unwrap(), path.to_str().unwrap()]).unwrap_err();
        let shown = format!("{error:#}");
        assert!(shown.contains(words) && shown.contains("nothing was imported"), "{shown}");
        assert!(server.series("m").is_empty());
    }
    assert!(summary(&server, &["-", "-"]).unwrap_err().to_string().contains("twice"));
}

#[test]
fn exports_of_influxdb_keep_their_databases() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let export = |databases: &[&str]| {
        let mut text = String::from("# INFLUXDB EXPORT: 1677 - 2262\n# DDL\n");
        databases.iter().for_each(|db| text.push_str(&format!("CREATE DATABASE {db} WITH NAME autogen\n")));
        text.push_str("# DML\n");
        for db in databases {
            text.push_str(&format!("# CONTEXT-DATABASE:{db}\n# CONTEXT-RETENTION-POLICY:autogen\n"));
            text.push_str("# writing tsm data\ncpu value=1 1\ncpu value=2 2\n");
        }
        text
    };
    let two = file(&dir, "two.lp.gz", &gzip(format!("\u{feff}{}", export(&["a", "b"])).as_bytes()));
    let two = two.to_str().unwrap();
    for batch in ["1", "2", "3", "10000"] {
        let found = summary(&server, &[two, "--batch", batch]).unwrap();
        assert_eq!((found.lines, found.bad, found.samples), (4, 0, Some(4)), "batches of {batch}");
    }
    let mut series: Vec<String> =
        server.series("cpu").iter().map(|s| s["db"].as_str().unwrap().to_owned()).collect();
    series.sort();
    assert_eq!(series, ["a", "b"]);
    let error = format!("{:#}", summary(&server, &[two, "--db", "c"]).unwrap_err());
    assert!(error.contains("\"a\" and \"b\"") && error.contains("leave --db out"), "{error}");
    let one =
        file(&dir, "one.lp", export(&["a"]).replace("autogen\n# writing", "year\n# writing").as_bytes());
    summary(&server, &[one.to_str().unwrap(), "--db", "renamed"]).unwrap();
    assert_eq!(server.export("cpu{db=\"renamed\"}").lines().count(), 2);
    let policies = format!("{}# CONTEXT-RETENTION-POLICY:year\ncpu value=3 3\n", export(&["p"]));
    let policies = file(&dir, "policies.lp", policies.as_bytes());
    let found = summary(&server, &[policies.to_str().unwrap()]).unwrap();
    assert!(found.notes[0].contains("\"p\" has the retention policies autogen, year"), "{:?}", found.notes);
}

/// A server that gives each connection its answer: bytes, or an empty one, which is a close without an answer.
fn answering(
    listener: std::net::TcpListener,
    answers: &'static [&'static str],
) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut lines = 0;
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            std::io::Read::read_exact(&mut stream, &mut body).unwrap();
            if answer.is_empty() {
                continue;
            }
            lines += body.iter().filter(|&&byte| byte == b'\n').count();
            std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        }
        lines
    })
}

#[test]
fn an_import_outlives_a_restart_of_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "lines.lp", b"m value=1 1\nm value=2 2\nm value=3 3\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}");
    let words =
        ["barograph", "import", path.to_str().unwrap(), "--batch", "1", "--patience", "3600", "--url", &url];
    let Command::Import(args) = Cli::try_parse_from(words).unwrap().command else { panic!("import") };
    const STORED: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\nx-barograph-lines: 1\r\n\
                          x-barograph-samples: 1\r\n\r\n";
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
                        content-length: 0\r\n\r\n";
    let first = answering(listener, &[STORED, ""]);
    let rest = std::thread::spawn(move || {
        first.join().unwrap();
        // Nothing listens until here.
        let again = std::net::TcpListener::bind(address).unwrap();
        answering(again, &[BUSY, STORED, STORED]).join().unwrap()
    });
    let found = commands::import::import(&args).unwrap();
    assert_eq!((found.lines, found.samples), (3, Some(3)));
    assert_eq!(rest.join().unwrap(), 3, "the busy answer's line came again");
    let error =
        commands::import::import(&args).expect_err("a server that was never there ends the import at once");
    assert!(format!("{error:#}").contains("stopped after line 0"), "{error:#}");
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
    commands::inspect::cardinality(&args, &mut None).unwrap()
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
fn the_message_of_the_system_is_shown_once() {
    use barograph_server::config::Sources;
    use barograph_server::http::auth::Tokens;
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let below_a_file = file(&dir, "plain", b"").join("below");
    let sources = Sources { file: Some(missing.clone()), ..Sources::default() };
    let mut shown = vec![
        (anyhow::Error::from(sources.build().unwrap_err()), "No such file"),
        (anyhow::Error::from(Tokens::load(&missing, "db").err().unwrap()), "No such file"),
        (
            anyhow::Error::from(barograph::StorageError::io(
                "create",
                &missing,
                std::io::ErrorKind::NotFound.into(),
            )),
            "not found",
        ),
    ];
    if cfg!(feature = "rocksdb") {
        let opened =
            barograph_server::commands::directory::open(&below_a_file, barograph::Options::default());
        shown.push((opened.err().unwrap(), "Not a directory"));
    }
    for (error, words) in shown {
        let printed = barograph_server::commands::error_text(&error.context("cannot open"));
        assert!(printed.starts_with("cannot open: "), "{printed}");
        assert_eq!(printed.matches(words).count(), 1, "{printed}");
    }
}
