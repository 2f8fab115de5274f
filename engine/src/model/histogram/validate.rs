//! Which native histograms are valid: the rules for histograms of writers, and bounds that keep the cost of a sample
//! small.
//!
//! The rules are those of Prometheus for histograms with float counts; in addition, NaN counts are refused. The bounds
//! are our own: a histogram comes from the network and is held in memory as a whole, so it may have at most
//! [`Histogram::BUCKETS_MAX`] counts, half as many spans and as many bounds, about 200 KiB.

use crate::model::{Histogram, Span};

/// Why a histogram is invalid.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// An unknown schema.
    #[error("schema {0} is neither -4 to 8 nor {custom}", custom = Histogram::CUSTOM)]
    Schema(i32),
    /// More buckets than one histogram may have.
    #[error("{0} buckets, the limit is {max}; count at a lower resolution", max = Histogram::BUCKETS_MAX)]
    Buckets(u64),
    /// More spans than one histogram may have.
    #[error("{0} spans of buckets, the limit is {max}; count at a lower resolution", max = Histogram::SPANS_MAX)]
    Spans(usize),
    /// The spans and counts of one side do not match.
    #[error("{side} spans hold {expected} buckets, but there are {found} counts")]
    Mismatch {
        /// Which side.
        side: Side,
        /// The number of buckets according to the spans.
        expected: usize,
        /// The number of counts.
        found: usize,
    },
    /// A span begins before the end of the previous one.
    #[error("{side} span {index} has offset {offset}: only the first may be negative")]
    Offset {
        /// Which side.
        side: Side,
        /// Which span, from 0.
        index: usize,
        /// Its offset.
        offset: i32,
    },
    /// A bucket index does not fit into 32 bits.
    #[error("{0} spans reach a bucket index beyond 32 bits")]
    Index(Side),
    /// A count is negative or NaN.
    #[error("{what} is {value}: a count is a number and not negative")]
    Count {
        /// Which count.
        what: CountOf,
        /// Its value.
        value: f64,
    },
    /// The half width of the zero bucket is negative, infinite or NaN.
    #[error("zero threshold {0}: expected a finite number that is not negative")]
    ZeroThreshold(f64),
    /// Explicit bounds in a histogram whose schema implies the bounds.
    #[error("schema {0} has no explicit bucket bounds, but {1} are given")]
    NeedlessBounds(i32, usize),
    /// More explicit bounds than one histogram may have.
    #[error("{0} explicit bucket bounds, the limit is {max}; use fewer", max = Histogram::BUCKETS_MAX)]
    Bounds(usize),
    /// An explicit bound is not finite.
    #[error("explicit bucket bound {index} is {value}: bounds are finite (+Inf is implied)")]
    InfiniteBound {
        /// Which bound, from 0.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// Explicit bounds are not ascending.
    #[error("explicit bucket bound {index}, {value}, is not above the one before it")]
    BoundOrder {
        /// Which bound, from 0.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A bucket has no explicit bound.
    #[error("bucket {index} of a histogram with {bounds} explicit bounds: they make buckets 0 to {bounds}")]
    NoBound {
        /// The bucket's index.
        index: i64,
        /// How many bounds there are.
        bounds: usize,
    },
    /// A zero bucket or negative buckets in a histogram with explicit bounds.
    #[error("a histogram with explicit bucket bounds has no {0}")]
    NotWithBounds(&'static str),
    /// The whole counts of the buckets do not add up to the total count.
    #[error("the buckets hold {buckets} observations, the count is {count}")]
    Total {
        /// The sum of all buckets.
        buckets: f64,
        /// The total count.
        count: f64,
    },
}

/// A side of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Buckets above the zero bucket, or with explicit bounds.
    Positive,
    /// Buckets below the zero bucket.
    Negative,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Positive => "positive",
            Side::Negative => "negative",
        })
    }
}

/// One of a histogram's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountOf {
    /// All observations.
    All,
    /// The zero bucket.
    Zero,
    /// A bucket, by its index among the counts of a side, from 0.
    Bucket(Side, usize),
}

impl std::fmt::Display for CountOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CountOf::All => f.write_str("the count"),
            CountOf::Zero => f.write_str("the zero bucket's count"),
            CountOf::Bucket(side, at) => write!(f, "{side} count {at}"),
        }
    }
}

impl Histogram {
    /// Maximum number of buckets of one histogram, both sides together, and maximum number of its explicit bounds.
    pub const BUCKETS_MAX: usize = 8_192;
    /// Maximum number of spans of one histogram, both sides together.
    pub const SPANS_MAX: usize = Self::BUCKETS_MAX / 2;

