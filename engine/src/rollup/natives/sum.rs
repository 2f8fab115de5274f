//! Sums of native histograms without rounding error, independent of order and grouping.
//!
//! Each count is an [`ExactSum`], and so is the sum of observations. Histograms of different layouts (schema, zero
//! threshold, explicit bounds) are summed apart, because bringing them to one layout is not associative: what a wider
//! zero bucket takes depends on the buckets that are populated at the time.
//!
//! A sum is stored as histograms that add up to it, its *layers*: of each layout, the first has every count rounded to
//! the nearest float, the next what that leaves, and so on. Counts below 2^53 take one layer.

use std::sync::Arc;

use super::super::exact_sum::{ExactSum, HUGE};
use crate::model::Histogram;
use crate::model::histogram::algebra::{negative, positive, set_buckets};

/// The exact sum of native histograms.
///
/// ```
/// use barograph_engine::model::Histogram;
/// use barograph_engine::rollup::HistogramSum;
///
/// let of = |sum: f64| Histogram { count: 1.0, sum, ..Histogram::default() };
/// let mut total = HistogramSum::default();
/// [1e200, 1.0, -1e200].into_iter().for_each(|sum| total.add(&of(sum)));
/// let totals = total.totals().unwrap();
/// assert_eq!((totals.len(), totals[0].count, totals[0].sum), (1, 3.0, 1.0));
/// ```
#[derive(Debug, Clone, Default)]
pub struct HistogramSum {
    /// In the order of their first histograms.
    layouts: Vec<OfLayout>,
}

/// The sums of one side, ascending by index.
type Side = Vec<(i32, ExactSum)>;

/// The sum of the histograms of one layout.
#[derive(Debug, Clone)]
struct OfLayout {
    /// Without counts.
    layout: Histogram,
    count: ExactSum,
    zero: ExactSum,
    sum: ExactSum,
    positive: Side,
    negative: Side,
}

impl HistogramSum {
    /// The sum of these histograms.
    pub fn of<'h>(histograms: impl IntoIterator<Item = &'h Arc<Histogram>>) -> Self {
        let mut sum = HistogramSum::default();
        histograms.into_iter().for_each(|histogram| sum.add(histogram));
        sum
    }

    /// Adds a histogram. Its reset hint does not matter.
    pub fn add(&mut self, histogram: &Histogram) {
        let known = self.layouts.iter().position(|of| of.is_of(histogram));
        let at = known.unwrap_or_else(|| {
            self.layouts.push(OfLayout::new(histogram));
            self.layouts.len() - 1
        });
        self.layouts[at].add(histogram);
    }

    /// Adds all histograms of a sum.
    pub fn add_all(&mut self, layers: &[Arc<Histogram>]) {
        layers.iter().for_each(|layer| self.add(layer));
    }

    /// The sum of the histograms of each layout, rounded once, in the order of their first ones; `None` if a count is so
    /// large that its sum is unknown.
    pub fn totals(&self) -> Option<Vec<Histogram>> {
        self.layouts.iter().map(|of| of.has_bounds().then(|| of.map(ExactSum::value))).collect()
    }

    /// Histograms that add up to the sum, as few as possible. They depend on the sum and on the order of layouts alone.
    /// `None` if a count is so large that its sum is unknown.
    pub fn layers(&self) -> Option<Vec<Arc<Histogram>>> {
        let mut layers = Vec::new();
        for of in &self.layouts {
            if !of.has_bounds() {
                return None;
            }
            let mut of = of.clone();
            of.each(ExactSum::normalize);
            let most = of.cells().map(|sum| sum.components().count()).max().unwrap_or(0).max(1);
            let layer = |at: usize| of.map(|sum| sum.components().nth(at).unwrap_or(0.0));
            layers.extend((0..most).map(|at| Arc::new(layer(at))));
        }
        Some(layers)
    }
}

impl OfLayout {
    fn new(histogram: &Histogram) -> Self {
        let layout = Histogram {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            custom_values: histogram.custom_values.clone(),
            ..Histogram::default()
        };
        let none = ExactSum::default;
        OfLayout {
            layout,
            count: none(),
            zero: none(),
            sum: none(),
            positive: Side::new(),
            negative: Side::new(),
        }
    }

    fn is_of(&self, histogram: &Histogram) -> bool {
        self.layout.schema == histogram.schema
            && self.layout.zero_threshold.to_bits() == histogram.zero_threshold.to_bits()
            && self.layout.custom_values == histogram.custom_values
    }

    fn add(&mut self, histogram: &Histogram) {
        self.count.add(histogram.count);
        self.zero.add(histogram.zero_count);
        self.sum.add(histogram.sum);
        add_side(&mut self.positive, &positive(histogram));
        add_side(&mut self.negative, &negative(histogram));
    }

    fn cells(&self) -> impl Iterator<Item = &ExactSum> {
        let sides = self.positive.iter().chain(&self.negative).map(|(_, sum)| sum);
        [&self.count, &self.zero, &self.sum].into_iter().chain(sides)
    }

    fn each(&mut self, mut change: impl FnMut(&mut ExactSum)) {
        let sides = self.positive.iter_mut().chain(&mut self.negative).map(|(_, sum)| sum);
        [&mut self.count, &mut self.zero, &mut self.sum].into_iter().chain(sides).for_each(&mut change);
    }

    /// Whether no sum is huge, nor becomes so when its layers are added.
    fn has_bounds(&self) -> bool {
        self.cells().all(|sum| {
            let value = sum.value();
            !sum.is_huge() && (!value.is_finite() || value.abs() < HUGE)
        })
    }

    /// The histogram of a number from each sum.
    fn map(&self, of: impl Fn(&ExactSum) -> f64) -> Histogram {
        let mut histogram = Histogram {
            count: of(&self.count),
            zero_count: of(&self.zero),
            sum: of(&self.sum),
            ..self.layout.clone()
        };
        let side = |side: &Side| side.iter().map(|(index, sum)| (*index, of(sum))).collect();
        set_buckets(&mut histogram, &side(&self.positive), &side(&self.negative));
        histogram
    }
}

/// Adds buckets, which ascend.
fn add_side(side: &mut Side, buckets: &[(i32, f64)]) {
    let same = side.len() == buckets.len() && side.iter().zip(buckets).all(|(sum, bucket)| sum.0 == bucket.0);
    if same {
        side.iter_mut().zip(buckets).for_each(|(sum, bucket)| sum.1.add(bucket.1));
        return;
    }
    for &(index, count) in buckets {
        let place = match side.binary_search_by_key(&index, |sum| sum.0) {
            Ok(place) => place,
            Err(place) => {
                side.insert(place, (index, ExactSum::default()));
                place
            }
        };
        side[place].1.add(count);
    }
}
