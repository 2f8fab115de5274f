//! The parameters of a request: from the URL and, in a POST or PUT, from a form body.
//!
//! Both sources count. The values of a urlencoded body come before those of the URL, and those of a multipart body
//! after them, as in Prometheus. Decoding is strict: a malformed percent escape, or bytes that are not UTF-8, are an
//! error that names the parameter, so a label value never gets a replacement character.
//!
//! A form is decoded in place, so that its text is in memory only once.

use std::ops::Range;
use std::time::Duration;

use barograph::{Resolution, TierChoice};

use crate::error::ApiError;
use crate::http::multipart;

/// Maximum number of parameters in a request. No legitimate request has more.
pub const PARAMS_MAX: usize = 1_000;

/// Decoded parameters in order. A name may occur several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    sources: Vec<Source>,
}

/// The parameters of a URL or of a form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Source {
    /// All names and values, decoded.
    text: String,
    /// The ranges of each name and of its value in `text`.
    pairs: Vec<(Range<usize>, Range<usize>)>,
}

impl Params {
    /// Parses `a=b&c=d`.
    ///
    /// # Errors
    /// 400 for a broken escape, bytes that are not UTF-8, or more than [`PARAMS_MAX`].
    pub fn urlencoded(mut text: Vec<u8>) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        // The end of the decoded text, before the next part.
        let mut end = 0;
        let mut next = 0;
        while next < text.len() {
            let start = next;
            let stop = memchr::memchr(b'&', &text[start..]).map_or(text.len(), |found| start + found);
            next = stop + 1;
            if start == stop {
                continue;
            }
            if pairs.len() == PARAMS_MAX {
                return Err(too_many());
            }
            let equal = memchr::memchr(b'=', &text[start..stop]).map_or(stop, |found| start + found);
            let name = decode_in_place(&mut text, start..equal, end, true)
                .map_err(|e| ApiError::bad_data(format!("parameter name: {e}")))?;
            let value = decode_in_place(&mut text, stop.min(equal + 1)..stop, name.end, true)
                .map_err(|e| ApiError::parameter(&String::from_utf8_lossy(&text[name.clone()]), e))?;
            end = value.end;
            pairs.push((name, value));
        }
        Self::within(text, end, pairs)
    }

    /// Parses the parts of a multipart form.
    ///
    /// # Errors
    /// 400 for a malformed body, bytes that are not UTF-8, or more than [`PARAMS_MAX`].
    pub fn multipart(mut body: Vec<u8>, boundary: &str) -> Result<Self, ApiError> {
        let parts = multipart::parse(&body, boundary, PARAMS_MAX)
            .map_err(|reason| ApiError::bad_data(format!("multipart form: {reason}")))?;
        let mut pairs = Vec::with_capacity(parts.len());
        // The end of the kept text, before the next part: a name is shorter than the header that contains it.
        let mut end = 0;
        for (name, value) in parts {
            std::str::from_utf8(&body[value.clone()])
                .map_err(|e| ApiError::parameter(&name, not_utf8(&e)))?;
            let name_end = end + name.len();
            body[end..name_end].copy_from_slice(name.as_bytes());
            let value_end = name_end + value.len();
            body.copy_within(value, name_end);
            pairs.push((end..name_end, name_end..value_end));
            end = value_end;
        }
        Self::within(body, end, pairs)
    }

    /// The parameters at these ranges of `text`; only its first `end` bytes are kept.
    fn within(
        mut text: Vec<u8>,
        end: usize,
        pairs: Vec<(Range<usize>, Range<usize>)>,
    ) -> Result<Self, ApiError> {
        if pairs.is_empty() {
            return Ok(Self::default());
        }
        text.truncate(end);
        text.shrink_to_fit();
        let text = utf8(text).map_err(ApiError::bad_data)?;
        Ok(Params { sources: vec![Source { text, pairs }] })
    }

    /// Appends the parameters of `other`.
    ///
    /// # Errors
    /// 400 if there would be more than [`PARAMS_MAX`].
    pub fn append(&mut self, mut other: Params) -> Result<(), ApiError> {
        self.sources.append(&mut other.sources);
        let count: usize = self.sources.iter().map(|source| source.pairs.len()).sum();
        if count > PARAMS_MAX { Err(too_many()) } else { Ok(()) }
    }

    /// Memory of the parameters, bytes.
    pub fn bytes(&self) -> u64 {
        let bytes = |source: &Source| {
            source.text.capacity() + source.pairs.capacity() * size_of::<(Range<usize>, Range<usize>)>()
        };
        self.sources.iter().map(|source| bytes(source) as u64).sum()
    }

    /// Names and values, in order.
    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().flat_map(|Source { text, pairs }| {
            pairs.iter().map(move |(name, value)| (&text[name.clone()], &text[value.clone()]))
        })
    }

    /// The first value of `name`; an empty value counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, v)| *n == name && !v.is_empty()).map(|(_, v)| v)
    }

    /// The first value of `name`.
    ///
    /// # Errors
    /// 400 when it is absent.
    pub fn require(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::parameter(name, "it is required"))
    }

    /// All values of `name`, in order.
    pub fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The value as a switch: `true` or `1`, `false` or `0`. A missing value is false.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn switch(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(ApiError::parameter(name, format!("expected true or false, found {other:?}"))),
        }
    }

    /// The parameter `tier`: `raw`, `exact`, or the width of the buckets that answer, such as `1h`. A missing value means
    /// `exact`.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn tier(&self) -> Result<TierChoice, ApiError> {
        match self.get("tier") {
            None | Some("exact") => Ok(TierChoice::Exact),
            Some("raw") => Ok(TierChoice::Raw),
            Some(name) => {
                let width = resolution(name, "raw, exact or one of")?.width_ns();
                Ok(TierChoice::Width(Duration::from_nanos(width.unsigned_abs())))
            }
        }
    }

    /// The parameter `tier` where it is the width of buckets.
    ///
    /// # Errors
    /// 400 for anything else, also if it is missing.
    pub fn bucket_width(&self) -> Result<Resolution, ApiError> {
        resolution(self.get("tier").unwrap_or_default(), "one of")
    }

    /// The parameter `max_error`: the largest relative error of an estimate that is accepted; `None` accepts all.
    ///
    /// # Errors
    /// 400 for anything but a number from 0 on.
    pub fn max_error(&self) -> Result<Option<f64>, ApiError> {
        let Some(text) = self.get("max_error") else { return Ok(None) };
        let found = text.parse::<f64>().ok().filter(|error| *error >= 0.0);
        let wrong =
            || ApiError::parameter("max_error", format!("expected a number from 0 on, found {text:?}"));
        found.map(Some).ok_or_else(wrong)
    }

    /// The value as a limit. 0, negative numbers and a missing value mean no limit.
    ///
    /// # Errors
    /// 400 for anything but a whole number.
    pub fn limit(&self, name: &str) -> Result<usize, ApiError> {
        match self.get(name) {
            None => Ok(0),
            Some(text) => text
                .parse::<i64>()
                .map(|n| usize::try_from(n).unwrap_or(0))
                .map_err(|_| ApiError::parameter(name, format!("expected a whole number, found {text:?}"))),
        }
    }
}

