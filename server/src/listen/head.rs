//! Checks the head of a request before the HTTP library sees it: whether it is well formed and within the limits, where
//! its body ends, and which characters of its address must be escaped.
//!
//! The library refuses a head that it cannot parse before any handler runs, with a status and without a message. Every
//! rule of its parser is therefore checked here first, so that the refusal becomes an answer with a body. Bytes that an
//! address may not contain but that clients send (`"`, `<`, `{`, `é` …) are escaped, as the client should have done.
//! Nothing else of a head is changed.
//!
//! The length of the body follows RFC 9112, without leniency where two readers might disagree: `Content-Length`
//! together with `Transfer-Encoding`, two different lengths, and encodings other than `chunked` are refused.

use hyper::StatusCode;

use crate::config::values::show_size;
use crate::error::ApiError;

/// Maximum number of fields in a head.
pub const FIELDS_MAX: usize = 100;
/// Maximum length of an address that the HTTP library supports, bytes.
const TARGET_MAX: usize = u16::MAX as usize - 1;
/// Maximum length of a method, bytes. All existing methods are much shorter.
const METHOD_MAX: usize = 32;
/// Number of bytes of a path that are inspected to find the format of a refusal.
const PATH_SHOWN: usize = 200;

/// The limits on a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Maximum bytes of the escaped address (`max_url`).
    pub target: usize,
    /// Maximum bytes of the fields (`max_header`).
    pub fields: usize,
}

impl HeadLimits {
    /// Maximum bytes of a head within the limits.
    pub fn head(self) -> usize {
        self.target() + self.fields + METHOD_MAX + b" HTTP/1.1\r\n".len() + 1
    }

    fn target(self) -> usize {
        self.target.min(TARGET_MAX)
    }
}

/// The body that follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A body of this many bytes.
    Length(u64),
    /// A chunked body, which ends with an empty chunk.
    Chunked,
}

/// A head that the HTTP library will accept.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length as sent, bytes.
    pub length: usize,
    /// The head with its address escaped, if that is necessary.
    pub escaped: Option<Vec<u8>>,
    /// The body that follows.
    pub framing: Framing,
}

/// A head that is refused.
#[derive(Debug)]
pub struct Refusal {
    /// The answer.
    pub error: ApiError,
    /// The path, as far as it could be parsed, which determines the format of the answer.
    pub path: String,
    /// Whether the method is HEAD, so that the answer has no body.
    pub is_head: bool,
}

impl Refusal {
    /// The refusal of the head that begins with `bytes`.
    pub fn of(bytes: &[u8], error: ApiError) -> Refusal {
        Refusal { error, path: path(bytes), is_head: bytes.starts_with(b"HEAD ") }
    }
}

/// Examines the bytes of a connection at the beginning of a head. `None` while the head is incomplete. The first
/// `scanned` bytes were examined before and contain no end.
///
/// # Errors
/// The refusal, as soon as it is certain.
pub fn examine(bytes: &[u8], scanned: usize, limits: HeadLimits) -> Result<Option<Head>, Box<Refusal>> {
    let refuse = |error| Box::new(Refusal::of(bytes, error));
    let end = end(bytes, scanned);
    check_method(bytes).map_err(refuse)?;
    let Some(line_end) = memchr::memchr(b'\n', bytes) else {
        // At most a method, the address and a version.
        return match bytes.len() > limits.target() + METHOD_MAX + 12 {
            true => Err(refuse(too_long(bytes.len(), limits))),
            false => Ok(None),
        };
    };
    let line = &bytes[..line_end];
    let (target, escaped) = target(line, limits).map_err(refuse)?;
    let fields = end.unwrap_or(bytes.len()) - line_end - 1;
    if fields > limits.fields {
        return Err(refuse(too_large(format!("more than {} (max_header)", show_size(limits.fields as u64)))));
    }
    let Some(length) = end else { return Ok(None) };
    let escaped = escaped
        .map(|escaped| [&bytes[..target.start], escaped.as_bytes(), &bytes[target.end..length]].concat());
    let framing = framing(escaped.as_deref().unwrap_or(&bytes[..length])).map_err(refuse)?;
    Ok(Some(Head { length, escaped, framing }))
}

