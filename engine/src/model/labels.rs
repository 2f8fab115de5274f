//! Label sets: the identity of a series.
//!
//! A set is one shared byte string in a canonical form. Cloning it increments a reference count, hashing and equality
//! are one pass over bytes, and the in-memory form is also the stored form.
//!
//! # Format
//! For each label, in ascending order of name bytes: `varint(name length)`, name,
//! `varint(value length)`, value. Names and values are UTF-8 and never empty. A set is
//! valid iff every length stays inside the bytes, names ascend strictly, and no name or
//! value is empty.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::model::METRIC_NAME;

/// An immutable, sorted label set. `clone` is cheap.
///
/// ```
/// use barograph_engine::model::Labels;
/// let labels = Labels::from_pairs([("job", "api"), ("__name__", "up")]).unwrap();
/// assert_eq!(labels.get("job"), Some("api"));
/// assert_eq!(labels.to_string(), r#"up{job="api"}"#);
/// ```
#[derive(Clone)]
pub struct Labels {
    bytes: Arc<[u8]>,
}

/// Why bytes or pairs are not a label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// A label name occurs twice.
    #[error("label name {name:?} occurs twice")]
    Duplicate {
        /// The repeated name.
        name: String,
    },
    /// A label name is empty.
    #[error("a label name is empty")]
    EmptyName,
    /// Encoded bytes break the canonical form.
    #[error("label bytes are not canonical at offset {offset}")]
    NotCanonical {
        /// Offset of the first byte that breaks the form.
        offset: usize,
    },
}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Labels { bytes: Arc::from(&[][..]) }
    }

    /// Builds a set from pairs in any order. Pairs with an empty value are left out: an
    /// empty label is the same as no label.
    ///
    /// # Errors
    /// [`LabelsError::Duplicate`] or [`LabelsError::EmptyName`].
    pub fn from_pairs<'a, I>(pairs: I) -> Result<Self, LabelsError>
    where
        I: IntoIterator<Item = (&'a str, &'a str)>,
    {
        let mut kept: Vec<(&str, &str)> = pairs.into_iter().filter(|(_, v)| !v.is_empty()).collect();
        Self::from_unsorted(&mut kept)
    }

    /// Same as [`Labels::from_pairs`] for pairs whose values are not empty; sorts them in place.
    pub(crate) fn from_unsorted(pairs: &mut [(&str, &str)]) -> Result<Self, LabelsError> {
        // Most writers send their tags sorted.
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_unstable_by(|a, b| a.0.cmp(b.0));
        }
        if pairs.first().is_some_and(|pair| pair.0.is_empty()) {
            return Err(LabelsError::EmptyName);
        }
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelsError::Duplicate { name: pair[0].0.to_owned() });
        }
        Ok(Self::from_sorted(pairs))
    }

    /// Encodes pairs that are already sorted, unique and not empty.
    fn from_sorted(pairs: &[(&str, &str)]) -> Self {
        let size: usize = pairs.iter().map(|(n, v)| encoded_len(n) + encoded_len(v)).sum();
        // Most sets fit, in which case the only allocation is that of the set itself.
        let (mut small, mut large) = ([0; SMALL_SET_BYTES], Vec::new());
        let bytes = match small.get_mut(..size) {
            Some(bytes) => bytes,
            None => {
                large.resize(size, 0);
                &mut large[..]
            }
        };
        let mut rest = &mut *bytes;
        for (name, value) in pairs {
            rest = put_text(put_text(rest, name), value);
        }
        Labels { bytes: Arc::from(&*bytes) }
    }

    /// Bytes of the allocation that all clones share.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        2 * size_of::<usize>() + self.bytes.len().next_multiple_of(size_of::<usize>())
    }

    /// Checks and adopts the canonical form, as read back from storage.
    ///
    /// # Errors
    /// [`LabelsError::NotCanonical`] with the offset of the first broken byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LabelsError> {
        let mut offset = 0;
        let mut previous: &[u8] = &[];
        // One pass over all bytes usually checks all texts at once.
        let is_ascii = bytes.is_ascii();
        let is_text = |part: &[u8]| is_ascii || std::str::from_utf8(part).is_ok();
        while offset < bytes.len() {
            let broken = LabelsError::NotCanonical { offset };
            let Some((name, after_name)) = read_part(bytes, offset) else { return Err(broken) };
            let Some((value, after_value)) = read_part(bytes, after_name) else { return Err(broken) };
            // No name sorts before the empty one, so this refuses empty names too.
            if previous >= name || value.is_empty() || !is_text(name) || !is_text(value) {
                return Err(broken);
            }
            previous = name;
            offset = after_value;
        }
        Ok(Labels { bytes: Arc::from(bytes) })
    }

    /// The canonical form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Name and value pairs in ascending order of name.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { parts: self.parts() }
    }

    /// The encoded pairs. Each is a range of [`Labels::as_bytes`], and the same bytes in every set that has the pair.
    pub(crate) fn encoded_pairs(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let (_, _, length) = read_pair(rest)?;
            let (pair, after) = rest.split_at(length);
            rest = after;
            Some(pair)
        })
    }

    /// The pairs as bytes, for callers that only compare or count.
    fn parts(&self) -> Parts<'_> {
        Parts { bytes: &self.bytes, offset: 0 }
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let wanted = name.as_bytes();
        for (n, v) in self.parts() {
            // Most names differ in their first byte, and comparing that takes no call.
            match n.first().cmp(&wanted.first()).then_with(|| n.cmp(wanted)) {
                Ordering::Less => {}
                Ordering::Equal => return std::str::from_utf8(v).ok(),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The metric name, if the set has one.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// The number of labels in the set.
    pub fn len(&self) -> usize {
        self.parts().count()
    }

    /// Whether the set has no labels.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A builder that starts from this set.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// The set without the labels for which `drop` returns true.
    pub fn without(&self, mut drop: impl FnMut(&str) -> bool) -> Labels {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        self.copy_kept(|name| !std::str::from_utf8(name).is_ok_and(&mut drop), &mut bytes);
        if bytes.len() == self.bytes.len() { self.clone() } else { Labels { bytes: bytes.into() } }
    }

    /// Appends the canonical form of the set of labels whose names `keep` accepts, so that sets can be compared without
    /// creating new ones.
    pub fn copy_kept(&self, mut keep: impl FnMut(&[u8]) -> bool, out: &mut Vec<u8>) {
        let mut parts = self.parts();
        let mut start = 0;
        while let Some((name, _)) = parts.next() {
            if keep(name) {
                out.extend_from_slice(&self.bytes[start..parts.offset]);
            }
            start = parts.offset;
        }
    }
}

/// Encoded sets up to this size are assembled on the stack.
const SMALL_SET_BYTES: usize = 512;

/// The number of bytes that [`put_text`] writes.
#[inline]
fn encoded_len(text: &str) -> usize {
    let (mut length, mut bytes) = (text.len() >> 7, 1);
    while length > 0 {
        (length, bytes) = (length >> 7, bytes + 1);
    }
    bytes + text.len()
}

/// Writes a name or value to the front of `out`, which must have room for it, and returns the rest.
#[inline]
fn put_text<'a>(mut out: &'a mut [u8], text: &str) -> &'a mut [u8] {
    let mut length = text.len();
    while length >= 0x80 {
        out[0] = length as u8 | 0x80;
        out = &mut out[1..];
        length >>= 7;
    }
    out[0] = length as u8;
    let (front, rest) = out[1..].split_at_mut(text.len());
    front.copy_from_slice(text.as_bytes());
    rest
}

