//! The unflushed samples of a series, as sources of a piecewise merge.

use crate::Result;
use crate::chunk::pieces::Sources;
use crate::chunk::run::Arrival;
use crate::chunk::{OpenChunk, Run};
use crate::head::seen::Seen;
use crate::model::{RuleOf, TimeRange, Timestamp};

/// The number of late samples in a piece.
const PIECE: usize = 1024;

/// The visible samples that arrived in order, and those that arrived late, which are newer.
pub(super) struct InOrderAndLate<'a, I: Iterator<Item = (u32, &'a OpenChunk)>> {
    chunks: std::iter::Peekable<I>,
    seen: &'a Seen,
    late: &'a [Arrival],
    /// The late samples that are left, the earliest last; of each timestamp, the one that counts.
    order: Vec<u32>,
}

impl<'a, I: Iterator<Item = (u32, &'a OpenChunk)>> InOrderAndLate<'a, I> {
    pub(super) fn new(
        chunks: I,
        late: &'a [Arrival],
        range: TimeRange,
        seen: &'a Seen,
        rule: RuleOf<'_>,
    ) -> Self {
        let visible = (0u32..)
            .zip(late)
            .filter(|(at, sample)| range.contains(sample.timestamp) && seen.has_late(*at, sample.timestamp))
            .map(|(at, _)| at);
        let mut order = Arrival::in_order(late, visible, rule.get());
        order.reverse();
        InOrderAndLate { chunks: chunks.peekable(), seen, late, order }
    }
}

impl<'a, I: Iterator<Item = (u32, &'a OpenChunk)>> Sources for InOrderAndLate<'a, I> {
    fn count(&self) -> usize {
        2
    }

    fn next_time(&mut self, source: usize) -> Result<Option<Timestamp>> {
        Ok(match source {
            0 => self.chunks.peek().and_then(|(_, chunk)| chunk.first()),
            _ => self.order.last().map(|&at| self.late[at as usize].timestamp),
        })
    }

    fn read(&mut self, source: usize, run: &mut Run) -> Result<()> {
        if source == 0 {
            if let Some((first, chunk)) = self.chunks.next() {
                self.seen.extend(run, first, chunk);
            }
            return Ok(());
        }
        for at in self.order.split_off(self.order.len().saturating_sub(PIECE)).into_iter().rev() {
            let Arrival { timestamp, start, value } = &self.late[at as usize];
            run.push(*timestamp, *start, value);
        }
        Ok(())
    }
}
