//! The program `barograph`: parses the command line, runs one command, and exits with status 0 (success), 1 (failure)
//! or 2 (usage error).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::process::ExitCode;

use barograph_server::cli::{Cli, Command};
use barograph_server::{commands, config};
use clap::Parser;

#[cfg(feature = "jemalloc")]
mod allocator;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => commands::serve::run(args.sources, fit_allocator).map(|()| true),
        Command::Query(args) => commands::query::run(&args).map(|()| true),
        Command::Import(args) => commands::import::run(&args),
        Command::Export(args) => commands::export::run(&args).map(|()| true),
        Command::Inspect(args) => commands::inspect::run(&args).map(|()| true),
        Command::Snapshot(command) => commands::snapshot::run(&command).map(|()| true),
        Command::Verify(args) => commands::snapshot::verify(&args.data_dir),
        Command::Repair { dir, apply } => commands::repair::run(&dir, apply),
        Command::Token => print_token().map(|()| true),
        Command::Functions { name } => commands::functions::text(name.as_deref()).map(|text| {
            print!("{text}");
            true
        }),
        Command::Config => {
            print!("{}", config::settings::commented_file());
            Ok(true)
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("barograph: {}", commands::error_text(&error));
            ExitCode::FAILURE
        }
    }
}

/// Keeps the allocator within the memory of the process.
fn fit_allocator(config: &config::Config) {
    #[cfg(feature = "jemalloc")]
    allocator::fit(config.memory);
    #[cfg(not(feature = "jemalloc"))]
    let _ = config;
}

fn print_token() -> anyhow::Result<()> {
    let (token, line) = barograph_server::http::auth::generate()?;
    println!("token (give it to the client, it is not kept anywhere):\n  {token}");
    println!("line for the server's --token-file:\n  {line} all");
    Ok(())
}
