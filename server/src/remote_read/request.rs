//! Decodes a ReadRequest.

use barograph::internals::remote::wire::{Fields, WireError};
use barograph::{CompileError, Expressions, MatchOp, Matcher, TimeRange, Timestamp};

/// Maximum number of queries in a request, and of matchers in a query.
const QUERIES_MAX: usize = 100;
/// The operators of matchers, indexed by their numbers.
const OPERATORS: [&str; 4] = ["=", "!=", "=~", "!~"];

/// Why a request cannot be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestFault {
    /// The bytes are not a valid message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A number exceeds its limit.
    #[error("more than {QUERIES_MAX} {0}")]
    TooMany(&'static str),
    /// The expressions together exceed their limit, or the client has disconnected.
    #[error(transparent)]
    Expressions(CompileError),
    /// A matcher is invalid.
    #[error("query {query}, matcher {matcher}: {reason}")]
    Matcher {
        /// The query, counted from 1.
        query: usize,
        /// The matcher, counted from 1.
        matcher: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query {
    /// The requested time range.
    pub range: TimeRange,
    /// The matchers, all of which must match.
    pub matchers: Vec<Matcher>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One message with all samples.
    Sampled,
    /// Frames of chunks.
    Streamed,
}

/// The format of the response: the first supported one that the client lists. The rest of the request is not read.
///
/// # Errors
/// [`RequestFault::Wire`].
pub fn form(body: &[u8]) -> Result<Form, RequestFault> {
    let mut form = None;
    for field in Fields::new(body) {
        let field = field?;
        if field.number == 2 {
            field.varints(|code| {
                let known = match code {
                    0 => Some(Form::Sampled),
                    1 => Some(Form::Streamed),
                    _ => None,
                };
                form = form.or(known);
            })?;
        }
    }
    Ok(form.unwrap_or(Form::Sampled))
}

/// A description of what a request selects: `{job="a",i=~"b.*"}, {…}`, cut at `bytes_max` bytes, as is each text. No
/// pattern is compiled, and malformed parts are omitted.
pub fn describe(body: &[u8], bytes_max: usize) -> String {
    let mut text = String::new();
    for field in Fields::new(body).map_while(Result::ok).filter(|field| field.number == 1) {
        let Ok(matchers) = field.message() else { break };
        text.push_str(if text.is_empty() { "{" } else { ", {" });
        let mut comma = "";
        for matcher in matchers.map_while(Result::ok).filter(|field| field.number == 3) {
            if text.len() > bytes_max {
                return text;
            }
            let Ok(fields) = matcher.message() else { break };
            text.push_str(comma);
            describe_matcher(&mut text, fields, bytes_max);
            comma = ",";
        }
        text.push('}');
    }
    text
}

fn describe_matcher(text: &mut String, fields: Fields<'_>, bytes_max: usize) {
    let shown = |bytes: &'_ [u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)]).into_owned();
    let (mut op, mut name, mut value): (_, &[u8], &[u8]) = ("=", b"", b"");
    for field in fields.map_while(Result::ok) {
        match field.number {
            1 => {
                op = field.varint().ok().and_then(|kind| OPERATORS.get(kind as usize)).copied().unwrap_or("?")
            }
            2 => name = field.bytes().unwrap_or_default(),
            3 => value = field.bytes().unwrap_or_default(),
            _ => {}
        }
    }
    text.push_str(&format!("{}{op}{:?}", shown(name), shown(value)));
}

/// Decodes the queries of a request, in the order in which they are answered.
///
/// # Errors
/// [`RequestFault`].
pub fn decode(body: &[u8], expressions: &mut Expressions) -> Result<Vec<Query>, RequestFault> {
    let mut queries = Vec::new();
    for field in Fields::new(body) {
        let field = field?;
        match field.number {
            1 if queries.len() == QUERIES_MAX => return Err(RequestFault::TooMany("queries")),
            1 => queries.push(query(field.message()?, queries.len() + 1, expressions)?),
            _ => {}
        }
    }
    Ok(queries)
}

fn query(fields: Fields<'_>, number: usize, expressions: &mut Expressions) -> Result<Query, RequestFault> {
    let (mut start_ms, mut end_ms) = (0i64, 0i64);
    let mut matchers = Vec::new();
    for field in fields {
        let field = field?;
        match field.number {
            1 => start_ms = field.varint()? as i64,
            2 => end_ms = field.varint()? as i64,
            3 if matchers.len() == QUERIES_MAX => return Err(RequestFault::TooMany("matchers in one query")),
            3 => {
                let fault =
                    |reason| RequestFault::Matcher { query: number, matcher: matchers.len() + 1, reason };
                let found = parts(field.message()?)?.map_err(fault)?;
                let made = Matcher::within(found.name, found.op, found.value, expressions);
                let made = made.map_err(|error| match error {
                    CompileError::Pattern(error) => fault(error.to_string()),
                    error => RequestFault::Expressions(error),
                })?;
                matchers.push(made);
            }
            _ => {}
        }
    }
    let range = TimeRange::from(Timestamp::from_millis(start_ms)..=Timestamp::from_millis(end_ms));
    Ok(Query { range, matchers })
}

/// The parts of a matcher.
struct Parts<'b> {
    name: &'b str,
    op: MatchOp,
    value: &'b str,
}

fn parts(fields: Fields<'_>) -> Result<Result<Parts<'_>, String>, WireError> {
    let mut kind = 0;
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    for field in fields {
        let field = field?;
        match field.number {
            1 => kind = field.varint()?,
            2 => name = field.bytes()?,
            3 => value = field.bytes()?,
            _ => {}
        }
    }
    let op = match kind {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        other => return Ok(Err(format!("unknown type {other}"))),
    };
    let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
        return Ok(Err("name or value is not UTF-8".to_owned()));
    };
    if name.is_empty() {
        return Ok(Err("its label name is empty".to_owned()));
    }
    Ok(Ok(Parts { name, op, value }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph::internals::remote::wire::{put_bytes, put_integer, put_message};
    use proptest::prelude::*;

    fn read(body: &[u8]) -> Result<Vec<Query>, RequestFault> {
        decode(body, &mut Expressions::default())
    }

    fn request(matchers: &[(u64, &[u8], &[u8])], forms: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_integer(out, 1, 1_000);
            put_integer(out, 2, 2_000);
            for (kind, name, value) in matchers {
                put_message(out, 3, |out| {
                    put_integer(out, 1, *kind);
                    put_bytes(out, 2, name);
                    put_bytes(out, 3, value);
                });
            }
        });
        put_bytes(&mut out, 2, forms);
        out
    }

    #[test]
    fn queries_and_forms() {
        let found = read(&request(&[(0, b"__name__", b"up"), (3, b"job", b"a.*")], &[7, 1, 0])).unwrap();
        let query = &found[0];
        assert_eq!(query.range, TimeRange::from(Timestamp::from_secs(1)..=Timestamp::from_secs(2)));
        assert_eq!(
            query.matchers,
            [Matcher::equal("__name__", "up"), Matcher::new("job", MatchOp::NotRegex, "a.*").unwrap()]
        );
        assert_eq!(form(&request(&[], &[7, 1, 0])).unwrap(), Form::Streamed, "the first that is known");
        assert_eq!(form(&request(&[], &[])).unwrap(), Form::Sampled);
        assert_eq!(form(&request(&[], &[0, 1])).unwrap(), Form::Sampled);
    }

    #[test]
    fn a_request_is_described_without_compiling_it() {
        let mut body = request(&[(0, b"__name__", b"up"), (3, b"job", b"(")], &[]);
        body.extend(request(&[(9, b"a", b"\xff\"")], &[]));
        assert_eq!(describe(&body, 1000), "{__name__=\"up\",job!~\"(\"}, {a?\"\u{fffd}\\\"\"}");
        assert!(describe(&body.repeat(50), 100).len() < 200);
        let long = describe(&request(&[(0, b"a", &[b'x'; 100_000])], &[]), 100);
        assert_eq!(long, format!("{{a=\"{}\"}}", "x".repeat(100)));
        assert_eq!(describe(b"\x0a\x05", 10), "");
    }

    #[test]
    fn faults_are_named() {
        let fault = |matchers: &[(u64, &[u8], &[u8])]| read(&request(matchers, &[])).unwrap_err().to_string();
        assert_eq!(fault(&[(4, b"a", b"b")]), "query 1, matcher 1: unknown type 4");
        assert_eq!(fault(&[(0, b"", b"b")]), "query 1, matcher 1: its label name is empty");
        assert!(fault(&[(0, b"a", b"b"), (2, b"a", b"(")]).starts_with("query 1, matcher 2: "));
        assert_eq!(fault(&[(0, b"\xff", b"")]), "query 1, matcher 1: name or value is not UTF-8");
        assert_eq!(fault(&vec![(0, &b"a"[..], &b"b"[..]); 101]), "more than 100 matchers in one query");
        assert_eq!(read(&[0x0a, 0].repeat(101)).unwrap_err().to_string(), "more than 100 queries");
        assert!(read(b"\x0a\x05").unwrap_err().to_string().contains("byte 2"));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (read(&bytes), form(&bytes), describe(&bytes, 50));
        }
    }
}