fn too_many() -> ApiError {
    ApiError::bad_data(format!(
        "there are more than {PARAMS_MAX} parameters, which is a fixed limit; send fewer"
    ))
}

/// Decodes percent escapes, and `+` as a space if the text comes from a form.
///
/// # Errors
/// The byte offset of a malformed escape, or that the result is not UTF-8.
pub fn decode(text: &[u8], plus_is_space: bool) -> Result<String, String> {
    let mut bytes = text.to_vec();
    let decoded = decode_in_place(&mut bytes, 0..text.len(), 0, plus_is_space)?;
    bytes.truncate(decoded.end);
    utf8(bytes)
}

/// Decodes a part of `text` in place, to position `to`, which is not after the start of the part. Returns the decoded
/// range.
///
/// # Errors
/// Same as [`decode`], with offsets from the start of the part.
fn decode_in_place(
    text: &mut [u8],
    part: Range<usize>,
    to: usize,
    plus_is_space: bool,
) -> Result<Range<usize>, String> {
    let (mut at, mut end) = (part.start, to);
    while at < part.end {
        let (byte, length) = match text[at] {
            b'%' => {
                let byte = text[at + 1..part.end]
                    .first_chunk::<2>()
                    .and_then(|hex| Some((hex_digit(hex[0])? << 4) | hex_digit(hex[1])?))
                    .ok_or_else(|| format!("broken percent escape at byte {}", at - part.start + 1))?;
                (byte, 3)
            }
            b'+' if plus_is_space => (b' ', 1),
            byte => (byte, 1),
        };
        text[end] = byte;
        (at, end) = (at + length, end + 1);
    }
    std::str::from_utf8(&text[to..end]).map_err(|e| not_utf8(&e))?;
    Ok(to..end)
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|e| not_utf8(&e.utf8_error()))
}

