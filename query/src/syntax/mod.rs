//! From text to a checked syntax tree, and back.
//!
//! ```text
//! lexer.rs    text -> tokens            ast.rs     the tree
//! literal.rs  numbers, durations,       check.rs   the rules of types
//!             strings                   print.rs   tree -> text
//! parser/     tokens -> tree            json.rs    tree -> JSON
//! precedence.rs  how tightly operators bind
//! selectors.rs  the series that a tree reads
//! ```
//!
//! ```
//! use barograph_query::syntax;
//!
//! let expr = syntax::parse("sum(rate(http_requests_total[5m])) by (code)")?;
//! assert_eq!(syntax::print(&expr), "sum by (code) (rate(http_requests_total[5m]))");
//!
//! let error = syntax::parse("sum(rat(x[5m]))").unwrap_err();
//! let text = r#"1:5: parse error: unknown function with name "rat", did you mean "rate"?"#;
//! assert_eq!(error.to_string(), text);
//! # Ok::<(), barograph_query::QueryError>(())
//! ```

pub mod ast;
mod check;
mod equal;
mod json;
mod lexer;
mod literal;
mod parser;
mod precedence;
mod print;
mod selectors;
/// Positions in the text of a query.
pub mod span {
    pub use crate::span::{Position, Span};
}

pub(crate) use check::named_value;
pub use check::{takes_window, value_type};
pub use json::json;
pub use parser::{
    EXPANSION_TOKENS_MAX, HEIGHT_MAX, NESTING_MAX, QUERY_BYTES_MAX, parse, parse_selector,
    parse_selector_within, parse_within,
};
pub(crate) use print::duration_text;
pub use print::{pretty, print};
pub use selectors::selectors;
