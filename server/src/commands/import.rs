//! `barograph import`: imports files of line protocol in batches that end with a line.
//!
//! All files are checked before the first is stored. The lines of an export of InfluxDB 1 go into the databases that it
//! names ([`sections`]).
//!
//! Next: `commands/sink.rs`, which stores a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::ImportArgs;
use crate::commands::rejects::Rejects;
use crate::commands::sink::{BadLine, Sink};
use crate::ingest::sections::{self, LineEnds, Rows, Section};
use barograph::Precision;

/// Size at which a batch is sent, bytes, no matter how few lines it has.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;
/// Maximum number of bad lines that are printed.
const SHOWN_MAX: u64 = 20;

/// The result of an import.
#[derive(Debug, Default)]
pub struct Summary {
    /// Lines that contain data, neither blank nor a comment. A line with a string that contains line breaks counts
    /// once.
    pub lines: u64,
    /// The number of lines that were refused.
    pub bad: u64,
    /// Samples stored; `None` if the server does not report them.
    pub samples: Option<u64>,
    /// String fields stored as events.
    pub events: u64,
    /// Refused lines that were printed.
    pub shown: u64,
    /// Further remarks for the user.
    pub notes: Vec<String>,
}

/// Imports all files. Returns false if lines were refused and `--skip-bad` was not given.
///
/// # Errors
/// A file cannot be read, or the database refuses a batch.
pub fn run(args: &ImportArgs) -> anyhow::Result<bool> {
    let started = Instant::now();
    let summary = import(args)?;
    report(&summary, args.rejects.as_deref(), started.elapsed());
    Ok(summary.bad == 0 || args.skip_bad)
}

fn report(summary: &Summary, rejects: Option<&Path>, took: Duration) {
    let stored = summary.lines - summary.bad;
    let samples = match summary.samples {
        Some(samples) => format!("{samples} samples, {} events", summary.events),
        None => "the server does not count samples".to_owned(),
    };
    let seconds = took.as_secs_f64();
    let rate = stored as f64 / seconds.max(1e-9);
    println!("{stored} lines stored ({samples}), {} refused, {seconds:.1} s, {rate:.0} lines/s", summary.bad);
    for note in &summary.notes {
        eprintln!("note: {note}");
    }
    let hidden = summary.bad - summary.shown.min(summary.bad);
    match rejects {
        Some(path) if summary.bad > 0 => eprintln!("the refused lines are in {}", path.display()),
        None if hidden > 0 => {
            eprintln!(
                "{hidden} more refused lines are not shown; --rejects FILE writes all of them to a file"
            );
        }
        _ => {}
    }
}

/// Imports all files.
///
/// # Errors
/// Same as [`run`].
pub fn import(args: &ImportArgs) -> anyhow::Result<Summary> {
    let precision: Precision = args.precision.parse().context("--precision")?;
    check(&args.files)?;
    let sink = Sink::new(args, precision)?;
    let rejects = args.rejects.as_deref().map(Rejects::create).transpose()?;
    let progress = progress(&args.files);
    let summary = Summary { samples: Some(0), ..Summary::default() };
    let mut import = Import { args, sink, rejects, progress, summary, named: BTreeMap::new() };
    for path in &args.files {
        import.file(path)?;
    }
    let Import { sink, rejects, progress, mut summary, named, .. } = import;
    sink.close()?;
    progress.finish_and_clear();
    rejects.map(Rejects::finish).transpose()?;
    for (database, policies) in named.iter().filter(|(_, policies)| policies.len() > 1) {
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        summary.notes.push(format!(
            "database {database:?} has the retention policies {}; they were merged, and of two points with the same \
             series and time the later one was kept",
            policies.join(", ")
        ));
    }
    Ok(summary)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Checks all files, so that a missing one is reported before any other is stored.
fn check(files: &[PathBuf]) -> anyhow::Result<()> {
    if files.iter().filter(|path| is_stdin(path)).count() > 1 {
        bail!("- (standard input) is given twice");
    }
    for path in files.iter().filter(|path| !is_stdin(path)) {
        let place = || format!("{}: nothing was imported", path.display());
        let kind = path.metadata().with_context(place)?;
        if kind.is_dir() {
            bail!("{}: a directory; name the files in it; nothing was imported", path.display());
        }
        // A file that is not a regular file, such as a pipe, can be read only once.
        if kind.is_file() {
            let mut first = [0; 2];
            let mut reader = lines_of(Box::new(File::open(path).with_context(place)?)).with_context(place)?;
            let length = reader.read(&mut first).with_context(place)?;
            if matches!(first[..length], [0xff, 0xfe] | [0xfe, 0xff]) {
                bail!(
                    "{}: UTF-16; convert it, for example with iconv -f UTF-16 -t UTF-8; nothing was imported",
                    path.display()
                );
            }
        }
    }
    Ok(())
}

/// The lines of a file, decompressed if it begins like gzip.
fn lines_of(raw: Box<dyn Read>) -> std::io::Result<Box<dyn Read>> {
    let mut reader = BufReader::with_capacity(READ_BYTES, raw);
    Ok(match reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        true => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        false => Box::new(reader),
    })
}

