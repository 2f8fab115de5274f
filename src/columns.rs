//! Samples as columns.

use std::sync::Arc;

use barograph_engine::chunk::Run;
use barograph_engine::model::{self, Histogram, Labels};

use crate::{SampleValue, Timestamp};

/// Samples of one series, as columns of equal length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesColumns {
    /// The series.
    pub labels: Labels,
    /// Times, ascending.
    pub timestamps: Vec<Timestamp>,
    /// Values; integers as the nearest float, NaN for histograms.
    pub values: Vec<f64>,
    /// Integers that a float cannot represent: index and exact value.
    pub exact: Vec<(u32, i64)>,
    /// Native histograms: index and histogram.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
    /// The start timestamp of each sample, [`Timestamp::UNIX_EPOCH`] if it is unknown; empty if all are unknown.
    pub start_timestamps: Vec<Timestamp>,
}

impl SeriesColumns {
    pub(crate) fn new(labels: Labels, run: Run) -> Self {
        SeriesColumns {
            labels,
            timestamps: typed(run.timestamps),
            values: run.values,
            exact: run.exact,
            histograms: run.histograms,
            start_timestamps: typed(run.starts),
        }
    }
}

/// Converts a column to instants. The type has the layout of an `i64`, so the column keeps its memory and nothing is
/// copied.
fn typed(nanos: Vec<i64>) -> Vec<Timestamp> {
    nanos.into_iter().map(Timestamp::from_nanos).collect()
}

/// Borrowed samples of one series as queries see them: with the reset hints of histograms, and with stale markers.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'s>(&'s model::Samples);

impl<'s> Samples<'s> {
    pub(crate) fn new(samples: &'s model::Samples) -> Self {
        Samples(samples)
    }

    /// Number of samples.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.read(&[], .., 10, |_, samples| {
    ///     assert_eq!(samples.len(), 1);
    ///     true
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are no samples.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.read(&[], .., 10, |_, samples| {
    ///     assert!(!samples.is_empty());
    ///     true
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The times, ascending.
    ///
    /// ```
    /// use barograph::{Database, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.read(&[], .., 10, |_, samples| {
    ///     assert_eq!(samples.timestamps().next(), Some(Timestamp::from_secs(1_700_000_000)));
    ///     true
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn timestamps(self) -> impl DoubleEndedIterator<Item = Timestamp> + ExactSizeIterator + 's {
        self.0.timestamps.iter().copied().map(Timestamp::from_nanos)
    }

    /// The values, one for each time; NaN for histograms.
    ///
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.read(&[Matcher::equal("host", "a")], .., 10, |_, samples| {
    ///     assert_eq!(samples.values(), [0.5]);
    ///     true
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn values(self) -> &'s [f64] {
        &self.0.values
    }

    /// The native histograms, each with the index of its time.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.read(&[], .., 10, |_, samples| {
    ///     assert!(samples.histograms().is_empty());
    ///     true
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn histograms(self) -> &'s [(u32, Arc<Histogram>)] {
        &self.0.histograms
    }

    /// The samples: time and value, ascending.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.read(&[], .., 10, |_, samples| {
    ///     for (timestamp, value) in samples.iter() {
    ///         println!("{timestamp} {value:?}");
    ///     }
    ///     true
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn iter(self) -> impl Iterator<Item = (Timestamp, SampleValue)> + 's {
        let mut histograms = self.0.histograms.iter().peekable();
        self.timestamps().zip(self.values()).enumerate().map(move |(at, (time, value))| {
            let histogram = histograms.next_if(|(index, _)| *index as usize == at);
            (time, histogram.map_or(SampleValue::Float(*value), |(_, h)| SampleValue::Histogram(h.clone())))
        })
    }

    /// The columns, in nanoseconds.
    #[doc(hidden)]
    pub fn columns(self) -> &'s model::Samples {
        self.0
    }
}
