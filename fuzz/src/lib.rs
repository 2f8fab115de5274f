//! The checks of the fuzzers, which the project's tests run too.

#[path = "../../tests/harness/fuzz.rs"]
pub mod harness;
