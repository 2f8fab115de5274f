//! Texts of ladders, which have selectors of the query language.

use barograph_engine::{Error as StorageError, Ladder};

use crate::{Result, parse_selector};

/// What is between a selector and its steps.
const ARROW: &str = "->";

/// Parses ladders, each in a line of its own or separated by semicolons: a selector, `->`, and what is kept of the series
/// that it matches ([`Ladder::new`]). The first ladder that matches a series counts.
///
/// ```
/// use barograph::{Options, parse_ladders};
/// let ladders = parse_ladders(r#"
///     {__name__=~"debug_.*"} -> raw 3d
///     http_requests_total{job="shop"} -> raw 30d, 5m 90d, 1h 5y
/// "#)?;
/// let options = Options::default().with_ladders(ladders);
/// assert_eq!(options.ladders[0].to_string(), r#"{__name__=~"debug_.*"} -> raw 3d"#);
/// let error = parse_ladders("up -> raw 3 days").unwrap_err();
/// assert!(error.to_string().starts_with("option ladders: \"up -> raw 3 days\": "), "{error}");
/// # Ok::<(), barograph::Error>(())
/// ```
///
/// # Errors
/// Names the ladder and what is wrong with it.
pub fn parse_ladders(text: &str) -> Result<Vec<Ladder>> {
    let parts = split(text, |rest| rest.starts_with([';', '\n']).then_some(1));
    let parts: Vec<&str> = parts.map(str::trim).filter(|part| !part.is_empty()).collect();
    // Before their regular expressions are compiled, which takes memory.
    Ladder::check_number(parts.len())?;
    parts.into_iter().map(parse_ladder).collect()
}

fn parse_ladder(text: &str) -> Result<Ladder> {
    let wrong = |why: String| StorageError::Option { name: "ladders", reason: format!("{text:?}: {why}") };
    let mut parts = split(text, |rest| rest.starts_with(ARROW).then_some(ARROW.len()));
    let (selector, steps) = (parts.next().unwrap_or_default(), parts.next());
    let steps = steps.filter(|_| parts.next().is_none());
    let steps = steps.ok_or_else(|| wrong(format!("expected a selector, `{ARROW}` and what is kept")))?;
    let selector = parse_selector(selector.trim()).map_err(|error| wrong(error.to_string()))?;
    Ok(Ladder::new(selector, steps).map_err(wrong)?)
}

/// The parts of a text between separators that are not quoted. `separator` returns the length of one at the beginning of
/// the rest.
fn split(text: &str, separator: impl Fn(&str) -> Option<usize>) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let part = rest?;
        let (mut quote, mut is_escaped) = (None, false);
        for (at, c) in part.char_indices() {
            match quote {
                Some(_) if is_escaped => is_escaped = false,
                Some('"' | '\'') if c == '\\' => is_escaped = true,
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
                None => {
                    if let Some(length) = separator(&part[at..]) {
                        rest = Some(&part[at + length..]);
                        return Some(&part[..at]);
                    }
                }
            }
        }
        rest = None;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_quotes_are_text() {
        let text = r#"a{b="x;\"->y"} -> raw 3d;; {c=~'\n;'}->raw 5d,1h; {d=`\`} -> 1d"#;
        let shown: Vec<String> = parse_ladders(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], r#"{__name__="a",b="x;\"->y"} -> raw 3d"#);
        assert_eq!(shown[1], r#"{c=~"\n;"} -> raw 5d, 1h"#);
        assert_eq!(shown[2], r#"{d="\\"} -> raw, 1d"#);
        assert!(parse_ladders(" \n ; ").unwrap().is_empty());
        let error = parse_ladders(&"not parsed;".repeat(65)).unwrap_err();
        assert_eq!(error.to_string(), "option ladders: 65 are more than 64");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("up", "\"up\": expected a selector, `->` and what is kept"),
            ("up -> raw 3d -> 1h", "\"up -> raw 3d -> 1h\": expected a selector, `->` and what is kept"),
            ("up{ -> raw 3d", "\"up{ -> raw 3d\": 1:4: parse error: "),
            ("{} -> raw 3d", "\"{} -> raw 3d\": "),
            ("up -> raw 9x", "\"9x\" is not a time to keep a tier"),
        ] {
            let error = parse_ladders(text).unwrap_err().to_string();
            assert!(error.starts_with("option ladders: ") && error.contains(why), "{text}: {error}");
        }
    }
}
