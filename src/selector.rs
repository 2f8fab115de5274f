//! Parsing of selectors.

use barograph_engine::model::{Expressions, Matcher};

use crate::Result;

/// The matchers of a selector such as `http_requests_total{job="api"}`: a name, matchers in braces, or both. `{}`
/// selects every series. The regular expressions may take 32 MiB of memory.
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
/// The text is not a selector (the error contains line and column), or its regular expressions take too much memory.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>> {
    Ok(barograph_query::syntax::parse_selector(text)?)
}

/// Like [`parse_selector`], for untrusted texts: the memory of regular expressions is limited by `expressions`, which
/// counts those of several selectors together.
///
/// ```
/// use barograph::budget::Work;
/// use barograph::{ErrorKind, Expressions, parse_selector_within};
/// # fn main() -> barograph::Result<()> {
/// let mut expressions = Expressions::new(Work::unbounded(), 1 << 20);
/// let matchers = parse_selector_within(r#"up{job=~"api|web"}"#, &mut expressions)?;
/// assert_eq!(matchers.len(), 2);
/// # Ok(()) }
/// ```
///
/// # Errors
/// Same as [`parse_selector`], and those of the work of `expressions`.
pub fn parse_selector_within(text: &str, expressions: &mut Expressions) -> Result<Vec<Matcher>> {
    Ok(barograph_query::syntax::parse_selector_within(text, expressions)?)
}
