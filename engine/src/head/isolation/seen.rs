//! Which of a series' samples in memory a reader sees.
//!
//! Samples are only ever added, either in order or to the late ones. A state of a series is therefore a [`Place`]: the
//! number of samples of both kinds. [`Marks`] keep the places of the pinned states; [`Seen`] is what a reader sees of
//! the samples, given a place and deletes.

use smallvec::SmallVec;

use crate::chunk::run::Arrival;
use crate::chunk::{OpenChunk, Run};
use crate::model::{TimeRange, Timestamp};

/// How many samples a series had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Samples in order.
    pub in_order: u32,
    /// Late samples.
    pub late: u32,
}

impl Place {
    /// After all samples.
    pub const END: Place = Place { in_order: u32::MAX, late: u32::MAX };
}

/// The place of a series after the change `seq`, and after each earlier change back to the previous mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    seq: u64,
    place: Place,
}

/// The places of a series in pinned states, ascending. Most series have none.
#[derive(Debug, Clone, Default)]
pub struct Marks(Option<Box<SmallVec<[Mark; 1]>>>);

impl Marks {
    /// Marks the place of the newest pin, and removes marks that no pin needs any more. Returns the increase of memory
    /// in bytes.
    pub fn put(&mut self, place: Place, pinned: &[u64]) -> usize {
        let Some(&seq) = pinned.last() else {
            // The allocation is kept for the next mark.
            self.0.iter_mut().for_each(|marks| marks.clear());
            return 0;
        };
        let bytes = self.memory_bytes();
        let marks = self.0.get_or_insert_default();
        let mut before = None;
        marks.retain(|mark| {
            let first = before.map_or(0, |before| pinned.partition_point(|pin| *pin <= before));
            before = Some(mark.seq);
            pinned.get(first).is_some_and(|pin| *pin <= mark.seq)
        });
        match marks.last_mut() {
            // A newer pin was released; the series did not change between this pin and its mark.
            Some(last) if last.seq >= seq => {}
            Some(last) if last.place == place => last.seq = seq,
            _ => marks.push(Mark { seq, place }),
        }
        self.memory_bytes() - bytes
    }

    /// The place after the change `seq`, which is pinned.
    pub fn place_at(&self, seq: u64) -> Place {
        let Some(marks) = &self.0 else { return Place::END };
        let at = marks.partition_point(|mark| mark.seq < seq);
        marks.get(at).map_or(Place::END, |mark| mark.place)
    }

    /// Bytes of the marks.
    pub fn memory_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |marks| {
            let spilled = if marks.spilled() { marks.capacity() * size_of::<Mark>() } else { 0 };
            size_of::<SmallVec<[Mark; 1]>>() + spilled
        })
    }
}

/// Which samples of a series are visible.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Samples before this place are visible,
    pub end: Place,
    /// except those that are before one of these places and within its range.
    pub hidden: Vec<(Place, TimeRange)>,
}

impl Default for Seen {
    fn default() -> Self {
        Seen::ALL
    }
}

impl Seen {
    /// All samples.
    pub const ALL: Seen = Seen { end: Place::END, hidden: Vec::new() };

    /// The samples visible after the change `seq`. `deletes` yields the sequences and ranges of the deletes up to it
    /// that are newer than the first sample.
    pub fn new(marks: &Marks, seq: u64, deletes: impl Iterator<Item = (u64, TimeRange)>) -> Seen {
        let hidden = deletes.map(|(seq, range)| (marks.place_at(seq), range)).collect();
        Seen { end: marks.place_at(seq), hidden }
    }

    /// Whether all samples are visible.
    pub fn is_all(&self) -> bool {
        self.end == Place::END && self.hidden.is_empty()
    }

    /// Bytes of the list.
    pub fn memory_bytes(&self) -> usize {
        self.hidden.capacity() * size_of::<(Place, TimeRange)>()
    }

