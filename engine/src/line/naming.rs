//! Converts the names in a line to a label set.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use smallvec::SmallVec;

use crate::line::error::{LineErrorKind, quote};
use crate::line::scan::{measurement_end, name_end};
use crate::model::{Labels, LabelsError, METRIC_NAME};

/// The label that contains the field with [`Naming::MeasurementOnlyWithFieldLabel`].
pub const FIELD_LABEL: &str = "_field";

/// The field key that adds nothing to a measurement's name.
const PLAIN_FIELD: &str = "value";

/// How a metric name is made from measurement and field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Naming {
    /// `measurement_field`; a field named `value` adds nothing, so `up value=1` is `up`.
    #[default]
    MeasurementField,
    /// The field alone. The measurement is dropped, so equal fields of two measurements become one series if their tags
    /// are equal.
    FieldOnly,
    /// The measurement alone, the field in the label [`FIELD_LABEL`].
    MeasurementOnlyWithFieldLabel,
}

/// The text is not a naming.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown naming {found:?}: expected measurement-field, field or field-label")]
pub struct UnknownNaming {
    /// What was found.
    pub found: String,
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Naming::MeasurementField => "measurement-field",
            Naming::FieldOnly => "field",
            Naming::MeasurementOnlyWithFieldLabel => "field-label",
        })
    }
}

impl FromStr for Naming {
    type Err = UnknownNaming;

    fn from_str(text: &str) -> Result<Self, UnknownNaming> {
        match text {
            "measurement-field" => Ok(Naming::MeasurementField),
            "field" => Ok(Naming::FieldOnly),
            "field-label" => Ok(Naming::MeasurementOnlyWithFieldLabel),
            other => Err(UnknownNaming { found: quote(other.as_bytes()) }),
        }
    }
}

/// The label set of one field of a line. `extra` labels are added if the line has no tag with that name. Labels with
/// empty values are left out.
///
/// ```
/// use barograph_engine::line::{Naming, labels};
/// let extra = [("db".to_owned(), "lab".to_owned())];
/// let set = labels(br"disk\ io,host=a", b"reads", &extra, &Naming::MeasurementField).unwrap();
/// assert_eq!(set.to_string(), r#"disk io_reads{db="lab", host="a"}"#);
/// ```
///
/// # Errors
/// A tag key that occurs twice; a tag with the name of the metric name; and, for bytes that do not come from a
/// [`crate::line::Line`], the errors that the check of a line would have found.
pub fn labels(
    series_key: &[u8],
    field_key: &[u8],
    extra: &[(String, String)],
    naming: &Naming,
) -> Result<Labels, LineErrorKind> {
    let mut joined = SmallVec::new();
    let end = measurement_end(series_key, 0);
    let has_escapes = [series_key, field_key].iter().any(|bytes| memchr::memchr(b'\\', bytes).is_some());
    if !has_escapes && let (Ok(key), Ok(field)) = (str::from_utf8(series_key), str::from_utf8(field_key)) {
        // The usual case: there are no escapes, so no name needs separate memory.
        let mut pairs = Pairs::new();
        for tag in Tags::new(series_key, end) {
            let tag = tag?;
            pairs.push((&key[tag.key], &key[tag.value]));
        }
        return assemble(&mut joined, &key[..end], field, pairs, extra, naming);
    }
    let measurement = unescape(&series_key[..end], is_measurement_escape)?;
    let field = unescape(field_key, is_name_escape)?;
    let mut tags: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for tag in Tags::new(series_key, end) {
        let tag = tag?;
        let name = |at| unescape(&series_key[at], is_name_escape);
        tags.push((name(tag.key)?, name(tag.value)?));
    }
    let pairs = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
    assemble(&mut joined, &measurement, &field, pairs, extra, naming)
}

/// Pairs of names and values; the first few take no allocation.
type Pairs<'a> = SmallVec<[(&'a str, &'a str); 24]>;

