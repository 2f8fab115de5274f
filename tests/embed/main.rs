//! Programs that embed the database, each in a separate process, for what the test harness with its threads and other
//! databases cannot test. `scripts/checks/embed.sh` runs them too.
//!
//! Without a name in the environment, this program runs itself once for each program, in a new directory.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

mod closing;
mod examples;
mod fork;
mod forking;
mod lives;
mod places;
mod process;
mod snapshots;

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use process::Skipped;

type Outcome = Result<(), Box<dyn Error>>;
/// A program; it gets its own directory.
type Program = fn(&Path) -> Outcome;

const PROGRAMS: &[(&str, Program)] = &[
    ("close_lets_everything_go", closing::close_lets_everything_go),
    ("close_inside_a_read", closing::close_inside_a_read),
    ("forked_child_is_refused", forking::forked_child_is_refused),
    ("forked_child_drops_the_last_handle", forking::forked_child_drops_the_last_handle),
    ("child_past_libc_is_refused", forking::child_past_libc_is_refused),
    ("daemon_after_opening", forking::daemon_after_opening),
    ("fork_before_opening", forking::fork_before_opening),
    ("forked_child_keeps_no_lock", places::forked_child_keeps_no_lock),
    ("started_programs_hold_nothing", places::started_programs_hold_nothing),
    ("reopening_beside_starting_programs", places::reopening_beside_starting_programs),
    ("relative_path_and_chdir", places::relative_path_and_chdir),
    ("readers_without_write_permission", places::readers_without_write_permission),
    ("read_only_mount", places::read_only_mount),
    ("directory_deleted_while_open", places::directory_deleted_while_open),
    ("short_lives", lives::short_lives),
    ("many_databases", lives::many_databases),
    ("snapshot_keeps_permissions", snapshots::snapshot_keeps_permissions),
    ("snapshot_is_stopped", snapshots::snapshot_is_stopped),
    ("snapshot_as_an_archive", snapshots::snapshot_as_an_archive),
    ("example_cron", examples::example_cron),
    ("example_daemon", examples::example_daemon),
    ("example_embed", examples::example_embed),
    ("example_many", examples::example_many),
    ("example_service", examples::example_service),
    ("example_subscriber", examples::example_subscriber),
];

/// Programs that run only by name; their output is shown.
const LONG: &[(&str, Program)] = &[("ten_thousand_lives", lives::ten_thousand_lives)];

/// Parts that the programs start as processes.
const PARTS: &[(&str, Program)] = &[
    ("forks_and_is_killed", forking::forks_and_is_killed),
    ("becomes_a_daemon", forking::becomes_a_daemon),
    ("counts_ten", forking::counts_ten),
    ("forks_and_waits", places::forks_and_waits),
    ("reads_twenty", places::reads_twenty),
    ("daemon", examples::daemon),
];

/// Names the program to run.
const PROGRAM: &str = "BAROGRAPH_EMBED_PROGRAM";
/// Names its directory.
const DIRECTORY: &str = "BAROGRAPH_EMBED_DIRECTORY";
/// The exit code of a program that cannot run here.
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os(PROGRAM) {
        return run_one(&name.to_string_lossy());
    }
    // As a test of cargo, it receives a filter and options of the usual harness.
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let is_named = |name: &str| filters.iter().any(|filter| name == filter);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let wanted = PROGRAMS.iter().filter(|(name, _)| is_wanted(name));
    for (name, _) in wanted.chain(LONG.iter().filter(|(name, _)| is_named(name))) {
        match run_apart(name) {
            Ok(None) => {
                passed += 1;
                println!("ok      {name}");
            }
            Ok(Some(why)) => {
                skipped += 1;
                println!("skipped {name}: {why}");
            }
            Err(why) => {
                failed += 1;
                println!("FAILED  {name}\n{why}");
            }
        }
    }
    if skipped > 0 {
        println!("embed: {skipped} skipped");
    }
    println!("embed: {passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a program in its own process and directory. Returns why it was skipped, if it was.
fn run_apart(name: &str) -> Result<Option<String>, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let child = Command::new(std::env::current_exe().map_err(|e| e.to_string())?)
        .env(PROGRAM, name)
        .env(DIRECTORY, dir.path())
        .stdin(Stdio::null())
        .stdout(if LONG.iter().any(|(long, _)| *long == name) { Stdio::inherit() } else { Stdio::piped() })
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&child.stderr).trim_end().to_owned();
    match child.status.code() {
        Some(0) => Ok(None),
        Some(code) if code == i32::from(SKIPPED) => Ok(Some(said)),
        _ => Err(format!("{}\n{said}", child.status)),
    }
}

fn run_one(name: &str) -> ExitCode {
    let dir = std::env::var_os(DIRECTORY).unwrap_or_default();
    let Some((_, program)) = PROGRAMS.iter().chain(LONG).chain(PARTS).find(|(known, _)| *known == name)
    else {
        eprintln!("no program {name}");
        return ExitCode::FAILURE;
    };
    match program(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if error.is::<Skipped>() { ExitCode::from(SKIPPED) } else { ExitCode::FAILURE }
        }
    }
}
