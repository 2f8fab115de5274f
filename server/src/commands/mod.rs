//! The commands. A command uses a server through [`crate::client`], or opens a data directory itself; both print the
//! same.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands answer on the terminal")]

pub mod directory;
pub mod explain;
pub mod export;
pub mod functions;
pub mod import;
pub mod inspect;
pub mod query;
pub mod reader;
mod rejects;
pub mod repair;
pub mod serve;
mod sink;
pub mod snapshot;
pub mod table;

use std::path::Path;

use anyhow::Context;

use barograph::{Database, Options};

/// Opens a data directory for writing. The rules and types of its stored ladders count, and nothing is dropped: settings of its
/// server may keep more than what is stored.
///
/// # Errors
/// The errors of opening; if the database is locked, the message also says how to use its server.
pub fn open(dir: &Path) -> anyhow::Result<Database> {
    let options = Options::default().with_ladders(directory::stored_rules(dir));
    directory::open(dir, options).with_context(|| hint(dir))
}

fn hint(dir: &Path) -> String {
    format!("cannot open {} (if a server uses it, ask the server with --url)", dir.display())
}

/// An error and its causes in one line. Causes that are already part of the error's text are omitted.
pub fn error_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if last.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
        last = cause;
    }
    text
}

/// Parses a time into milliseconds since 1970: `now`, `-5m` (before now), seconds, or RFC 3339.
///
/// # Errors
/// The text is anything else.
pub fn time_ms(text: &str, now_ms: i64) -> anyhow::Result<i64> {
    if text == "now" {
        return Ok(now_ms);
    }
    if let Some(before) = text.strip_prefix('-')
        && let Ok(ms) = crate::config::values::duration_ms(before)
        && before.ends_with(|c: char| c.is_ascii_alphabetic())
    {
        return Ok(now_ms - ms as i64);
    }
    crate::http::times::time_ms(text).map_err(anyhow::Error::msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_be_relative() {
        for (text, ms) in [("now", 10_000_000), ("-1h", 6_400_000), ("5", 5_000), ("-5", -5_000)] {
            assert_eq!(time_ms(text, 10_000_000).unwrap(), ms, "{text}");
        }
        assert!(time_ms("-1x", 0).is_err() && time_ms("yesterday", 0).is_err());
    }
}
