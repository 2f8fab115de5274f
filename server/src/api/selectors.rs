//! `match[]`: series selectors outside a query.

use barograph_engine::budget::Work;
use barograph_engine::model::Matcher;

use crate::api::call::Call;
use crate::config::values::show_size;
use crate::error::ApiError;

/// Most selectors of one request.
pub const SELECTORS_MAX: usize = 100;

/// The `match[]` of a request, each no longer than a query may be. They are parsed when it is their turn, on a thread that
/// may block.
pub struct Selectors {
    texts: Vec<String>,
    may_match_everything: bool,
}

/// Every `match[]`.
///
/// # Errors
/// 400 when there are too many, or one is too long.
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
    Ok(Selectors { texts, may_match_everything: false })
}

/// Every `match[]`, of which there must be one.
///
/// # Errors
/// As [`read`], and 400 when there is none.
pub fn read_required(call: &Call) -> Result<Selectors, ApiError> {
    let selectors = read(call)?;
    if selectors.texts.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    Ok(selectors)
}

/// Every `match[]`, of which there must be one; each may match every series.
///
/// # Errors
/// As [`read_required`].
pub fn read_any(call: &Call) -> Result<Selectors, ApiError> {
    Ok(Selectors { may_match_everything: true, ..read_required(call)? })
}

impl Selectors {
    /// The matchers of each.
    ///
    /// # Errors
    /// 400 when one is no selector, or matches every series where that is not meant; and when `work` has to stop.
    pub fn parse(&self, work: &Work) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let mut parsed = Vec::with_capacity(self.texts.len());
        for text in &self.texts {
            work.check()?;
            let matchers = if self.may_match_everything { parse_any(text) } else { parse(text) };
            parsed.push(matchers.map_err(|reason| ApiError::parameter("match[]", reason))?);
        }
        Ok(parsed)
    }

    /// As [`Selectors::parse`]; without any, one that selects every series.
    ///
    /// # Errors
    /// As [`Selectors::parse`].
    pub fn parse_or_everything(&self, work: &Work) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let parsed = self.parse(work)?;
        Ok(if parsed.is_empty() { vec![Vec::new()] } else { parsed })
    }
}

/// The matchers of a selector's text, which must not match every series.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let matchers = parse_any(text)?;
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(format!(
            "{text} matches every series; add a matcher that refuses an empty value, such as {{__name__=~\".+\"}}"
        ));
    }
    Ok(matchers)
}

fn parse_any(text: &str) -> Result<Vec<Matcher>, String> {
    barograph_query::syntax::parse_selector(text).map_err(|e| e.to_string())
}

/// Whether a selector says what it wants: at least one matcher refuses both the empty
/// value and a value that nobody has. One that does not, such as `{job!="x"}` or
/// `{__name__=~".+"}`, may mean everything.
pub fn is_selective(matchers: &[Matcher]) -> bool {
    const NOBODY: &str = "\u{1}barograph-nobody\u{1}";
    matchers.iter().any(|matcher| !matcher.matches("") && !matcher.matches(NOBODY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph_engine::model::MatchOp;

    #[test]
    fn everything_is_not_selective() {
        let selective = |op, value| is_selective(&[Matcher::new("job", op, value).unwrap()]);
        assert!(selective(MatchOp::Equal, "api"));
        assert!(selective(MatchOp::Regex, "api|web"));
        for (op, value) in [
            (MatchOp::NotEqual, "api"),
            (MatchOp::Regex, ".+"),
            (MatchOp::Regex, ".*"),
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
    fn everything_may_be_asked_for_where_that_is_meant() {
        for text in ["{}", r#"{job=""}"#, r#"{job=~".*"}"#, r#"{job!="x"}"#] {
            assert!(parse_any(text).is_ok() && parse(text).is_err(), "{text}");
        }
        for text in ["", "up offset 5m", "sum(up)", "up[5m]", "1", "up @ 5", "up up"] {
            assert!(parse_any(text).is_err(), "{text}");
        }
        assert_eq!(parse_any("sum").unwrap(), parse_any(r#"{__name__="sum"}"#).unwrap());
    }
}
