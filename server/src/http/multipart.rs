//! Parses forms sent as `multipart/form-data`, which some clients send instead of urlencoded ones.
//!
//! Each part is a parameter: its name comes from `Content-Disposition`, and its value is the content of the part, even
//! if the part is declared as a file. The whole body is in memory and bounded.

use std::ops::Range;

use memchr::memmem;

/// Maximum length of a boundary according to RFC 2046.
const BOUNDARY_MAX: usize = 70;

/// The boundary in a `Content-Type`, if the type is that of a multipart form.
///
/// # Errors
/// The type has no usable boundary.
pub fn boundary(content_type: &str) -> Result<Option<String>, String> {
    let mut parts = Parameters(content_type);
    if !parts.next().is_some_and(|(kind, _)| kind.eq_ignore_ascii_case("multipart/form-data")) {
        return Ok(None);
    }
    let found = parts.find(|(name, _)| name.eq_ignore_ascii_case("boundary")).map(|(_, value)| value);
    match found {
        Some(boundary) if (1..=BOUNDARY_MAX).contains(&boundary.len()) => Ok(Some(boundary)),
        _ => Err(format!("multipart form: Content-Type needs a boundary of 1 to {BOUNDARY_MAX} bytes")),
    }
}

/// The names of the parts and the ranges of their values in `body`, in order. There may be at most `parts_max` parts.
///
/// # Errors
/// The body is malformed or has too many parts.
pub fn parse(body: &[u8], boundary: &str, parts_max: usize) -> Result<Vec<(String, Range<usize>)>, String> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    let mut found = Vec::new();
    // The first delimiter may begin the body; anything before it is ignored.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => finder.find(body).map(|at| &body[at + delimiter.len()..]).ok_or("no boundary in the body")?,
    };
    while !rest.starts_with(b"--") {
        if found.len() == parts_max {
            return Err(format!("more than {parts_max} parts"));
        }
        let broken = |what: &str| format!("part {}: {what}", found.len() + 1);
        let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let part =
            rest[padding..].strip_prefix(b"\r\n").ok_or_else(|| broken("no line end after boundary"))?;
        let end = finder.find(rest).ok_or_else(|| broken("no closing boundary; the body is cut short"))?;
        let part = &part[..part.len() - (rest.len() - end).min(part.len())];
        let (head, value) = match part.strip_prefix(b"\r\n") {
            Some(value) => (&b""[..], value),
            None => {
                let at =
                    memmem::find(part, b"\r\n\r\n").ok_or_else(|| broken("no empty line after header"))?;
                (&part[..at], &part[at + 4..])
            }
        };
        let name = name(head).ok_or_else(|| broken("no name in Content-Disposition"))?;
        // A value ends at the next boundary.
        let value_end = body.len() - rest.len() + end;
        found.push((name, value_end - value.len()..value_end));
        rest = &rest[end + delimiter.len()..];
    }
    Ok(found)
}

/// The parameter `name` of a part's `Content-Disposition`.
fn name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let mut parameters = Parameters(disposition);
    let (kind, _) = parameters.next()?;
    if !kind.eq_ignore_ascii_case("form-data") {
        return None;
    }
    parameters.find(|(name, _)| name.eq_ignore_ascii_case("name")).map(|(_, value)| value)
}

/// The parameters of a header's value, separated by semicolons, as name and value; the first has no value. A quoted
/// value may contain semicolons, and quotes after a backslash.
struct Parameters<'a>(&'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_start_matches([' ', '\t', ';']);
        if text.is_empty() {
            return None;
        }
        let name_end = text.find(['=', ';']).unwrap_or(text.len());
        let name = text[..name_end].trim();
        let Some(value) = text[name_end..].strip_prefix('=') else {
            self.0 = &text[name_end..];
            return Some((name, String::new()));
        };
        let value = value.trim_start();
        let Some(quoted) = value.strip_prefix('"') else {
            let end = value.find(';').unwrap_or(value.len());
            self.0 = &value[end..];
            return Some((name, value[..end].trim().to_owned()));
        };
        let mut unquoted = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    let rest = &quoted[at + 1..];
                    self.0 = &rest[rest.find(';').unwrap_or(rest.len())..];
                    return Some((name, unquoted));
                }
                '\\' if quoted[at + 1..].starts_with(['"', '\\']) => {
                    unquoted.extend(chars.next().map(|(_, c)| c));
                }
                c => unquoted.push(c),
            }
        }
        // The closing quote is missing.
        self.0 = "";
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(body: &str) -> Result<Vec<(String, String)>, String> {
        let found = parse(body.as_bytes(), "XX", 3)?;
        Ok(found.into_iter().map(|(name, value)| (name, body[value].to_owned())).collect())
    }

    #[test]
    fn boundaries() {
        let of = |text| boundary(text).map(|found| found.unwrap_or_default());
        assert_eq!(of("multipart/form-data; boundary=abc").as_deref(), Ok("abc"));
        assert_eq!(of("Multipart/Form-Data;charset=utf-8 ; BOUNDARY=\"a b;c\"").as_deref(), Ok("a b;c"));
        assert_eq!(of("text/plain; boundary=abc").as_deref(), Ok(""));
        for text in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a"]
        {
            assert!(of(text).is_err(), "{text}");
        }
        assert!(of(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_err());
    }

    #[test]
    fn parts_are_parameters() {
        let body = "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nup\r\n==\r\n1\r\n--XX  \r\n\
            content-type: text/plain\r\ncontent-disposition: form-data; filename=\"a;\\\"b\"; name=q\r\n\r\n\r\n--XX--\r\nend";
        let expected = [("query".to_owned(), "up\r\n==\r\n1".to_owned()), ("q".to_owned(), String::new())];
        assert_eq!(parts(body).unwrap(), expected);
        assert_eq!(parts("--XX--").unwrap(), []);
    }

    #[test]
    fn what_is_malformed_is_named() {
        let part = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
        for (body, reason) in [
            ("".to_owned(), "no boundary"),
            ("--XY\r\n".to_owned(), "no boundary"),
            ("--XX".to_owned(), "line end"),
            (part.to_owned(), "part 1: no closing boundary"),
            (format!("{part}--XX\r\n\r\n\r\n--XX--"), "part 2: no name"),
            (
                "--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--XX--".to_owned(),
                "part 1: no name",
            ),
            ("--XX\r\nContent-Disposition: form-data; name=a\r\n--XX--".to_owned(), "empty line"),
            (format!("{}--XX--", part.repeat(4)), "more than 3 parts"),
        ] {
            let error = parts(&body).unwrap_err();
            assert!(error.contains(reason), "{body:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(body in "(--XX|\r\n|--|[:;=\"a \\\\]|Content-Disposition: form-data; name=){0,12}") {
            let _ = parts(&body);
        }

        #[test]
        fn values_come_out_as_they_went_in(values in proptest::collection::vec("[^X]{0,20}", 0..4)) {
            let mut body = String::new();
            for (i, value) in values.iter().enumerate() {
                body.push_str(&format!("--XX\r\nContent-Disposition: form-data; name=\"n{i}\"\r\n\r\n{value}\r\n"));
            }
            body.push_str("--XX--\r\n");
            let found = parse(body.as_bytes(), "XX", 10).unwrap();
            let found: Vec<_> = found.into_iter().map(|(_, value)| &body[value]).collect();
            prop_assert_eq!(found, values);
        }
    }
}
