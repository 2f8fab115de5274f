//! The fuzzers' checks, which the project's own tests replay too.

#[path = "../../tests/harness/fuzz.rs"]
pub mod harness;
