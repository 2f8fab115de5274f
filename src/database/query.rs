//! Queries.

use std::time::Duration;

use barograph_query::request::Metered;
use barograph_query::source::engine::EngineSource;
use barograph_query::{Explained, Request, Response};

use crate::reader::view_of;
use crate::{Database, Result, Timestamp};

impl Database {
    /// Evaluates a PromQL expression at `time`, rounded down to whole milliseconds, with default limits. A sample that
    /// was appended within the same millisecond may be later than that.
    ///
    /// ```
    /// use barograph::{Database, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let answer = db.query("max(cpu_usage)", Timestamp::from_secs(1_700_000_060))?;
    /// let samples = answer.value.into_vector().unwrap_or_default();
    /// assert_eq!(samples[0].value.as_f64(), Some(0.7));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The text is not a query, or its evaluation failed.
    pub fn query(&self, query: &str, time: impl Into<Timestamp>) -> Result<Response> {
        self.execute(&Request::instant(query, time))
    }

    /// Evaluates a PromQL expression at `start`, `start + step`, … up to `end`, all rounded down to whole milliseconds.
    ///
    /// ```
    /// use barograph::{Database, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use std::time::Duration;
    /// let (start, minute) = (Timestamp::from_secs(1_700_000_000), Duration::from_secs(60));
    /// let answer = db.query_range("sum(cpu_usage)", start, start + minute * 3, minute)?;
    /// let series = &answer.value.into_matrix().unwrap_or_default()[0];
    /// assert_eq!(series.floats().map(|(_, value)| value).collect::<Vec<_>>(), [1.2; 4]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The times are invalid, the text is not a query, or its evaluation failed.
    pub fn query_range(
        &self,
        query: &str,
        start: impl Into<Timestamp>,
        end: impl Into<Timestamp>,
        step: Duration,
    ) -> Result<Response> {
        self.execute(&Request::range(query, start, end, step))
    }

    /// Evaluates a request with the caller's times, limits and cancellation.
    ///
    /// ```
    /// use barograph::{Cancel, Database, ErrorKind, Request, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let cancel = Cancel::new();
    /// let request = Request::instant("sum(cpu_usage)", Timestamp::from_secs(1_700_000_060))
    ///     .with_cancel(cancel.clone());
    /// cancel.cancel();
    /// assert_eq!(db.execute(&request).unwrap_err().kind(), ErrorKind::Canceled);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::query_range`], and if a limit is reached or the request is canceled. If other queries have
    /// used up the memory that all queries share, the request waits for its turn and is evaluated again.
    pub fn execute(&self, request: &Request) -> Result<Response> {
        let request = &*request.begun();
        Ok(request.evaluated(|| barograph_query::execute(&self.source(request), request))?)
    }

    /// Like [`Database::execute`], but fails instead of waiting if the memory shared by all queries is used up. For
    /// callers that need more of that memory than the response holds, and that call
    /// [`Work::attempted`](crate::budget::Work::attempted) around all of their work.
    ///
    /// ```
    /// use barograph::{Database, Request, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let request = Request::instant("count(cpu_usage)", Timestamp::from_secs(1_700_000_060));
    /// let answer = db.execute_at_once(&request)?;
    /// assert_eq!(answer.value.into_vector().unwrap_or_default()[0].value.as_f64(), Some(2.0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::execute`], and [`QueryError::MemoryPool`](crate::QueryError::MemoryPool).
    pub fn execute_at_once(&self, request: &Request) -> Result<Response> {
        let request = &*request.begun();
        Ok(barograph_query::execute(&self.source(request), request)?)
    }

    /// The expected cost of a request, part by part, estimated from the index and the catalogue alone. With
    /// [`Request::explain`], [`Database::execute`] reports the actual cost.
    ///
    /// ```
    /// use barograph::{Database, Request, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let request = Request::instant("sum(cpu_usage)", Timestamp::from_secs(1_700_000_060));
    /// let explained = db.explain(&request)?;
    /// assert_eq!(explained.text, "sum(cpu_usage)");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::query_range`], except for limits.
    pub fn explain(&self, request: &Request) -> Result<Explained> {
        let request = &*request.begun();
        let source = self.source(request);
        Ok(barograph_query::explain(&source, request)?)
    }

    fn source(&self, request: &Request) -> EngineSource<'_> {
        EngineSource::new(view_of(&self.engine, &request.work(), self.tenant()))
    }
}