    /// Whether no sample is visible.
    pub fn is_nothing(&self) -> bool {
        self.end == Place::default()
    }

    /// Whether the late sample with this number is visible.
    pub fn has_late(&self, number: u32, timestamp: Timestamp) -> bool {
        number < self.end.late
            && !self.hidden.iter().any(|(place, range)| number < place.late && range.contains(timestamp))
    }

    /// Appends the visible samples of a chunk to `run`; `first` is the number of its first sample.
    pub fn extend(&self, run: &mut Run, first: u32, chunk: &OpenChunk) {
        let seen = self.end.in_order.saturating_sub(first) as usize;
        if seen == 0 {
            return;
        }
        if self.hidden.is_empty() {
            let end = run.len().saturating_add(seen);
            run.extend_from_open(chunk);
            if run.len() > end {
                run.truncate(end);
            }
            return;
        }
        let mut piece = Run::default();
        piece.extend_from_open(chunk);
        piece.truncate(seen);
        piece.retain_at(|at, timestamp| {
            let number = first + at as u32;
            !self.hidden.iter().any(|(place, range)| number < place.in_order && range.contains(timestamp))
        });
        run.extend(&piece);
    }

    /// The visible late samples in `range`, and the same view of them alone: its places count only those.
    pub fn of_late(&self, late: &[Arrival], range: TimeRange) -> (Vec<Arrival>, Seen) {
        let wanted = (0u32..).zip(late).filter(|(_, sample)| range.contains(sample.timestamp));
        let (numbers, kept): (Vec<u32>, Vec<Arrival>) = wanted.map(|(n, sample)| (n, sample.clone())).unzip();
        let number_of = |place: Place| match place.late {
            u32::MAX => u32::MAX,
            late => numbers.partition_point(|number| *number < late) as u32,
        };
        let translate = |place: Place| Place { late: number_of(place), ..place };
        let hidden = self.hidden.iter().map(|(place, range)| (translate(*place), *range)).collect();
        (kept, Seen { end: translate(self.end), hidden })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(in_order: u32) -> Place {
        Place { in_order, late: 0 }
    }

    #[test]
    fn only_places_that_somebody_asks_for_stay_marked() {
        let mut marks = Marks::default();
        assert_eq!(marks.place_at(7), Place::END);
        marks.put(place(0), &[0]);
        marks.put(place(1), &[0, 10]);
        assert_eq!([0, 10].map(|seq| marks.place_at(seq).in_order), [0, 1], "of an empty database");
        marks.put(place(2), &[10, 20]);
        marks.put(place(2), &[10, 25]);
        marks.put(place(5), &[10, 25, 30]);
        assert_eq!([5, 10, 25, 30].map(|seq| marks.place_at(seq).in_order), [1, 1, 2, 5]);
        assert_eq!(marks.place_at(31), Place::END, "no sample was added since");
        marks.put(place(6), &[25, 40]);
        assert_eq!([25, 40].map(|seq| marks.place_at(seq).in_order), [2, 6]);
        assert_eq!(marks.0.as_ref().unwrap().len(), 2, "10 and 30 are no longer pinned");
        marks.put(place(8), &[25]);
        assert_eq!(marks.place_at(25).in_order, 2, "the newest pin was released, the previous one stays");
        let bytes = marks.memory_bytes();
        assert_eq!(marks.put(place(9), &[]), 0);
        assert_eq!((marks.place_at(40), marks.memory_bytes()), (Place::END, bytes));
    }

    #[test]
    fn many_readers_that_come_and_go_beside_one_that_stays_leave_few_marks() {
        let mut marks = Marks::default();
        for seq in 2..1000 {
            marks.put(place(seq as u32), &[1, seq]);
        }
        assert_eq!(marks.0.as_ref().unwrap().len(), 2);
        assert_eq!((marks.place_at(1), marks.place_at(999)), (place(2), place(999)));
    }
}
