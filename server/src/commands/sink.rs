//! The destination of an import: a server, or a data directory that no server uses.
//!
//! A server may be restarting or busy, so the same batch is sent again until `--patience` is over. That is safe,
//! because of two samples with the same series and time the later one wins.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::ImportArgs;
use crate::client::{Answer, Client, is_connection_trouble};
use crate::ingest::sections::{LineEnds, Rows, is_data};
use barograph::{Database, LineOptions, Precision};

/// Number of refused lines that a server is asked to list in one answer.
const ERRORS_ASKED: usize = 10_000;
/// The pause before an unresponsive server is called again: the first one and the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The destination of batches.
pub enum Sink {
    /// A server.
    Server(ServerSink),
    /// A data directory.
    Directory(Database, Precision),
}

/// A server, and how long to retry.
pub struct ServerSink {
    client: Client,
    precision: String,
    patience: Duration,
    /// The server has answered before, so a later failure may be temporary.
    was_there: bool,
}

/// A bad line of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The row at which it begins, counted from 1 in the batch.
    pub line: u64,
    /// What is wrong with it.
    pub text: String,
}

/// The result of sending a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Lines that contain data.
    pub lines: u64,
    /// The number of lines that were refused.
    pub bad: u64,
    /// Samples stored, if the server reports them.
    pub samples: Option<u64>,
    /// String fields stored.
    pub events: u64,
    /// Refused lines, at least as many as were asked for.
    pub errors: Vec<BadLine>,
}

impl Sink {
    /// Opens the destination.
    ///
    /// # Errors
    /// The directory cannot be opened, or the URL is invalid.
    pub fn new(args: &ImportArgs, precision: Precision) -> anyhow::Result<Self> {
        Ok(match &args.target.data_dir {
            Some(dir) => Sink::Directory(super::open(dir)?, precision),
            None => Sink::Server(ServerSink {
                client: Client::new(&args.target)?,
                precision: precision.to_string(),
                patience: Duration::from_secs(args.patience),
                was_there: false,
            }),
        })
    }

    /// Stores a batch in the database `db` and reports at least `errors_max` of its bad lines, if it has that many.
    ///
    /// # Errors
    /// The batch cannot be stored.
    pub fn send(&mut self, batch: &[u8], db: Option<&str>, errors_max: usize) -> anyhow::Result<Outcome> {
        match self {
            Sink::Directory(database, precision) => {
                let extra_labels = db.iter().map(|&db| ("db".to_owned(), db.to_owned())).collect();
                let options = LineOptions::default()
                    .with_precision(*precision)
                    .with_extra_labels(extra_labels)
                    .with_errors_max(errors_max);
                let report = database.write_lines(batch, &options)?;
                let errors = report.errors.iter().map(|error| BadLine {
                    line: error.line as u64,
                    text: format!("column {}: {}", error.column, error.reason),
                });
                Ok(Outcome {
                    lines: report.lines_total,
                    bad: report.lines_bad,
                    samples: Some(report.samples),
                    events: report.events,
                    errors: errors.collect(),
                })
            }
            Sink::Server(server) => {
                let mut outcome = server.post(batch, db, errors_max)?;
                server.complete(&mut outcome, batch, db, errors_max)?;
                Ok(outcome)
            }
        }
    }

    /// Closes the directory.
    ///
    /// # Errors
    /// The errors of storage.
    pub fn close(self) -> anyhow::Result<()> {
        match self {
            Sink::Directory(database, _) => Ok(database.close()?),
            Sink::Server(_) => Ok(()),
        }
    }
}

