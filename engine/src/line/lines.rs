//! Splits a body into lines and checks each: the main loop of the decoder.

use crate::line::error::{Fault, LineError, LineErrorKind, NamePart, fault, quote};
use crate::line::key::{check, check_name, stopped, stopped_behind};
use crate::line::number::{self, Number};
use crate::line::scan::{name_end, row_start, skip_blanks, token};
use crate::line::values::{Fields, RawValue, Slot, Slots};
use crate::line::{LineLimits, Precision, timestamp};

/// A valid line.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// Measurement and tags as written, including escapes: the key of the cache of series, and the input of
    /// [`crate::line::labels`].
    pub series_key: &'a [u8],
    /// Nanoseconds since the Unix epoch; `None` if the line has no timestamp.
    pub timestamp: Option<i64>,
    /// The line's number in the body, from 1.
    pub number: usize,
    bytes: &'a [u8],
    slots: Slots,
}

impl<'a> Line<'a> {
    /// The fields in the order in which they are written; at least one.
    #[inline]
    pub fn fields(&self) -> Fields<'_, 'a> {
        Fields { line: self.bytes, slots: self.slots.iter() }
    }

    /// The whole line as written, without its line end.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Refuses this line for `reason`, which was found when its series was resolved. The error points at a repeated or
    /// reserved tag, and otherwise at the start of the series.
    #[cold]
    pub fn reject(&self, reason: LineErrorKind) -> LineError {
        let key_start = row_start(self.bytes);
        let at = match &reason {
            LineErrorKind::DuplicateTag { key } | LineErrorKind::ReservedTag { key } => {
                key_start + crate::line::naming::last_tag(self.series_key, key).unwrap_or(0)
            }
            _ => key_start,
        };
        LineError::locate(self.bytes, self.number, Fault { at, kind: reason })
    }
}

/// Iterates over the lines of a body. A bad line is an `Err` and does not end the iteration.
///
/// ```
/// use barograph_engine::line::{FieldValue, LineLimits, Lines, Precision};
/// let body = b"cpu,host=a usage=0.5,cores=8i 1700000000\n";
/// let line = Lines::new(body, Precision::Second, LineLimits::default()).next().unwrap().unwrap();
/// assert_eq!(line.series_key, b"cpu,host=a");
/// assert_eq!(line.timestamp, Some(1_700_000_000_000_000_000));
/// let fields: Vec<_> = line.fields().collect();
/// assert_eq!(fields[1], (&b"cores"[..], FieldValue::Int(8)));
/// ```
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    pub(super) body: &'a [u8],
    pub(super) offset: usize,
    pub(super) number: usize,
    pub(super) precision: Precision,
    pub(super) limits: LineLimits,
}

impl<'a> Lines<'a> {
    /// Parses `body`, whose timestamps are in `precision`.
    pub fn new(body: &'a [u8], precision: Precision, mut limits: LineLimits) -> Self {
        limits.line_bytes = limits.line_bytes.min(u32::MAX as usize);
        Lines { body, offset: 0, number: 1, precision, limits }
    }

    /// The number of bytes of the body that have been parsed.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the rest of the body is empty.
    pub fn is_at_end(&self) -> bool {
        self.offset >= self.body.len()
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.body.get(self.offset..).filter(|rest| !rest.is_empty())?;
            let break_at = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let row = without_return(&rest[..break_at]);
            let first = row_start(row);
            let number = self.number;
            if matches!(row.get(first), None | Some(b'#')) {
                self.offset += break_at + 1;
                self.number += 1;
                continue;
            }
            let mut parser = Parser { rest, line: row, break_at, limits: &self.limits };
            let mut slots = Slots::new();
            let parsed = parser.parse(first, self.precision, &mut slots);
            let (line, line_end) = (parser.line, parser.break_at);
            self.offset += line_end + 1;
            self.number += 1;
            if line_end > break_at {
                self.number += memchr::memchr_iter(b'\n', &rest[break_at..line_end]).count();
            }
            return Some(match parsed {
                Ok((key_end, timestamp)) => {
                    Ok(Line { series_key: &line[first..key_end], timestamp, number, bytes: line, slots })
                }
                Err(fault) => Err(LineError::locate(rest, number, *fault)),
            });
        }
    }
}

/// A row without the carriage return of its line end.
#[inline]
pub(super) fn without_return(row: &[u8]) -> &[u8] {
    match row {
        [before @ .., b'\r'] => before,
        _ => row,
    }
}

