//! Barograph's query language: text to plan to values.
#![forbid(unsafe_code)]

pub mod error;
mod exec;
pub mod explain;
pub mod functions;
mod histogram;
mod plan;
pub mod request;
mod series;
pub mod source;
pub mod syntax;
mod turn;
pub mod usage;
pub mod value;

pub use barograph_engine::budget::{Account, Cancel, Share, Work};
pub use error::QueryError;
pub use explain::{Cost, Explained};
pub use histogram::bounds::{Bucket, BucketKind, ascending as histogram_buckets};
pub use request::{Limits, Request, Times};
pub use usage::Usage;
pub use value::{MatrixSeries, QueryStats, QueryValue, Response, SampleValue, VectorSample};

/// Answers a query: parse, check, plan, evaluate.
///
/// ```
/// use barograph_query::source::memory::MemorySource;
/// use barograph_query::{QueryValue, Request, execute};
///
/// let response = execute(&MemorySource::new(), &Request::instant("1 + 2", 0))?;
/// assert_eq!(response.value, QueryValue::Scalar(0, 3.0));
/// # Ok::<(), barograph_query::QueryError>(())
/// ```
///
/// # Errors
/// Any [`QueryError`]; its text is what the HTTP API prints.
pub fn execute(source: &dyn source::SeriesSource, request: &Request) -> Result<Response, QueryError> {
    let times = query_times(request)?;
    let expr = parsed(request)?;
    let plan = plan::plan(&expr, times, &request.query)?;
    let outcome = exec::run(source, request, &plan)?;
    Ok(Response {
        value: outcome.value,
        warnings: outcome.warnings,
        infos: outcome.infos,
        stats: outcome.stats,
        samples_per_step: outcome.samples_per_step,
        explain: outcome.explain,
    })
}

/// What a query is expected to cost, part by part, from the index and the catalogue alone:
/// nothing is evaluated and no sample is read. [`Request::explain`] gives what it did cost
/// beside it.
///
/// # Errors
/// The text is no query, the times make no sense, or the index could not be read.
pub fn explain(source: &dyn source::SeriesSource, request: &Request) -> Result<Explained, QueryError> {
    let times = query_times(request)?;
    let expr = parsed(request)?;
    exec::expect(source, request, &plan::plan(&expr, times, &request.query)?)
}

fn parsed(request: &Request) -> Result<syntax::ast::Expr, QueryError> {
    let (bytes, limit) = (request.query.len(), request.limits.query_bytes_max);
    if bytes > limit {
        let message = format!("the query has {bytes} bytes, the limit is {limit}");
        return Err(QueryError::Parse { line: 1, column: 1, start: 0, end: 0, message });
    }
    syntax::parse(&request.query)
}

fn query_times(request: &Request) -> Result<plan::QueryTimes, QueryError> {
    match request.times {
        Times::Instant { time_ms } => Ok(plan::QueryTimes { start_ms: time_ms, end_ms: time_ms, step_ms: 0 }),
        Times::Range { start_ms, end_ms, step_ms } => {
            if end_ms < start_ms {
                return Err(QueryError::BadTimes("end timestamp must not be before start time".to_owned()));
            }
            if step_ms < 1 {
                return Err(QueryError::BadTimes(
                    "zero or negative query resolution step widths are not accepted. Try a positive integer"
                        .to_owned(),
                ));
            }
            Ok(plan::QueryTimes { start_ms, end_ms, step_ms })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_query_is_limited() {
        let source = source::memory::MemorySource::new();
        let mut request = Request::instant(format!("1{}", " ".repeat(1 << 20)), 0);
        for result in [execute(&source, &request).map(|_| ()), explain(&source, &request).map(|_| ())] {
            let message = result.expect_err("one byte too many").to_string();
            assert!(message.contains("the query has 1048577 bytes, the limit is 1048576"), "{message}");
        }
        request.limits.query_bytes_max += 1;
        assert!(execute(&source, &request).is_ok());
    }
}
