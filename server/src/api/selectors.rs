//! `match[]`: series selectors outside a query.

use barograph_engine::model::Matcher;
use barograph_query::syntax::ast::{ExprKind, Selector};

use crate::api::params::Params;
use crate::error::ApiError;

/// Most selectors of one request.
pub const SELECTORS_MAX: usize = 100;

/// Reads every `match[]`.
///
/// # Errors
/// 400 when there are too many, or one is not a plain selector that refuses the empty set
/// of labels.
pub fn read(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let mut selectors = Vec::new();
    for text in params.all("match[]") {
        if selectors.len() == SELECTORS_MAX {
            return Err(ApiError::parameter("match[]", format!("more than {SELECTORS_MAX} selectors")));
        }
        selectors.push(parse(text).map_err(|reason| ApiError::parameter("match[]", reason))?);
    }
    Ok(selectors)
}

/// Reads every `match[]`, of which there must be one.
///
/// # Errors
/// As [`read`], and 400 when there is none.
pub fn read_required(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let selectors = read(params)?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    Ok(selectors)
}

/// The matchers of a selector's text.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let expr = barograph_query::syntax::parse(text).map_err(|e| e.to_string())?;
    let matchers = match expr.kind {
        ExprKind::Selector(selector) if is_plain(&selector) => selector.matchers,
        _ => return Err(format!("{text:?} is not a plain series selector")),
    };
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(format!("{text:?} must contain at least one matcher that refuses an empty value"));
    }
    Ok(matchers)
}

fn is_plain(selector: &Selector) -> bool {
    selector.modifiers.offset.is_none() && selector.modifiers.at.is_none()
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
}