/// The check of one line. `line` and `break_at` advance when a string spans line breaks.
struct Parser<'a, 'l> {
    /// The body from the first byte of the line on.
    rest: &'a [u8],
    /// The line as far as it is known, without its line end.
    line: &'a [u8],
    /// The position of the line break after `line`, or the end of the body.
    break_at: usize,
    limits: &'l LineLimits,
}

impl Parser<'_, '_> {
    /// Checks the line and stores its fields in `slots`. Returns where the series ends, and the timestamp.
    #[inline]
    fn parse(
        &mut self,
        first: usize,
        precision: Precision,
        slots: &mut Slots,
    ) -> Result<(usize, Option<i64>), Box<Fault>> {
        self.check_length(0)?;
        check_utf8(self.line, 0)?;
        let key_end = check(self.line, first, self.limits)?;
        let fields_end = self.fields(skip_blanks(self.line, key_end), slots)?;
        let timestamp = timestamp::parse(self.line, fields_end, precision)?;
        Ok((key_end, timestamp))
    }

    fn check_length(&self, at: usize) -> Result<(), Box<Fault>> {
        let (bytes, limit) = (self.line.len(), self.limits.line_bytes);
        if bytes > limit {
            return Err(fault(at, LineErrorKind::LineTooLong { bytes, limit }));
        }
        Ok(())
    }

    /// Parses the fields at `at`. Returns where they end: at a space or the end of the line.
    #[inline]
    fn fields(&mut self, mut at: usize, slots: &mut Slots) -> Result<usize, Box<Fault>> {
        if at == self.line.len() {
            return Err(fault(at, LineErrorKind::MissingFields));
        }
        loop {
            let equals = name_end(self.line, at);
            self.check_key(at, equals)?;
            if slots.len() == self.limits.fields {
                return Err(fault(at, LineErrorKind::TooManyFields { limit: self.limits.fields }));
            }
            let (value, end) = self.value(at, equals)?;
            slots.push(Slot { key_start: at as u32, key_end: equals as u32, value });
            if self.line.get(end) != Some(&b',') {
                return Ok(end);
            }
            at = end + 1;
        }
    }

    #[inline]
    fn check_key(&self, start: usize, equals: usize) -> Result<(), Box<Fault>> {
        if self.line.get(equals) != Some(&b'=') || equals == start {
            let kind = if equals == start {
                LineErrorKind::EmptyFieldKey
            } else {
                LineErrorKind::MissingFieldValue { key: quote(&self.line[start..equals]) }
            };
            return Err(stopped_behind(self.line, start, equals, b"=", kind));
        }
        check_name(NamePart::FieldKey, start, equals, self.limits)
    }

    /// Parses the value after `equals`. Returns where it ends: at a comma, a space or the end of the line.
    #[inline]
    fn value(&mut self, key_start: usize, equals: usize) -> Result<(RawValue, usize), Box<Fault>> {
        let start = equals + 1;
        let (value, end) = match self.line.get(start) {
            Some(b'0'..=b'9' | b'-' | b'.') => match number::parse(&self.line[start..]) {
                Ok((Number::Int(v), bytes)) => (RawValue::Int(v), start + bytes),
                Ok((Number::Float(v), bytes)) => (RawValue::Float(v), start + bytes),
                Ok((Number::UInt(v), bytes)) => (RawValue::UInt(v), start + bytes),
                Err(kind) => return Err(self.bad_number(start, kind)),
            },
            Some(b'"') => return self.string(start),
            Some(b't' | b'T' | b'f' | b'F') => self.boolean(start)?,
            None | Some(b',' | b' ') => {
                let key = quote(&self.line[key_start..equals]);
                return Err(fault(start, LineErrorKind::MissingFieldValue { key }));
            }
            Some(_) => return Err(self.invalid_value(start)),
        };
        match self.line.get(end) {
            None | Some(b',' | b' ') => Ok((value, end)),
            Some(_) => Err(self.invalid_value(start)),
        }
    }

    fn boolean(&self, start: usize) -> Result<(RawValue, usize), Box<Fault>> {
        let word = token(self.line, start);
        let value = match word {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => true,
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => false,
            _ => return Err(self.invalid_value(start)),
        };
        Ok((RawValue::Bool(value), start + word.len()))
    }