    /// Checks whether a sample may contain this histogram.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let (positive, negative) = self.validate_layout()?;
        check_side(Side::Positive, positive, &self.positive_buckets)?;
        check_side(Side::Negative, negative, &self.negative_buckets)?;
        if self.schema == Self::CUSTOM && self.zero_count != 0.0 {
            return Err(HistogramError::NotWithBounds("zero bucket"));
        }
        check_count(CountOf::All, self.count)?;
        check_count(CountOf::Zero, self.zero_count)
    }

    /// Checks everything but the counts. Returns how many positive and negative buckets the spans contain.
    pub(crate) fn validate_layout(&self) -> Result<(usize, usize), HistogramError> {
        let is_custom = self.schema == Self::CUSTOM;
        if !is_custom && !(-4..=8).contains(&self.schema) {
            return Err(HistogramError::Schema(self.schema));
        }
        let spans = self.positive_spans.len() + self.negative_spans.len();
        if spans > Self::SPANS_MAX {
            return Err(HistogramError::Spans(spans));
        }
        let positive = buckets_of(Side::Positive, &self.positive_spans)?;
        let negative = buckets_of(Side::Negative, &self.negative_spans)?;
        if positive + negative > Self::BUCKETS_MAX as u64 {
            return Err(HistogramError::Buckets(positive + negative));
        }
        if is_custom {
            self.check_custom()?
        } else {
            self.check_exponential()?
        }
        Ok((positive as usize, negative as usize))
    }

    /// An additional rule of Prometheus for histograms that were written with whole counts: the buckets add up to the
    /// count or, if the sum is NaN (observations of NaN are in no bucket), to no more than the count. The rule does not
    /// apply to float counts, because their sums are rounded.
    ///
    /// # Errors
    /// [`HistogramError::Total`].
    pub fn validate_total(&self) -> Result<(), HistogramError> {
        let buckets = self.zero_count
            + self.positive_buckets.iter().sum::<f64>()
            + self.negative_buckets.iter().sum::<f64>();
        let holds = if self.sum.is_nan() { buckets <= self.count } else { buckets == self.count };
        if holds { Ok(()) } else { Err(HistogramError::Total { buckets, count: self.count }) }
    }

    fn check_exponential(&self) -> Result<(), HistogramError> {
        if !self.custom_values.is_empty() {
            return Err(HistogramError::NeedlessBounds(self.schema, self.custom_values.len()));
        }
        if !(self.zero_threshold.is_finite() && self.zero_threshold >= 0.0) {
            return Err(HistogramError::ZeroThreshold(self.zero_threshold));
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        let bounds = &self.custom_values;
        if bounds.len() > Self::BUCKETS_MAX {
            return Err(HistogramError::Bounds(bounds.len()));
        }
        if let Some((index, &value)) = bounds.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(HistogramError::InfiniteBound { index, value });
        }
        if let Some(at) = bounds.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(HistogramError::BoundOrder { index: at + 1, value: bounds[at + 1] });
        }
        if !self.negative_spans.is_empty() {
            return Err(HistogramError::NotWithBounds("negative buckets"));
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::NotWithBounds("zero bucket"));
        }
        let mut next = 0i64;
        for span in &self.positive_spans {
            let first = next + i64::from(span.offset);
            next = first + i64::from(span.length);
            let outside = [first, next - 1].into_iter().find(|i| *i < 0 || *i > bounds.len() as i64);
            if let Some(index) = outside.filter(|_| span.length > 0) {
                return Err(HistogramError::NoBound { index, bounds: bounds.len() });
            }
        }
        Ok(())
    }
}

/// The number of buckets in the spans of a side.
fn buckets_of(side: Side, spans: &[Span]) -> Result<u64, HistogramError> {
    let (mut next, mut buckets) = (0i64, 0u64);
    for (index, span) in spans.iter().enumerate() {
        if index > 0 && span.offset < 0 {
            return Err(HistogramError::Offset { side, index, offset: span.offset });
        }
        buckets += u64::from(span.length);
        next += i64::from(span.offset) + i64::from(span.length);
        if i32::try_from(next).is_err() {
            return Err(HistogramError::Index(side));
        }
    }
    Ok(buckets)
}

fn check_side(side: Side, expected: usize, counts: &[f64]) -> Result<(), HistogramError> {
    if expected != counts.len() {
        return Err(HistogramError::Mismatch { side, expected, found: counts.len() });
    }
    counts.iter().enumerate().try_for_each(|(at, &value)| check_count(CountOf::Bucket(side, at), value))
}