fn not_utf8(error: &std::str::Utf8Error) -> String {
    format!("not UTF-8 after byte {}", error.valid_up_to())
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// The label name in a path segment. `U__` begins an escaped name, in which `__` is an underscore and `_HEX_` a code
/// point. Any other segment is the name itself.
///
/// # Errors
/// 400 for a malformed escape.
pub fn unescape_label_name(segment: &str) -> Result<String, ApiError> {
    let Some(rest) = segment.strip_prefix("U__") else {
        return Ok(segment.to_owned());
    };
    let broken = |at: usize| {
        ApiError::bad_data(format!("invalid label name {segment:?}: broken escape at byte {}", at + 4))
    };
    let mut name = String::with_capacity(rest.len());
    let mut at = 0;
    while let Some(underscore) = rest[at..].find('_') {
        let escape = at + underscore;
        name.push_str(&rest[at..escape]);
        let tail = &rest[escape + 1..];
        let length = tail.find('_').ok_or_else(|| broken(escape))?;
        match &tail[..length] {
            "" => name.push('_'),
            hex => {
                let code = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() <= 6);
                name.push(code.and_then(char::from_u32).ok_or_else(|| broken(escape))?);
            }
        }
        at = escape + 1 + length + 1;
    }
    name.push_str(&rest[at..]);
    Ok(name)
}

/// The resolution that the parameter `tier` names; `besides` begins the list of what it may be.
fn resolution(name: &str, besides: &str) -> Result<Resolution, ApiError> {
    Resolution::parse(name).ok_or_else(|| {
        let known = Resolution::all().map(Resolution::name).collect::<Vec<_>>().join(", ");
        ApiError::parameter("tier", format!("expected {besides} {known}, found {name:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::urlencoded(text.into()).unwrap()
    }

    #[test]
    fn repeated_and_empty_values() {
        let params = params("match[]=a&match%5B%5D=b+c&time=&x=%C3%A9=1&&flag");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(params.get("time"), None);
        assert_eq!(params.get("x"), Some("é=1"));
        assert_eq!(params.all("flag").collect::<Vec<_>>(), [""]);
        assert!(params.require("time").unwrap_err().message.contains("\"time\""));
    }

    #[test]
    fn broken_text_is_an_error() {
        for (text, part) in
            [("q=%zz", "byte 1"), ("q=ab%2", "byte 3"), ("q=%ff", "not UTF-8"), ("%=1", "parameter name")]
        {
            let error = Params::urlencoded(text.into()).unwrap_err();
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
        let many = "a=1&".repeat(PARAMS_MAX + 1);
        assert!(Params::urlencoded(many.into()).is_err());
        let (mut most, one) = (params(&"a=1&".repeat(PARAMS_MAX)), params("b=1"));
        assert!(most.append(one).is_err());
        let part = b"--X\r\ncontent-disposition: form-data; name=q\r\n\r\n\xff\r\n--X--";
        let error = Params::multipart(part.to_vec(), "X").unwrap_err();
        assert!(error.message.contains("\"q\": not UTF-8 after byte 0"), "{}", error.message);
    }

    #[test]
    fn a_form_stays_where_it_is() {
        let body = format!("match[]={}&%71=u%70+1&match[]=b", "%61".repeat(10_000)).into_bytes();
        let place = body.as_ptr();
        let form = Params::urlencoded(body).unwrap();
        assert_eq!(form.all("match[]").collect::<Vec<_>>(), ["a".repeat(10_000).as_str(), "b"]);
        assert_eq!(form.get("q"), Some("up 1"));
        assert_eq!(form.sources[0].text.as_ptr(), place);
        assert!(
            (10_000..10_500).contains(&form.bytes()),
            "{}: the memory of escapes is released",
            form.bytes()
        );

        let part = |name, value: &str| {
            format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let long = "é".repeat(10_000);
        let body = [part("match[]", &long), part("q\\\"", "up"), part("", ""), "--X--".to_owned()].concat();
        let mut form = Params::multipart(body.into_bytes(), "X").unwrap();
        form.append(params("q=1")).unwrap();
        let found: Vec<_> = form.iter().collect();
        assert_eq!(found, [("match[]", long.as_str()), ("q\"", "up"), ("", ""), ("q", "1")]);
    }

    #[test]
    fn a_limit_of_less_than_one_is_none() {
        for (text, limit) in [("limit=7", 7), ("", 0), ("limit=0", 0), ("limit=-1", 0)] {
            assert_eq!(params(text).limit("limit").unwrap(), limit, "{text}");
        }
        for text in ["1.5", "x", "99999999999999999999"] {
            assert!(params(&format!("limit={text}")).limit("limit").is_err(), "{text}");
        }
    }

    #[test]
    fn escaped_label_names() {
        for (segment, name) in [
            ("job", "job"),
            ("U__", ""),
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U___1F600_x", "😀x"),
            ("U__plain", "plain"),
        ] {
            assert_eq!(unescape_label_name(segment).unwrap(), name, "{segment}");
        }
        for segment in ["U___", "U__a_zz_", "U__a_d800_", "U__a_1234567_", "U__a_2e"] {
            assert!(unescape_label_name(segment).is_err(), "{segment}");
        }
    }
}
