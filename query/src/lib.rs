//! Barograph's query language: text to plan to values.
#![forbid(unsafe_code)]

mod accuracy;
mod annotations;
mod budget;
mod crew;
pub mod error;
mod exec;
pub mod explain;
pub mod functions;
mod histogram;
mod merge;
mod numbers;
mod plan;
pub mod request;
mod series;
pub mod source;
mod span;
mod steps;
pub mod syntax;
mod tiers;
mod turn;
pub mod usage;
pub mod value;

use barograph_engine::model::Expressions;
use request::Metered;
use steps::QueryTimes;

pub use accuracy::Accuracy;
pub use barograph_engine::budget::{Account, Cancel, Share, Work};
pub use crew::Crew;
pub use error::{QueryError, QueryErrorKind};
pub use explain::{Cost, Explained};
pub use histogram::bounds::{Bucket, BucketKind, ascending as histogram_buckets};
pub use histogram::sketched;
pub use request::{Limits, Request, TierChoice, Times};
pub use usage::Usage;
pub use value::{MatrixSeries, QueryStats, QueryValue, Response, SampleValue, VectorSample};

/// Runs a query: parse, check, plan, evaluate.
///
/// ```
/// use barograph_query::source::memory::MemorySource;
/// use barograph_engine::Timestamp;
/// use barograph_query::{QueryValue, Request, execute};
///
/// let response = execute(&MemorySource::new(), &Request::instant("1 + 2", Timestamp::UNIX_EPOCH))?;
/// assert_eq!(response.value, QueryValue::Scalar(Timestamp::UNIX_EPOCH, 3.0));
/// # Ok::<(), barograph_query::QueryError>(())
/// ```
///
/// # Errors
/// Any [`QueryError`]. Its text is what the HTTP API prints.
pub fn execute(source: &dyn source::SeriesSource, request: &Request) -> Result<Response, QueryError> {
    let request = &*request.begun();
    let times = query_times(request)?;
    // The memory of the tree and its patterns stays counted for as long as they exist.
    let mut expressions = request.expressions();
    let expr = parsed(request, &mut expressions)?;
    let plan = plan::plan(&expr, times, &request.query)?;
    let outcome = exec::run(source, request, &plan)?;
    Ok(Response {
        value: outcome.value,
        warnings: outcome.warnings,
        infos: outcome.infos,
        stats: outcome.stats,
        samples_per_step: outcome.samples_per_step,
        explain: outcome.explain,
        accuracy: outcome.accuracy,
    })
}

/// The estimated cost of a query, part by part, from the index and the catalogue alone. Nothing is evaluated, and no
/// sample is read. With [`Request::explain`], a query returns the actual cost too.
///
/// # Errors
/// The text is not a query, the times are inconsistent, or the index could not be read.
pub fn explain(source: &dyn source::SeriesSource, request: &Request) -> Result<Explained, QueryError> {
    let request = &*request.begun();
    let times = query_times(request)?;
    let mut expressions = request.expressions();
    let expr = parsed(request, &mut expressions)?;
    exec::expect(source, request, &plan::plan(&expr, times, &request.query)?)
}

fn parsed(request: &Request, expressions: &mut Expressions) -> Result<syntax::ast::Expr, QueryError> {
    let (bytes, limit) = (request.query.len(), request.limits.query_bytes_max);
    if bytes > limit {
        let message =
            format!("the query has {bytes} bytes, the limit is {limit}: split it, or raise the limit");
        return Err(QueryError::parse("", span::Span::default(), message));
    }
    syntax::parse_within(&request.query, expressions)
}

