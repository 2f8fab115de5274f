//! `conformance DIR`: runs the `*.test` scripts of a directory over the in-memory source and over the engine on disk,
//! and prints the cases that passed over both. Exits with 1 unless every case passed, and with 2 if there are none.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::path::Path;
use std::process::ExitCode;

use promqltest::report::summary;
use promqltest::{EngineStorage, FileReport, MemoryStorage, Storage, run_dir};

fn main() -> ExitCode {
    let dirs: Vec<String> = std::env::args().skip(1).collect();
    if dirs.is_empty() || dirs.iter().any(|dir| dir.starts_with('-')) {
        eprintln!("usage: conformance DIR...\nRuns the PromQL test scripts DIR/*.test.");
        return ExitCode::from(2);
    }
    // A query that panics fails its case; the backtrace would obscure the report.
    std::panic::set_hook(Box::new(|_| {}));
    let mut memory = MemoryStorage::default();
    let mut engine = match EngineStorage::on_disk() {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("no database can be made: {error}");
            return ExitCode::from(2);
        }
    };
    let mut storages: [(&str, &mut dyn Storage); 2] = [("memory", &mut memory), ("engine", &mut engine)];
    let mut files: Vec<FileReport> = Vec::new();
    for dir in &dirs {
        match run_dir(Path::new(dir), &mut storages) {
            Ok(reports) => files.extend(reports),
            Err(error) => {
                eprintln!("{dir}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    for file in &files {
        println!("{file}");
    }
    println!("{}", summary(&files));
    if files.iter().all(FileReport::is_green) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
