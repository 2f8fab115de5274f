//! Reading the chunks of buckets.

use std::ops::ControlFlow;

use super::ChunkCursors;
use crate::model::{SeriesId, TimeRange, Timestamp};
use crate::rollup::encode::BucketChunkError;
use crate::rollup::{BucketChunk, BucketColumns, Columns};
use crate::store::catalogue::Generation;
use crate::{Error, Result};

impl ChunkCursors<'_> {
    /// Appends the buckets of series `id` in `generation` whose ends are in `range`, ascending, to `out`, including the
    /// empty ones, which replace others. Returns whether the chunks keep all of `columns`, which `out` holds.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read_buckets(
        &mut self,
        generation: &Generation,
        id: SeriesId,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool> {
        let mut has_all = true;
        self.each_chunk(generation, id, (Timestamp::MIN, range.end), &mut |key, value, _| {
            has_all &= add_chunk(key, value, range, columns, out)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(has_all)
    }
}

/// Appends the buckets of a chunk whose ends are in `range` to `out`. Returns whether it keeps all of `columns`.
///
/// # Errors
/// Same as [`decode_chunk`].
pub(super) fn add_chunk(
    key: &[u8],
    value: &[u8],
    range: TimeRange,
    columns: Columns,
    out: &mut BucketColumns,
) -> Result<bool> {
    let before = out.len();
    let has_all = in_chunk(key, value, |chunk| {
        if chunk.last_end().is_some_and(|last| last <= range.start) {
            return Ok(true);
        }
        chunk.decode_columns(out)?;
        Ok(keeps(chunk, columns))
    })?;
    let added = &out.ends[before..];
    let outside = added.partition_point(|&end| end <= range.start);
    let inside = added.partition_point(|&end| end <= range.end);
    out.truncate(before + inside.max(outside));
    out.remove(before..before + outside);
    Ok(has_all)
}

/// Appends the buckets of a chunk to `out`. Returns whether it keeps all of `columns`, which `out` holds.
///
/// # Errors
/// [`Error::Corrupt`] naming the chunk's key.
pub(crate) fn decode_chunk(
    key: &[u8],
    value: &[u8],
    columns: Columns,
    out: &mut BucketColumns,
) -> Result<bool> {
    in_chunk(key, value, |chunk| {
        chunk.decode_columns(out)?;
        Ok(keeps(chunk, columns))
    })
}

/// Opens a chunk, and names it in the error.
fn in_chunk<T>(
    key: &[u8],
    value: &[u8],
    read: impl FnOnce(&BucketChunk<'_>) -> std::result::Result<T, BucketChunkError>,
) -> Result<T> {
    BucketChunk::open(key, value).and_then(|chunk| read(&chunk)).map_err(|e| Error::Corrupt {
        file: format!("chunks/{}", key.escape_ascii()),
        offset: e.offset as u64,
        what: e.what.to_string(),
    })
}

/// Whether a chunk keeps all of these columns. Distances, steps and sketches may be missing: they are then unknown, and
/// bounds are wider.
fn keeps(chunk: &BucketChunk<'_>, columns: Columns) -> bool {
    let shape = chunk.shape();
    let is_any = |of: &[Columns]| of.iter().any(|column| columns.contains(*column));
    let needs_measures = is_any(&[Columns::SUM, Columns::M2]);
    let needs_counts = is_any(&[Columns::LOST, Columns::STARTS]);
    (!needs_measures || shape.class.measures()) && (!needs_counts || shape.class.counts())
}
