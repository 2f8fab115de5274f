//! Selectors of a text.

use barograph_engine::model::Matcher;

use crate::Result;

/// The matchers of a selector such as `http_requests_total{job="api"}`: a name, matchers in braces, or both. `{}`
/// selects every series. Its regular expressions may take 32 MiB.
///
/// ```
/// use barograph::{ErrorKind, Matcher, parse_selector};
/// # fn main() -> barograph::Result<()> {
/// let matchers = parse_selector(r#"up{job="api"}"#)?;
/// assert_eq!(matchers, [Matcher::equal("__name__", "up"), Matcher::equal("job", "api")]);
/// assert_eq!(parse_selector("sum(up)").unwrap_err().kind(), ErrorKind::Parse);
/// # Ok(()) }
/// ```
///
/// # Errors
/// The text is no selector, with line and column, or its regular expressions take too much memory.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>> {
    Ok(barograph_query::syntax::parse_selector(text)?)
}
