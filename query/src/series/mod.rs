//! Values during evaluation: series by steps, in columns.
//!
//! A series has one slot for each evaluation step and no timestamps: step `i` is the same time in every column of an
//! evaluation. A float slot without a value contains the stale marker, the only NaN that can never be a value here
//! (selectors drop it, and arithmetic quietens it), so a column needs no bitmap.
//!
//! # Invariants
//! I1. A slot is a float, a histogram, or absent; a slot with a histogram is absent in `floats`.
//! I2. All columns of one [`Vector`] have the same length.

use std::sync::Arc;

use barograph_engine::model::{Histogram, Labels, STALE_NAN_BITS};

use crate::usage::Footprint;

pub(crate) mod label_sets;

/// The float that means "no value at this step".
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether a float slot has no value.
#[inline]
pub(crate) fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Point {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// The values of one series, one slot for each step.
#[derive(Debug, Clone)]
pub(crate) struct Points {
    /// The floats, with [`ABSENT`] in slots without one.
    pub floats: Vec<f64>,
    /// The histograms; `None` as long as the series has none.
    pub histograms: Option<Vec<Option<Arc<Histogram>>>>,
}

impl Points {
    /// `count` empty slots.
    pub fn absent(count: usize) -> Self {
        Points { floats: vec![ABSENT; count], histograms: None }
    }

    /// The number of slots.
    pub fn len(&self) -> usize {
        self.floats.len()
    }

    /// The histogram at step `i`.
    pub fn histogram(&self, i: usize) -> Option<&Arc<Histogram>> {
        self.histograms.as_ref()?[i].as_ref()
    }

    /// Whether step `i` has a value.
    pub fn has(&self, i: usize) -> bool {
        !is_absent(self.floats[i]) || self.histogram(i).is_some()
    }

    /// The value at step `i`.
    pub fn get(&self, i: usize) -> Option<Point> {
        match self.histogram(i) {
            Some(h) => Some(Point::Histogram(Arc::clone(h))),
            None if is_absent(self.floats[i]) => None,
            None => Some(Point::Float(self.floats[i])),
        }
    }

    /// Sets the value of slot `i`.
    pub fn set(&mut self, i: usize, point: Option<Point>) {
        match point {
            Some(Point::Float(v)) => {
                self.floats[i] = v;
                if let Some(histograms) = &mut self.histograms {
                    histograms[i] = None;
                }
            }
            Some(Point::Histogram(h)) => {
                self.floats[i] = ABSENT;
                let count = self.floats.len();
                self.histograms.get_or_insert_with(|| vec![None; count])[i] = Some(h);
            }
            None => {
                self.floats[i] = ABSENT;
                if let Some(histograms) = &mut self.histograms {
                    histograms[i] = None;
                }
            }
        }
    }

    /// Whether any step has a value.
    pub fn any(&self) -> bool {
        self.floats.iter().any(|&v| !is_absent(v))
            || self.histograms.as_ref().is_some_and(|h| h.iter().any(Option::is_some))
    }

    /// The footprint of the slots; a histogram counts with its buckets.
    pub fn held(&self) -> Footprint {
        let mut held = Footprint {
            samples: self.floats.len() as u64,
            bytes: (self.floats.capacity() * size_of::<f64>()) as u64,
        };
        if let Some(histograms) = &self.histograms {
            held.bytes += (histograms.capacity() * size_of::<Option<Arc<Histogram>>>()) as u64;
            held += histograms
                .iter()
                .flatten()
                .map(|h| histogram_held(h))
                .fold(Footprint::default(), |a, b| a + b);
        }
        held
    }

    /// Changes every present float; histograms are kept.
    pub fn map_floats(&mut self, f: impl Fn(f64) -> f64) {
        for v in &mut self.floats {
            *v = if is_absent(*v) { ABSENT } else { f(*v) };
        }
    }

    /// Changes every present histogram.
    pub fn map_histograms(&mut self, f: impl Fn(&Histogram) -> Histogram) {
        for h in self.histograms.iter_mut().flatten().flatten() {
            *h = Arc::new(f(h));
        }
    }

    /// Merges the values of `other`. Returns false if both have a value at the same step.
    pub fn merge(&mut self, other: Points) -> bool {
        for i in 0..self.len() {
            if !other.has(i) {
                continue;
            }
            if self.has(i) {
                return false;
            }
            self.set(i, other.get(i));
        }
        true
    }

    /// One slot repeated `count` times.
    pub fn repeat(self, count: usize) -> Self {
        let histograms = self.histograms.map(|h| vec![h[0].clone(); count]);
        Points { floats: vec![self.floats[0]; count], histograms }
    }
}

/// The footprint of a histogram: its size in bytes, and in samples of 16 bytes.
pub(crate) fn histogram_held(h: &Histogram) -> Footprint {
    let buckets = h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len();
    let spans = h.positive_spans.len() + h.negative_spans.len();
    let bytes = (size_of::<Histogram>() + (buckets + spans) * 8) as u64;
    Footprint { samples: bytes / 16, bytes }
}

/// The footprint of a label set: its bytes and its reference counts.
pub(crate) fn labels_held(labels: &Labels) -> Footprint {
    Footprint::bytes(labels.as_bytes().len() + 2 * size_of::<usize>())
}

/// A labelled column.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The labels, including a name that will be dropped.
    pub labels: Labels,
    /// Whether the name is dropped at the end of the query.
    pub drop_name: bool,
    /// Its values.
    pub points: Points,
}

impl Series {
    /// The footprint.
    pub fn held(&self) -> Footprint {
        self.points.held() + labels_held(&self.labels) + Footprint::bytes(size_of::<Series>())
    }
}

/// An instant vector at every step.
pub(crate) type Vector = Vec<Series>;

/// The value of a node at every step.
#[derive(Debug)]
pub(crate) enum Value {
    /// One float for each step.
    Scalar(Vec<f64>),
    /// An instant vector for each step. It may include series without any value.
    Vector(Vector),
    /// Text.
    Text(String),
}

impl Value {
    /// The footprint.
    pub fn held(&self) -> Footprint {
        match self {
            Value::Scalar(values) => Footprint {
                samples: values.len() as u64,
                bytes: (values.capacity() * size_of::<f64>()) as u64,
            },
            Value::Vector(vector) => vector.iter().map(Series::held).fold(Footprint::default(), |a, b| a + b),
            Value::Text(text) => Footprint::bytes(text.len()),
        }
    }
}