fn check_count(what: CountOf, value: f64) -> Result<(), HistogramError> {
    if value >= 0.0 { Ok(()) } else { Err(HistogramError::Count { what, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::STALE_NAN_BITS;

    fn base() -> Histogram {
        Histogram {
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 6.0,
            sum: 2.5,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 0, length: 1 }],
            positive_buckets: vec![1.0, 2.0, 1.0],
            negative_spans: vec![Span { offset: 4, length: 1 }],
            negative_buckets: vec![1.0],
            ..Histogram::default()
        }
    }

    fn custom() -> Histogram {
        Histogram {
            schema: Histogram::CUSTOM,
            count: 3.0,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            positive_buckets: vec![1.0, 1.0, 1.0],
            custom_values: vec![-1.0, 0.5, 10.0],
            ..Histogram::default()
        }
    }

    fn said(histogram: Histogram) -> String {
        histogram.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_writers_send_is_accepted() {
        let stale = Histogram { sum: f64::from_bits(STALE_NAN_BITS), ..Histogram::default() };
        let rounded = Histogram { count: 5.999, ..base() };
        for good in [base(), custom(), stale, rounded, Histogram { sum: f64::NAN, ..base() }] {
            assert_eq!(good.validate(), Ok(()), "{good:?}");
        }
        for schema in -4..=8 {
            assert_eq!(Histogram { schema, ..base() }.validate(), Ok(()));
        }
    }

    #[test]
    fn each_rule_says_what_is_wrong() {
        assert_eq!(said(Histogram { schema: 9, ..base() }), "schema 9 is neither -4 to 8 nor -53");
        assert_eq!(
            said(Histogram { positive_buckets: vec![1.0], ..base() }),
            "positive spans hold 3 buckets, but there are 1 counts"
        );
        assert_eq!(
            said(Histogram { negative_buckets: vec![], ..base() }),
            "negative spans hold 1 buckets, but there are 0 counts"
        );
        let backwards = vec![Span { offset: -2, length: 2 }, Span { offset: -1, length: 1 }];
        assert_eq!(
            said(Histogram { positive_spans: backwards, ..base() }),
            "positive span 1 has offset -1: only the first may be negative"
        );
        let far = vec![Span { offset: i32::MAX, length: 3 }];
        assert!(said(Histogram { positive_spans: far, ..base() }).contains("beyond 32 bits"));
        assert!(
            said(Histogram { positive_buckets: vec![1.0, -2.0, 1.0], ..base() })
                .starts_with("positive count 1 is -2")
        );
        assert!(said(Histogram { count: f64::NAN, ..base() }).starts_with("the count is NaN"));
        assert!(said(Histogram { zero_count: -1.0, ..base() }).starts_with("the zero bucket's count is -1"));
        assert!(
            said(Histogram { zero_threshold: f64::INFINITY, ..base() }).starts_with("zero threshold inf")
        );
        assert!(said(Histogram { custom_values: vec![1.0], ..base() }).contains("no explicit bucket bounds"));
    }

    #[test]
    fn explicit_bounds_have_rules_of_their_own() {
        let bounds = |custom_values: Vec<f64>| said(Histogram { custom_values, ..custom() });
        assert!(bounds(vec![1.0, f64::INFINITY, 9.0]).starts_with("explicit bucket bound 1 is inf"));
        assert!(bounds(vec![1.0, 2.0, 2.0]).starts_with("explicit bucket bound 2, 2, is not above"));
        assert!(bounds(vec![1.0, 2.0]).starts_with("bucket 3 of a histogram with 2 explicit bounds"));
        let low = vec![Span { offset: -1, length: 3 }];
        assert!(said(Histogram { positive_spans: low, ..custom() }).starts_with("bucket -1"));
        assert!(said(Histogram { zero_count: 1.0, ..custom() }).ends_with("no zero bucket"));
        let negative = Histogram { negative_spans: vec![Span { offset: 0, length: 0 }], ..custom() };
        assert!(said(negative).ends_with("no negative buckets"));
    }

    #[test]
    fn sizes_have_limits() {
        let wide = |n: usize| Histogram {
            positive_spans: vec![Span { offset: 0, length: n as u32 }],
            positive_buckets: vec![1.0; n],
            ..Histogram::default()
        };
        assert_eq!(wide(Histogram::BUCKETS_MAX).validate(), Ok(()));
        assert_eq!(
            said(wide(Histogram::BUCKETS_MAX + 1)),
            "8193 buckets, the limit is 8192; count at a lower resolution"
        );
        let spans = vec![Span { offset: 1, length: 0 }; Histogram::SPANS_MAX + 1];
        assert!(said(Histogram { positive_spans: spans, ..Histogram::default() }).contains("limit is 4096"));
        // Refusing a span that claims billions of buckets costs nothing.
        let liar = vec![Span { offset: 0, length: u32::MAX }];
        assert!(said(Histogram { positive_spans: liar, ..Histogram::default() }).contains("beyond 32 bits"));
        let many = Histogram { custom_values: (0..9_000).map(f64::from).collect(), ..custom() };
        assert_eq!(said(many), "9000 explicit bucket bounds, the limit is 8192; use fewer");
    }

    #[test]
    fn whole_counts_must_add_up() {
        assert_eq!(base().validate_total(), Ok(()));
        let more = Histogram { count: 7.0, ..base() };
        assert_eq!(
            more.validate_total().unwrap_err().to_string(),
            "the buckets hold 6 observations, the count is 7"
        );
        assert_eq!(Histogram { sum: f64::NAN, ..more }.validate_total(), Ok(()));
        assert!(Histogram { sum: f64::NAN, count: 5.0, ..base() }.validate_total().is_err());
    }
}
