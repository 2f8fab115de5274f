//! The tables in a record of a MANIFEST: which it adds, which it removes, and their family.
//!
//! # Format
//! A record is a sequence of fields, each a tag as a varint followed by the data of the tag. Tags and fields are those
//! of RocksDB 11.8 (`db/version_edit.h`, enum `Tag`; `VersionEdit::DecodeFrom`). Tags from 8,192 on are skipped by
//! their length, as RocksDB does with those that it does not know.
//!
//! | tag | fields | here |
//! | --- | --- | --- |
//! | 1 | string | name of the comparator |
//! | 2, 3, 4, 9, 10 | varint | log number, next file, last sequence, earlier log, oldest log |
//! | 5 | varint, string | where compaction of a level continues |
//! | 6 | varint, varint | level and number of a table that is removed |
//! | 103 | varint ×3, string ×2, varint ×2, then (varint, string) until tag 1 | a table that is added: level, number, size |
//! | 200, 203 | varint | family of the record; largest family |
//! | 201 | string | a family is created |
//! | 202 | nothing | a family is dropped |
//! | 300 | varint | records that follow in one group |

use std::result::Result;

/// The bit of tags that carry their length.
const SKIPPABLE: u64 = 1 << 13;

/// The effect of one record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    /// The number of its family.
    pub family: u64,
    /// Name of the family that it creates.
    pub creates: Option<String>,
    /// Numbers of the tables that it adds.
    pub adds: Vec<u64>,
    /// Numbers of the tables that it removes.
    pub removes: Vec<u64>,
    /// Whether it is one of several that belong together.
    pub is_grouped: bool,
}

/// Reads a record's payload.
///
/// # Errors
/// A field is unknown or incomplete.
pub(super) fn read(payload: &[u8]) -> Result<Edit, String> {
    let mut fields = Fields { rest: payload };
    let mut edit = Edit::default();
    while !fields.rest.is_empty() {
        match fields.varint()? {
            1 => drop(fields.string()?),
            2 | 3 | 4 | 9 | 10 | 203 => drop(fields.varint()?),
            5 => {
                fields.varint()?;
                fields.string()?;
            }
            6 => {
                fields.varint()?;
                edit.removes.push(fields.varint()?);
            }
            103 => edit.adds.push(fields.added()?),
            200 => edit.family = fields.varint()?,
            201 => edit.creates = Some(String::from_utf8_lossy(fields.string()?).into_owned()),
            202 => {}
            300 => {
                fields.varint()?;
                edit.is_grouped = true;
            }
            tag if tag & SKIPPABLE != 0 => drop(fields.string()?),
            tag => return Err(format!("field {tag} of a record is not known")),
        }
    }
    Ok(edit)
}

struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or("a field is truncated")?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of a field is longer than 64 bits".to_owned())
    }

    fn string(&mut self) -> Result<&'b [u8], String> {
        let length = self.varint()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.rest.len());
        let (string, rest) = self.rest.split_at(length.ok_or("a field is truncated")?);
        self.rest = rest;
        Ok(string)
    }

    /// The number of a table that is added.
    fn added(&mut self) -> Result<u64, String> {
        self.varint()?;
        let number = self.varint()?;
        self.varint()?;
        self.string()?;
        self.string()?;
        self.varint()?;
        self.varint()?;
        while self.varint()? != 1 {
            self.string()?;
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_unknown_ones_refused() {
        let mut bytes = vec![200, 1, 2, 3, 9, 6, 0, 7, 103];
        bytes.extend([0, 0x81, 1, 5, 1, b'a', 1, b'z', 0, 0, 5, 1, 9, 1]);
        let edit = Edit { family: 2, adds: vec![129], removes: vec![7], ..Edit::default() };
        assert_eq!(read(&bytes), Ok(edit));
        for cut in 1..bytes.len() {
            // No prefix panics. One that ends between fields is a record by itself.
            let _ = read(&bytes[..cut]);
        }
        assert_eq!(read(&[99]), Err("field 99 of a record is not known".to_owned()));
        assert_eq!(read(&[0x81, 0x40, 3, 1, 2, 3]), Ok(Edit::default()), "skipped by its length");
        assert!(read(&[0x81, 0x40, 4, 1, 2, 3]).is_err());
        assert!(read(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
    }
}
