//! Errors of lines: why a line was refused, and where.

use std::fmt;

use crate::line::Precision;

/// Maximum number of bytes of a line that an error quotes.
const EXCERPT_BYTES: usize = 80;

/// The name in a line that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamePart {
    /// The measurement.
    Measurement,
    /// A tag's key.
    TagKey,
    /// A field's key.
    FieldKey,
}

impl fmt::Display for NamePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NamePart::Measurement => "measurement",
            NamePart::TagKey => "tag key",
            NamePart::FieldKey => "field key",
        })
    }
}

/// A refused line, with the position of the first error in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}, near \"{excerpt}\"")]
pub struct LineError {
    /// The line of the body that contains the error, from 1. A string may span several lines, so this may be later than
    /// the line in which it began.
    pub line: usize,
    /// The byte within that line, from 1.
    pub column: usize,
    /// What was found and what would be correct.
    pub reason: LineErrorKind,
    /// Up to 80 bytes of that line around the error, with control characters escaped.
    pub excerpt: String,
}

/// What is wrong with a line. `value` fields quote what was found, cut to 80 bytes. A limit is named twice: the
/// server's setting, and the field for embedders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineErrorKind {
    /// The line is longer than the limit.
    #[error(
        "the line has {bytes} bytes, the limit is {limit} (max_line, LineLimits::line_bytes); raise it or split the line"
    )]
    LineTooLong {
        /// Bytes found.
        bytes: usize,
        /// [`crate::line::LineLimits::line_bytes`].
        limit: usize,
    },
    /// A byte that is not UTF-8.
    #[error("not UTF-8: byte 0x{byte:02x}")]
    InvalidUtf8 {
        /// The first invalid byte.
        byte: u8,
    },
    /// The line begins with the byte order mark of UTF-16.
    #[error("UTF-16: line protocol is UTF-8; convert it, for example with iconv -f UTF-16 -t UTF-8")]
    Utf16,
    /// A NUL byte.
    #[error("a NUL byte is not allowed")]
    NulByte,
    /// A carriage return that is not part of a line end.
    #[error("a carriage return is allowed only before the end of the line")]
    CarriageReturn,
    /// The last byte of a line is a backslash.
    #[error("a backslash at the end of the line escapes nothing")]
    TrailingBackslash,
    /// A backslash escapes the character that would have ended a name or value.
    #[error(
        "{otherwise}: the backslash here makes the {separator} after it part of the text; no name or tag value can end \
         with a backslash, leave it out"
    )]
    EscapedSeparator {
        /// The character that would have ended it.
        separator: &'static str,
        /// The resulting error.
        otherwise: Box<LineErrorKind>,
    },
    /// The line begins with a comma.
    #[error("the measurement is empty")]
    EmptyMeasurement,
    /// The line ends after its tags.
    #[error("no fields: expected a space and field=value")]
    MissingFields,
    /// A tag has no key.
    #[error("a tag key is empty")]
    EmptyTagKey,
    /// A tag has no value.
    #[error("tag {key:?} has no value: expected key=value")]
    MissingTagValue {
        /// The tag's key as written.
        key: String,
    },
    /// A second equals sign in a tag.
    #[error("the value of tag {key:?} has an equals sign that is not escaped")]
    UnescapedEquals {
        /// The tag's key as written.
        key: String,
    },
    /// A tag key occurs twice.
    #[error("tag {key:?} occurs twice")]
    DuplicateTag {
        /// The repeated key.
        key: String,
    },
    /// A tag has the name that is reserved for the metric name.
    #[error("tag {key:?} is reserved for the name that measurement and field make")]
    ReservedTag {
        /// The tag's key.
        key: String,
    },
    /// More tags than the limit.
    #[error(
        "more than {limit} tags, the limit (max_labels counts the name too; LineLimits::tags); raise it or send fewer"
    )]
    TooManyTags {
        /// [`crate::line::LineLimits::tags`] minus one for the name.
        limit: usize,
    },
    /// A name is longer than the limit.
    #[error(
        "the {part} has {bytes} bytes, the limit is {limit} (max_name, LineLimits::name_bytes); raise it or shorten the \
         name"
    )]
    NameTooLong {
        /// The name.
        part: NamePart,
        /// Bytes found.
        bytes: usize,
        /// [`crate::line::LineLimits::name_bytes`].
        limit: usize,
    },
    /// A tag value is longer than the limit.
    #[error(
        "the value of tag {key:?} has {bytes} bytes, the limit is {limit} (max_value, LineLimits::value_bytes); raise it \
         or write the text as a string field"
    )]
    TagValueTooLong {
        /// The tag's key as written.
        key: String,
        /// Bytes found.
        bytes: usize,
        /// [`crate::line::LineLimits::value_bytes`].
        limit: usize,
    },
    /// A field has no key.
    #[error("a field key is empty")]
    EmptyFieldKey,
    /// A field has no value.
    #[error("field {key:?} has no value: expected key=value")]
    MissingFieldValue {
        /// The field's key as written.
        key: String,
    },
    /// More fields than the limit.
    #[error(
        "more than {limit} fields, the limit (max_fields, LineLimits::fields); raise it or split the line"
    )]
    TooManyFields {
        /// [`crate::line::LineLimits::fields`].
        limit: usize,
    },
    /// A field's value is not of any known type.
    #[error("{value:?} is no number, boolean or quoted string")]
    InvalidValue {
        /// What was found.
        value: String,
    },
    /// An integer is out of range for its type.
    #[error("{value:?} is outside {kind}: {least} to {most}")]
    IntegerOutOfRange {
        /// What was found.
        value: String,
        /// `i64` or `u64`.
        kind: &'static str,
        /// The smallest allowed value.
        least: i64,
        /// The largest allowed value.
        most: u64,
    },
    /// A float rounds to an infinity.
    #[error("{value:?} is beyond a 64-bit float: at most 1.7976931348623157e308 either way")]
    FloatOutOfRange {
        /// What was found.
        value: String,
    },
    /// A string has no closing quote.
    #[error("the string that begins here is not closed")]
    UnterminatedString,
    /// A string's last quote is escaped.
    #[error(
        "the string is not closed: the backslash here makes the quote after it part of the text; write \\\\ for a \
         backslash"
    )]
    EscapedQuote,
    /// A string is directly followed by something else.
    #[error("{value:?} follows a closing quote: expected a comma, a space or the end of the line")]
    AfterString {
        /// What was found.
        value: String,
    },
    /// A string is longer than the limit.
    #[error(
        "the string has {bytes} bytes, the limit is {limit} (max_string, LineLimits::event_bytes); raise it or shorten \
         the text"
    )]
    StringTooLong {
        /// Bytes found.
        bytes: usize,
        /// [`crate::line::LineLimits::event_bytes`].
        limit: usize,
    },
    /// A timestamp is not an integer.
    #[error("timestamp {value:?} is not an integer")]
    InvalidTimestamp {
        /// What was found.
        value: String,
    },
    /// A timestamp does not fit 64 bits of nanoseconds.
    #[error(
        "timestamp {value:?} {precision} is outside -9223372036854775806 to 9223372036854775806 ns (years 1677 to 2262); check the precision"
    )]
    TimestampOutOfRange {
        /// What was found.
        value: String,
        /// The unit in which it was interpreted.
        precision: Precision,
    },
    /// The line is well formed, but the database does not accept it.
    #[error("{why}")]
    Refused {
        /// The limit that it exceeds.
        why: String,
    },
    /// The timestamp is followed by something else.
    #[error("{value:?} follows the timestamp: expected the end of the line")]
    AfterTimestamp {
        /// What was found.
        value: String,
    },
}