impl ServerSink {
    /// Collects the bad lines that did not fit into an answer by sending the lines after the last reported one again.
    fn complete(
        &mut self,
        outcome: &mut Outcome,
        batch: &[u8],
        db: Option<&str>,
        errors_max: usize,
    ) -> anyhow::Result<()> {
        while (outcome.errors.len() as u64) < outcome.bad && outcome.errors.len() < errors_max {
            let Some(last) = outcome.errors.last().map(|error| error.line) else { break };
            let (before, rest) = batch.split_at(Rows::new(batch).line_with(last).end);
            let more = self.post(rest, db, errors_max - outcome.errors.len())?.errors;
            if more.is_empty() {
                break;
            }
            let rows = memchr::memchr_iter(b'\n', before).count() as u64;
            outcome.errors.extend(more.into_iter().map(|bad| BadLine { line: bad.line + rows, ..bad }));
        }
        Ok(())
    }

    /// Sends a batch, and sends it again while the server is busy or unreachable.
    fn post(&mut self, batch: &[u8], db: Option<&str>, errors_max: usize) -> anyhow::Result<Outcome> {
        let errors = errors_max.min(ERRORS_ASKED).to_string();
        let mut query = vec![("precision", self.precision.as_str()), ("errors", &errors)];
        query.extend(db.map(|db| ("bucket", db)));
        let started = Instant::now();
        let mut pause = PAUSE;
        loop {
            let has_patience = started.elapsed() < self.patience;
            match self.client.post("/api/v2/write", &query, batch) {
                Ok(answer) => {
                    self.was_there = true;
                    match answer.status {
                        204 => return Ok(stored(&answer, batch)),
                        400 => return refused(&answer, batch).with_context(|| answer.error()),
                        429 | 503 | 507 if has_patience => {
                            std::thread::sleep(Duration::from_secs(
                                answer.retry_after.unwrap_or(1).clamp(1, 10),
                            ));
                        }
                        429 | 503 | 507 => {
                            let seconds = self.patience.as_secs();
                            bail!("the server refused for {seconds} s (--patience): {}", answer.error());
                        }
                        _ => bail!("{}", answer.error()),
                    }
                }
                Err(error) if self.was_there && has_patience && is_connection_trouble(&error) => {
                    std::thread::sleep(pause);
                    pause = PAUSE_MAX.min(2 * pause);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn stored(answer: &Answer, batch: &[u8]) -> Outcome {
    let counts = answer.counts;
    Outcome {
        lines: counts.map_or_else(|| lines_of(batch), |counts| counts.lines),
        samples: counts.map(|counts| counts.samples),
        events: counts.map_or(0, |counts| counts.events),
        ..Outcome::default()
    }
}

/// How many lines of a batch contain data, as far as the client can tell.
fn lines_of(batch: &[u8]) -> u64 {
    let mut start = 0;
    let ends = LineEnds::new(batch).chain([batch.len()]);
    ends.filter(|&end| is_data(&batch[std::mem::replace(&mut start, end)..end])).count() as u64
}

/// Parses the bad lines in the answer to a partial write.
fn refused(answer: &Answer, batch: &[u8]) -> anyhow::Result<Outcome> {
    let value: Value = serde_json::from_slice(&answer.body).context("the server's answer is not JSON")?;
    let bad = value["lines_bad"].as_u64().context("the batch was refused as a whole")?;
    let errors = value["errors"].as_array().into_iter().flatten().map(|error| BadLine {
        line: error["line"].as_u64().unwrap_or(0),
        text: format!("column {}: {}", error["column"], error["reason"].as_str().unwrap_or("")),
    });
    Ok(Outcome {
        lines: value["lines_total"].as_u64().unwrap_or_else(|| lines_of(batch)),
        bad,
        samples: value["samples"].as_u64(),
        events: value["events"].as_u64().unwrap_or(0),
        errors: errors.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_hold_data_are_counted() {
        for (batch, lines) in [
            ("", 0),
            ("# c\n\n \n", 0),
            ("m v=1", 1),
            ("m v=\"a\nb\" 1\nm v=1\n# c\nm v=2", 3),
            ("m v=1\n", 1),
        ] {
            assert_eq!(lines_of(batch.as_bytes()), lines, "{batch:?}");
        }
    }
}
