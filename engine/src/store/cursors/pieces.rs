//! Reading the buckets of a label set in pieces of limited memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::ChunkCursors;
use super::buckets::add_chunk;
use crate::Result;
use crate::model::{SeriesId, TimeRange, Timestamp};
use crate::rollup::{Bucket, BucketColumns, Columns};
use crate::store::catalogue::Generation;
use crate::store::keys;

/// The stored buckets of a label set in the generations of one partition: of several with the same end the newest, and
/// none that is empty. [`ChunkCursors::read_piece`] reads the next of them.
pub struct BucketPieces<'g> {
    columns: Columns,
    /// What is still to be read.
    rest: TimeRange,
    /// One for each id in each generation; newer ones are behind older ones.
    sources: Vec<Source<'g>>,
    /// Memory for the starts of the chunks of a piece, each with the index of its source.
    begun: Vec<(usize, Timestamp)>,
}

/// The chunks of one id in one generation.
struct Source<'g> {
    generation: &'g Generation,
    id: SeriesId,
    /// Chunks that begin earlier have been read.
    from: Timestamp,
}

impl<'g> BucketPieces<'g> {
    /// Those with ends in `range`.
    pub fn new(generations: &'g [Arc<Generation>], ids: &[u64], range: TimeRange, columns: Columns) -> Self {
        let of_generation = |generation: &'g Arc<Generation>| {
            ids.iter().map(move |&id| Source { generation, id: SeriesId(id), from: Timestamp::MIN })
        };
        let sources = generations.iter().flat_map(of_generation).collect();
        BucketPieces { columns, rest: range, sources, begun: Vec::new() }
    }
}