/// Appends a pair in the encoding of a set.
pub(crate) fn push_pair(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let start = bytes.len();
    bytes.resize(start + encoded_len(name) + encoded_len(value), 0);
    put_text(put_text(&mut bytes[start..], name), value);
}

/// The pair that `bytes` begin with, and its encoded length.
#[inline]
pub(crate) fn read_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let (name, after_name) = read_part(bytes, 0)?;
    let (value, end) = read_part(bytes, after_name)?;
    Some((name, value, end))
}

/// The number of equal bytes at the start of two slices.
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const WORD: usize = 8;
    let word = |bytes: &[u8], at| bytes.get(at..).and_then(|tail| tail.first_chunk::<WORD>()).copied();
    let mut at = 0;
    while word(a, at).is_some() && word(a, at) == word(b, at) {
        at += WORD;
    }
    at + a[at..].iter().zip(b.get(at..).unwrap_or_default()).take_while(|(a, b)| a == b).count()
}

/// The order of two canonical forms.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let alike = common_prefix(a, b);
    if alike == a.len() || alike == b.len() {
        return a.len().cmp(&b.len());
    }
    // The first differing part begins where all parts before it are equal, including their lengths.
    let mut start = 0;
    while let Some((_, end)) = read_part(a, start).filter(|(_, end)| *end <= alike) {
        start = end;
    }
    let (a, b) = (read_part(a, start), read_part(b, start));
    a.map(|(part, _)| part).cmp(&b.map(|(part, _)| part))
}

/// A name or value, and the offset of the next one.
#[inline]
pub(super) fn read_part(bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let first = *bytes.get(offset)?;
    if first & 0x80 != 0 {
        return read_long_part(bytes, offset);
    }
    let start = offset + 1;
    let end = start + usize::from(first);
    Some((bytes.get(start..end)?, end))
}

