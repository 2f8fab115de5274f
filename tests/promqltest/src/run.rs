//! Runs scripts, and evaluates each case in every way that must give the same answer.
//!
//! A range case is evaluated once. An instant case is evaluated
//! 1. as it is written;
//! 2. with every selector pinned to the evaluation time by `@`, at five other times ([`pin`] determines which
//!    queries cannot be pinned);
//! 3. as a range query from a minute before to a minute after, whose middle column must be the instant answer. This is
//!    omitted for `expect ordered`, strings and range vectors, and for queries that read their own bounds or all of
//!    their steps.
//!
//! A case counts once and passes only if all ways pass. A panic fails its case, not the run.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use barograph_engine::Timestamp;
use barograph_query::source::SeriesSource;
use barograph_query::{Limits, QueryError, Request, Response, Times, execute};

use crate::compare::{self, Positions, Verdict};
use crate::expect::ExpectedValue;
use crate::pin;
use crate::report::{CaseReport, FileReport, over_all};
use crate::script::{Case, Command, Script};
use crate::storage::Storage;

/// Maximum number of samples of a query, as the scripts assume.
const SAMPLES_MAX: u64 = 10_000;

/// Milliseconds before and after the evaluation time that the range query covers.
const AROUND: Duration = Duration::from_secs(60);

/// Runs a parsed script over an empty storage.
pub fn run(script: &Script, storage: &mut dyn Storage) -> FileReport {
    let total = script.cases().count();
    let mut report = FileReport { name: "script".to_owned(), cases: Vec::new(), broken: None, total };
    if let Err(error) = commands(script, storage, &mut report.cases) {
        report.broken = Some(error);
    }
    report
}

/// Reads and runs one script file.
pub fn run_file(path: &Path, storage: &mut dyn Storage) -> FileReport {
    let name =
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let broken =
        |total, reason| FileReport { name: name.clone(), cases: Vec::new(), broken: Some(reason), total };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return broken(1, format!("{}: {error}", path.display())),
    };
    match Script::parse(&text) {
        Ok(script) => FileReport { name, ..run(&script, storage) },
        Err(error) => broken(count_evals(&text), error.to_string()),
    }
}

/// Runs all `*.test` files of a directory, in order of their names, each over all storages. A case passes only if it
/// passes over all of them.
///
/// # Errors
/// The directory cannot be listed or contains no script.
pub fn run_dir(dir: &Path, storages: &mut [(&str, &mut dyn Storage)]) -> io::Result<Vec<FileReport>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "test") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no *.test file in the directory"));
    }
    files.sort();
    let mut reports = Vec::with_capacity(files.len());
    for path in &files {
        let mut outcomes = Vec::with_capacity(storages.len());
        for (name, storage) in storages.iter_mut() {
            outcomes.push((*name, run_file(path, &mut **storage)));
        }
        reports.extend(over_all(outcomes));
    }
    Ok(reports)
}

/// The number of cases in a text that could not be read as a script.
fn count_evals(text: &str) -> usize {
    let is_eval = |line: &&str| {
        let line = line.trim_start().to_ascii_lowercase();
        line.starts_with("eval ") || line.starts_with("eval_")
    };
    text.lines().filter(is_eval).count().max(1)
}

fn commands(script: &Script, storage: &mut dyn Storage, cases: &mut Vec<CaseReport>) -> Result<(), String> {
    storage.clear()?;
    for command in &script.commands {
        match command {
            Command::Clear => storage.clear()?,
            Command::Load(series) => {
                for one in series {
                    storage.append(&one.labels, &one.samples)?;
                }
            }
            Command::Delete(matchers, range) => storage.delete(matchers, *range)?,
            Command::Eval(case) => {
                let mut failures = Vec::new();
                storage.with_source(&mut |source| failures = ask(case, source))?;
                cases.push(CaseReport { line: case.line, query: case.query.clone(), failures });
            }
        }
    }
    Ok(())
}

