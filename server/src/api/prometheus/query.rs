//! Queries: instant, range, and calls that only parse a query's text.
//!
//! Queries are admitted like all reads (`admission/`). A query is evaluated and written as JSON on a thread that may
//! block. The memory of its answer is counted until it has been sent.
//!
//! Next: `barograph::Database::execute_at_once`.

use std::time::{Duration, Instant};

use barograph::Expressions;
use barograph::budget::Taken;
use barograph::internals::Metered;
use barograph::internals::syntax::{self, ast::Expr};
use barograph::{Limits, QueryError, QueryValue, Request, Response, Times, Timestamp};

use crate::admission::Writer;
use crate::api::call::{Call, TRUNCATED, success};
use crate::api::gate::Asked;
use crate::api::prometheus::explain;
use crate::clock;
use crate::error::ApiError;
use crate::http::reply::{JSON, Reply};
use crate::http::times::duration_ms;
use crate::json;
use crate::json::Sink;
use barograph::Database;

/// Maximum number of steps of a range query.
const POINTS_MAX: i64 = 11_000;
/// `/api/v1/query`
///
/// # Errors
/// 400 for invalid parameters, and the errors of the evaluation.
pub async fn query(call: Call) -> Result<Reply, ApiError> {
    let times = instant_times(&call)?;
    evaluate(call, times).await
}

/// The time of an instant query.
///
/// # Errors
/// 400 for a text that is no time.
pub fn instant_times(call: &Call) -> Result<Times, ApiError> {
    let time_ms = call.params.time("time")?.unwrap_or_else(|| clock::now_ns() / 1_000_000);
    Ok(Times::Instant { time: Timestamp::from_millis(time_ms) })
}

/// `/api/v1/query_range`
///
/// # Errors
/// 400 for invalid parameters, and the errors of the evaluation.
pub async fn query_range(call: Call) -> Result<Reply, ApiError> {
    let times = range_times(&call)?;
    evaluate(call, times).await
}

