//! Results of queries.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::model::timestamp::Timestamp;
use barograph_engine::model::{Histogram, Labels};

use crate::accuracy::Accuracy;
use crate::explain::Explained;

/// A value in a result.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// The labels in the result of the whole expression.
    pub labels: Labels,
    /// When.
    pub timestamp: Timestamp,
    /// The value.
    pub value: SampleValue,
}

/// One series of a matrix: floats and histograms, each in time order; no time occurs in both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatrixSeries {
    /// The labels in the result of the whole expression.
    pub labels: Labels,
    /// Milliseconds, as evaluation counts, and value.
    #[doc(hidden)]
    pub floats_ms: Vec<(i64, f64)>,
    /// Milliseconds and histogram.
    #[doc(hidden)]
    pub histograms_ms: Vec<(i64, Arc<Histogram>)>,
}

impl MatrixSeries {
    /// The floats with their times, ascending.
    pub fn floats(&self) -> impl DoubleEndedIterator<Item = (Timestamp, f64)> + ExactSizeIterator {
        self.floats_ms.iter().map(|(ms, value)| (Timestamp::from_millis(*ms), *value))
    }

    /// The histograms with their times, ascending.
    pub fn histograms(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Timestamp, &Arc<Histogram>)> + ExactSizeIterator {
        self.histograms_ms.iter().map(|(ms, histogram)| (Timestamp::from_millis(*ms), histogram))
    }

    /// Number of floats and histograms.
    pub fn len(&self) -> usize {
        self.floats_ms.len() + self.histograms_ms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The result of a query, by type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum QueryValue {
    /// One number and its time.
    Scalar(Timestamp, f64),
    /// Text and its time.
    String(Timestamp, String),
    /// An instant vector. Ordered only after `sort*`, `topk`, `bottomk`.
    Vector(Vec<VectorSample>),
    /// A range vector, or the answer of a range query; sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

impl SampleValue {
    /// The float, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            SampleValue::Float(value) => Some(*value),
            SampleValue::Histogram(_) => None,
        }
    }

    /// The native histogram, if it is one.
    pub fn as_histogram(&self) -> Option<&Histogram> {
        match self {
            SampleValue::Float(_) => None,
            SampleValue::Histogram(histogram) => Some(histogram),
        }
    }
}

impl QueryValue {
    /// The name of its type in the query language: `scalar`, `string`, `vector` or `matrix`.
    ///
    /// ```
    /// use barograph_engine::Timestamp;
    /// use barograph_query::QueryValue;
    ///
    /// assert_eq!(QueryValue::Scalar(Timestamp::UNIX_EPOCH, 1.0).type_name(), "scalar");
    /// ```
    pub fn type_name(&self) -> &'static str {
        match self {
            QueryValue::Scalar(..) => "scalar",
            QueryValue::String(..) => "string",
            QueryValue::Vector(_) => "vector",
            QueryValue::Matrix(_) => "matrix",
        }
    }

    /// The samples, if the answer is an instant vector.
    ///
    /// ```
    /// use barograph_engine::Timestamp;
    /// use barograph_query::source::memory::MemorySource;
    /// use barograph_query::{Request, execute};
    ///
    /// let request = Request::instant("vector(7)", Timestamp::UNIX_EPOCH);
    /// let samples = execute(&MemorySource::new(), &request)?.value.into_vector().unwrap_or_default();
    /// assert_eq!(samples[0].value.as_f64(), Some(7.0));
    /// # Ok::<(), barograph_query::QueryError>(())
    /// ```
    pub fn into_vector(self) -> Option<Vec<VectorSample>> {
        match self {
            QueryValue::Vector(samples) => Some(samples),
            _ => None,
        }
    }

    /// The series, if the answer is that of a range query or a range vector.
    pub fn into_matrix(self) -> Option<Vec<MatrixSeries>> {
        match self {
            QueryValue::Matrix(series) => Some(series),
            _ => None,
        }
    }

    /// The number, if the answer is a scalar.
    pub fn into_scalar(self) -> Option<f64> {
        match self {
            QueryValue::Scalar(_, value) => Some(value),
            _ => None,
        }
    }

    /// The text, if the answer is a string.
    pub fn into_string(self) -> Option<String> {
        match self {
            QueryValue::String(_, text) => Some(text),
            _ => None,
        }
    }
}

/// What a query cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueryStats {
    /// Samples read by selectors, counted once for each evaluation that used them.
    pub samples_total: u64,
    /// Maximum number of samples held at once.
    pub samples_peak: u64,
    /// Maximum number of bytes held at once.
    pub bytes_peak: u64,
    /// Series selected.
    pub series_total: u64,
    /// Wall time of the evaluation.
    pub eval_time: Duration,
}

/// The answer of a query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Response {
    /// The value.
    pub value: QueryValue,
    /// `PromQL warning: … (line:column)`, each text once, in order of appearance.
    pub warnings: Vec<String>,
    /// `PromQL info: … (line:column)`.
    pub infos: Vec<String>,
    /// The cost.
    pub stats: QueryStats,
    /// The time of each step, and the samples read for it, if requested. Samples that a subquery reads
    /// count toward the first step that needs them.
    pub samples_per_step: Vec<(Timestamp, u64)>,
    /// The estimated and actual cost of each part, if requested.
    pub explain: Option<Explained>,
    /// How far it may be from the answer of the samples, if it comes from buckets of tiers.
    pub accuracy: Option<Accuracy>,
}

/// An answer without warnings and statistics.
impl From<QueryValue> for Response {
    fn from(value: QueryValue) -> Self {
        Response {
            value,
            warnings: Vec::new(),
            infos: Vec::new(),
            stats: QueryStats::default(),
            samples_per_step: Vec::new(),
            explain: None,
            accuracy: None,
        }
    }
}
