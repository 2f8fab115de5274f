//! Which names and labels have most series.
//!
//! The postings of head and generations are merged in the order of their pairs, one pair at
//! a time, so that memory follows the number of generations and the length of the lists, not
//! the number of pairs. Ids stand for series; where a label set got several, after a restart
//! or a time of silence, all but its smallest are left out (`doubles.rs`).

mod doubles;
mod pairs;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use roaring::RoaringTreemap;

use crate::model::{METRIC_NAME, TimeRange};
use crate::view::cardinality::pairs::Merge;
use crate::view::{View, indexing};
use crate::{Error, Result};

/// Pairs between two looks at whether to stop.
const PAIRS_PER_LOOK: u64 = 1024;

/// How many series there are, and which names and labels have most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series.
    pub series: u64,
    /// Label names.
    pub label_names: u64,
    /// Different pairs of a label name and a value.
    pub label_pairs: u64,
    /// Metric names by series, most first.
    pub series_by_metric: Vec<(String, u64)>,
    /// Label names by different values.
    pub values_by_label: Vec<(String, u64)>,
    /// Label names by bytes of their values, those of a value counted for each of its series.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Pairs, as `name=value`, by series.
    pub series_by_pair: Vec<(String, u64)>,
}

impl View<'_> {
    /// How many series there are: without a range in the head, which has those with
    /// unflushed or recent samples, with one also in every partition that it touches. Lists
    /// are at most `top` long; `should_stop` is asked from time to time.
    ///
    /// # Errors
    /// [`Error::Limit`] when `should_stop` answered true, or the store could not be read.
    pub fn cardinality(
        &self,
        range: Option<TimeRange>,
        top: usize,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<Cardinality> {
        let catalogue = self.catalogue.load_full();
        let generations: Vec<_> = range.iter().flat_map(|range| indexing(&catalogue, *range)).collect();
        let go_on = || match should_stop() {
            true => Err(Error::Limit("counting series took too long and was stopped".to_owned())),
            false => Ok(()),
        };
        let ids = match generations.is_empty() {
            // The head has each label set once.
            true => doubles::Census { series: self.head.series_count() as u64, ..doubles::Census::default() },
            false => doubles::census(self.head, self.kv, &generations, &go_on)?,
        };
        let mut tally = Tally::new(top);
        let mut merge = Merge::new(self.head, self.kv, &generations)?;
        for number in 0_u64.. {
            if number.is_multiple_of(PAIRS_PER_LOOK) {
                go_on()?;
            }
            let Some((name, value, series)) = merge.next(&ids.doubles)? else { break };
            tally.pair(&name, &value, series);
        }
        Ok(tally.finish(ids.series))
    }
}

/// The `top` largest of many.
#[derive(Debug)]
struct Largest {
    top: usize,
    heap: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Largest {
    fn new(top: usize) -> Self {
        Largest { top, heap: BinaryHeap::new() }
    }

    fn push(&mut self, count: u64, name: impl FnOnce() -> String) {
        let is_full = self.heap.len() >= self.top;
        if is_full && self.heap.peek().is_none_or(|Reverse((least, _))| count < *least) {
            return;
        }
        self.heap.push(Reverse((count, Reverse(name()))));
        if is_full {
            self.heap.pop();
        }
    }

    /// Largest first, equal ones by name.
    fn finish(self) -> Vec<(String, u64)> {
        let sorted = self.heap.into_sorted_vec();
        sorted.into_iter().map(|Reverse((count, Reverse(name)))| (name, count)).collect()
    }
}

/// Pairs counted, in their order.
struct Tally {
    name: String,
    values: u64,
    bytes: u64,
    report: Cardinality,
    by_metric: Largest,
    by_values: Largest,
    by_bytes: Largest,
    by_pair: Largest,
}

impl Tally {
    fn new(top: usize) -> Self {
        let list = || Largest::new(top);
        Tally {
            name: String::new(),
            values: 0,
            bytes: 0,
            report: Cardinality::default(),
            by_metric: list(),
            by_values: list(),
            by_bytes: list(),
            by_pair: list(),
        }
    }

    fn pair(&mut self, name: &str, value: &str, series: u64) {
        // Series that were all deleted, or are counted under another id.
        if series == 0 {
            return;
        }
        if name != self.name {
            self.end_name();
            name.clone_into(&mut self.name);
        }
        self.values += 1;
        self.bytes += value.len() as u64 * series;
        self.report.label_pairs += 1;
        if name == METRIC_NAME {
            self.by_metric.push(series, || value.to_owned());
        }
        self.by_pair.push(series, || format!("{name}={value}"));
    }

    fn end_name(&mut self) {
        if self.values > 0 {
            self.report.label_names += 1;
            self.by_values.push(self.values, || self.name.clone());
            self.by_bytes.push(self.bytes, || self.name.clone());
        }
        (self.values, self.bytes) = (0, 0);
    }

    fn finish(mut self, series: u64) -> Cardinality {
        self.end_name();
        Cardinality {
            series,
            series_by_metric: self.by_metric.finish(),
            values_by_label: self.by_values.finish(),
            bytes_by_label: self.by_bytes.finish(),
            series_by_pair: self.by_pair.finish(),
            ..self.report
        }
    }
}

/// How many of `ids` are not among `doubles`.
fn count(ids: &RoaringTreemap, doubles: &RoaringTreemap) -> u64 {
    ids.len() - ids.intersection_len(doubles)
}
