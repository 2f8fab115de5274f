//! Queries: instant, range, and what only looks at a query's text.
//!
//! A query waits at the gate, runs on a blocking thread, and is written as JSON there. It
//! stops when its time is up, when somebody cancels it (`active.rs`), and when its client
//! goes away: the request's future is then dropped, and with it the guard that raises the
//! query's cancel flag. The memory it has taken counts until its answer has been sent.
//!
//! Next: `barograph::Database::execute`.

use std::time::Duration;

use barograph_query::{Cancel, Limits, QueryError, QueryValue, Request, Response, Times, Usage};

use crate::api::call::{Call, Encoded, success, success_value};
use crate::api::reply::{JSON, Reply};
use crate::api::times::duration_ms;
use crate::api::{explain, json};
use crate::error::ApiError;
use crate::storage;
use barograph::Database;

/// Most steps of a range query.
const POINTS_MAX: i64 = 11_000;
/// How long after its deadline a query that does not stop by itself is given up.
const GRACE: Duration = Duration::from_secs(1);

/// Raises the cancel flag when the request is over, however it ended.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// `/api/v1/query`
///
/// # Errors
/// 400 for bad parameters, and what the evaluation gives.
pub async fn query(call: Call) -> Result<Reply, ApiError> {
    let time_ms = call.params.time("time")?.unwrap_or_else(|| storage::now_ns() / 1_000_000);
    evaluate(call, Times::Instant { time_ms }).await
}

/// `/api/v1/query_range`
///
/// # Errors
/// 400 for bad parameters, and what the evaluation gives.
pub async fn query_range(call: Call) -> Result<Reply, ApiError> {
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
    evaluate(call, Times::Range { start_ms, end_ms, step_ms }).await
}

/// The query's text.
pub(super) fn text(call: &Call) -> Result<&str, ApiError> {
    let text = call.params.require("query")?;
    let (bytes, limit) = (text.len(), call.config.query_max_bytes);
    if bytes > limit {
        let message =
            format!("it has {bytes} bytes, the limit is {limit}; raise query_max_bytes, or ask in parts");
        return Err(ApiError::parameter("query", message));
    }
    Ok(text)
}

fn request(call: &Call, times: Times) -> Result<Request, ApiError> {
    let config = &call.config;
    let mut timeout = config.query_timeout;
    if let Some(asked_ms) = call.params.positive_duration("timeout")? {
        timeout = timeout.min(Duration::from_millis(asked_ms as u64));
    }
    let lookback = call.params.lookback()?;
    Ok(Request {
        query: text(call)?.to_owned(),
        times,
        lookback_ms: lookback.unwrap_or(config.query_lookback.as_millis() as i64),
        limits: Limits {
            query_bytes_max: config.query_max_bytes,
            samples_max: config.query_max_samples,
            memory_max: call.app.memory.one_query(config),
            series_max: config.query_max_series,
            timeout,
        },
        cancel: Cancel::default(),
        usage: Usage::of(call.app.memory.queries.clone()),
        explain: call.params.switch("explain")?,
        per_step_stats: call.params.get("stats") == Some("all"),
        started: std::time::Instant::now(),
    })
}

async fn evaluate(call: Call, times: Times) -> Result<Reply, ApiError> {
    let mut request = request(&call, times)?;
    let answer = Answer {
        limit: call.params.limit("limit")?,
        stats: call.params.get("stats").is_some(),
        gzip: call.accepts_gzip(),
    };
    let database = call.database()?;
    let timeout = request.limits.timeout;
    request.usage.take_bytes(call.params.bytes(), request.limits.memory_max)?;
    let active = call.app.active.enter(&request, call.client);
    let waited = std::time::Instant::now();
    let permit = tokio::select! {
        permit = call.app.queries.enter(call.config.query_wait.min(timeout)) => permit?,
        () = active.canceled() => return Err(QueryError::Canceled.into()),
    };
    let queued = waited.elapsed();
    active.runs();
    request.started = std::time::Instant::now();
    let cancel = CancelOnDrop(request.cancel.clone());
    let run = storage::blocking(move || {
        // The turn ends when the thread does, not when the client stops waiting.
        let (_permit, _active) = (permit, active);
        answer.of(&database, &request, queued)
    });
    let outcome = tokio::time::timeout(timeout + GRACE, run).await;
    drop(cancel);
    match outcome {
        Ok(result) => {
            let (encoded, usage) = result??;
            Ok(encoded.into_reply().holding(Box::new(usage)))
        }
        Err(_) => Err(QueryError::Timeout { seconds: timeout.as_secs_f64() }.into()),
    }
}

/// What of a query's answer is wanted, and how.
struct Answer {
    limit: usize,
    stats: bool,
    gzip: bool,
}

impl Answer {
    /// Runs the query and writes its answer; the usage stands for the memory of that.
    fn of(
        &self,
        database: &Database,
        request: &Request,
        queued: Duration,
    ) -> Result<(Encoded, Usage), ApiError> {
        let mut response = database.execute(request)?;
        truncate(&mut response, self.limit);
        let usage = request.usage.clone();
        usage.take_bytes(json::length_hint(&response.value), request.limits.memory_max)?;
        let body = success(&response.warnings, &response.infos, |out| {
            json::query_data(out, &response.value);
            if self.stats {
                stats(out, &response, usage.bytes_peak(), queued, request.started.elapsed());
            }
            if let Some(explained) = &response.explain {
                out.extend_from_slice(b",\"explain\":");
                out.extend_from_slice(explain::tree(explained).to_string().as_bytes());
            }
            out.push(b'}');
        });
        let encoded = Encoded::new(body, self.gzip);
        usage.keep_bytes(encoded.memory_bytes());
        Ok((encoded, usage))
    }
}

/// Cuts the result to `limit` series; 0 keeps all.
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

/// The warning about `limit`.
pub const TRUNCATED: &str = "results truncated due to limit";

fn stats(out: &mut Vec<u8>, response: &Response, peak_bytes: u64, queued: Duration, took: Duration) {
    let (queue_seconds, total_seconds) = (queued.as_secs_f64(), took.as_secs_f64());
    let eval = response.stats.eval_ns as f64 / 1e9;
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
        json::list(&mut steps, &response.samples_per_step, |out, (ms, samples)| {
            out.push(b'[');
            json::time(out, *ms);
            out.extend_from_slice(format!(",{samples}]").as_bytes());
        });
        value["samples"]["totalQueryableSamplesPerStep"] = serde_json::from_slice(&steps).unwrap_or_default();
    }
    out.extend_from_slice(b",\"stats\":");
    out.extend_from_slice(value.to_string().as_bytes());
}

/// `/api/v1/format_query`
///
/// # Errors
/// 400 for a text that is not a query.
pub fn format_query(call: &Call) -> Result<Reply, ApiError> {
    let expr = barograph_query::syntax::parse(text(call)?)?;
    Ok(success_value(&barograph_query::syntax::pretty(&expr).into()))
}

/// `/api/v1/parse_query`
///
/// # Errors
/// 400 for a text that is not a query.
pub fn parse_query(call: &Call) -> Result<Reply, ApiError> {
    let expr = barograph_query::syntax::parse(text(call)?)?;
    let tree = barograph_query::syntax::json(&expr);
    Ok(Reply::ok(JSON, success(&[], &[], |out| out.extend_from_slice(tree.as_bytes()))))
}