/// Evaluates a case in all its ways. Returns the failures, one text each.
fn ask(case: &Case, source: &dyn SeriesSource) -> Vec<String> {
    let mut failures = Vec::new();
    let mut note = |way: &str, verdict: Verdict| {
        if let Err(reason) = verdict {
            failures.push(format!("{way}: {reason}"));
        }
    };
    match case.times {
        Times::Range { start, step, .. } => {
            let (start_ms, step_ms) = (start.as_millis(), step.as_millis() as i64);
            let answer = query(source, &case.query, case.times);
            let value =
                |response: &Response| compare::range(&case.expect, &response.value, start_ms, step_ms);
            note("range", judge(case, answer, Positions::Compared, value));
        }
        Times::Instant { time } => {
            let time_ms = time.as_millis();
            let value = |response: &Response| compare::instant(&case.expect, &response.value, time_ms);
            let answer = query(source, &case.query, case.times);
            note("instant", judge(case, answer, Positions::Compared, value));
            other_ways(case, source, time_ms, &mut note);
        }
    }
    failures
}

fn other_ways(case: &Case, source: &dyn SeriesSource, time_ms: i64, note: &mut dyn FnMut(&str, Verdict)) {
    let parsed = catch_unwind(|| barograph_query::syntax::parse(&case.query));
    // Queries with a parse error were judged above.
    let Ok(Ok(expr)) = parsed else { return };
    if let Some(text) = pin::pinned(&case.query, &expr, time_ms) {
        for at in evaluation_times(time_ms) {
            let answer = query(source, &text, Times::Instant { time: Timestamp::from_millis(at) });
            let value = |response: &Response| compare::instant(&case.expect, &response.value, at);
            note(&format!("{text} at {at} ms"), judge(case, answer, Positions::Ignored, value));
        }
    }
    let instant_only = case.expect.ordered
        || case.expect.range_vector.is_some()
        || case.expect.fail.is_some()
        || matches!(case.expect.value, ExpectedValue::String(_))
        || pin::asks_query(&expr);
    if !instant_only {
        let time = Timestamp::from_millis(time_ms);
        let times = Times::Range { start: time - AROUND, end: time + AROUND, step: AROUND };
        let verdict = match query(source, &case.query, times) {
            Ok(response) => {
                let column = compare::column(&case.expect, &response.value, time_ms);
                compare::instant(&case.expect, &column, time_ms)
            }
            Err(error) => Err(error.to_string()),
        };
        note("as a range query", verdict);
    }
}

/// The times at which a query pinned to `time_ms` is evaluated.
fn evaluation_times(time_ms: i64) -> Vec<i64> {
    if time_ms == 0 {
        return vec![-1000, 0, 1000];
    }
    vec![-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms]
}

/// Why a query has no answer.
enum NoAnswer {
    Error(QueryError),
    Panic(String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoAnswer::Error(error) => write!(f, "{error}"),
            NoAnswer::Panic(message) => write!(f, "panic: {message}"),
        }
    }
}

fn query(source: &dyn SeriesSource, text: &str, times: Times) -> Result<Response, NoAnswer> {
    let request = Request::new(text, times).with_limits(Limits::default().with_samples_max(SAMPLES_MAX));
    match catch_unwind(AssertUnwindSafe(|| execute(source, &request))) {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(NoAnswer::Error(error)),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Err(NoAnswer::Panic(text.unwrap_or_default()))
        }
    }
}

fn judge(
    case: &Case,
    answer: Result<Response, NoAnswer>,
    positions: Positions,
    value: impl Fn(&Response) -> Verdict,
) -> Verdict {
    match (&case.expect.fail, answer) {
        (None, Ok(response)) => {
            value(&response)?;
            compare::annotations(&case.expect, &response, positions)
        }
        (None, Err(error)) => Err(error.to_string()),
        (Some(_), Ok(response)) => Err(format!("expected to fail, got {:?}", response.value)),
        (Some(demand), Err(NoAnswer::Error(error))) => {
            // The scripts contain no positions, but a parse error is printed with one.
            let bare = match &error {
                QueryError::Parse { message, .. } => message.clone(),
                other => other.to_string(),
            };
            if demand.meets(&bare) || demand.meets(&error.to_string()) {
                Ok(())
            } else {
                Err(format!("expected to fail with {demand:?}, got {error}"))
            }
        }
        (Some(_), Err(panic)) => Err(panic.to_string()),
    }
}
