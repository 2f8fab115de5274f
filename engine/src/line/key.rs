//! Checks the series part of a line: measurement and tags.

use crate::line::LineLimits;
use crate::line::error::{Fault, LineErrorKind, NamePart, fault, quote};
use crate::line::scan::{measurement_end, name_end};

/// Checks the series that begins at `start`. Returns the offset of the space after it.
#[inline]
pub(super) fn check(line: &[u8], start: usize, limits: &LineLimits) -> Result<usize, Box<Fault>> {
    let mut at = measurement_end(line, start);
    if at == start {
        return Err(stopped(line, at, LineErrorKind::EmptyMeasurement));
    }
    check_name(NamePart::Measurement, start, at, limits)?;
    let mut tags = 1;
    while line.get(at) == Some(&b',') {
        tags += 1;
        if tags > limits.tags {
            return Err(fault(at + 1, LineErrorKind::TooManyTags { limit: limits.tags.saturating_sub(1) }));
        }
        at = check_tag(line, at + 1, limits)?;
    }
    match line.get(at) {
        Some(b' ') => Ok(at),
        _ => Err(stopped_behind(line, start, at, b" ", LineErrorKind::MissingFields)),
    }
}

/// Checks the tag that begins at `start`. Returns the offset of the character that ended it.
#[inline]
fn check_tag(line: &[u8], start: usize, limits: &LineLimits) -> Result<usize, Box<Fault>> {
    let equals = name_end(line, start);
    if equals == start {
        return Err(stopped(line, equals, LineErrorKind::EmptyTagKey));
    }
    if line.get(equals) != Some(&b'=') {
        let key = quote(&line[start..equals]);
        return Err(stopped_behind(line, start, equals, b"=", LineErrorKind::MissingTagValue { key }));
    }
    check_name(NamePart::TagKey, start, equals, limits)?;
    let end = name_end(line, equals + 1);
    if end == equals + 1 {
        let key = quote(&line[start..equals]);
        return Err(stopped(line, end, LineErrorKind::MissingTagValue { key }));
    }
    if line.get(end) == Some(&b'=') {
        let kind = LineErrorKind::UnescapedEquals { key: quote(&line[start..equals]) };
        return Err(stopped_behind(line, equals + 1, end, b", ", kind));
    }
    let bytes = end - equals - 1;
    if bytes > limits.value_bytes {
        let key = quote(&line[start..equals]);
        return Err(fault(
            equals + 1,
            LineErrorKind::TagValueTooLong { key, bytes, limit: limits.value_bytes },
        ));
    }
    Ok(end)
}

/// Refuses a name beyond the limit.
#[inline]
pub(super) fn check_name(
    part: NamePart,
    start: usize,
    end: usize,
    limits: &LineLimits,
) -> Result<(), Box<Fault>> {
    let bytes = end - start;
    if bytes > limits.name_bytes {
        return Err(fault(start, LineErrorKind::NameTooLong { part, bytes, limit: limits.name_bytes }));
    }
    Ok(())
}

/// Like [`stopped`], unless a backslash between `start` and `at` escapes one of `separators`: that is where the writer
/// meant the text to end.
#[cold]
pub(super) fn stopped_behind(
    line: &[u8],
    start: usize,
    at: usize,
    separators: &[u8],
    otherwise: LineErrorKind,
) -> Box<Fault> {
    let stopped = stopped(line, at, otherwise);
    let explains = |kind: &LineErrorKind| {
        use LineErrorKind::{CarriageReturn, NulByte, TrailingBackslash};
        matches!(kind, NulByte | CarriageReturn | TrailingBackslash)
    };
    let is_escape = |pair: &[u8]| pair[0] == b'\\' && separators.contains(&pair[1]);
    let Some(escape) = line[start..at].windows(2).rposition(is_escape).filter(|_| !explains(&stopped.kind))
    else {
        return stopped;
    };
    if stopped.kind == LineErrorKind::MissingFields && !line[start + escape..at].contains(&b'=') {
        // Nothing after the space looks like a field.
        return stopped;
    }
    let separator = match line[start + escape + 1] {
        b',' => "comma",
        b'=' => "equals sign",
        _ => "space",
    };
    fault(start + escape, LineErrorKind::EscapedSeparator { separator, otherwise: Box::new(stopped.kind) })
}

/// The error at which a scan stopped. A byte that no name may contain, or a backslash before the end, explains more
/// than `otherwise`.
#[cold]
pub(super) fn stopped(line: &[u8], at: usize, otherwise: LineErrorKind) -> Box<Fault> {
    match line.get(at) {
        Some(0) => fault(at, LineErrorKind::NulByte),
        Some(b'\r') => fault(at, LineErrorKind::CarriageReturn),
        None if line.last() == Some(&b'\\') => fault(at - 1, LineErrorKind::TrailingBackslash),
        _ => fault(at, otherwise),
    }
}
