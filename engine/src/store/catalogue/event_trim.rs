//! Up to when events have been dropped although samples of their time are kept.
//!
//! # Format
//! A record of [`Family::Meta`](crate::store::kv::Family::Meta), in the envelope of `values`, version 1:
//!
//! ```text
//! 'e'                          EventTrim
//! ```
//!
//! # Invariant
//! C6. Events at or before `until` in raw generations with a cut up to `cut` are past their retention: no reader returns
//!     them, and the next merge of their partition leaves them out. Later generations hold events that were in memory when
//!     the trim came to `until`, or that were written after the retention had become longer. They stay until the trim
//!     advances the next time.

use bincode::{Decode, Encode};

use crate::Result;
use crate::model::{PartitionId, Timestamp};
use crate::store::catalogue::{Catalogue, Generation, GenerationRecord};
use crate::store::values;

/// Version of the record.
const EVENT_TRIM_VERSION: u32 = 1;

/// The first byte of the key, which has no other.
pub(super) const KIND_EVENT_TRIM: u8 = b'e';

/// The key of the record.
pub const EVENT_TRIM_KEY: &[u8] = &[KIND_EVENT_TRIM];

/// Up to when events have been dropped (C6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct EventTrim {
    /// The last instant of a raw partition.
    pub until: Timestamp,
    /// The log was flushed up to this sequence when it came to `until`.
    pub cut: u64,
    /// All partitions up to there have been rewritten without the events.
    pub applied: Timestamp,
}

impl EventTrim {
    /// Whether a generation has events that are past their retention, if it is in a partition up to `until`.
    pub(crate) fn concerns(&self, record: &GenerationRecord) -> bool {
        record.events > 0 && record.cut <= self.cut
    }

    /// Its record.
    ///
    /// # Errors
    /// None in practice: the record is small.
    pub fn encode(&self) -> Result<Vec<u8>> {
        values::encode(EVENT_TRIM_VERSION, self)
    }

    /// Decodes the result of [`EventTrim::encode`].
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), or a newer version.
    pub(super) fn decode(place: &str, bytes: &[u8]) -> Result<EventTrim> {
        values::decode(place, EVENT_TRIM_VERSION, bytes)
    }
}

impl Catalogue {
    /// The trim of events, if it reaches past all of a partition.
    pub(crate) fn event_trim_over(&self, partition: PartitionId) -> Option<EventTrim> {
        let trim = self.event_trim.filter(|_| partition.tier.is_raw());
        trim.filter(|trim| self.layout().bounds(partition).1 <= trim.until)
    }

    /// Whether a generation has events, and they are not past their retention.
    pub(crate) fn has_events(&self, generation: &Generation) -> bool {
        let trim = self.event_trim_over(generation.prefix.partition);
        generation.record.events > 0 && !trim.is_some_and(|trim| trim.concerns(&generation.record))
    }

    /// The last instant up to which events have been dropped; [`Timestamp::MIN`] if none have.
    pub(crate) fn events_from(&self) -> Timestamp {
        self.event_trim.map_or(Timestamp::MIN, |trim| trim.until).max(self.dropped_partitions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use crate::store::keys::Prefix;

    #[test]
    fn a_record_reads_back() {
        let trim = EventTrim { until: 77, cut: 5, applied: -3 };
        assert_eq!(EventTrim::decode("x", &trim.encode().unwrap()).unwrap(), trim);
    }

    #[test]
    fn events_written_after_the_trim_stay() {
        let mut catalogue = Catalogue::new(1, Layout::new(1000));
        let generation = |partition: i32, cut: u64, events: u64| {
            let prefix = Prefix { partition: PartitionId::raw(partition), generation: 1 };
            let record = GenerationRecord { cut, events, ..GenerationRecord::default() };
            Generation::new(prefix, record, &Default::default())
        };
        assert!(catalogue.has_events(&generation(0, 5, 1)) && !catalogue.has_events(&generation(0, 5, 0)));
        assert_eq!(catalogue.events_from(), Timestamp::MIN);
        catalogue.event_trim = Some(EventTrim { until: 1999, cut: 5, applied: 0 });
        let has = |partition, cut| catalogue.has_events(&generation(partition, cut, 1));
        assert_eq!([has(0, 5), has(1, 5), has(1, 6), has(2, 5)], [false, false, true, true]);
        assert_eq!(catalogue.events_from(), 1999);
    }
}
