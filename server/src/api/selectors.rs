//! `match[]`: series selectors outside a query.

use std::ops::Deref;

use barograph::QueryError;
use barograph::budget::Work;
use barograph::internals::syntax;
use barograph::{Expressions, MatchOp, Matcher};

use crate::api::call::Call;
use crate::config::values::show_size;
use crate::error::ApiError;

/// Maximum number of selectors in a request.
pub const SELECTORS_MAX: usize = 100;

/// The `match[]` of a request, each no longer than a query may be. They are parsed during the request's turn, on a
/// thread that may block.
pub struct Selectors {
    texts: Vec<String>,
    may_match_everything: bool,
    regex_memory_max: u64,
}

/// The matchers of each selector. Holds the memory of their expressions.
pub struct Parsed {
    selectors: Vec<Vec<Matcher>>,
    _expressions: Expressions,
}

impl Deref for Parsed {
    type Target = [Vec<Matcher>];

    fn deref(&self) -> &Self::Target {
        &self.selectors
    }
}

/// Reads every `match[]`.
///
/// # Errors
/// 400 if there are too many, or one is too long.
pub fn read(call: &Call) -> Result<Selectors, ApiError> {
    let mut texts = Vec::new();
    let bytes_max = call.config.query_max_bytes;
    for text in call.params.all("match[]") {
        if texts.len() == SELECTORS_MAX {
            let message = format!(
                "there are more than {SELECTORS_MAX} selectors, which is a fixed limit; combine some with a \
                 regular expression, or ask in parts"
            );
            return Err(ApiError::parameter("match[]", message));
        }
        if text.len() > bytes_max {
            let message = format!(
                "it has {} bytes, the limit is {} (query_max_bytes); ask in parts, or raise it",
                text.len(),
                show_size(bytes_max as u64)
            );
            return Err(ApiError::parameter("match[]", message));
        }
        texts.push(text.to_owned());
    }
    Ok(Selectors { texts, may_match_everything: false, regex_memory_max: call.config.query_regex_memory })
}

/// Reads every `match[]`; at least one is required.
///
/// # Errors
/// Same as [`read`], and 400 if there is none.
pub fn read_required(call: &Call) -> Result<Selectors, ApiError> {
    let selectors = read(call)?;
    if selectors.texts.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    Ok(selectors)
}

/// Reads every `match[]`; at least one is required, and each may match every series.
///
/// # Errors
/// Same as [`read_required`].
pub fn read_any(call: &Call) -> Result<Selectors, ApiError> {
    Ok(Selectors { may_match_everything: true, ..read_required(call)? })
}

impl Selectors {
    /// Parses the selectors. The memory of their expressions is limited for all of them together.
    ///
    /// # Errors
    /// 400 if one is not a selector, if one matches every series and that is not allowed, or if the expressions take
    /// too much memory; and if `work` has to stop.
    pub fn parse(&self, work: &Work) -> Result<Parsed, ApiError> {
        let mut expressions = Expressions::new(work.clone(), self.regex_memory_max);
        let mut selectors = Vec::with_capacity(self.texts.len());
        for text in &self.texts {
            let matchers = syntax::parse_selector_within(text, &mut expressions).map_err(fault)?;
            if !self.may_match_everything {
                check_selects(text, &matchers).map_err(|reason| ApiError::parameter("match[]", reason))?;
            }
            selectors.push(matchers);
        }
        Ok(Parsed { selectors, _expressions: expressions })
    }

    /// Like [`Selectors::parse`], but returns a selector that matches every series if there are none.
    ///
    /// # Errors
    /// Same as [`Selectors::parse`].
    pub fn parse_or_everything(&self, work: &Work) -> Result<Parsed, ApiError> {
        let mut parsed = self.parse(work)?;
        if parsed.selectors.is_empty() {
            parsed.selectors.push(Vec::new());
        }
        Ok(parsed)
    }
}

fn fault(error: QueryError) -> ApiError {
    match error {
        QueryError::Parse { .. } => ApiError::parameter("match[]", error),
        QueryError::Expressions { .. } => {
            ApiError::parameter("match[]", format!("{error} (query_regex_memory)"))
        }
        error => error.into(),
    }
}

/// Parses a selector, which must not match every series.
///
/// # Errors
/// A description of what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let matchers = syntax::parse_selector(text).map_err(|e| e.to_string())?;
    check_selects(text, &matchers)?;
    Ok(matchers)
}

