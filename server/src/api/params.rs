//! The parameters of a request: from the URL and, in a POST or PUT, from a form body.
//!
//! Both sources count, the values of a urlencoded body before those of the URL and those of a
//! multipart body after them, as in Prometheus. Decoding is strict: a
//! broken percent escape or bytes that are not UTF-8 are an error that names the
//! parameter, never a replacement character in a label value.

use crate::api::multipart;
use crate::error::ApiError;

/// Most parameters of one request; more is an attack, not a question.
pub const PARAMS_MAX: usize = 1_000;

/// Decoded parameters in order. A name may occur several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads `a=b&c=d`, appending to what is there.
    ///
    /// # Errors
    /// 400 for a broken escape, bytes that are not UTF-8, or more than [`PARAMS_MAX`].
    pub fn add(&mut self, text: &[u8]) -> Result<(), ApiError> {
        for part in text.split(|&b| b == b'&').filter(|part| !part.is_empty()) {
            if self.pairs.len() == PARAMS_MAX {
                return Err(too_many());
            }
            let equal = memchr::memchr(b'=', part).unwrap_or(part.len());
            let name = decode(&part[..equal], true)
                .map_err(|e| ApiError::bad_data(format!("parameter name: {e}")))?;
            let value = decode(part.get(equal + 1..).unwrap_or(b""), true)
                .map_err(|e| ApiError::parameter(&name, e))?;
            self.pairs.push((name, value));
        }
        Ok(())
    }

    /// Appends the parameters of `other`.
    ///
    /// # Errors
    /// 400 when there are more than [`PARAMS_MAX`] then.
    pub fn append(&mut self, mut other: Params) -> Result<(), ApiError> {
        self.pairs.append(&mut other.pairs);
        if self.pairs.len() > PARAMS_MAX { Err(too_many()) } else { Ok(()) }
    }

    /// Reads the parts of a multipart form, appending to what is there.
    ///
    /// # Errors
    /// 400 for a malformed body, bytes that are not UTF-8, or more than [`PARAMS_MAX`].
    pub fn add_multipart(&mut self, body: &[u8], boundary: &str) -> Result<(), ApiError> {
        let parts = multipart::parse(body, boundary, PARAMS_MAX)
            .map_err(|reason| ApiError::bad_data(format!("multipart form: {reason}")))?;
        for (name, value) in parts {
            let value = utf8(value.to_vec()).map_err(|e| ApiError::parameter(&name, e))?;
            self.pairs.push((name, value));
        }
        if self.pairs.len() > PARAMS_MAX { Err(too_many()) } else { Ok(()) }
    }

    /// Bytes that names and values take.
    pub fn bytes(&self) -> u64 {
        self.pairs.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }

    /// The first value of `name`; an empty value counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
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
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `true` or `1`, `false` or `0`; absence is false.
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

    /// A whole number; 0, what is negative, and absence mean "no limit".
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

/// Decodes percent escapes, and `+` as a space where a form wrote it.
///
/// # Errors
/// The byte offset of a broken escape, or that the result is not UTF-8.
pub fn decode(text: &[u8], plus_is_space: bool) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let byte = text
                    .get(at + 1..at + 3)
                    .and_then(|hex| Some((hex_digit(hex[0])? << 4) | hex_digit(hex[1])?))
                    .ok_or_else(|| format!("broken percent escape at byte {}", at + 1))?;
                bytes.push(byte);
                at += 3;
                continue;
            }
            b'+' if plus_is_space => bytes.push(b' '),
            byte => bytes.push(byte),
        }
        at += 1;
    }
    utf8(bytes)
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|e| format!("not UTF-8 after byte {}", e.utf8_error().valid_up_to()))
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// The label name that a path segment stands for: `U__` begins an escaped one, in which
/// `__` is an underscore and `_HEX_` a code point. Anything else stands for itself.
///
/// # Errors
/// 400 for a broken escape.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        let mut params = Params::default();
        params.add(text.as_bytes()).unwrap();
        params
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
            let error = Params::default().add(text.as_bytes()).unwrap_err();
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
        let many = "a=1&".repeat(PARAMS_MAX + 1);
        assert!(Params::default().add(many.as_bytes()).is_err());
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
