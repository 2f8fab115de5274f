//! A batch on its way into the log: as few records as its size allows.
//!
//! A batch is one record of each kind, which a restart finds whole or not at all. Only where
//! that would be larger than [`RECORD_BYTES`] it is several, so that no batch is too large
//! for the log: the definitions of series that are new can be a hundred times its samples.
//!
//! Next: `wal/`, and `head/record.rs` for the bytes.

use std::sync::Arc;

use crate::codec::varint;
use crate::engine::{CommitState, Parts};
use crate::head::record::{self, SampleEncoder};
use crate::head::{HeadSeries, Resolved};
use crate::model::{Labels, Timestamp, Value};
use crate::stats::Counters;
use crate::wal::{PAYLOAD_BYTES_MAX, Wal};
use crate::{Error, Result};

/// A record ends with the item that reaches this many bytes.
const RECORD_BYTES: usize = PAYLOAD_BYTES_MAX / 2;
/// Largest event, its labels and text: with it a record still fits the log.
pub(super) const EVENT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX / 4;

impl Parts {
    /// Whether an event is small enough for the log.
    pub(super) fn check_event(&self, labels: &Labels, text: &str) -> Result<()> {
        if text.len() > EVENT_BYTES_MAX {
            return Err(Error::Limit(format!(
                "series {}: an event of {} bytes, the limit is {EVENT_BYTES_MAX}; split the text",
                super::limits::shown(labels),
                text.len()
            )));
        }
        Ok(())
    }

    /// Writes the WAL records of a batch and counts it.
    pub(super) fn log(&self, commit: &mut CommitState, resolved: &Resolved) -> Result<u64> {
        if resolved.samples() > 0 {
            self.log_samples(commit, resolved)?;
        }
        let size = |event: &crate::head::Event| event.labels.as_bytes().len() + event.text.len();
        self.log_items(commit, record::KIND_EVENTS, &resolved.events, size, record::encode_events)?;
        self.log_notes(commit, resolved)?;
        Counters::add(&self.counters.samples, resolved.samples() as u64);
        Counters::add(&self.counters.events, resolved.events.len() as u64);
        self.retention.note(resolved.newest());
        Ok(commit.last_seq)
    }

    fn log_samples(&self, commit: &mut CommitState, resolved: &Resolved) -> Result<()> {
        let Some(wal) = &self.wal else {
            commit.last_seq += 1;
            return Ok(());
        };
        let mut writer = SamplesWriter::new(wal, commit);
        let mut failed = None;
        resolved.for_each(|series, timestamp, start, value| {
            if failed.is_none() {
                failed = writer.push(series, timestamp, start, value).err();
            }
        });
        match failed {
            Some(error) => Err(error),
            None => writer.finish(),
        }
    }

    /// Writes items of one kind, in as few records as they fit.
    pub(super) fn log_items<T>(
        &self,
        commit: &mut CommitState,
        kind: u8,
        items: &[T],
        size: impl Fn(&T) -> usize,
        encode: impl Fn(&[T], &mut Vec<u8>),
    ) -> Result<()> {
        let mut rest = items;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_length(rest, &size));
            commit.last_seq = match &self.wal {
                Some(wal) => {
                    commit.payload.clear();
                    encode(piece, &mut commit.payload);
                    wal.append(kind, &[&commit.payload])?
                }
                None => commit.last_seq + 1,
            };
            rest = after;
        }
        Ok(())
    }
}

/// How many of the first items reach [`RECORD_BYTES`] together: at least one.
fn piece_length<T>(items: &[T], size: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let reaches = |item: &T| {
        bytes += size(item);
        bytes >= RECORD_BYTES
    };
    items.iter().position(reaches).map_or(items.len(), |at| at + 1)
}

/// Writes samples, and before them the definitions of series that this log has not.
struct SamplesWriter<'w> {
    wal: &'w Wal,
    commit: &'w mut CommitState,
    encoder: SampleEncoder,
    samples: u64,
    /// Series that the record at hand defines.
    defined: Vec<Arc<HeadSeries>>,
}

impl<'w> SamplesWriter<'w> {
    fn new(wal: &'w Wal, commit: &'w mut CommitState) -> Self {
        commit.payload.clear();
        commit.definitions.clear();
        SamplesWriter { wal, commit, encoder: SampleEncoder::default(), samples: 0, defined: Vec::new() }
    }

    #[inline]
    fn push(
        &mut self,
        series: &Arc<HeadSeries>,
        timestamp: Timestamp,
        start: Timestamp,
        value: &Value,
    ) -> Result<()> {
        let CommitState { epoch, payload, definitions, .. } = &mut *self.commit;
        if series.needs_definition(*epoch) {
            record::push_definition(definitions, series.id.0, &series.labels);
            self.defined.push(series.clone());
        }
        self.encoder.push(payload, series.id.0, timestamp, start, value);
        self.samples += 1;
        if payload.len() + definitions.len() >= RECORD_BYTES { self.finish() } else { Ok(()) }
    }

    /// Appends the record, if it holds anything, and begins another.
    fn finish(&mut self) -> Result<()> {
        if self.samples == 0 {
            return Ok(());
        }
        let CommitState { payload, definitions, last_seq, .. } = &mut *self.commit;
        let (mut defined, mut samples) = (Vec::with_capacity(10), Vec::with_capacity(10));
        varint::write(&mut defined, self.defined.len() as u64);
        varint::write(&mut samples, self.samples);
        let parts: [&[u8]; 4] = [&defined, definitions, &samples, payload];
        match self.wal.append(record::KIND_SAMPLES, &parts) {
            Ok(seq) => *last_seq = seq,
            Err(error) => {
                self.defined.iter().for_each(|series| series.forget_definition());
                return Err(error);
            }
        }
        payload.clear();
        definitions.clear();
        self.defined.clear();
        (self.encoder, self.samples) = (SampleEncoder::default(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_the_item_that_reaches_the_bound() {
        let half = RECORD_BYTES / 2;
        assert_eq!(piece_length(&[1, 2, 3], |&size| size), 3);
        assert_eq!(piece_length(&[half, half - 1, 1, 9], |&size| size), 3);
        assert_eq!(piece_length(&[RECORD_BYTES, 1], |&size| size), 1);
        assert_eq!(piece_length(&[2 * RECORD_BYTES, 1], |&size| size), 1);
        const { assert!(EVENT_BYTES_MAX + RECORD_BYTES < PAYLOAD_BYTES_MAX) };
    }
}
