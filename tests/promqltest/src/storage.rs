//! The interface of a storage for scripts, and a storage in memory.

use barograph_engine::model::{Labels, Matcher, TimeRange, Timestamp, Value};
use barograph_query::source::{MemorySource, SeriesSource};

/// One sample that a script loads. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When it was taken.
    pub timestamp: Timestamp,
    /// Its value.
    pub value: Value,
    /// When its counting began; 0 means unknown.
    pub start_timestamp: Timestamp,
}

/// Stores the samples of a script and answers reads. Errors are texts, which end the script and are printed unchanged.
pub trait Storage {
    /// Removes everything.
    ///
    /// # Errors
    /// The storage's own.
    fn clear(&mut self) -> Result<(), String>;

    /// Adds samples of one series, ascending in time.
    ///
    /// # Errors
    /// The storage's own.
    fn append(&mut self, labels: &Labels, samples: &[Sample]) -> Result<(), String>;

    /// Removes the samples in `range` of the series that meet all matchers.
    ///
    /// # Errors
    /// The storage's own.
    fn delete(&mut self, matchers: &[Matcher], range: TimeRange) -> Result<(), String>;

    /// Calls `read` with a consistent view of everything appended so far.
    ///
    /// # Errors
    /// The storage's own.
    fn with_source(&mut self, read: &mut dyn FnMut(&dyn SeriesSource)) -> Result<(), String>;
}

/// A [`Storage`] over [`MemorySource`].
#[derive(Debug, Default)]
pub struct MemoryStorage {
    source: MemorySource,
}

impl Storage for MemoryStorage {
    fn clear(&mut self) -> Result<(), String> {
        self.source.clear();
        Ok(())
    }

    fn append(&mut self, labels: &Labels, samples: &[Sample]) -> Result<(), String> {
        for sample in samples {
            self.source.insert(labels, sample.timestamp, sample.value.clone(), sample.start_timestamp);
        }
        Ok(())
    }

    fn delete(&mut self, matchers: &[Matcher], range: TimeRange) -> Result<(), String> {
        self.source.delete(matchers, range);
        Ok(())
    }

    fn with_source(&mut self, read: &mut dyn FnMut(&dyn SeriesSource)) -> Result<(), String> {
        read(&self.source);
        Ok(())
    }
}
