//! Merges the samples of one series from several sources piece by piece: memory grows with the number of overlapping
//! chunks, not with the number of samples.
//!
//! A source is an ascending sequence of pieces, such as the chunks of one generation. While only one source has
//! samples, its pieces pass through unchanged. When sources overlap, one piece of each is held, and everything up to
//! the earliest end among them is merged: no source has further samples before that.

use super::Run;
use crate::Result;
use crate::model::{Duplicates, Timestamp};

/// The sources of one series' samples. Those of a source with a smaller number are older.
pub trait Sources {
    /// The number of sources.
    fn count(&self) -> usize;

    /// A time at or before the first sample of the next piece and after all samples read so far; `None` after the last
    /// piece.
    ///
    /// # Errors
    /// Stored data is damaged or cannot be read.
    fn next_time(&mut self, source: usize) -> Result<Option<Timestamp>>;

    /// Appends the next piece to `run`, which has only earlier samples. A piece may turn out empty.
    ///
    /// # Errors
    /// Same as [`Sources::next_time`].
    fn read(&mut self, source: usize, run: &mut Run) -> Result<()>;
}

/// The position of a source.
#[derive(Debug, Default)]
enum Front {
    /// After its last piece.
    #[default]
    Ended,
    /// Before a piece that begins at or after this time.
    Before(Timestamp),
    /// In a piece that has been read: at this sample of it.
    Within(Run, usize),
}

impl Front {
    fn time(&self) -> Option<Timestamp> {
        match self {
            Front::Ended => None,
            Front::Before(time) => Some(*time),
            Front::Within(run, at) => run.timestamps.get(*at).copied(),
        }
    }
}

/// The merged samples of some sources.
#[derive(Debug, Default)]
pub struct PieceMerge {
    fronts: Vec<Front>,
    /// The maximum number of samples held at once.
    peak: usize,
}

impl PieceMerge {
    /// Continues with the first pieces of `sources`.
    ///
    /// # Errors
    /// Same as [`Sources::next_time`].
    pub fn begin(&mut self, sources: &mut impl Sources) -> Result<()> {
        self.fronts.clear();
        for source in 0..sources.count() {
            let front = before(sources, source)?;
            self.fronts.push(front);
        }
        Ok(())
    }

    /// Appends the next samples to `out`, which holds only earlier ones. Returns false if there are none left. It may
    /// return true without appending any. `rule` says which of several samples with the same timestamp counts; it is asked
    /// only where sources overlap.
    ///
    /// # Errors
    /// Same as [`Sources::read`].
    pub fn next(
        &mut self,
        sources: &mut impl Sources,
        rule: impl FnOnce() -> Duplicates,
        out: &mut Run,
    ) -> Result<bool> {
        let times =
            self.fronts.iter().enumerate().filter_map(|(source, front)| Some((front.time()?, source)));
        let Some((first, source)) = times.min() else { return Ok(false) };
        let of_others = self.fronts.iter().enumerate().filter(|(other, _)| *other != source);
        let others = of_others.filter_map(|(_, front)| front.time()).min();
        match &mut self.fronts[source] {
            Front::Before(_) if others.is_none_or(|others| first < others) => {
                sources.read(source, out)?;
                self.note(out.len());
                let alone =
                    others.map_or(out.len(), |others| out.timestamps.partition_point(|&t| t < others));
                self.fronts[source] = if alone < out.len() {
                    Front::Within(out.split_off(alone), 0)
                } else {
                    before(sources, source)?
                };
            }
            Front::Within(run, at) if others > run.timestamps.last().copied() || others.is_none() => {
                out.extend(&run.slice(*at..run.len()));
                self.note(out.len());
                self.fronts[source] = before(sources, source)?;
            }
            _ => self.next_overlapping(sources, source, rule, out)?,
        }
        Ok(true)
    }

    /// Merges up to the first end of a piece that overlaps that of `source`.
    fn next_overlapping(
        &mut self,
        sources: &mut impl Sources,
        source: usize,
        rule: impl FnOnce() -> Duplicates,
        out: &mut Run,
    ) -> Result<()> {
        self.enter(sources, source)?;
        let Front::Within(run, _) = &self.fronts[source] else { return Ok(()) };
        let Some(&last) = run.timestamps.last() else { return Ok(()) };
        for other in 0..self.fronts.len() {
            if self.fronts[other].time().is_some_and(|time| time <= last) {
                self.enter(sources, other)?;
            }
        }
        self.note(out.len());
        let until = self.fronts.iter().filter_map(|front| match front {
            Front::Ended => None,
            Front::Before(time) => Some(time.saturating_sub(1)),
            Front::Within(run, _) => run.timestamps.last().copied(),
        });
        let until = until.min().unwrap_or(last);
        let mut parts = Vec::with_capacity(self.fronts.len());
        for other in 0..self.fronts.len() {
            let Front::Within(run, at) = &mut self.fronts[other] else { continue };
            let end = run.timestamps.partition_point(|&t| t <= until).max(*at);
            parts.push(run.slice(*at..end));
            *at = end;
            if end == run.len() {
                self.fronts[other] = before(sources, other)?;
            }
        }
        out.extend(&Run::merge(parts, rule));
        Ok(())
    }

