//! Lists series, label names and label values.
//!
//! Several selectors form a union. A limit truncates the sorted answer and adds a warning. An `end` before `start` is
//! an empty range rather than an error, because dashboards send such ranges while a user adjusts the range.

use barograph::TimeRange;

use crate::api::call::{Call, TRUNCATED, success};
use crate::api::gate::Asked;
use crate::api::selectors::{self, Parsed, Selectors};
use crate::error::ApiError;
use crate::http::params::unescape_label_name;
use crate::http::reply::{JSON, Reply};
use crate::json;
use barograph::Reader;

/// The parameters of the three endpoints.
struct Question {
    selectors: Parsed,
    range: TimeRange,
    limit: usize,
}

impl Question {
    /// The number of items to search for: one more than requested, which shows whether there are more.
    fn most(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.limit.saturating_add(1) }
    }
}

/// Writes the result of `find` as a list. `room` estimates the bytes of an item.
async fn list<T, F>(
    call: Call,
    selectors: Selectors,
    find: F,
    room: fn(&T) -> usize,
    one: fn(&mut Vec<u8>, &T),
) -> Result<Reply, ApiError>
where
    T: 'static,
    F: Fn(&Reader<'_>, &Question) -> Result<Vec<T>, ApiError> + Send + 'static,
{
    let (range, limit) = (call.params.any_range()?, call.params.limit("limit")?);
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?).await?;
    admitted
        .answer(JSON, move |work, out| {
            let question = Question { selectors: selectors.parse_or_everything(work)?, range, limit };
            let mut found = match range.is_empty() {
                true => Vec::new(),
                false => find(&database.reader(work).leaving_out_damage(), &question)?,
            };
            let mut warnings: Vec<String> = database.damage(range).iter().map(ToString::to_string).collect();
            if limit > 0 && found.len() > limit {
                found.truncate(limit);
                warnings.push(TRUNCATED.to_owned());
            }
            success(out, &warnings, &[], |out| json::items(out, &found, |item| room(item), one))
        })
        .await
}

/// `/api/v1/series`
///
/// # Errors
/// 400 for invalid parameters; 422 if more series match than a query may select, unless `limit` is at most that number.
pub async fn series(call: Call) -> Result<Reply, ApiError> {
    let selectors = selectors::read_required(&call)?;
    let series_max = call.config.query_max_series;
    let find = move |reader: &Reader<'_>, question: &Question| {
        let most = question.most().min(series_max.saturating_add(1));
        let found = reader.series(&question.selectors, question.range, most)?;
        if found.len() > series_max && !(1..=series_max).contains(&question.limit) {
            return Err(ApiError::execution(format!(
                "more than {series_max} series match, the limit (query_max_series); select fewer, ask for the first of \
                 them with limit, or raise it"
            )));
        }
        Ok(found)
    };
    list(call, selectors, find, json::labels_room, json::labels).await
}

/// `/api/v1/labels`
///
/// # Errors
/// 400 for bad parameters.
pub async fn names(call: Call) -> Result<Reply, ApiError> {
    let selectors = selectors::read(&call)?;
    let find = |reader: &Reader<'_>, question: &Question| {
        Ok(reader.label_names(&question.selectors, question.range, question.most())?)
    };
    list(call, selectors, find, |name: &String| name.len() + 4, |out, name| json::string(out, name)).await
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
    let selectors = selectors::read(&call)?;
    let find = move |reader: &Reader<'_>, question: &Question| {
        Ok(reader.label_values(&name, &question.selectors, question.range, question.most())?)
    };
    let one = |out: &mut Vec<u8>, (value, _): &(String, u64)| json::string(out, value);
    list(call, selectors, find, |(value, _)| value.len() + 4, one).await
}
