//! The scenarios: tests that need the whole database or the whole repository. They are one binary, because each test
//! binary links RocksDB.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails the test"
)]

mod api;
mod database;
mod flips;
mod fuzz;
mod readme;
mod scan;
mod tenants;
mod tidy;
mod tiers;
