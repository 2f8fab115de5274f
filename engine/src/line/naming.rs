//! From a line's names to a label set.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::line::error::{LineErrorKind, quote};
use crate::line::scan::{measurement_end, name_end};
use crate::model::{Labels, LabelsError, METRIC_NAME};

/// The label that holds the field under [`Naming::MeasurementOnlyWithFieldLabel`].
pub const FIELD_LABEL: &str = "_field";

/// The field key that adds nothing to a measurement's name.
const PLAIN_FIELD: &str = "value";

/// How measurement and field make a metric name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Naming {
    /// `measurement_field`; a field named `value` adds nothing, so `up value=1` is `up`.
    #[default]
    MeasurementField,
    /// The field alone. The measurement is dropped: fields of one name in two
    /// measurements become one series where their tags are equal.
    FieldOnly,
    /// The measurement alone, the field in the label [`FIELD_LABEL`].
    MeasurementOnlyWithFieldLabel,
}

/// A naming that is none.
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

/// The label set of one field of a line. `extra` labels are added where the line has no
/// tag of that name; labels with empty values are left out.
///
/// ```
/// use barograph_engine::line::{Naming, labels};
/// let extra = [("db".to_owned(), "lab".to_owned())];
/// let set = labels(br"disk\ io,host=a", b"reads", &extra, &Naming::MeasurementField).unwrap();
/// assert_eq!(set.to_string(), r#"disk io_reads{db="lab", host="a"}"#);
/// ```
///
/// # Errors
/// A tag key that occurs twice, a tag that the name is kept under, and, for bytes that do
/// not come from a [`crate::line::Line`], what the check of a line would have found.
pub fn labels(
    series_key: &[u8],
    field_key: &[u8],
    extra: &[(String, String)],
    naming: &Naming,
) -> Result<Labels, LineErrorKind> {
    let measurement_end = measurement_end(series_key, 0);
    let measurement = unescape(&series_key[..measurement_end], is_measurement_escape)?;
    let field = unescape(field_key, is_name_escape)?;
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::with_capacity(extra.len() + 16);
    for tag in Tags::new(series_key) {
        let (_, key, value) = tag?;
        let reserved =
            key == METRIC_NAME || (key == FIELD_LABEL && *naming == Naming::MeasurementOnlyWithFieldLabel);
        if reserved {
            return Err(LineErrorKind::ReservedTag { key: key.into_owned() });
        }
        pairs.push((key, value));
    }
    let tags = pairs.len();
    for (key, value) in extra {
        if !pairs[..tags].iter().any(|(name, _)| name == key) {
            pairs.push((Cow::Borrowed(key), Cow::Borrowed(value)));
        }
    }
    let name = match naming {
        Naming::MeasurementField if field == PLAIN_FIELD => measurement,
        Naming::MeasurementField => Cow::Owned(format!("{measurement}_{field}")),
        Naming::FieldOnly => field,
        Naming::MeasurementOnlyWithFieldLabel => {
            pairs.push((Cow::Borrowed(FIELD_LABEL), field));
            measurement
        }
    };
    pairs.push((Cow::Borrowed(METRIC_NAME), name));
    Labels::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value))).map_err(|error| match error {
        LabelsError::Duplicate { name } => LineErrorKind::DuplicateTag { key: name },
        _ => LineErrorKind::EmptyTagKey,
    })
}

/// Offset in `series_key` of the last tag whose key is `key`.
pub(super) fn last_tag(series_key: &[u8], key: &str) -> Option<usize> {
    Tags::new(series_key).filter_map(Result::ok).filter(|(_, k, _)| k == key).map(|(at, ..)| at).last()
}

/// Iterates over the tags of a series key: offset, key, value.
struct Tags<'a> {
    bytes: &'a [u8],
    /// The same as text where nothing in it is escaped, as nearly always: checked once, not name by name.
    plain: Option<&'a str>,
    /// Offset of the comma before the next tag, or the end.
    at: usize,
}

impl<'a> Tags<'a> {
    fn new(series_key: &'a [u8]) -> Self {
        let has_escapes = memchr::memchr(b'\\', series_key).is_some();
        let plain = if has_escapes { None } else { std::str::from_utf8(series_key).ok() };
        Tags { bytes: series_key, plain, at: measurement_end(series_key, 0) }
    }

    /// The name between two delimiters, which are ASCII.
    fn name(&self, at: Range<usize>) -> Result<Cow<'a, str>, LineErrorKind> {
        match self.plain {
            Some(text) => Ok(Cow::Borrowed(&text[at])),
            None => unescape(&self.bytes[at], is_name_escape),
        }
    }

    fn tag(&mut self) -> Result<(usize, Cow<'a, str>, Cow<'a, str>), LineErrorKind> {
        let start = self.at + 1;
        let equals = name_end(self.bytes, start);
        let key = self.name(start..equals)?;
        if self.bytes.get(equals) != Some(&b'=') {
            return Err(LineErrorKind::MissingTagValue { key: key.into_owned() });
        }
        let end = name_end(self.bytes, equals + 1);
        if !matches!(self.bytes.get(end), None | Some(b',')) {
            return Err(LineErrorKind::UnescapedEquals { key: key.into_owned() });
        }
        let value = self.name(equals + 1..end)?;
        self.at = end;
        Ok((start, key, value))
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Result<(usize, Cow<'a, str>, Cow<'a, str>), LineErrorKind>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.get(self.at) != Some(&b',') {
            return None;
        }
        let tag = self.tag();
        if tag.is_err() {
            self.at = self.bytes.len();
        }
        Some(tag)
    }
}

fn is_measurement_escape(byte: u8) -> bool {
    matches!(byte, b',' | b' ')
}

fn is_name_escape(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'=')
}

/// A name without the backslashes that escape.
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