/// One past the empty line that ends a head.
fn end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let start = scanned.saturating_sub(3);
    memchr::memchr_iter(b'\n', &bytes[start..]).map(|at| start + at + 1).find_map(|next| {
        match bytes[next..] {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad_data(message)
}

fn too_large(what: String) -> ApiError {
    let message = format!("the header has {what}; send less of it, or raise the limit");
    ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "bad_data", message)
}

fn too_long(length: usize, limits: HeadLimits) -> ApiError {
    let limit = show_size(limits.target as u64);
    let message = format!(
        "the address has {length} bytes or more, the limit is {limit} (max_url, at most 64KiB); send the parameters \
         as a form by POST, which queries, series, labels and label values take"
    );
    ApiError::new(StatusCode::URI_TOO_LONG, "bad_data", message)
}

/// Checks the method, as far as it has arrived.
fn check_method(bytes: &[u8]) -> Result<(), ApiError> {
    let length = bytes.iter().take(METHOD_MAX + 1).take_while(|&&b| is_token(b)).count();
    if bytes.first() == Some(&0x16) {
        return Err(bad(
            "this port speaks plain HTTP, and these bytes begin TLS; use http:// in place of https://",
        ));
    }
    match bytes.get(length) {
        _ if length > METHOD_MAX => Err(bad(format!("the method is longer than {METHOD_MAX} bytes"))),
        Some(b' ') if length > 0 => Ok(()),
        None => Ok(()),
        Some(_) => Err(bad(
            "the request does not begin with a method and a space; is the body before it as long as \
             its Content-Length says?",
        )),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The range of the address in a request line, and its escaped form if it needs one.
fn target(line: &[u8], limits: HeadLimits) -> Result<(std::ops::Range<usize>, Option<String>), ApiError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let start = 1 + memchr::memchr(b' ', line).ok_or_else(|| bad("the request line has no address"))?;
    let end = memchr::memrchr(b' ', line).filter(|&end| end > start);
    let end = end.ok_or_else(|| bad("the request line has no address, or no HTTP version after it"))?;
    let (target, version) = (&line[start..end], &line[end + 1..]);
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        let shown = String::from_utf8_lossy(&version[..version.len().min(20)]).into_owned();
        let message =
            format!("{shown:?} after the address is neither HTTP/1.1 nor HTTP/1.0; is a space not escaped?");
        return Err(bad(message));
    }
    if let Some(at) = target.iter().position(|&b| b <= b' ' || b == 0x7f) {
        let byte = target[at];
        let message = format!("byte {} of the address is 0x{byte:02x}; escape it as %{byte:02X}", at + 1);
        return Err(bad(message));
    }
    let escaped = target.iter().any(|&b| !KEPT[b as usize]).then(|| escape(target));
    let length = escaped.as_ref().map_or(target.len(), String::len);
    if length > limits.target() {
        return Err(too_long(length, limits));
    }
    // An address that begins with a slash and contains only these bytes is a valid URI. Other forms have other rules.
    if target[0] != b'/' {
        let text = escaped.as_ref().map_or(target, |escaped| escaped.as_bytes());
        hyper::Uri::try_from(text).map_err(|e| bad(format!("the address is no URI: {e}")))?;
    }
    Ok((start..end, escaped))
}

/// The bytes that may appear unescaped in an address: those of RFC 3986, and existing escapes. `#` is not one of them:
/// clients never send a fragment, so a `#` belongs to the query.
const KEPT: [bool; 256] = {
    let mut kept = [false; 256];
    let bytes = b"-._~:/?[]@!$&'()*+,;=%ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut at = 0;
    while at < bytes.len() {
        kept[bytes[at] as usize] = true;
        at += 1;
    }
    kept
};

fn escape(target: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut escaped = String::with_capacity(target.len() + 64);
    for &byte in target {
        if KEPT[byte as usize] {
            escaped.push(byte as char);
        } else {
            escaped.push('%');
            escaped.push(HEX[(byte >> 4) as usize] as char);
            escaped.push(HEX[(byte & 15) as usize] as char);
        }
    }
    escaped
}

/// The path in a request line that may be incomplete or malformed.
fn path(bytes: &[u8]) -> String {
    let start = memchr::memchr(b' ', bytes).map_or(bytes.len(), |space| space + 1);
    let plain = bytes[start..].iter().take(PATH_SHOWN).take_while(|&&b| KEPT[b as usize] && b != b'?');
    let path: String = plain.map(|&b| b as char).collect();
    if path.starts_with('/') { path } else { "/".to_owned() }
}

/// Parses a complete head as the HTTP library does, and returns the framing of its body.
fn framing(head: &[u8]) -> Result<Framing, ApiError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(bad("the header has no end where it should")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(too_large(format!("more than {FIELDS_MAX} fields, a fixed limit")));
        }
        Err(e) => return Err(bad(format!("the header is malformed: {e}"))),
    }
    let (mut length, mut is_chunked) = (None, false);
    for field in request.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let parsed =
                content_length(field.value).ok_or_else(|| bad("Content-Length is not a number of bytes"))?;
            if length.replace(parsed).is_some_and(|before| before != parsed) {
                return Err(bad("two Content-Length fields differ"));
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if is_chunked || !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(bad(
                    "Transfer-Encoding may be chunked and nothing else; compress with Content-Encoding",
                ));
            }
            is_chunked = true;
        }
    }
    match (length, is_chunked) {
        (_, true) if request.version != Some(1) => Err(bad("HTTP/1.0 knows no Transfer-Encoding")),
        (Some(_), true) => Err(bad("Content-Length and Transfer-Encoding exclude each other")),
        (None, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Parses a number that consists only of digits. The largest values have a special meaning in the HTTP library.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value)?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|&length: &u64| length <= i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { target: 1024, fields: 512 };

    fn whole(text: &[u8]) -> Result<Head, String> {
        let found = examine(text, 0, LIMITS).map_err(|refusal| refusal.error.message)?;
        Ok(found.expect("a whole head"))
    }

    fn status(text: &[u8]) -> u16 {
        examine(text, 0, LIMITS).unwrap_err().error.status.as_u16()
    }

    #[test]
    fn what_an_address_may_not_hold_is_escaped() {
        let sent = "GET /a{b}?q=x{job=\"é\"}<1#|%22 HTTP/1.1\r\nhost: \"{é}\r\n\r\n";
        let head = whole(sent.as_bytes()).unwrap();
        let expected = "GET /a%7Bb%7D?q=x%7Bjob=%22%C3%A9%22%7D%3C1%23%7C%22 HTTP/1.1\r\nhost: \"{é}\r\n\r\n";
        assert_eq!(String::from_utf8(head.escaped.unwrap()).unwrap(), expected);
        assert_eq!((head.length, head.framing), (sent.len(), Framing::Length(0)));
        let latin = whole(b"GET /?\xe9 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(latin.escaped.unwrap(), b"GET /?%E9 HTTP/1.1\r\n\r\n");
        let plain = b"GET /a?b=[c]&d=%22+e HTTP/1.0\n\nrest";
        assert_eq!(whole(plain), Ok(Head { length: 31, escaped: None, framing: Framing::Length(0) }));
    }

    /// Each byte is either escaped, refused, or accepted unchanged by the HTTP library.
    #[test]
    fn each_byte_passes_the_http_library() {
        for byte in 0..=255u8 {
            for text in
                [[b"/?a".as_slice(), &[byte], b"b"].concat(), [b"/a".as_slice(), &[byte], b"b"].concat()]
            {
                let line = [b"GET ", text.as_slice(), b" HTTP/1.1\r\n\r\n"].concat();
                let Ok(head) = whole(&line) else {
                    assert!(byte <= b' ' || byte == 0x7f, "{byte:#x} is refused");
                    continue;
                };
                let line = head.escaped.as_deref().unwrap_or(&line);
                let target = &line[4..line.len() - 13];
                let uri = hyper::Uri::try_from(target).unwrap();
                assert_eq!(uri.to_string().as_bytes(), target, "{byte:#x}");
            }
        }
    }

    #[test]
    fn refusals_come_as_early_as_they_are_certain() {
        for text in
            [&b""[..], b"GE", b"GET /a", b"GET / HTTP/1.1\r\nhost: x\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n\r"]
        {
            assert!(examine(text, 0, LIMITS).unwrap().is_none(), "{text:?}");
        }
        for (text, part) in [
            (&b"\x16\x03\x01"[..], "TLS"),
            (b"\x00", "method"),
            (b" ", "method"),
            (b"GET\r\n", "method"),
            (b"GET /a b HTTP/1.1\r\n", "byte 3 of the address is 0x20; escape it as %20"),
            (b"GET /a\x01 HTTP/1.1\r\n", "escape it as %01"),
            (b"GET /a\x7f HTTP/1.1\r\n", "escape it as %7F"),
            (b"GET / \r\n", "HTTP/1.1"),
            (b"GET /\r\n", "no HTTP version"),
            (b"GET  HTTP/1.1\r\n", "no HTTP version"),
            (b"GET / HTTP/9.9\r\n", "HTTP/9.9"),
            (b"GET http:// HTTP/1.1\r\n", "no URI"),
            (b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", "header name"),
            (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", "header name"),
            (b"GET / HTTP/1.1\r\na: \x01\r\n\r\n", "header value"),
        ] {
            let refusal = examine(text, 0, LIMITS).unwrap_err();
            assert!(refusal.error.message.contains(part), "{text:?}: {}", refusal.error.message);
            assert_eq!(refusal.error.status, 400);
        }
        let refusal = examine(b"HEAD /api/v2/write?x y HTTP/1.1\r\n", 0, LIMITS).unwrap_err();
        assert_eq!((refusal.path.as_str(), refusal.is_head), ("/api/v2/write", true));
    }

    #[test]
    fn lengths_have_limits() {
        let of = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
        let fits = of(&format!("/{}", "x".repeat(1023)), &format!("a: {}\r\n", "y".repeat(505)));
        assert!(whole(fits.as_bytes()).is_ok());
        assert!(fits.len() <= LIMITS.head());
        assert_eq!(status(of(&format!("/{}", "x".repeat(1024)), "").as_bytes()), 414);
        assert_eq!(status(of(&format!("/{}", "\"".repeat(342)), "").as_bytes()), 414, "escaped");
        assert_eq!(status(format!("GET /{}", "x".repeat(1100)).as_bytes()), 414, "before its end");
        assert_eq!(status(of("/", &format!("a: {}\r\n", "y".repeat(506))).as_bytes()), 431);
        assert_eq!(
            status(format!("GET / HTTP/1.1\r\na: {}", "y".repeat(600)).as_bytes()),
            431,
            "before its end"
        );
        assert_eq!(status(of("/", &"a:\r\n".repeat(101)).as_bytes()), 431);
        assert!(whole(of("/", &"a:\r\n".repeat(100)).as_bytes()).is_ok());
        assert_eq!(status("x".repeat(33).as_bytes()), 400);
    }

    #[test]
    fn what_follows_is_certain() {
        let of = |fields: &str| {
            whole(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).map(|head| head.framing)
        };
        assert_eq!(of(""), Ok(Framing::Length(0)));
        assert_eq!(of("Content-Length: 5\r\ncontent-length: 5\r\n"), Ok(Framing::Length(5)));
        assert_eq!(of("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for fields in [
            "content-length: -5\r\n",
            "content-length: +5\r\n",
            "content-length: 5, 5\r\n",
            "content-length:\r\n",
            "content-length: 18446744073709551615\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: \r\n",
        ] {
            assert!(of(fields).is_err(), "{fields}");
        }
        assert!(whole(b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        for text in
            [&b"GET / HTTP/1.1\r\na: b\r\n\r\n"[..], b"GET / HTTP/1.1\na: b\n\n", b"GET / HTTP/1.1\r\n\r\n"]
        {
            for cut in 0..text.len() {
                assert!(examine(&text[..cut], 0, LIMITS).unwrap().is_none(), "{cut}");
                assert_eq!(examine(text, cut, LIMITS).unwrap().unwrap().length, text.len(), "{cut}");
            }
        }
    }
}
