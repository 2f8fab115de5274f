//! The format of tar archives (POSIX ustar), as far as needed to write files and directories with short names. The
//! crate `tar` has 5,300 lines and two dependencies, nearly all of it for reading.
//!
//! A member is a header of 512 bytes followed by the file's bytes, padded to a multiple of 512. Numbers in a header are
//! octal text, or, if they have too many digits, binary with the highest bit set. Two empty blocks end the archive.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

const BLOCK: usize = 512;

/// The end of an archive.
pub(in crate::engine) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The kind of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Kind {
    File,
    Directory,
}

/// The header of a member. Its name has at most 99 bytes: ours are those of a snapshot's files.
pub(in crate::engine) fn header(name: &str, metadata: &Metadata, kind: Kind) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let is_file = kind == Kind::File;
    debug_assert!(name.len() < 100, "{name}");
    text(&mut header[..100], name);
    number(&mut header[100..108], u64::from(metadata.mode() & 0o7777));
    number(&mut header[108..116], u64::from(metadata.uid()));
    number(&mut header[116..124], u64::from(metadata.gid()));
    number(&mut header[124..136], if is_file { metadata.len() } else { 0 });
    number(&mut header[136..148], metadata.mtime().max(0).cast_unsigned());
    header[156] = if is_file { b'0' } else { b'5' };
    text(&mut header[257..265], "ustar\0\x30\x30");
    // In the sum, its own field counts as spaces.
    header[148..156].fill(b' ');
    let sum = header.iter().map(|byte| u64::from(*byte)).sum();
    number(&mut header[148..155], sum);
    header
}

/// The bytes after those of a file.
pub(in crate::engine) fn padding(bytes: u64) -> &'static [u8] {
    &END[..((BLOCK as u64 - bytes % BLOCK as u64) % BLOCK as u64) as usize]
}

fn text(field: &mut [u8], text: &str) {
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

fn number(field: &mut [u8], value: u64) {
    field.fill(0);
    let digits = field.len() - 1;
    let octal = format!("{value:0digits$o}");
    if octal.len() == digits {
        return text(field, &octal);
    }
    let bytes = value.to_be_bytes();
    let from = field.len().saturating_sub(bytes.len());
    let skipped = bytes.len().saturating_sub(field.len());
    field[from..].copy_from_slice(&bytes[skipped..]);
    field[0] |= 0x80;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_while_they_fit() {
        let mut field = [0; 12];
        number(&mut field, 0o1234);
        assert_eq!(&field, b"00000001234\0");
        number(&mut field, (1 << 33) - 1);
        assert_eq!(&field, b"77777777777\0");
        number(&mut field, 1 << 33);
        assert_eq!(field, [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn members_end_at_a_block() {
        assert_eq!([0, 1, 511, 512, 513].map(|bytes| padding(bytes).len()), [0, 511, 1, 0, 511]);
    }
}
