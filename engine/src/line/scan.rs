//! Finds where names and values end: eight bytes at a time, with escapes on a slow path.

/// A byte repeated eight times.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Marks the top bit of the bytes of `word` that equal `byte`. Bytes above the lowest such byte may be marked wrongly,
/// because a borrow propagates upwards.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zeros = word ^ all(byte);
    zeros.wrapping_sub(all(1)) & !zeros & all(0x80)
}

/// Marks the top bit of the bytes of `word` that are ASCII and at most a space, with the same limitation as [`equal`].
#[inline]
fn at_most_space(word: u64) -> u64 {
    word.wrapping_sub(all(b' ' + 1)) & !word & all(0x80)
}

/// The offset of the comma, the space or the forbidden byte (NUL, carriage return) that ends the measurement at `at`,
/// or the length of `line`.
#[inline]
pub(super) fn measurement_end(line: &[u8], at: usize) -> usize {
    end::<false>(line, at)
}

/// The offset of the comma, equals sign, space or forbidden byte (NUL, carriage return) that ends the tag key, tag
/// value or field key at `at`, or the length of `line`.
#[inline]
pub(super) fn name_end(line: &[u8], at: usize) -> usize {
    end::<true>(line, at)
}

#[inline]
fn end<const EQUALS: bool>(line: &[u8], mut at: usize) -> usize {
    while let Some(bytes) = line.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*bytes);
        let mut marks = at_most_space(word) | equal(word, b',') | equal(word, b'\\');
        if EQUALS {
            marks |= equal(word, b'=');
        }
        if marks == 0 {
            at += bytes.len();
            continue;
        }
        at += marks.trailing_zeros() as usize / 8;
        match passed::<EQUALS>(line, at) {
            0 => return at,
            bytes => at += bytes,
        }
    }
    while at < line.len() {
        match passed::<EQUALS>(line, at) {
            0 => return at,
            bytes => at += bytes,
        }
    }
    line.len()
}

/// How many bytes at `at` belong to the name: none at its end, and two for an escape.
#[inline]
fn passed<const EQUALS: bool>(line: &[u8], at: usize) -> usize {
    match line[at] {
        b',' | b' ' | 0 | b'\r' => 0,
        b'=' if EQUALS => 0,
        // A backslash before another one is literal, and the second one may escape.
        b'\\' if matches!(line.get(at + 1), Some(b',' | b' ' | b'=')) => 2,
        _ => 1,
    }
}

/// The offset of the first byte at or after `at` that is not a space or tab.
#[inline]
pub(super) fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = line.get(at) {
        at += 1;
    }
    at
}

/// The byte order mark of UTF-8. Editors insert it at the start of a file; in concatenated files, it is in the middle.
/// It is not part of a name.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The offset of the first byte of a row that is not a blank and not a byte order mark.
#[inline]
pub(super) fn row_start(row: &[u8]) -> usize {
    let at = skip_blanks(row, 0);
    if row.get(at) == Some(&BYTE_ORDER_MARK[0]) && row[at..].starts_with(BYTE_ORDER_MARK) {
        return skip_blanks(row, at + BYTE_ORDER_MARK.len());
    }
    at
}

/// The bytes from `at` to the next comma or space, for an error.
#[cold]
pub(super) fn token(line: &[u8], at: usize) -> &[u8] {
    let rest = &line[at..];
    &rest[..memchr::memchr2(b',', b' ', rest).unwrap_or(rest.len())]
}