fn query_times(request: &Request) -> Result<QueryTimes, QueryError> {
    let times = request.query_times();
    if times.end_ms < times.start_ms {
        return Err(QueryError::BadTimes("end timestamp must not be before start time".to_owned()));
    }
    if matches!(request.times, Times::Range { .. }) && times.step_ms < 1 {
        return Err(QueryError::BadTimes(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
                .to_owned(),
        ));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern of some hundred KiB that differs from all others.
    fn heavy(n: usize) -> String {
        format!(r"\\pL{{90}}{n}")
    }

    #[test]
    fn a_query_holds_its_expressions_and_gives_them_back() {
        let source = source::memory::MemorySource::new();
        let share = Share::new("queries", 1 << 30);
        let asked =
            |query: String| Request { usage: Usage::of(share.clone()), ..Request::instant_ms(query, 0) };
        let pattern = barograph_engine::model::Pattern::new(r"\pL{90}1").expect("a pattern");
        for query in [
            format!("x{{a=~\"{}\"}}", heavy(1)),
            format!("absent(x{{a=~\"{}\"}}) + count_over_time(y[5m])", heavy(1)),
            format!("label_replace(vector(1), \"a\", \"$1\", \"b\", \"({})?\")", heavy(1)),
        ] {
            let request = asked(query);
            let response = execute(&source, &request).expect("no limit is near");
            assert!(response.stats.bytes_peak > pattern.bytes(), "{}", response.stats.bytes_peak);
            assert!(request.usage.bytes() < 4 << 10, "the answer alone is left: {}", request.usage.bytes());
            explain(&source, &request).expect("no limit is near");
            drop((request, response));
            assert_eq!(share.used(), 0);
        }
    }

    #[test]
    fn the_expressions_of_a_query_are_limited_and_end_with_it() {
        let source = source::memory::MemorySource::new();
        let matchers: Vec<String> = (0..300).map(|n| format!("a=~\"{}\"", heavy(n))).collect();
        let mut nested = "vector(1)".to_owned();
        for n in 0..2 {
            nested = format!("label_replace({nested}, \"a\", \"$1\", \"a\", \"({})?\")", heavy(n));
        }
        let many = format!("x{{{}}}", matchers.join(","));
        for (query, least) in [(&many, 1 << 20), (&nested, 1 << 20)] {
            let share = Share::new("queries", 1 << 30);
            let mut request =
                Request { usage: Usage::of(share.clone()), ..Request::instant_ms(query.clone(), 0) };
            request.limits.regex_memory_max = least;
            let error = execute(&source, &request).expect_err("too much");
            assert!(error.to_string().contains("more than 1MiB of memory together"), "{error}");
            request.limits.regex_memory_max = u64::MAX;
            request.limits.memory_max = 2 << 20;
            let error = execute(&source, &request).expect_err("too much");
            assert!(matches!(error, QueryError::Memory { limit: 2_097_152 }), "{error}");
            request.limits.memory_max = 1 << 30;
            request.limits.timeout = std::time::Duration::ZERO;
            assert!(matches!(execute(&source, &request), Err(QueryError::Timeout { .. })));
            request.cancel.cancel();
            for result in [execute(&source, &request).map(drop), explain(&source, &request).map(drop)] {
                assert!(matches!(result, Err(QueryError::Canceled)), "{result:?}");
            }
            assert_eq!(share.used(), 0);
        }
        // Sequential expressions need no more memory than one, because each ends with its node.
        let mut request = Request::instant_ms(nested, 0);
        request.limits.regex_memory_max = 12 << 20;
        execute(&source, &request).expect("one at a time");
    }

    #[test]
    fn the_length_of_a_query_is_limited() {
        let source = source::memory::MemorySource::new();
        let mut request = Request::instant_ms(format!("1{}", " ".repeat(1 << 20)), 0);
        for result in [execute(&source, &request).map(|_| ()), explain(&source, &request).map(|_| ())] {
            let message = result.expect_err("one byte too many").to_string();
            assert!(message.contains("the query has 1048577 bytes, the limit is 1048576"), "{message}");
        }
        request.limits.query_bytes_max += 1;
        assert!(execute(&source, &request).is_ok());
    }
}