/// A part whose length takes more than one byte.
fn read_long_part(bytes: &[u8], mut offset: usize) -> Option<(&[u8], usize)> {
    let mut length = 0u64;
    let mut shift = 0;
    loop {
        let byte = *bytes.get(offset)?;
        offset += 1;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // A trailing zero group would give one set two encodings.
            if byte == 0 && shift > 0 {
                return None;
            }
            break;
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    let end = offset.checked_add(usize::try_from(length).ok()?)?;
    Some((bytes.get(offset..end)?, end))
}

/// Iterates over the pairs of a [`Labels`] as bytes.
#[derive(Debug)]
struct Parts<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, after_name) = read_part(self.bytes, self.offset)?;
        let (value, after_value) = read_part(self.bytes, after_name)?;
        self.offset = after_value;
        Some((name, value))
    }
}

/// Iterates over the pairs of a [`Labels`].
#[derive(Debug)]
pub struct LabelsIter<'a> {
    parts: Parts<'a>,
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.parts.next()?;
        Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;

    fn into_iter(self) -> LabelsIter<'a> {
        self.iter()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes) || self.bytes == other.bytes
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// Compares name, value, name, value …, as matrix results are sorted.
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.bytes, &other.bytes)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Labels::empty()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Labels {
    /// `name{label="value", …}` as Prometheus prints a metric.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        if let Some(name) = name {
            f.write_str(name)?;
        }
        if name.is_some() && self.len() == 1 {
            return Ok(());
        }
        f.write_str("{")?;
        let mut first = true;
        for (label, value) in self.iter().filter(|(n, _)| *n != METRIC_NAME) {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            write!(f, "{label}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// Collects labels one by one. A later value for a name replaces the earlier one.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.remove(name);
        if !value.is_empty() {
            self.pairs.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Removes `name` if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The value set for `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        let mut sorted: Vec<(&str, &str)> =
            self.pairs.iter().filter(|(n, _)| !n.is_empty()).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        sorted.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        Labels::from_sorted(&sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duplicate_and_empty_names_are_refused() {
        assert_eq!(
            Labels::from_pairs([("a", "1"), ("a", "2")]).unwrap_err(),
            LabelsError::Duplicate { name: "a".into() }
        );
        assert_eq!(Labels::from_pairs([("", "1")]).unwrap_err(), LabelsError::EmptyName);
    }

    #[test]
    fn an_empty_value_is_no_label() {
        let labels = Labels::from_pairs([("a", ""), ("b", "x")]).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("b", "x")]);
    }

    #[test]
    fn golden_bytes() {
        let labels = Labels::from_pairs([("job", "api"), ("__name__", "up")]).unwrap();
        assert_eq!(labels.as_bytes(), b"\x08__name__\x02up\x03job\x03api");
    }

    #[test]
    fn broken_bytes_name_their_offset() {
        let at = |bytes: &[u8]| match Labels::from_bytes(bytes) {
            Err(LabelsError::NotCanonical { offset }) => offset,
            other => panic!("{other:?}"),
        };
        assert_eq!(at(b"\x01a\x01b\x01a\x01c"), 4, "names must ascend");
        assert_eq!(at(b"\x01a\x00"), 0, "values are not empty");
        assert_eq!(at(b"\x01a\x05b"), 0, "lengths stay inside");
        assert_eq!(at(b"\x81\x00a\x01b"), 0, "one length, one encoding");
    }

    proptest! {
        #[test]
        fn bytes_round_trip(pairs in proptest::collection::btree_map("[a-z_é]{1,8}", ".{1,200}", 0..12)) {
            let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            let again = Labels::from_bytes(labels.as_bytes()).unwrap();
            prop_assert_eq!(&labels, &again);
            prop_assert_eq!(labels.len(), pairs.len());
            for (n, v) in &pairs {
                prop_assert_eq!(labels.get(n), Some(v.as_str()));
            }
        }

        #[test]
        fn sets_compare_as_their_pairs(
            a in proptest::collection::btree_map("[ab]{1,2}", "(x{0,2}|x{126,130})[xy\\x00é]{0,3}", 0..4),
            b in proptest::collection::btree_map("[ab]{1,2}", "(x{0,2}|x{126,130})[xy\\x00é]{0,3}", 0..4),
        ) {
            let pairs = |set: &std::collections::BTreeMap<String, String>| {
                Labels::from_pairs(set.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
            };
            let (a, b) = (pairs(&a), pairs(&b));
            prop_assert_eq!(a.cmp(&b), a.iter().cmp(b.iter()), "{} {}", a, b);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(labels) = Labels::from_bytes(&bytes) {
                prop_assert_eq!(labels.as_bytes(), &bytes[..]);
            }
        }
    }
}
