//! Generations of buckets: those of a series are one chunk, whose key has the end of the first bucket as its time.
//!
//! Of several buckets of one series with the same end, the one in the generation with the largest number counts. An
//! empty bucket records that the samples of its span were deleted.

use super::GenerationWriter;
use crate::Result;
use crate::chunk::Run;
use crate::model::{SeriesId, Timestamp};
use crate::rollup::encode::{self, Shape};
use crate::rollup::{Bucket, Builder};

impl GenerationWriter<'_, '_> {
    /// Writes the buckets of a series, which ascend. Ids must ascend.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn add_buckets(&mut self, id: SeriesId, buckets: &[Bucket], shape: &Shape) -> Result<()> {
        for chunk in encode::in_chunks(buckets) {
            let Some((first, last)) = chunk.first().zip(chunk.last()) else { continue };
            let key = self.prefix.chunk(id, first.end);
            self.buffer.clear();
            encode::encode(&key, shape, chunk, self.sealing.level, &mut self.buffer);
            self.tables.chunks.put(&key, &self.buffer)?;
            // Any instant of a bucket, because readers ask for whole buckets.
            let (first, last) = (instant_of(first), last.end);
            self.count_span(first, last);
            self.times.add(id, first, last);
            self.record.chunks += 1;
            self.record.samples += chunk.len() as u64;
            self.record.bytes += self.buffer.len() as u64;
            let crc = crc32fast::hash(&self.buffer);
            self.record.crc_sum = self.record.crc_sum.wrapping_add(u64::from(crc));
        }
        Ok(())
    }
}

/// The first instant of a bucket at which it may have a sample, as far as that is known.
fn instant_of(bucket: &Bucket) -> Timestamp {
    let sampled = (bucket.count > 0).then_some(bucket.first.time);
    let natives = bucket.natives.as_ref().map(|natives| natives.first.time);
    sampled.into_iter().chain(natives).min().unwrap_or(bucket.end)
}

/// Adds the samples of a run to a builder, from the one with this index on.
pub(crate) fn fold_run(builder: &mut Builder, run: &Run, first: usize, out: &mut Vec<Bucket>) {
    let starts = |from: usize, to: usize| if run.starts.is_empty() { &[][..] } else { &run.starts[from..to] };
    let mut from = first;
    for (at, histogram) in run.histograms.iter().skip_while(|(at, _)| (*at as usize) < first) {
        let at = *at as usize;
        builder.extend(&run.timestamps[from..at], &run.values[from..at], starts(from, at), out);
        builder.push_histogram(run.timestamps[at], run.start_at(at), histogram, out);
        from = at + 1;
    }
    builder.extend(&run.timestamps[from..], &run.values[from..], starts(from, run.len()), out);
}
