//! Barograph's query language: text to plan to values.
#![forbid(unsafe_code)]

pub mod error;
mod exec;
pub mod functions;
mod histogram;
mod plan;
pub mod request;
mod series;
pub mod source;
pub mod syntax;
pub mod value;

pub use error::QueryError;
pub use request::{Cancel, Limits, Request, Times};
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
    let expr = syntax::parse(&request.query)?;
    let plan = plan::plan(&expr, times, &request.query)?;
    let outcome = exec::run(source, request, &plan)?;
    Ok(Response {
        value: outcome.value,
        warnings: outcome.warnings,
        infos: outcome.infos,
        stats: outcome.stats,
    })
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
