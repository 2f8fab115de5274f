//! Runs every command of the program once, as a separate process. The list is taken from the program: a command without
//! a run here fails the test.
#![cfg(feature = "rocksdb")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use barograph_server::cli::Cli;
use clap::CommandFactory as _;

const LINES: &str = "m,host=a value=1 1000000000\nm,host=b value=2 2000000000\n";

/// A folder that contains a data directory with two samples.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { dir: tempfile::tempdir().expect("a folder") };
        std::fs::write(place.path("lines.lp"), LINES).expect("a file");
        place.ok(&["import", &place.text("lines.lp"), "--data-dir", &place.data()]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn data(&self) -> String {
        self.text("data")
    }

    fn run(&self, words: &[&str]) -> Output {
        program(words).output().expect("the program runs")
    }

    /// The output of a command, which must succeed.
    fn ok(&self, words: &[&str]) -> String {
        let done = self.run(words);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{words:?}: {}\n{said}", done.status);
        String::from_utf8(done.stdout).expect("text")
    }

    fn exported(&self, data: &str) -> String {
        self.ok(&["export", "--match", "m", "--data-dir", data])
    }
}

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barograph"));
    // Settings that the machine has for its own server must not apply here.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BAROGRAPH_")) {
        command.env_remove(name);
    }
    command.args(words).stdin(Stdio::null());
    command
}

type Run = fn(&Place);

/// Each command and its run.
const RUNS: &[(&str, Run)] = &[
    ("serve", serve),
    ("query", |place| {
        let words = ["query", "sum(m)", "--time", "3", "--format", "csv", "--data-dir", &place.data()];
        assert!(place.ok(&words).trim_end().ends_with(",3"), "{}", place.ok(&words));
    }),
    ("functions", |place| {
        assert!(place.ok(&["functions"]).contains("histogram_quantile"));
        assert!(place.ok(&["functions", "rate"]).contains("rate"));
    }),
    ("import", |place| {
        let other = place.text("other");
        place.ok(&["import", &place.text("lines.lp"), "--data-dir", &other]);
        assert_eq!(place.exported(&other), LINES);
    }),
    ("export", |place| {
        let file = place.text("out.lp");
        place.ok(&["export", "--match", "m", "--data-dir", &place.data(), "--output", &file]);
        assert_eq!(std::fs::read_to_string(file).expect("the file"), LINES);
    }),
    ("inspect", |place| assert!(place.ok(&["inspect", "--data-dir", &place.data()]).contains('2'))),
    ("inspect cardinality", |place| {
        assert!(place.ok(&["inspect", "cardinality", &place.data()]).contains("host"));
    }),
    ("snapshot create", snapshot),
    ("snapshot restore", snapshot),
    ("verify", |place| {
        let shown = place.ok(&["verify", "--data-dir", &place.data()]);
        assert!(shown.contains("0 problems"), "{shown}");
    }),
    ("repair", |place| {
        for words in [&["repair", &place.data()][..], &["repair", &place.data(), "--apply"]] {
            assert!(place.ok(words).contains("needs no repair"), "{words:?}");
        }
        assert!(!place.run(&["repair", &place.text("nothing")]).status.success());
    }),
    ("token", |place| assert!(place.ok(&["token"]).len() > 20)),
    ("config", |place| {
        let file = place.path("settings.toml");
        std::fs::write(&file, place.ok(&["config"])).expect("a file");
        let text = std::fs::read_to_string(&file).expect("the file");
        assert!(text.contains("data_dir") && text.contains("max_partitions_per_request"), "{text}");
    }),
];

fn snapshot(place: &Place) {
    let (copy, restored) = (place.text("copy"), place.text("restored"));
    place.ok(&["snapshot", "create", &copy, "--data-dir", &place.data()]);
    place.ok(&["snapshot", "restore", &copy, "--data-dir", &restored]);
    assert_eq!(place.exported(&restored), LINES);
}

/// Starts on a free port, answers, and stops on SIGTERM.
fn serve(place: &Place) {
    let mut server = program(&["serve", "--data-dir", &place.data(), "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut said = BufReader::new(server.stderr.take().expect("a pipe")).lines();
    let url = said.by_ref().find_map(|line| {
        let line = line.expect("text");
        let (_, rest) = line.split_once("listening on ")?;
        Some(rest.split(',').next().unwrap_or(rest).to_owned())
    });
    let url = url.expect("it listens");
    // Until the database is open it answers so; then it answers the query.
    let answer = loop {
        let done = place.run(&["query", "sum(m)", "--time", "3", "--format", "csv", "--url", &url]);
        if done.status.success() {
            break String::from_utf8(done.stdout).expect("text");
        }
        assert!(server.try_wait().expect("a child").is_none(), "it ended");
    };
    assert!(answer.trim_end().ends_with(",3"), "{answer}");
    let killed = Command::new("kill").arg(server.id().to_string()).status();
    assert!(killed.expect("kill runs").success());
    // It continues to log while it stops.
    said.for_each(drop);
    assert!(server.wait().expect("a child").success());
    assert_eq!(place.exported(&place.data()), LINES);
}

/// The commands that can be run, with the words that lead to them.
fn commands(of: &clap::Command, words: &[&str], found: &mut BTreeSet<String>) {
    for command in of.get_subcommands().filter(|command| command.get_name() != "help") {
        let words = [words, &[command.get_name()]].concat();
        if !command.has_subcommands() || !command.is_subcommand_required_set() {
            found.insert(words.join(" "));
        }
        commands(command, &words, found);
    }
}

#[test]
fn every_command_of_the_help_is_run() {
    let mut all = BTreeSet::new();
    commands(&Cli::command(), &[], &mut all);
    let known: BTreeSet<String> = RUNS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(all, known, "each command of the program has a run in this file");
    for (name, run) in RUNS {
        // Shown if the test fails.
        println!("barograph {name}");
        run(&Place::new());
    }
}
