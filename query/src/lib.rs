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
pub mod usage;
pub mod value;

pub use error::QueryError;
pub use explain::{Cost, Explained};
pub use request::{Cancel, Limits, Request, Times};
pub use usage::{MemoryPool, Usage};
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
    let expr = syntax::parse(&request.query)?;
    exec::expect(source, request, &plan::plan(&expr, times, &request.query)?)
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
