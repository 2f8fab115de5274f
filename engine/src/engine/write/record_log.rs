//! Writes a batch to the log, in as few records as its size allows.
//!
//! A batch is one record of each kind, which a restart finds completely or not at all. If a record would exceed
//! [`RECORD_BYTES`], it is split, so that no batch is too large for the log: the definitions of new series can be a
//! hundred times the size of its samples. All records are encoded before the first is passed to the log, which accepts
//! all or none. If the process ends before the batch is acknowledged, a restart finds a prefix of them.
//!
//! Next: `wal/`, and `head/record.rs` for the encoding.

use std::sync::Arc;

use crate::codec::varint;
use crate::engine::write::CommitState;
use crate::head::record::{self, SampleEncoder};
use crate::head::{Epoch, HeadSeries, ResolvedBatch};
use crate::model::{Exemplar, Labels, Metadata, Timestamp, Value};
use crate::wal::{NewRecord, PAYLOAD_BYTES_MAX, Ticket, Wal};
use crate::{Error, Result};

/// A record ends after the item that reaches this size.
const RECORD_BYTES: usize = PAYLOAD_BYTES_MAX / 2;
/// The maximum memory of a record that is reused for the next batch.
const SPARE_BYTES_MAX: usize = 4 << 20;
/// The maximum size of an event, labels and text together: with it a record still fits into the log.
const EVENT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX / 4;

/// Whether an event is small enough for the log.
pub(super) fn check_event(labels: &Labels, text: &str) -> Result<()> {
    if text.len() > EVENT_BYTES_MAX {
        return Err(Error::Limit(format!(
            "series {}: an event of {} bytes, the limit is {EVENT_BYTES_MAX}; split the text",
            crate::engine::shortened::shown(labels),
            text.len()
        )));
    }
    Ok(())
}

/// Passes the records of a batch to the log, all of them or none. Returns the ticket of the last one, and the series
/// that they define; `None` if the log has removed records since `commit` was settled, which may include definitions
/// that these records omit.
pub(super) fn log(
    commit: &mut CommitState,
    wal: &Wal,
    resolved: &ResolvedBatch,
) -> Result<Option<(Ticket, Vec<Arc<HeadSeries>>)>> {
    let mut records = Records::new(commit.epoch, std::mem::take(&mut commit.spare));
    resolved.for_each(|series, timestamp, start, value| {
        records.push_sample(series, timestamp, start, value);
    });
    records.end_samples();
    let size = |event: &crate::head::Event| event.labels.as_bytes().len() + event.text.len();
    records.push_items(record::KIND_EVENTS, &resolved.events, size, record::encode_events);
    records.push_notes(resolved);
    let appended = wal.append_all(&records.new_ones(), commit.term);
    if !matches!(appended, Ok(Some(_))) {
        records.defined.iter().for_each(|series| series.forget_definition());
    }
    commit.spare = std::mem::take(&mut records.at_hand).or_emptied(&mut records.done);
    Ok(appended?.map(|ticket| (ticket, records.defined)))
}

/// The number of items, at least one, that reach [`RECORD_BYTES`] together.
fn piece_length<T>(items: &[T], size: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let reaches = |item: &T| {
        bytes += size(item);
        bytes >= RECORD_BYTES
    };
    items.iter().position(reaches).map_or(items.len(), |at| at + 1)
}

/// A record to be logged. Its payload is the concatenation of the parts. Records of kinds other than samples are
/// completely in the last part.
#[derive(Debug, Default)]
pub(super) struct LogRecord {
    kind: u8,
    defined: Vec<u8>,
    definitions: Vec<u8>,
    counted: Vec<u8>,
    payload: Vec<u8>,
}

