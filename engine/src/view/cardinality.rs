//! The metric names and labels with the most series.
//!
//! The postings of head and generations are merged in the order of their pairs, one pair at a time, so memory depends
//! on the number of generations and the length of the lists, not on the number of pairs. Each id counts as a series. If
//! a label set has several, after a restart or a period without samples, all but the smallest are left out
//! (`store/duplicates.rs`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::Result;
use crate::budget::Taken;
use crate::head::{Head, HeadSeries};
use crate::index::ids::IdList;
use crate::index::merge::{MergedPair, Pair, PairIds, PairMerge, PairSource};
use crate::model::{Labels, METRIC_NAME, TimeRange};
use crate::store::catalogue::Generation;
use crate::store::duplicates::DuplicateScan;
use crate::store::generation::GenerationReader;
use crate::view::View;

/// The number of pairs between two checks whether to stop.
const PAIRS_PER_LOOK: u64 = 1024;

/// The number of series, and the names and labels with the most series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cardinality {
    /// The number of series.
    pub series: u64,
    /// The number of label names.
    pub label_names: u64,
    /// The number of different pairs of a label name and a value.
    pub label_pairs: u64,
    /// Metric names by number of series, in descending order.
    pub series_by_metric: Vec<(String, u64)>,
    /// Label names by number of different values.
    pub values_by_label: Vec<(String, u64)>,
    /// Label names by total size of their values, bytes; each value counts once for each of its series.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Pairs, as `name=value`, by number of series.
    pub series_by_pair: Vec<(String, u64)>,
}

impl View<'_> {
    /// Cardinality statistics. Without a range, they cover the series in the head, which are those with unflushed or
    /// recent samples; with a range, also those in every partition that overlaps it. Lists have at most `top` entries.
    /// For a tenant, only its own series count.
    ///
    /// # Errors
    /// The errors of [`View::work`], or the store could not be read.
    pub fn cardinality(&self, range: Option<TimeRange>, top: usize) -> Result<Cardinality> {
        let _call = self.enter()?;
        self.without_damage(|| self.cardinality_once(range, top))
    }

    fn cardinality_once(&self, range: Option<TimeRange>, top: usize) -> Result<Cardinality> {
        let catalogue = &self.catalogue;
        let generations: Vec<_> = match range {
            Some(range) => self.indexing(catalogue, range)?.cloned().collect(),
            None => Vec::new(),
        };
        let own = self.tenant.as_ref().map(|_| self.own_ids(&generations)).transpose()?;
        let scan = match generations.is_empty() {
            // The head has each label set only once.
            true => DuplicateScan { series: self.head.series_count() as u64, ..DuplicateScan::default() },
            false => {
                let taken = Taken::of(&self.work);
                let one = size_of::<Arc<HeadSeries>>() + size_of::<(Labels, u64)>();
                taken.more(self.head.series_count() * one)?;
                let head = self.head.all_series();
                let head: Vec<(Labels, u64)> = head.iter().map(|s| (s.labels.clone(), s.id.0)).collect();
                let go_on = || Ok(self.work.check()?);
                DuplicateScan::take_within(self.scan_bytes(&taken)?, self.kv, &generations, &head, &go_on)?
            }
        };
        let duplicates = scan.duplicates();
        let mut sources: Vec<Box<dyn PairSource>> = vec![Box::new(HeadPairs::new(self.head))];
        for generation in &generations {
            sources.push(Box::new(GenerationReader::new(self.kv, generation).pairs()?));
        }
        let (mut merge, mut tally) = (PairMerge::new(sources)?, Tally::new(top));
        for number in 0_u64.. {
            if number.is_multiple_of(PAIRS_PER_LOOK) {
                self.work.check()?;
            }
            let Some(pair) = merge.next_pair()? else { break };
            let series = match &own {
                None => Counted::of(pair, &duplicates)?,
                Some(own) => Counted::among(own, pair, &duplicates)?,
            };
            tally.pair(series);
        }
        let series = own.map_or(scan.series, |own| own.len() - own.intersection_len(&duplicates));
        Ok(tally.finish(series))
    }
}

