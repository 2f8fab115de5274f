//! Limits the number of partitions that one request writes to.
//!
//! For each partition with samples, a flush writes a separate generation with series records, postings and a catalogue
//! record, which a merge reads and rewrites. A few bytes of text with times years apart would cost as much per sample
//! as a day of data.

use std::collections::BTreeSet;

use crate::head::ResolvedBatch;
use crate::model::{Layout, PartitionId, TierId};
use crate::{Error, Result};

/// The partitions of one request so far.
#[derive(Debug)]
pub(crate) struct Spread {
    layout: Layout,
    /// Maximum number of partitions.
    most: usize,
    seen: BTreeSet<PartitionId>,
}

impl Spread {
    /// Creates an empty set.
    pub(crate) fn new(layout: Layout, most: usize) -> Self {
        Spread { layout, most, seen: BTreeSet::new() }
    }

    /// Adds the partitions of a piece of the request.
    ///
    /// # Errors
    /// [`Error::Limit`] if there are too many.
    pub(crate) fn admit(&mut self, piece: &ResolvedBatch) -> Result<()> {
        let (oldest, newest) = (piece.oldest(), piece.newest().given.max(piece.newest().stamped));
        if oldest > newest {
            return Ok(());
        }
        let (first, last) = (self.layout.raw(oldest), self.layout.raw(newest));
        if last.number.abs_diff(first.number) <= 1 {
            // Both have samples. Nearly all requests span no more.
            self.seen.extend([first, last]);
            return self.check();
        }
        let mut recent = None;
        for timestamp in piece.timestamps() {
            let partition = self.layout.raw(timestamp);
            if recent.replace(partition) != Some(partition) && self.seen.insert(partition) {
                self.check()?;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.seen.len() <= self.most {
            return Ok(());
        }
        let (width, most) =
            (std::time::Duration::from_nanos(self.layout.width(TierId::RAW) as u64), self.most);
        Err(Error::Limit(format!(
            "the request has samples in more than {most} partitions, the limit (max_partitions_per_request, \
             Options::partitions_per_request); a partition covers {} seconds: send times that are far apart in several \
             requests, each for a part of the time, check the unit of the times, or raise the limit",
            width.as_secs()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Event;
    use crate::model::Labels;

    const DAY: i64 = 86_400_000_000_000;

    fn piece(days: impl Iterator<Item = i64>) -> ResolvedBatch {
        let mut piece = ResolvedBatch::default();
        for day in days {
            let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
            piece.push_event(Event {
                labels,
                timestamp: crate::Timestamp::from_nanos(day * DAY + 7),
                text: String::new(),
            });
        }
        piece
    }

    #[test]
    fn partitions_of_all_pieces_count_once() {
        let mut spread = Spread::new(Layout::new(DAY), 10);
        spread.admit(&ResolvedBatch::default()).unwrap();
        for _ in 0..20 {
            spread.admit(&piece([0, 0, 1].into_iter())).unwrap();
            spread.admit(&piece([5, 3, 5, 3, 9].into_iter())).unwrap();
        }
        assert_eq!(spread.seen.len(), 5, "days between them do not count");
        spread.admit(&piece(20..25)).unwrap();
        let refused = spread.admit(&piece(std::iter::once(-1))).unwrap_err().to_string();
        assert!(
            refused.contains("more than 10 partitions") && refused.contains("86400 seconds"),
            "{refused}"
        );
    }
}