impl ChunkCursors<'_> {
    /// Appends the next buckets to `out`, ascending. There are as many as have native histograms of about `native_bytes`
    /// of memory, but at least those of one chunk. Returns false if there are none left; it may return true without
    /// appending any.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read_piece(
        &mut self,
        pieces: &mut BucketPieces<'_>,
        native_bytes: usize,
        out: &mut Vec<Bucket>,
    ) -> Result<bool> {
        if pieces.rest.is_empty() {
            return Ok(false);
        }
        let mut found = std::mem::take(&mut self.buckets);
        found.restart(pieces.columns);
        let through = self.read_sources(pieces, native_bytes, &mut found);
        if let Ok(through) = through {
            // Those of the first sources may go on beyond the last ones.
            found.retain_from(0, |found, row| found.ends[row] <= through);
            found.newest_of_each(0);
            out.extend(found.buckets());
            pieces.rest.start = through;
        }
        self.buckets = found;
        through.map(|_| true)
    }

    /// Appends the next buckets of each source to `found`. Returns the time through which all of them are there.
    fn read_sources(
        &mut self,
        pieces: &mut BucketPieces<'_>,
        native_bytes: usize,
        found: &mut BucketColumns,
    ) -> Result<Timestamp> {
        let BucketPieces { columns, rest, sources, begun } = pieces;
        let (mut range, share) = (*rest, native_bytes / sources.len().max(1));
        begun.clear();
        for (at, source) in sources.iter().enumerate() {
            let (before, chunks) = (found.len(), (source.from, range.end));
            self.each_chunk(source.generation, source.id, chunks, &mut |key, value, _| {
                begun.extend(keys::decode_chunk(key).map(|(_, first)| (at, first)));
                add_chunk(key, value, range, *columns, found)?;
                let last = found.ends[before..].last().filter(|_| found.native_bytes(before) >= share);
                let Some(&last) = last else { return Ok(ControlFlow::Continue(())) };
                range.end = last;
                Ok(ControlFlow::Break(()))
            })?;
        }
        for &(at, first) in begun.iter().filter(|(_, first)| *first <= range.end) {
            sources[at].from = first;
        }
        Ok(range.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::chunk::Sealing;
    use crate::codec::CompressionLevel;
    use crate::model::{Histogram, PartitionId, Span};
    use crate::rollup::{Builder, Class, Extras, Shape};
    use crate::store::catalogue::Obsolete;
    use crate::store::generation::{GenerationWriter, Tables};
    use crate::store::keys::Prefix;
    use crate::store::memory::MemoryKv;
    use proptest::prelude::*;

    const IDS: [u64; 2] = [3, 7];
    const SHAPE: Shape = Shape { width: 1, source: 0, class: Class::Unclear, bounds: false };

    /// A bucket with a histogram of this many buckets; without one, if there are none; an empty one, if that is negative.
    fn bucket(end: Timestamp, number: usize, size: i64) -> Bucket {
        let mut builder = Builder::new(SHAPE.width, Extras::default());
        let mut buckets = Vec::new();
        if size == 0 {
            builder.extend(&[end], &[number as f64], &[], &mut buckets);
        } else if size > 0 {
            let histogram = Histogram {
                count: number as f64,
                positive_spans: vec![Span { offset: 0, length: size as u32 }],
                positive_buckets: vec![1.0; size as usize],
                ..Histogram::default()
            };
            builder.push_histogram(end, 0, &Arc::new(histogram), &mut buckets);
        }
        builder.finish(&mut buckets);
        buckets.pop().unwrap_or_else(|| Bucket::empty(end))
    }

    /// For each bucket, its end and the number that it was made with.
    fn numbers(buckets: &[Bucket]) -> Vec<(Timestamp, f64)> {
        let number = |bucket: &Bucket| match &bucket.natives {
            Some(natives) => natives.last.histogram.count,
            None => bucket.last.value,
        };
        buckets.iter().map(|bucket| (bucket.end, number(bucket))).collect()
    }

    fn memory(buckets: &[Bucket]) -> usize {
        buckets.iter().flat_map(|bucket| &bucket.natives).map(|natives| natives.memory_bytes()).sum()
    }

    /// Writes the chunks of each id.
    fn written(kv: &MemoryKv, number: u64, series: &[Vec<Vec<Bucket>>]) -> Arc<Generation> {
        let prefix = Prefix { partition: PartitionId::raw(0), generation: number };
        let mut tables = Tables::new(kv);
        let sealing = Sealing { samples_max: 100, level: CompressionLevel::Fast };
        let mut writer = GenerationWriter::new(&mut tables, prefix, number, sealing);
        for (&id, chunks) in IDS.iter().zip(series) {
            chunks.iter().for_each(|chunk| writer.add_buckets(SeriesId(id), chunk, &SHAPE).unwrap());
        }
        let (prefix, record) = writer.finish().unwrap();
        tables.ingest().unwrap();
        Generation::new(prefix, record, &Arc::new(Obsolete::default()))
    }

    /// The ends and sizes of the buckets of the chunks of a series.
    type Sizes = Vec<Vec<(Timestamp, i64)>>;

    /// For each generation, those of each id.
    fn generations() -> impl Strategy<Value = Vec<Vec<Sizes>>> {
        let ends = proptest::collection::btree_map(1i64..100, prop_oneof![-1i64..2, 2i64..60], 0..90);
        let series = (ends, 1usize..5).prop_map(|(ends, of_chunk)| {
            let ends: Vec<_> = ends.into_iter().collect();
            ends.chunks(of_chunk).map(<[_]>::to_vec).collect()
        });
        proptest::collection::vec(proptest::collection::vec(series, IDS.len()), 0..4)
    }

    proptest! {
        #[test]
        fn pieces_are_the_newest_buckets_within_the_memory(
            generations in generations(),
            (start, end) in (0i64..30, 20i64..120),
            native_bytes in 1usize..30_000,
        ) {
            let kv = MemoryKv::default();
            let range = TimeRange::new(start, end);
            let (mut newest, mut chunk_bytes_max, mut number) = (BTreeMap::new(), 0, 0);
            let mut stored = Vec::new();
            for series in generations {
                let mut of_ids = Vec::new();
                for chunks in series {
                    number += 1;
                    let in_chunk = |chunk: Vec<_>| chunk.into_iter().map(|(end, size)| bucket(end, number, size)).collect();
                    let chunks: Vec<Vec<Bucket>> = chunks.into_iter().map(in_chunk).collect();
                    chunk_bytes_max = chunks.iter().map(|chunk| memory(chunk)).fold(chunk_bytes_max, usize::max);
                    newest.extend(chunks.iter().flatten().map(|bucket| (bucket.end, bucket.clone())));
                    of_ids.push(chunks);
                }
                stored.push(written(&kv, stored.len() as u64 + 1, &of_ids));
            }
            newest.retain(|end, bucket: &mut Bucket| range.contains(*end) && !bucket.is_empty());
            let expected = numbers(&newest.into_values().collect::<Vec<_>>());

            let mut cursors = ChunkCursors::new(&kv);
            let mut pieces = BucketPieces::new(&stored, &IDS, range, Columns::ALL);
            let (mut found, mut piece) = (Vec::new(), Vec::new());
            let most = native_bytes + pieces.sources.len() * chunk_bytes_max;
            while cursors.read_piece(&mut pieces, native_bytes, &mut piece).unwrap() {
                prop_assert!(memory(&piece) <= most, "{} of {most} bytes", memory(&piece));
                found.extend(numbers(&piece));
                piece.clear();
                let read = expected.partition_point(|(end, _)| *end <= pieces.rest.start);
                prop_assert_eq!(&found, &expected[..read]);
            }
            prop_assert_eq!(found, expected);
        }
    }

    /// What was read is not read again.
    #[test]
    fn a_piece_begins_with_the_chunk_in_which_the_one_before_ends() {
        let kv = MemoryKv::default();
        let chunk = |ends: std::ops::Range<i64>| ends.map(|end| bucket(end, 1, 50)).collect::<Vec<_>>();
        let all = [vec![chunk(1..10), chunk(10..20), chunk(20..30)], vec![chunk(1..6), chunk(6..30)]];
        let stored = [written(&kv, 1, &all)];
        let mut cursors = ChunkCursors::new(&kv);
        let mut pieces = BucketPieces::new(&stored, &IDS, TimeRange::new(0, 40), Columns::ALL);
        let (mut froms, mut piece) = (Vec::new(), Vec::new());
        while cursors.read_piece(&mut pieces, 1, &mut piece).unwrap() {
            froms.push((pieces.rest.start, [pieces.sources[0].from, pieces.sources[1].from]));
        }
        assert_eq!(numbers(&piece), numbers(&chunk(1..30)));
        assert_eq!(froms, [(5, [1, 1]), (9, [1, 6]), (19, [10, 6]), (29, [20, 6]), (40, [20, 6])]);
    }
}
