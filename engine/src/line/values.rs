//! Field values between the check of a line and their use.
//!
//! A checked line stores 24 bytes per field (the position of its key, and its number or the position of its string), so
//! nothing is parsed twice, and a line of up to 16 fields needs no allocation.

use std::borrow::Cow;
use std::slice;

use smallvec::SmallVec;

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue<'a> {
    /// Digits without a suffix; always finite.
    Float(f64),
    /// Digits with the suffix `i`.
    Int(i64),
    /// Digits with the suffix `u`.
    UInt(u64),
    /// One of the boolean words.
    Bool(bool),
    /// A quoted string without its quotes and escapes.
    Text(Cow<'a, str>),
}

/// A field of a checked line. Offsets are relative to the first byte of the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) key_start: u32,
    pub(super) key_end: u32,
    pub(super) value: RawValue,
}

/// A field's value: a parsed value, or the position of a string.
#[derive(Debug, Clone, Copy)]
pub(super) enum RawValue {
    Float(f64),
    Int(i64),
    UInt(u64),
    Bool(bool),
    Text { start: u32, end: u32, escaped: bool },
}

/// The fields of a line; on the heap beyond 16.
pub(super) type Slots = SmallVec<[Slot; 16]>;

/// Iterates over the fields of a [`crate::line::Line`]: the raw bytes of the key (including escapes, as for
/// [`crate::line::labels`]) and the value.
#[derive(Debug, Clone)]
pub struct Fields<'l, 'a> {
    pub(super) line: &'a [u8],
    pub(super) slots: slice::Iter<'l, Slot>,
}

impl<'a> Iterator for Fields<'_, 'a> {
    type Item = (&'a [u8], FieldValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let slot = self.slots.next()?;
        let key = &self.line[slot.key_start as usize..slot.key_end as usize];
        let value = match slot.value {
            RawValue::Float(v) => FieldValue::Float(v),
            RawValue::Int(v) => FieldValue::Int(v),
            RawValue::UInt(v) => FieldValue::UInt(v),
            RawValue::Bool(v) => FieldValue::Bool(v),
            RawValue::Text { start, end, escaped } => {
                FieldValue::Text(text(&self.line[start as usize..end as usize], escaped))
            }
        };
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_, '_> {}

/// The text of a string without its escapes.
fn text(raw: &[u8], escaped: bool) -> Cow<'_, str> {
    let raw =
        std::str::from_utf8(raw).expect("the line was checked, a string begins and ends at ASCII quotes");
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.as_bytes().first() {
            Some(b'"') => text.push('"'),
            Some(b'\\') => text.push('\\'),
            _ => {
                text.push('\\');
                continue;
            }
        }
        rest = &rest[1..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}