fn check_selects(text: &str, matchers: &[Matcher]) -> Result<(), String> {
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(format!(
            "{text} matches every series; add a matcher that refuses an empty value, such as {{__name__=~\".+\"}}"
        ));
    }
    Ok(())
}

/// Whether a selector is specific: at least one matcher contains a specific text, as a value, one of a list, or a
/// literal part of an expression. A selector without one, such as `{job!="x"}`, `{__name__=~".+"}` or
/// `{__name__=~"[a-zA-Z_:].*"}`, may match everything.
pub fn is_selective(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|matcher| match (matcher.op, matcher.pattern()) {
        (MatchOp::Equal, _) => !matcher.matches_empty(),
        (MatchOp::Regex, Some(pattern)) => {
            !matcher.matches_empty()
                && (pattern.as_literals().is_some_and(|values| values.len() < LITERALS_SUSPECT)
                    || pattern.prefix().is_some()
                    || !anonymous().any(|text| matcher.matches(&text)))
        }
        _ => false,
    })
}

/// A list of at least this many values may stand for a class of characters.
const LITERALS_SUSPECT: usize = 26;

/// Texts that are not specific: each character that names and values consist of, alone, repeated, and before others. An
/// expression that matches one of them contains no specific text.
fn anonymous() -> impl Iterator<Item = String> {
    let characters = (' '..='~').chain(['\u{1}', 'é', '日']);
    characters.flat_map(|c| {
        let repeated = [1, 2, 3, 4, 8, 16, 32, 64].map(|count| String::from(c).repeat(count));
        let before = ["a", "0", "_a", "a_0", "aA0_", "0a", "a0"].map(|rest| format!("{c}{rest}"));
        repeated.into_iter().chain(before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_not_selective() {
        let selective = |op, value| is_selective(&[Matcher::new("job", op, value).unwrap()]);
        assert!(selective(MatchOp::Equal, "api"));
        for value in [
            "api|web",
            "api.*",
            ".*api",
            "(api|web).*",
            "[a-z]+_total",
            "a.c",
            "(?i)api",
            "[a-z]*api[0-9]",
            "a[bc]",
        ] {
            assert!(selective(MatchOp::Regex, value), "{value}");
        }
        for (op, value) in [
            (MatchOp::NotEqual, "api"),
            (MatchOp::Regex, ".+"),
            (MatchOp::Regex, ".*"),
            (MatchOp::Regex, "[a-zA-Z_:].*"),
            (MatchOp::Regex, "[a-zA-Z_:][a-zA-Z0-9_:]*"),
            (MatchOp::Regex, "[a-z]+"),
            (MatchOp::Regex, "[^x]+"),
            (MatchOp::Regex, "\\w+"),
            (MatchOp::Regex, "..+"),
            (MatchOp::Regex, ".{5,}"),
            (MatchOp::Regex, "[b-y].*"),
            (MatchOp::Regex, "[a-z]"),
            (MatchOp::Regex, "api|.+"),
            (MatchOp::Regex, "[^0-9].+"),
            (MatchOp::Regex, ".*[a-z0-9].*"),
            (MatchOp::NotRegex, "a"),
            (MatchOp::Equal, ""),
        ] {
            assert!(!selective(op, value), "{op:?} {value}");
        }
    }

    #[test]
    fn only_plain_selectors() {
        assert_eq!(parse(r#"up{job="a"}"#).unwrap().len(), 2);
        for text in ["", "up offset 5m", "sum(up)", "up[5m]", "1", r#"{job=""}"#, r#"{job=~".*"}"#, "{}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn everything_may_be_selected_on_purpose() {
        for text in ["{}", r#"{job=""}"#, r#"{job=~".*"}"#, r#"{job!="x"}"#] {
            assert!(syntax::parse_selector(text).is_ok() && parse(text).is_err(), "{text}");
        }
        for text in ["", "up offset 5m", "sum(up)", "up[5m]", "1", "up @ 5", "up up"] {
            assert!(syntax::parse_selector(text).is_err(), "{text}");
        }
        assert_eq!(
            syntax::parse_selector("sum").unwrap(),
            syntax::parse_selector(r#"{__name__="sum"}"#).unwrap()
        );
    }
}
