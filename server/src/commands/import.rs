//! `barograph import`: files of line protocol, in batches that end with a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::cli::{ImportArgs, Target};
use crate::client::Client;
use barograph::{Database, LineLimits, LineOptions, Naming, Precision};

/// A batch is sent at this many bytes, however few lines it holds.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes read from a file at once.
const READ_BYTES: usize = 256 << 10;
/// A string field that spans lines may be this long before it counts as never closed.
const STRING_MAX: usize = 64 << 10;
/// Bad lines that are printed.
const SHOWN_MAX: u64 = 20;
/// How long a server may refuse a batch as busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where batches go.
enum Sink {
    Server { client: Client, precision: String, db: Option<String> },
    Directory { database: Database, options: LineOptions },
}

/// One bad line of a batch, counted from the batch's first.
struct BadLine {
    line: u64,
    text: String,
}

/// What became of a batch.
struct Outcome {
    bad: u64,
    samples: Option<u64>,
    shown: Vec<BadLine>,
}

#[derive(Default)]
struct Totals {
    lines: u64,
    bad: u64,
    samples: u64,
    bytes: u64,
    shown: u64,
}

/// Imports all files; false when lines were refused and `--skip-bad` was not given.
///
/// # Errors
/// A file cannot be read, or the database does not take a batch.
pub fn run(args: &ImportArgs) -> anyhow::Result<bool> {
    let precision: Precision = args.precision.parse().context("--precision")?;
    let mut sink = Sink::new(&args.target, args, precision)?;
    let progress = progress(&args.files);
    let started = Instant::now();
    let mut totals = Totals::default();
    for path in &args.files {
        import_file(path, args.batch as usize, &mut sink, &progress, &mut totals)
            .with_context(|| format!("{}: stopped after {} lines", path.display(), totals.lines))?;
    }
    if let Sink::Directory { database, .. } = &sink {
        database.close()?;
    }
    progress.finish_and_clear();
    report(&totals, &sink, started.elapsed());
    Ok(totals.bad == 0 || args.skip_bad)
}

fn report(totals: &Totals, sink: &Sink, took: Duration) {
    let stored = totals.lines - totals.bad;
    let samples = match sink {
        Sink::Directory { .. } => format!(" ({} samples)", totals.samples),
        Sink::Server { .. } => String::new(),
    };
    let rate = stored as f64 / took.as_secs_f64().max(1e-9);
    println!(
        "{stored} lines stored{samples}, {} refused, {:.1} s, {rate:.0} lines/s",
        totals.bad,
        took.as_secs_f64()
    );
}

fn progress(files: &[std::path::PathBuf]) -> ProgressBar {
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

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn import_file(
    path: &Path,
    batch_lines: usize,
    sink: &mut Sink,
    progress: &ProgressBar,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    let raw: Box<dyn Read> = match is_stdin(path) {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path)?),
    };
    let mut counted = BufReader::with_capacity(READ_BYTES, progress.wrap_read(raw));
    let is_gzip = counted.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn Read> = match is_gzip {
        true => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
        false => Box::new(counted),
    };
    let mut pending = Vec::with_capacity(2 * READ_BYTES);
    let mut line = 0;
    loop {
        let start = pending.len();
        pending.resize(start + READ_BYTES, 0);
        let count = reader.read(&mut pending[start..])?;
        pending.truncate(start + count);
        let ended = count == 0;
        while let Some(cut) = next_batch(&pending, batch_lines, ended) {
            let rest = pending.split_off(cut);
            let batch = std::mem::replace(&mut pending, rest);
            line += store(sink, path, line, &batch, progress, totals)?;
        }
        if ended {
            return Ok(());
        }
    }
}

/// Stores one batch, reports its bad lines, and gives the number of line ends in it.
fn store(
    sink: &mut Sink,
    path: &Path,
    first_line: u64,
    batch: &[u8],
    progress: &ProgressBar,
    totals: &mut Totals,
) -> anyhow::Result<u64> {
    let outcome = sink.send(batch)?;
    let lines = memchr::memchr_iter(b'\n', batch).count() as u64 + u64::from(!batch.ends_with(b"\n"));
    for bad in outcome.shown {
        totals.shown += 1;
        if totals.shown <= SHOWN_MAX {
            let line = first_line + bad.line;
            progress.suspend(|| eprintln!("{}:{line}: {}", path.display(), bad.text));
        }
    }
    totals.lines += lines;
    totals.bad += outcome.bad;
    totals.samples += outcome.samples.unwrap_or(0);
    totals.bytes += batch.len() as u64;
    progress.set_message(format!("{} lines", totals.lines));
    Ok(lines)
}

/// Where the next batch ends, if there is a whole one (or anything, when `ended`).
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
        // One line without end is sent too: the database says what is wrong with it.
        (false, length) if length >= 2 * BATCH_BYTES => Some(last.unwrap_or(length)),
        (false, _) => None,
    }
}