impl View<'_> {
    /// The ids of the tenant's series, in the head and in generations.
    fn own_ids(&self, generations: &[Arc<Generation>]) -> Result<RoaringTreemap> {
        let mut own = self.head_ids(&[])?;
        for generation in generations {
            own |= self.stored_ids(&GenerationReader::new(self.kv, generation), &[])?;
        }
        Ok(own)
    }

    /// Takes the memory of a pass over label sets. If it is small, there are more passes.
    fn scan_bytes(&self, taken: &Taken) -> Result<u64> {
        let mut bytes = CENSUS_BYTES;
        while let Err(denied) = taken.more(bytes) {
            bytes /= 2;
            if bytes < CENSUS_BYTES_MIN {
                return Err(denied.into());
            }
        }
        Ok(bytes as u64)
    }
}

/// The maximum and minimum memory of a pass over label sets, bytes.
const CENSUS_BYTES: usize = 64 << 20;
const CENSUS_BYTES_MIN: usize = 1 << 20;

/// The number of values of the head that are copied at once.
const PAGE: usize = 1024;

/// The head's pairs. Its lock is taken for one page at a time.
struct HeadPairs<'a> {
    head: &'a Head,
    names: std::vec::IntoIter<String>,
    name: String,
    /// The start of the next page; `None` at the end of a name.
    from: Option<Vec<u8>>,
    page: VecDeque<(String, IdList)>,
}

impl<'a> HeadPairs<'a> {
    fn new(head: &'a Head) -> Self {
        let names = head.label_names().into_iter();
        HeadPairs { head, names, name: String::new(), from: None, page: VecDeque::new() }
    }
}

impl PairSource for HeadPairs<'_> {
    fn next(&mut self) -> Result<Option<Pair>> {
        loop {
            if let Some((value, ids)) = self.page.pop_front() {
                return Ok(Some(Pair { name: self.name.clone(), value, ids: PairIds::List(ids) }));
            }
            let from = match (self.from.take(), &mut self.names) {
                (Some(from), _) => from,
                (None, names) => {
                    let Some(name) = names.next() else { return Ok(None) };
                    self.name = name;
                    Vec::new()
                }
            };
            self.from = self.head.page(&self.name, &from, PAGE, &mut self.page);
        }
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

    /// In descending order; equal ones by name.
    fn finish(self) -> Vec<(String, u64)> {
        let sorted = self.heap.into_sorted_vec();
        sorted.into_iter().map(|Reverse((count, Reverse(name)))| (name, count)).collect()
    }
}

/// Counts the series that have a pair.
struct Counted {
    name: String,
    value: String,
    series: u64,
}

impl Counted {
    /// Counts the series that have a pair, without `duplicates`.
    fn of(pair: MergedPair, duplicates: &RoaringTreemap) -> Result<Self> {
        let (name, value) = (pair.name.clone(), pair.value.clone());
        Ok(Counted { name, value, series: pair.count(duplicates)? })
    }

    /// The same for the series in `own`.
    fn among(own: &RoaringTreemap, pair: MergedPair, duplicates: &RoaringTreemap) -> Result<Self> {
        let (name, value) = (pair.name.clone(), pair.value.clone());
        let ids = pair.union()? & own;
        Ok(Counted { name, value, series: ids.len() - ids.intersection_len(duplicates) })
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

    fn pair(&mut self, Counted { name, value, series }: Counted) {
        // All of its series are counted under another id, have left the head in the meantime, or are not wanted.
        if series == 0 {
            return;
        }
        if name != self.name {
            self.end_name();
            self.name.clone_from(&name);
        }
        self.values += 1;
        self.bytes += value.len() as u64 * series;
        self.report.label_pairs += 1;
        if name == METRIC_NAME {
            self.by_metric.push(series, || value.clone());
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