    /// Reads the next piece of a source.
    fn enter(&mut self, sources: &mut impl Sources, source: usize) -> Result<()> {
        if let Front::Before(_) = self.fronts[source] {
            let mut run = Run::default();
            sources.read(source, &mut run)?;
            self.fronts[source] =
                if run.is_empty() { before(sources, source)? } else { Front::Within(run, 0) };
        }
        Ok(())
    }

    fn note(&mut self, out: usize) {
        let within = |front: &Front| if let Front::Within(run, _) = front { run.len() } else { 0 };
        self.peak = self.peak.max(out + self.fronts.iter().map(within).sum::<usize>());
    }

    /// The maximum number of samples that it and the run that it appended to held at once.
    pub fn peak(&self) -> usize {
        self.peak
    }
}

fn before(sources: &mut impl Sources, source: usize) -> Result<Front> {
    Ok(sources.next_time(source)?.map_or(Front::Ended, Front::Before))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Value;
    use proptest::prelude::*;

    /// Pieces in memory, the next one last.
    struct Listed(Vec<Vec<Run>>);

    impl Sources for Listed {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn next_time(&mut self, source: usize) -> Result<Option<Timestamp>> {
            Ok(self.0[source].last().map(|piece| piece.timestamps[0]))
        }

        fn read(&mut self, source: usize, run: &mut Run) -> Result<()> {
            let mut piece = self.0[source].pop().unwrap();
            // As a delete would have it.
            piece.retain(|t| t % 10 != 3);
            run.extend(&piece);
            Ok(())
        }
    }

    fn pieces(samples: &BTreeMap<i64, i64>, length: usize) -> Vec<Run> {
        let samples: Vec<_> = samples.iter().collect();
        let mut pieces: Vec<Run> = samples
            .chunks(length)
            .map(|piece| {
                let mut run = Run::default();
                piece.iter().for_each(|&(&t, &v)| run.push(t, v % 3, &Value::Int(v)));
                run
            })
            .collect();
        pieces.reverse();
        pieces
    }

    proptest! {
        #[test]
        fn pieces_make_what_a_map_makes(
            maps in proptest::collection::vec(
                (proptest::collection::btree_map(-60i64..60, any::<i64>(), 0..60), 1usize..9), 0..6),
        ) {
            let mut expected = BTreeMap::new();
            for (map, _) in &maps {
                expected.extend(map.iter().filter(|(t, _)| *t % 10 != 3).map(|(&t, &v)| (t, v)));
            }
            let mut sources = Listed(maps.iter().map(|(map, length)| pieces(map, *length)).collect());
            let (mut merge, mut out) = (PieceMerge::default(), Run::default());
            merge.begin(&mut sources).unwrap();
            while merge.next(&mut sources, || Duplicates::Last, &mut out).unwrap() {}
            let found: Vec<_> = (0..out.len()).map(|at| (out.timestamps[at], out.value_at(at), out.start_at(at))).collect();
            let expected: Vec<_> = expected.into_iter().map(|(t, v)| {
                let value = if crate::chunk::run::is_float_exact(v) { Value::Float(v as f64) } else { Value::Int(v) };
                (t, value, v % 3)
            }).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_rule_is_asked_for_only_where_samples_meet() {
        let run = |times: &[i64]| {
            let mut run = Run::default();
            times.iter().for_each(|&time| run.push(time, 0, &Value::Float(1.0)));
            run
        };
        for (second, expected) in [(&[30, 40][..], 0), (&[20, 40], 1), (&[15, 40], 0)] {
            let mut sources = Listed(vec![vec![run(&[10, 20])], vec![run(second)]]);
            let (mut merge, mut out, mut asked) = (PieceMerge::default(), Run::default(), 0);
            merge.begin(&mut sources).unwrap();
            let mut rule = || {
                asked += 1;
                Duplicates::Last
            };
            while merge.next(&mut sources, &mut rule, &mut out).unwrap() {}
            assert_eq!((asked, out.timestamps.last()), (expected, Some(&40)), "{second:?}");
        }
    }

    #[test]
    fn what_is_held_follows_the_pieces_that_lie_over_each_other() {
        // A million samples in two sources that alternate, and one more over a part of them.
        let of = |from: i64, step: usize, count: usize| {
            let mut pieces: Vec<Run> = Vec::new();
            for first in (0..count).step_by(1000) {
                let mut run = Run::default();
                (first..first + 1000).for_each(|i| run.push(from + (i * step) as i64, 0, &Value::Float(1.0)));
                pieces.push(run);
            }
            pieces.reverse();
            pieces
        };
        let mut sources = Listed(vec![of(0, 2, 500_000), of(1, 2, 500_000), of(4_000, 5, 10_000)]);
        let (mut merge, mut out, mut samples) = (PieceMerge::default(), Run::default(), 0);
        merge.begin(&mut sources).unwrap();
        while merge.next(&mut sources, || Duplicates::Last, &mut out).unwrap() {
            samples += out.len();
            out.clear();
        }
        assert_eq!(samples, 900_000, "but for those that are deleted");
        assert!(merge.peak() <= 3 * 1000, "{}", merge.peak());
    }
}
