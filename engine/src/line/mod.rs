//! InfluxDB line protocol: bytes in, parsed lines out; no I/O, nothing of the engine but
//! the label model.
//!
//! ```text
//! measurement[,tag=value]… field=value[,field=value]… [timestamp]
//! ```
//! A line is good or bad as a whole: every error in it is found before it is handed out,
//! and a bad line does not stop the lines after it. A good line carries its series as the
//! raw bytes it was written with, so that a writer's series costs its reader one hash;
//! [`labels`] turns those bytes into a label set once, when they are new. Lines of a series and
//! of fields that were checked before are compared with those in place of a check
//! ([`Lines::read_known`]).
//!
//! # Rules
//! | part | escaped by a backslash | ends at |
//! | --- | --- | --- |
//! | measurement | comma, space | `,` or space |
//! | tag key, tag value, field key | comma, equals sign, space | `=`, `,` or space |
//! | string value | double quote, backslash | `"` |
//!
//! Any other backslash is a literal one, also one before another backslash outside a
//! string. Names and values are any UTF-8 without NUL. Sections are parted by spaces (tabs
//! may follow the first one), spaces before the line and behind it mean nothing. A line
//! ends at `\n` or `\r\n`; inside a string both are text. Lines that are blank or begin with
//! `#` are skipped and counted. A byte order mark in front of a line is skipped too; text in UTF-16
//! is refused.
//!
//! | value | written as |
//! | --- | --- |
//! | float | `-?` digits, at most one point, at least one digit, an exponent if wanted |
//! | integer | `-?` digits `i`, within `i64` |
//! | unsigned | digits `u`, within `u64` |
//! | boolean | `t T true True TRUE f F false False FALSE` |
//! | string | `"…"` |
//!
//! No `+` in front, no NaN, no infinity, no hexadecimal, no underscore; a float beyond
//! `f64` is an error, never an infinity.
//!
//! After a bad line the decoder continues at the next line. Where a string was never closed
//! properly that is the line after the one the string began in, so one lost quote does not
//! swallow the lines below it.
//!
//! # Not here
//! What a series is called in the store is `naming.rs`; what happens to strings, booleans
//! and unsigned integers beyond `i64` is the ingest path's decision.

mod error;
mod key;
mod known;
mod lines;
mod naming;
mod number;
mod scan;
mod timestamp;
mod values;

pub use error::{LineError, LineErrorKind, NamePart};
pub use known::Known;
pub use lines::{Line, Lines};
pub use naming::{FIELD_LABEL, Naming, UnknownNaming, labels};
pub use timestamp::{Precision, UnknownPrecision};
pub use values::{FieldValue, Fields};

/// What one line may hold. Lengths are in bytes as written, escapes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineLimits {
    /// The whole line without its line end; 65,536. More than `u32::MAX` means `u32::MAX`.
    pub line_bytes: usize,
    /// Labels of a series, the metric name included, labels the server adds not; 64.
    pub tags: usize,
    /// A measurement, tag key or field key; 256.
    pub name_bytes: usize,
    /// A tag value; 4,096.
    pub value_bytes: usize,
    /// Fields of one line; 4,096.
    pub fields: usize,
    /// A string value; 65,536. The line's own limit holds as well.
    pub event_bytes: usize,
}

impl Default for LineLimits {
    fn default() -> Self {
        LineLimits {
            line_bytes: 65_536,
            tags: 64,
            name_bytes: 256,
            value_bytes: 4_096,
            fields: 4_096,
            event_bytes: 65_536,
        }
    }
}

#[cfg(test)]
mod tests;
