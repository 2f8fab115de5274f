//! InfluxDB line protocol: parses bytes into lines. This module does no I/O and uses nothing of the engine but the
//! label model.
//!
//! ```text
//! measurement[,tag=value]… field=value[,field=value]… [timestamp]
//! ```
//! A line is valid or invalid as a whole: every error in it is found before it is returned, and a bad line does not
//! affect the lines after it. A valid line carries its series as the original bytes, so that finding a known series
//! costs a single hash; [`labels`] turns those bytes into a label set once, when they are new. Lines with a known
//! series and known fields are compared with the known bytes instead of being checked ([`Lines::read_known`]).
//!
//! # Rules
//! | part | escaped by a backslash | ends at |
//! | --- | --- | --- |
//! | measurement | comma, space | `,` or space |
//! | tag key, tag value, field key | comma, equals sign, space | `=`, `,` or space |
//! | string value | double quote, backslash | `"` |
//!
//! Any other backslash is literal, including one before another backslash outside a string. Names and values are any
//! UTF-8 without NUL. Sections are separated by spaces (tabs may follow the first one); spaces before and after the
//! line are ignored. A line ends at `\n` or `\r\n`; inside a string, both are text. Blank lines and lines that begin
//! with `#` are skipped and counted. A byte order mark before a line is skipped too; UTF-16 is refused.
//!
//! | value | written as |
//! | --- | --- |
//! | float | `-?` digits, at most one point, at least one digit, an optional exponent |
//! | integer | `-?` digits `i`, within `i64` |
//! | unsigned | digits `u`, within `u64` |
//! | boolean | `t T true True TRUE f F false False FALSE` |
//! | string | `"…"` |
//!
//! A leading `+`, NaN, infinities, hexadecimal and underscores are not allowed. A float beyond `f64` is an error, never
//! an infinity.
//!
//! After a bad line, the decoder continues at the next line. If a string was not closed properly, that is the line
//! after the one in which the string began, so a missing quote does not consume the following lines.
//!
//! # Not here
//! The names of series in the store: `naming.rs`. The treatment of strings, booleans and unsigned integers beyond `i64`
//! is decided by the ingest path.

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

/// The limits on a line. Lengths are in bytes as written, including escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineLimits {
    /// Maximum length of the line without its line end; 65,536. More than `u32::MAX` means `u32::MAX`.
    pub line_bytes: usize,
    /// Maximum labels of a series, including the metric name but not labels that the server adds; 64.
    pub tags: usize,
    /// Maximum length of a measurement, tag key or field key; 256.
    pub name_bytes: usize,
    /// Maximum length of a tag value; 4,096.
    pub value_bytes: usize,
    /// Maximum fields of one line; 4,096.
    pub fields: usize,
    /// Maximum length of a string value; 65,536. The limit on the line applies too.
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
