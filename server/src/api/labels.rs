//! Which series, label names and label values there are.
//!
//! Several selectors are a union. A limit truncates the sorted answer with a warning. An `end`
//! before `start` is a range that holds nothing, and no error: dashboards ask so while a
//! person moves their range.

use std::collections::BTreeSet;

use barograph_engine::model::{Labels, Matcher, TimeRange};

use crate::api::call::{Call, Encoded, success};
use crate::api::params::unescape_label_name;
use crate::api::prometheus::TRUNCATED;
use crate::api::reply::{JSON, Reply};
use crate::api::{json, selectors};
use crate::error::ApiError;
use crate::storage;
use barograph::Database;

/// What the three endpoints ask.
struct Question {
    selectors: Vec<Vec<Matcher>>,
    range: TimeRange,
    limit: usize,
}

impl Question {
    fn read(call: &Call, selector_required: bool) -> Result<Self, ApiError> {
        let selectors = match selector_required {
            true => selectors::read_required(call)?,
            false => selectors::read(call)?,
        };
        Ok(Question { selectors, range: call.params.any_range()?, limit: call.params.limit("limit")? })
    }

    /// The union over all selectors; without any, what an empty list of matchers gives.
    fn union<T: Ord>(
        &self,
        mut one: impl FnMut(&[Matcher]) -> Result<Vec<T>, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        match self.selectors.as_slice() {
            [] => one(&[]),
            [only] => one(only),
            several => {
                let mut all = BTreeSet::new();
                for matchers in several {
                    all.extend(one(matchers)?);
                }
                Ok(all.into_iter().collect())
            }
        }
    }
}

/// Runs `find` on a blocking thread and writes what it gives as a list.
async fn list<T, F>(
    call: Call,
    question: Question,
    find: F,
    one: fn(&mut Vec<u8>, &T),
) -> Result<Reply, ApiError>
where
    T: Ord + Send + 'static,
    F: Fn(&Database, &[Matcher], TimeRange) -> Result<Vec<T>, ApiError> + Send + 'static,
{
    let database = call.database()?;
    if question.range.is_empty() {
        return Ok(Reply::ok(JSON, success(&[], &[], |out| out.extend_from_slice(b"[]"))));
    }
    let gzip = call.accepts_gzip();
    let turn = call.turn().await?;
    let encoded = storage::blocking(move || {
        let _turn = turn;
        let mut found = question.union(|matchers| find(&database, matchers, question.range))?;
        let mut warnings = Vec::new();
        if question.limit > 0 && found.len() > question.limit {
            found.truncate(question.limit);
            warnings.push(TRUNCATED.to_owned());
        }
        Ok::<_, ApiError>(Encoded::new(success(&warnings, &[], |out| json::list(out, &found, one)), gzip))
    });
    Ok(encoded.await??.into_reply())
}

/// `/api/v1/series`
///
/// # Errors
/// 400 for bad parameters, 422 when more series match than a query may select.
pub async fn series(call: Call) -> Result<Reply, ApiError> {
    let question = Question::read(&call, true)?;
    let series_max = call.config.query_max_series;
    // One more than wanted, or than allowed, tells whether there is more.
    let is_cut = (1..=series_max).contains(&question.limit);
    let most = if is_cut { question.limit } else { series_max };
    list(
        call,
        question,
        move |database, matchers, range| -> Result<Vec<Labels>, ApiError> {
            let found = database.series(&[matchers.to_vec()], range, most.saturating_add(1))?;
            if !is_cut && found.len() > series_max {
                return Err(ApiError::execution(format!(
                    "more than {series_max} series match, the limit (query_max_series); select fewer, or raise it"
                )));
            }
            Ok(found)
        },
        json::labels,
    )
    .await
}

/// `/api/v1/labels`
///
/// # Errors
/// 400 for bad parameters.
pub async fn names(call: Call) -> Result<Reply, ApiError> {
    let question = Question::read(&call, false)?;
    let find = |database: &Database, matchers: &[Matcher], range| Ok(database.label_names(matchers, range)?);
    list(call, question, find, |out, name: &String| json::string(out, name)).await
}

/// `/api/v1/label/{name}/values`
///
/// # Errors
/// 400 for bad parameters.
pub async fn values(call: Call) -> Result<Reply, ApiError> {
    let name = unescape_label_name(&call.segment)?;
    if name.is_empty() {
        return Err(ApiError::bad_data("invalid label name: it is empty"));
    }
    let question = Question::read(&call, false)?;
    let find = move |database: &Database, matchers: &[Matcher], range| {
        let counted = database.label_values(&name, matchers, range)?;
        Ok(counted.into_iter().map(|(value, _)| value).collect())
    };
    list(call, question, find, |out, value: &String| json::string(out, value)).await
}