fn progress(files: &[PathBuf]) -> ProgressBar {
    let sizes: Option<Vec<u64>> = files.iter().map(|path| path.metadata().ok().map(|m| m.len())).collect();
    let bar = match sizes {
        Some(sizes) if !files.iter().any(|path| is_stdin(path)) => ProgressBar::new(sizes.iter().sum()),
        _ => ProgressBar::no_length(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// An import in progress.
struct Import<'a> {
    args: &'a ImportArgs,
    sink: Sink,
    rejects: Option<Rejects>,
    progress: ProgressBar,
    summary: Summary,
    /// The databases that exports named, and the retention policies of each.
    named: BTreeMap<String, BTreeSet<String>>,
}

impl Import<'_> {
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let place = || path.display().to_string();
        let raw: Box<dyn Read> = match is_stdin(path) {
            true => Box::new(std::io::stdin()),
            false => Box::new(File::open(path).with_context(place)?),
        };
        let mut reader = lines_of(Box::new(self.progress.wrap_read(raw))).with_context(place)?;
        let mut context = sections::Context::default();
        let mut pending = Vec::with_capacity(2 * READ_BYTES);
        let mut line = 0;
        loop {
            let start = pending.len();
            pending.resize(start + READ_BYTES, 0);
            let stopped = |line: u64| {
                let place = path.display();
                format!(
                    "{place}: stopped after line {line}; everything before it is stored, and may be imported again"
                )
            };
            let count = reader.read(&mut pending[start..]).with_context(|| stopped(line))?;
            pending.truncate(start + count);
            let ended = count == 0;
            while let Some(cut) = next_batch(&pending, self.args.batch as usize, ended) {
                let rest = pending.split_off(cut);
                let batch = std::mem::replace(&mut pending, rest);
                for section in context.split(&batch) {
                    self.store(path, line, &section).with_context(|| stopped(line + section.line))?;
                }
                let partial = u64::from(!batch.ends_with(b"\n"));
                line += memchr::memchr_iter(b'\n', &batch).count() as u64 + partial;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Stores one section of a batch that begins after line `line` of the file, and reports its bad lines.
    fn store(&mut self, path: &Path, line: u64, section: &Section<'_>) -> anyhow::Result<()> {
        self.note_database(section)?;
        let db = self.args.db.as_deref().or(section.database.as_deref());
        let errors_max = if self.rejects.is_some() { usize::MAX } else { SHOWN_MAX as usize };
        let outcome = self.sink.send(section.bytes, db, errors_max)?;
        let rows = self.rejects.as_ref().filter(|_| outcome.bad > 0).map(|_| Rows::new(section.bytes));
        for BadLine { line: number, text } in &outcome.errors {
            let place = format!("{}:{}", path.display(), line + section.line + number);
            if self.summary.shown < SHOWN_MAX {
                self.summary.shown += 1;
                self.progress.suspend(|| eprintln!("{place}: {text}"));
            }
            if let (Some(rejects), Some(rows)) = (&mut self.rejects, &rows) {
                let row = &section.bytes[rows.line_with(*number)];
                rejects.write(section.database.as_deref(), &format!("{place}: {text}"), row)?;
            }
        }
        let summary = &mut self.summary;
        summary.lines += outcome.lines;
        summary.bad += outcome.bad;
        summary.events += outcome.events;
        summary.samples = summary.samples.zip(outcome.samples).map(|(all, more)| all + more);
        self.progress.set_message(format!("{} lines", summary.lines));
        Ok(())
    }

    /// Records the database that an export names, and refuses to merge two databases into one.
    fn note_database(&mut self, section: &Section<'_>) -> anyhow::Result<()> {
        let Some(database) = &section.database else { return Ok(()) };
        let policies = self.named.entry(database.clone()).or_default();
        policies.extend(section.policy.clone());
        if let (Some(db), true) = (&self.args.db, self.named.len() > 1) {
            let names: Vec<String> = self.named.keys().map(|name| format!("{name:?}")).collect();
            bail!(
                "the files hold the databases {}, which --db {db} would merge; leave --db out, and each line goes into its \
                 own database",
                names.join(" and ")
            );
        }
        Ok(())
    }
}

/// Where the next batch ends, if there is a complete one; with `ended`, the rest is a batch too.
fn next_batch(pending: &[u8], batch_lines: usize, ended: bool) -> Option<usize> {
    let mut lines = 0;
    let mut last = None;
    for end in LineEnds::new(pending) {
        lines += 1;
        last = Some(end);
        if lines == batch_lines || end >= BATCH_BYTES {
            return last;
        }
    }
    match (ended, pending.len()) {
        (true, 0) => None,
        (true, length) => Some(length),
        // A line without an end is sent too; the database reports what is wrong with it.
        (false, length) if length >= 2 * BATCH_BYTES => Some(last.unwrap_or(length)),
        (false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_end_with_lines() {
        let text = b"a v=1\nb v=2\nc v=3";
        assert_eq!(next_batch(text, 2, false), Some(12));
        assert_eq!(next_batch(text, 3, false), None);
        assert_eq!(next_batch(text, 3, true), Some(text.len()));
        assert_eq!(next_batch(b"", 3, true), None);
    }
}
