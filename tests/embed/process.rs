//! Facts about the own process, and the samples that all programs write.

use std::fmt;
use std::path::Path;

use barograph::{Database, LineOptions, Options, QueryValue, SampleValue};

/// Why a program cannot run on this machine.
#[derive(Debug)]
pub struct Skipped(pub String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// The files that this process has open below `dir`, sorted.
pub fn open_files(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        // The descriptor of the listing itself is closed by now.
        if let Ok(target) = std::fs::read_link(entry?.path())
            && target.starts_with(dir)
        {
            found.push(target.display().to_string());
        }
    }
    found.sort();
    Ok(found)
}

/// The names of this process's threads, sorted.
pub fn threads() -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task")? {
        if let Ok(name) = std::fs::read_to_string(entry?.path().join("comm")) {
            names.push(name.trim_end().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The time of the first sample, seconds.
pub const START: i64 = 1_700_000_000;

pub fn options() -> Options {
    Options::default().with_memory_bytes(64 << 20)
}

/// Writes the samples `range` of one series, one second apart, each acknowledged separately.
pub fn write(db: &Database, range: std::ops::Range<i64>) -> barograph::Result<()> {
    for n in range {
        let line = format!("load value={n} {}", (START + n) * 1_000_000_000);
        db.write_lines(line.as_bytes(), &LineOptions::default())?;
    }
    Ok(())
}

/// The number of these samples that are present.
pub fn count(db: &Database) -> Result<u64, Box<dyn std::error::Error>> {
    let answer =
        db.query("sum(count_over_time(load[365d]))", barograph::Timestamp::from_secs(START + 1_000_000))?;
    let QueryValue::Vector(samples) = answer.value else { return Err("not a vector".into()) };
    match samples.first().map(|sample| &sample.value) {
        Some(SampleValue::Float(count)) => Ok(*count as u64),
        None => Ok(0),
        Some(other) => Err(format!("{other:?}").into()),
    }
}

/// Runs a part of this program in another process. If it fails, the error is its standard error.
pub fn run_part(name: &str, dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    finish(part(name, dir)?.output()?)
}

/// A command that runs a part of this program.
pub fn part(name: &str, dir: &Path) -> std::io::Result<std::process::Command> {
    Ok(part_of(&std::env::current_exe()?, name, dir))
}

/// A command that runs a part of a copy of this program.
pub fn part_of(program: &Path, name: &str, dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.env(crate::PROGRAM, name).env(crate::DIRECTORY, dir);
    command
}

pub fn finish(output: std::process::Output) -> Result<(), Box<dyn std::error::Error>> {
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// Files and their sizes.
pub fn listing(dir: &Path) -> std::io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(listing(&entry.path())?);
        } else {
            found.push((entry.path().display().to_string(), entry.metadata()?.len()));
        }
    }
    found.sort();
    Ok(found)
}