/// An error at an offset in the bytes of a line. Boxed where it is passed, so that the error-free path moves a single
/// word.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) kind: LineErrorKind,
}

#[cold]
pub(super) fn fault(at: usize, kind: LineErrorKind) -> Box<Fault> {
    Box::new(Fault { at, kind })
}

/// Up to 80 bytes, as text for an error.
#[cold]
pub(super) fn quote(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]).into_owned()
}

impl LineError {
    /// Locates an error: `line` begins after the previous line break, `at` is the offset in it, and `number` is the
    /// number of its first row.
    #[cold]
    pub(super) fn locate(line: &[u8], number: usize, fault: Fault) -> LineError {
        let at = fault.at.min(line.len());
        let row_start = memchr::memrchr(b'\n', &line[..at]).map_or(0, |i| i + 1);
        let row_end = memchr::memchr(b'\n', &line[at..]).map_or(line.len(), |i| at + i);
        let row = &line[row_start..row_end];
        LineError {
            line: number + memchr::memchr_iter(b'\n', &line[..at]).count(),
            column: at - row_start + 1,
            reason: fault.kind,
            excerpt: excerpt(row.strip_suffix(b"\r").unwrap_or(row), at - row_start),
        }
    }
}

/// The bytes of `row` around `at`, with the error in the middle unless an end is near.
fn excerpt(row: &[u8], at: usize) -> String {
    let first = at.saturating_sub(EXCERPT_BYTES / 2).min(row.len().saturating_sub(EXCERPT_BYTES));
    let window = &row[first..row.len().min(first + EXCERPT_BYTES)];
    let mut text = String::with_capacity(EXCERPT_BYTES);
    for c in String::from_utf8_lossy(window).chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}