/// Ends of lines: line feeds that are not inside a string field. A string opens at `="`;
/// one that is not closed within [`STRING_MAX`] bytes is taken for an ordinary quote.
struct LineEnds<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> LineEnds<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        LineEnds { bytes, at: 0 }
    }

    /// One past the closing quote of the string that opens before `start`; `None` when
    /// the bytes end first.
    fn close(&self, start: usize) -> Option<usize> {
        let limit = self.bytes.len().min(start + STRING_MAX);
        let mut at = start;
        while let Some(found) = memchr::memchr2(b'"', b'\\', self.bytes.get(at..limit)?) {
            at += found + 1;
            if self.bytes[at - 1] == b'"' {
                return Some(at);
            }
            at += 1;
        }
        (limit < self.bytes.len()).then_some(start)
    }
}

impl Iterator for LineEnds<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let found = self.at + memchr::memchr2(b'\n', b'"', self.bytes.get(self.at..)?)?;
            self.at = found + 1;
            if self.bytes[found] == b'\n' {
                return Some(self.at);
            }
            if found > 0 && self.bytes[found - 1] == b'=' {
                self.at = self.close(self.at)?;
            }
        }
    }
}

impl Sink {
    fn new(target: &Target, args: &ImportArgs, precision: Precision) -> anyhow::Result<Self> {
        let Some(dir) = &target.data_dir else {
            let client = Client::new(target)?;
            return Ok(Sink::Server { client, precision: precision.to_string(), db: args.db.clone() });
        };
        let extra_labels = args.db.iter().map(|db| ("db".to_owned(), db.clone())).collect();
        let options = LineOptions {
            precision,
            default_timestamp: None,
            extra_labels,
            naming: Naming::default(),
            limits: LineLimits::default(),
        };
        Ok(Sink::Directory { database: super::open(dir)?, options })
    }

    fn send(&mut self, batch: &[u8]) -> anyhow::Result<Outcome> {
        match self {
            Sink::Directory { database, options } => {
                let report = database.write_lines(batch, options)?;
                let shown = report
                    .errors
                    .iter()
                    .map(|e| BadLine {
                        line: e.line as u64,
                        text: format!("column {}: {}", e.column, e.reason),
                    })
                    .collect();
                Ok(Outcome { bad: report.lines_bad, samples: Some(report.samples), shown })
            }
            Sink::Server { client, precision, db } => {
                let mut query = vec![("precision", precision.as_str())];
                query.extend(db.as_deref().map(|db| ("bucket", db)));
                post(client, &query, batch)
            }
        }
    }
}

/// Sends a batch, again while the server is busy.
fn post(client: &Client, query: &[(&str, &str)], batch: &[u8]) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    loop {
        let answer = client.post("/api/v2/write", query, batch)?;
        match answer.status {
            204 => return Ok(Outcome { bad: 0, samples: None, shown: Vec::new() }),
            400 => return refused(&answer.body).with_context(|| answer.error()),
            429 | 503 | 507 if started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_secs(answer.retry_after.unwrap_or(1).clamp(1, 10)));
            }
            _ => bail!("{}", answer.error()),
        }
    }
}

/// What a partial write says about its bad lines.
fn refused(body: &[u8]) -> anyhow::Result<Outcome> {
    let value: Value = serde_json::from_slice(body).context("the server's answer is not JSON")?;
    let bad = value["lines_bad"].as_u64().context("the batch was refused as a whole")?;
    let shown = value["errors"].as_array().into_iter().flatten().map(|error| BadLine {
        line: error["line"].as_u64().unwrap_or(0),
        text: format!("column {}: {}", error["column"], error["reason"].as_str().unwrap_or("")),
    });
    Ok(Outcome { bad, samples: None, shown: shown.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Vec<usize> {
        LineEnds::new(text.as_bytes()).collect()
    }

    #[test]
    fn line_feeds_inside_strings_end_nothing() {
        assert_eq!(ends("a v=1\nb v=2\n"), [6, 12]);
        assert_eq!(ends("a v=\"x\ny\" 1\nb v=2\n"), [12, 18]);
        assert_eq!(ends("a v=\"x\\\"\n\" 1\nb"), [13]);
        assert_eq!(ends("a,t=5\" v=1\nb"), [11], "a quote in a tag opens nothing");
        assert_eq!(ends("a v=\"never closed\nb v=1\n"), Vec::<usize>::new());
        let lost = format!("a v=\"\n{}", "b v=1\n".repeat(STRING_MAX));
        assert_eq!(ends(&lost)[0], 6, "a lost quote does not swallow the file");
    }

    #[test]
    fn batches_end_with_lines() {
        let text = b"a v=1\nb v=2\nc v=3";
        assert_eq!(next_batch(text, 2, false), Some(12));
        assert_eq!(next_batch(text, 3, false), None);
        assert_eq!(next_batch(text, 3, true), Some(text.len()));
        assert_eq!(next_batch(b"", 3, true), None);
    }
}