/// The times of a range query.
///
/// # Errors
/// 400 if one is missing or invalid, or if there are too many steps.
pub fn range_times(call: &Call) -> Result<Times, ApiError> {
    let missing = |name| move || ApiError::parameter(name, "it is required");
    let start_ms = call.params.time("start")?.ok_or_else(missing("start"))?;
    let end_ms = call.params.time("end")?.ok_or_else(missing("end"))?;
    if end_ms < start_ms {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step = call.params.require("step")?;
    let step_ms = duration_ms(step).map_err(|reason| ApiError::parameter("step", reason))?;
    if step_ms < 1 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if (end_ms - start_ms) / step_ms > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let (start, end) = (Timestamp::from_millis(start_ms), Timestamp::from_millis(end_ms));
    Ok(Times::Range { start, end, step: Duration::from_millis(step_ms as u64) })
}

/// The text of the query.
///
/// # Errors
/// The request has no query, or one that is too long.
pub fn text(call: &Call) -> Result<&str, ApiError> {
    let text = call.params.require("query")?;
    let (bytes, limit) = (text.len(), call.config.query_max_bytes);
    if bytes > limit {
        let message =
            format!("it has {bytes} bytes, the limit is {limit}; raise query_max_bytes, or ask in parts");
        return Err(ApiError::parameter("query", message));
    }
    Ok(text)
}

/// The query of a request, with the limits that the server and the request set.
///
/// # Errors
/// 400 for missing or invalid parameters.
pub fn request(call: &Call, times: Times) -> Result<Request, ApiError> {
    let config = &call.config;
    let lookback = call.params.lookback()?;
    let limits = Limits::default()
        .with_query_bytes_max(config.query_max_bytes)
        .with_samples_max(config.query_max_samples)
        .with_memory_max(call.state.memory.one_query(config))
        .with_regex_memory_max(config.query_regex_memory)
        .with_series_max(config.query_max_series)
        .with_timeout(call.timeout()?);
    Ok(Request::new(text(call)?, times)
        .with_lookback(lookback.map_or(config.query_lookback, |ms| Duration::from_millis(ms as u64)))
        .with_tier(call.params.tier()?)
        .with_max_error(call.params.max_error()?)
        .with_limits(limits)
        .with_share(call.state.memory.queries.clone())
        .with_explain(call.params.switch("explain")?)
        .with_per_step_stats(call.params.get("stats") == Some("all")))
}

/// How a query is admitted.
pub fn asked(request: &Request) -> Asked {
    Asked {
        text: request.query.clone(),
        times: Some(request.times),
        timeout: Some(request.limits.timeout),
        usage: request.usage().clone(),
        cancel: request.cancel.clone(),
    }
}

async fn evaluate(call: Call, times: Times) -> Result<Reply, ApiError> {
    let mut request = request(&call, times)?;
    let wanted = Wanted { limit: call.params.limit("limit")?, has_stats: call.params.get("stats").is_some() };
    let database = call.database()?;
    let admitted = call.admit(asked(&request)).await?;
    let since = admitted.since;
    admitted
        .answer(JSON, move |work, out| {
            request.start_at(work.started());
            wanted.write(&database, &request, Began { queued: since, started: work.started() }, out)
        })
        .await
}

/// When a request began to wait for its turn, and when its turn began.
#[derive(Clone, Copy)]
struct Began {
    queued: Instant,
    started: Instant,
}

/// The parts of the answer that the caller asks for.
struct Wanted {
    limit: usize,
    has_stats: bool,
}

impl Wanted {
    /// Runs the query and writes its answer.
    fn write(
        &self,
        database: &Database,
        request: &Request,
        began: Began,
        out: &mut Writer<'_>,
    ) -> Result<(), ApiError> {
        // A request that waits for memory repeats everything from here, because writing takes memory in addition to the
        // response.
        let mut response = database.execute_at_once(request)?;
        truncate(&mut response, self.limit);
        success(out, &response.warnings, &response.infos, |out| {
            json::query_data(out, &response.value)?;
            if self.has_stats {
                out.text(&stats(&response, request.usage().bytes_peak(), began))?;
            }
            if let Some(accuracy) = &response.accuracy {
                out.text(b",\"accuracy\":")?;
                out.text(explain::accuracy(accuracy).to_string().as_bytes())?;
            }
            if let Some(explained) = &response.explain {
                out.text(b",\"explain\":")?;
                out.text(explain::tree(explained).to_string().as_bytes())?;
            }
            out.put(1, |out| out.push(b'}'))
        })
    }
}

/// Truncates the result to `limit` series; 0 keeps all.
fn truncate(response: &mut Response, limit: usize) {
    let length = match &mut response.value {
        QueryValue::Vector(samples) => samples.len(),
        QueryValue::Matrix(series) => series.len(),
        _ => 0,
    };
    if limit == 0 || length <= limit {
        return;
    }
    match &mut response.value {
        QueryValue::Vector(samples) => samples.truncate(limit),
        QueryValue::Matrix(series) => series.truncate(limit),
        _ => {}
    }
    response.warnings.push(TRUNCATED.to_owned());
}

fn stats(response: &Response, peak_bytes: u64, began: Began) -> Vec<u8> {
    let queue_seconds = began.started.duration_since(began.queued).as_secs_f64();
    let total_seconds = began.started.elapsed().as_secs_f64();
    let eval = response.stats.eval_time.as_secs_f64();
    let mut value = serde_json::json!({
        "timings": {
            "evalTotalTime": eval,
            "resultSortTime": 0.0,
            "queryPreparationTime": (total_seconds - eval).max(0.0),
            "innerEvalTime": eval,
            "execQueueTime": queue_seconds,
            "execTotalTime": total_seconds + queue_seconds,
        },
        "samples": {
            "totalQueryableSamples": response.stats.samples_total,
            "peakSamples": response.stats.samples_peak,
        },
        "memory": { "peakBytes": peak_bytes },
    });
    if !response.samples_per_step.is_empty() {
        let mut steps = Vec::new();
        json::list(&mut steps, &response.samples_per_step, |out, (at, samples)| {
            out.push(b'[');
            json::time(out, at.as_millis());
            out.extend_from_slice(format!(",{samples}]").as_bytes());
        });
        value["samples"]["totalQueryableSamplesPerStep"] = serde_json::from_slice(&steps).unwrap_or_default();
    }
    format!(",\"stats\":{value}").into_bytes()
}

/// `/api/v1/format_query`
///
/// # Errors
/// 400 for a text that is not a query.
pub async fn format_query(call: Call) -> Result<Reply, ApiError> {
    look_at(call, |expr| {
        let mut quoted = Vec::new();
        json::string(&mut quoted, &syntax::pretty(expr));
        quoted
    })
    .await
}

/// `/api/v1/parse_query`
///
/// # Errors
/// 400 for a text that is not a query.
pub async fn parse_query(call: Call) -> Result<Reply, ApiError> {
    look_at(call, |expr| syntax::json(expr).into_bytes()).await
}

/// The text of a tree takes at most this many times the tree's own bytes, because it is written twice.
const WRITTEN: u64 = 2 * 4;

/// Parses the query and answers with the text that `write` produces from its tree.
async fn look_at(call: Call, write: fn(&Expr) -> Vec<u8>) -> Result<Reply, ApiError> {
    let text = text(&call)?.to_owned();
    let regex_memory_max = call.config.query_regex_memory;
    let admitted = call.admit(Asked::of(&call)?.named(text.clone())).await?;
    admitted
        .answer(JSON, move |work, out| {
            let mut expressions = Expressions::new(work.clone(), regex_memory_max);
            let expr = syntax::parse_within(&text, &mut expressions)?;
            let taken = Taken::of(work);
            taken.more((WRITTEN * expressions.text_bytes()) as usize).map_err(QueryError::from)?;
            let data = write(&expr);
            success(out, &[], &[], |out| out.text(&data))
        })
        .await
}