/// The label set of unescaped names. `joined` holds the metric name.
fn assemble<'a>(
    joined: &'a mut SmallVec<[u8; 128]>,
    measurement: &'a str,
    field: &'a str,
    mut pairs: Pairs<'a>,
    extra: &'a [(String, String)],
    naming: &Naming,
) -> Result<Labels, LineErrorKind> {
    let has_field_label = *naming == Naming::MeasurementOnlyWithFieldLabel;
    let is_reserved = |key: &str| key == METRIC_NAME || (has_field_label && key == FIELD_LABEL);
    if let Some((key, _)) = pairs.iter().find(|(key, _)| is_reserved(key)) {
        return Err(LineErrorKind::ReservedTag { key: (*key).to_owned() });
    }
    let tags = pairs.len();
    for (key, value) in extra {
        if !pairs[..tags].iter().any(|(name, _)| name == key) {
            pairs.push((key, value));
        }
    }
    let name = match naming {
        Naming::MeasurementField if field == PLAIN_FIELD => measurement,
        Naming::MeasurementField => {
            [measurement, "_", field].iter().for_each(|part| joined.extend_from_slice(part.as_bytes()));
            str::from_utf8(joined).expect("joined texts are text")
        }
        Naming::FieldOnly => field,
        Naming::MeasurementOnlyWithFieldLabel => {
            pairs.push((FIELD_LABEL, field));
            measurement
        }
    };
    // Most tag names sort after it.
    pairs.insert(0, (METRIC_NAME, name));
    pairs.retain(|(_, value)| !value.is_empty());
    Labels::from_unsorted(&mut pairs).map_err(|error| match error {
        LabelsError::Duplicate { name } => LineErrorKind::DuplicateTag { key: name },
        _ => LineErrorKind::EmptyTagKey,
    })
}

/// Offset in `series_key` of the last tag whose key is `key`.
pub(super) fn last_tag(series_key: &[u8], key: &str) -> Option<usize> {
    let is_it = |tag: &Tag| unescape(&series_key[tag.key.clone()], is_name_escape).is_ok_and(|k| k == key);
    Tags::new(series_key, measurement_end(series_key, 0))
        .filter_map(Result::ok)
        .filter(is_it)
        .map(|tag| tag.key.start)
        .last()
}

/// The position of a tag in a series key, including escapes.
struct Tag {
    key: Range<usize>,
    value: Range<usize>,
}

/// Iterates over the tags of a series key.
struct Tags<'a> {
    bytes: &'a [u8],
    /// Offset of the comma before the next tag, or the end.
    at: usize,
}

impl<'a> Tags<'a> {
    fn new(series_key: &'a [u8], measurement_end: usize) -> Self {
        Tags { bytes: series_key, at: measurement_end }
    }

    #[cold]
    fn fault(&self, key: Range<usize>, kind: fn(String) -> LineErrorKind) -> LineErrorKind {
        unescape(&self.bytes[key], is_name_escape).map_or_else(|reason| reason, |key| kind(key.into_owned()))
    }
}

impl Iterator for Tags<'_> {
    type Item = Result<Tag, LineErrorKind>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.get(self.at) != Some(&b',') {
            return None;
        }
        let start = self.at + 1;
        let equals = name_end(self.bytes, start);
        let key = start..equals;
        if self.bytes.get(equals) != Some(&b'=') {
            self.at = self.bytes.len();
            return Some(Err(self.fault(key, |key| LineErrorKind::MissingTagValue { key })));
        }
        let end = name_end(self.bytes, equals + 1);
        self.at = end;
        if !matches!(self.bytes.get(end), None | Some(b',')) {
            return Some(Err(self.fault(key, |key| LineErrorKind::UnescapedEquals { key })));
        }
        Some(Ok(Tag { key, value: equals + 1..end }))
    }
}

fn is_measurement_escape(byte: u8) -> bool {
    matches!(byte, b',' | b' ')
}

fn is_name_escape(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'=')
}

/// A name without escaping backslashes.
fn unescape(raw: &[u8], is_escape: fn(u8) -> bool) -> Result<Cow<'_, str>, LineErrorKind> {
    let text = std::str::from_utf8(raw)
        .map_err(|error| LineErrorKind::InvalidUtf8 { byte: raw[error.valid_up_to()] })?;
    if memchr::memchr(b'\\', raw).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escapes = rest.as_bytes().get(at + 1).copied().is_some_and(is_escape);
        name.push_str(&rest[..if escapes { at } else { at + 1 }]);
        rest = &rest[at + 1..];
        if escapes {
            name.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    name.push_str(rest);
    Ok(Cow::Owned(name))
}