impl LogRecord {
    fn as_new(&self) -> NewRecord<'_> {
        let LogRecord { kind, defined, definitions, counted, payload } = self;
        NewRecord { kind: *kind, parts: [defined, definitions, counted, payload] }
    }

    /// An empty record that reuses the memory of this one, or, if this has none, of the first of `others`.
    fn or_emptied(self, others: &mut Vec<LogRecord>) -> LogRecord {
        let mut left =
            if self.payload.capacity() > 0 || others.is_empty() { self } else { others.swap_remove(0) };
        for bytes in [&mut left.defined, &mut left.definitions, &mut left.counted, &mut left.payload] {
            bytes.clear();
            bytes.shrink_to(SPARE_BYTES_MAX);
        }
        left
    }
}

/// The records of one batch. Those of samples begin with the definitions of series that are not in this log.
struct Records {
    epoch: Epoch,
    done: Vec<LogRecord>,
    at_hand: LogRecord,
    encoder: SampleEncoder,
    /// Number of samples in the current record.
    samples: u64,
    /// Number of series that it defines.
    definitions: u64,
    /// The series defined by any of the records.
    defined: Vec<Arc<HeadSeries>>,
}

impl Records {
    fn new(epoch: Epoch, spare: LogRecord) -> Self {
        Records {
            epoch,
            done: Vec::new(),
            at_hand: spare,
            encoder: SampleEncoder::default(),
            samples: 0,
            definitions: 0,
            defined: Vec::new(),
        }
    }

    #[inline]
    fn push_sample(
        &mut self,
        series: &Arc<HeadSeries>,
        timestamp: Timestamp,
        start: Timestamp,
        value: &Value,
    ) {
        if series.needs_definition(self.epoch) {
            record::push_definition(&mut self.at_hand.definitions, series.id.0, &series.labels);
            self.definitions += 1;
            self.defined.push(series.clone());
        }
        self.encoder.push(&mut self.at_hand.payload, series.id.0, timestamp, start, value);
        self.samples += 1;
        if self.at_hand.payload.len() + self.at_hand.definitions.len() >= RECORD_BYTES {
            self.end_samples();
        }
    }

    /// Ends the current record of samples, unless it is empty.
    fn end_samples(&mut self) {
        if self.samples == 0 {
            return;
        }
        let mut record = std::mem::take(&mut self.at_hand);
        record.kind = record::KIND_SAMPLES;
        varint::write(&mut record.defined, self.definitions);
        varint::write(&mut record.counted, self.samples);
        self.done.push(record);
        (self.encoder, self.samples, self.definitions) = (SampleEncoder::default(), 0, 0);
    }

    /// Adds items of one kind, in as few records as possible.
    fn push_items<T>(
        &mut self,
        kind: u8,
        items: &[T],
        size: impl Fn(&T) -> usize,
        encode: impl Fn(&[T], &mut Vec<u8>),
    ) {
        let mut rest = items;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_length(rest, &size));
            let mut record = LogRecord { kind, ..std::mem::take(&mut self.at_hand) };
            encode(piece, &mut record.payload);
            self.done.push(record);
            rest = after;
        }
    }

    fn push_notes(&mut self, resolved: &ResolvedBatch) {
        let size = |(family, metadata): &(String, Metadata)| {
            family.len() + metadata.help.len() + metadata.unit.len()
        };
        self.push_items(record::KIND_METADATA, &resolved.metadata, size, record::encode_metadata);
        let size = |(series, exemplar): &(Labels, Exemplar)| {
            series.as_bytes().len() + exemplar.labels.as_bytes().len()
        };
        self.push_items(record::KIND_EXEMPLARS, &resolved.exemplars, size, record::encode_exemplars);
        let names =
            [(record::KIND_DATABASES, &resolved.databases), (record::KIND_DROPPED, &resolved.dropped)];
        for (kind, names) in names {
            self.push_items(kind, names, String::len, record::encode_databases);
        }
    }

    fn new_ones(&self) -> Vec<NewRecord<'_>> {
        self.done.iter().map(LogRecord::as_new).collect()
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
