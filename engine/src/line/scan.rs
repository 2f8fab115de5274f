//! Finds where names and values end: one table look-up a byte, escapes on a side path.

/// Ends a measurement.
pub(super) const MEASUREMENT: u8 = 1;
/// Ends a tag key, a tag value or a field key.
pub(super) const NAME: u8 = 2;

/// Bit set of the scans that stop at a byte. A backslash and the bytes that no name may
/// hold stop every scan.
const STOPS: [u8; 256] = {
    let mut table = [0; 256];
    table[b',' as usize] = MEASUREMENT | NAME;
    table[b' ' as usize] = MEASUREMENT | NAME;
    table[b'=' as usize] = NAME;
    table[b'\\' as usize] = MEASUREMENT | NAME;
    table[0] = MEASUREMENT | NAME;
    table[b'\r' as usize] = MEASUREMENT | NAME;
    table
};

/// Offset of the first byte at or behind `at` that ends the scan of `kind` and is not
/// escaped, or the length of `line`.
#[inline]
pub(super) fn name_end(line: &[u8], mut at: usize, kind: u8) -> usize {
    while let Some(&byte) = line.get(at) {
        if STOPS[usize::from(byte)] & kind != 0 {
            if byte != b'\\' {
                return at;
            }
            // What follows is part of the name whatever it is, but a NUL or a carriage
            // return must still stop the scan, and a second backslash may itself escape.
            at += match line.get(at + 1) {
                Some(b',' | b' ' | b'=') => 2,
                _ => 1,
            };
        } else {
            at += 1;
        }
    }
    line.len()
}

/// Offset of the first byte at or behind `at` that is no space or tab.
#[inline]
pub(super) fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = line.get(at) {
        at += 1;
    }
    at
}

/// The bytes from `at` to the next comma or space: what an error quotes.
#[cold]
pub(super) fn token(line: &[u8], at: usize) -> &[u8] {
    let rest = &line[at..];
    &rest[..memchr::memchr2(b',', b' ', rest).unwrap_or(rest.len())]
}
