//! From text to a checked syntax tree.

pub mod ast;
pub mod span;