    /// Parses the string whose opening quote is at `open`, across line breaks if necessary.
    fn string(&mut self, open: usize) -> Result<(RawValue, usize), Box<Fault>> {
        let start = open + 1;
        let reach = self.rest.len().min(self.limits.line_bytes.saturating_add(1));
        let Some((close, escaped)) = closing_quote(&self.rest[..reach.max(self.line.len())], start) else {
            return Err(self.unclosed(open, reach));
        };
        if let Some(at) = memchr::memchr(0, &self.rest[start..close]) {
            return Err(fault(start + at, LineErrorKind::NulByte));
        }
        self.extend(open, close)?;
        let end = close + 1;
        if !matches!(self.line.get(end), None | Some(b',' | b' ')) {
            return Err(self.after_string(open, end));
        }
        let (bytes, limit) = (close - start, self.limits.event_bytes);
        if bytes > limit {
            return Err(fault(start, LineErrorKind::StringTooLong { bytes, limit }));
        }
        Ok((RawValue::Text { start: start as u32, end: close as u32, escaped }, end))
    }

    /// Extends the line by the rows up to the one that contains `close`. If a quote that closes the string on a later
    /// row is not followed by a delimiter, it more likely opens another string there. In that case, the line is not
    /// extended, and the later rows are parsed separately.
    fn extend(&mut self, open: usize, close: usize) -> Result<(), Box<Fault>> {
        if close < self.line.len() {
            return Ok(());
        }
        if !matches!(self.rest.get(close + 1), None | Some(b',' | b' ' | b'\n' | b'\r')) {
            return Err(self.unterminated(open));
        }
        let added_start = self.line.len();
        self.break_at = memchr::memchr(b'\n', &self.rest[close..]).map_or(self.rest.len(), |at| close + at);
        self.line = without_return(&self.rest[..self.break_at]);
        self.check_length(open)?;
        check_utf8(&self.line[added_start..], added_start)
    }

    #[cold]
    fn unclosed(&self, open: usize, reach: usize) -> Box<Fault> {
        let limit = self.limits.line_bytes;
        if reach > limit && self.line.len() < reach {
            return fault(open, LineErrorKind::LineTooLong { bytes: reach, limit });
        }
        self.unterminated(open)
    }

    /// The error for an unterminated string. If the last quote of its row is escaped, that quote was meant to close it.
    #[cold]
    fn unterminated(&self, open: usize) -> Box<Fault> {
        match memchr::memrchr(b'"', &self.line[open + 1..]).map(|at| open + 1 + at) {
            Some(quote) if self.line[quote - 1] == b'\\' => fault(quote - 1, LineErrorKind::EscapedQuote),
            _ => fault(open, LineErrorKind::UnterminatedString),
        }
    }

    #[cold]
    fn after_string(&self, open: usize, at: usize) -> Box<Fault> {
        let text = &self.line[open + 1..at - 1];
        if text.ends_with(b"=")
            && let Some(escape) = text.windows(2).rposition(|pair| pair == b"\\\"")
        {
            // The quote that closed this string opens the next one.
            return fault(open + 1 + escape, LineErrorKind::EscapedQuote);
        }
        match self.line[at] {
            0 => fault(at, LineErrorKind::NulByte),
            b'\r' => fault(at, LineErrorKind::CarriageReturn),
            _ => fault(at, LineErrorKind::AfterString { value: quote(token(self.line, at)) }),
        }
    }

    #[cold]
    fn bad_number(&self, start: usize, kind: Option<LineErrorKind>) -> Box<Fault> {
        match kind {
            Some(kind) => fault(start, kind),
            None => self.invalid_value(start),
        }
    }

    #[cold]
    fn invalid_value(&self, start: usize) -> Box<Fault> {
        let word = token(self.line, start);
        match memchr::memchr2(0, b'\r', word) {
            Some(at) => stopped(self.line, start + at, LineErrorKind::NulByte),
            None => fault(start, LineErrorKind::InvalidValue { value: quote(word) }),
        }
    }
}

/// The offset of the quote that closes a string whose text begins at `at`, and whether the text contains an escape.
fn closing_quote(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some((at, escaped));
        }
        if let Some(b'"' | b'\\') = bytes.get(at + 1) {
            escaped = true;
            at += 1;
        }
        at += 1;
    }
}

#[inline]
fn check_utf8(bytes: &[u8], offset: usize) -> Result<(), Box<Fault>> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) if offset == 0 && (bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")) => {
            Err(fault(0, LineErrorKind::Utf16))
        }
        Err(error) => {
            let at = error.valid_up_to();
            Err(fault(offset + at, LineErrorKind::InvalidUtf8 { byte: bytes[at] }))
        }
    }
}
