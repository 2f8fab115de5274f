//! What is known about a window that cuts a bucket when its samples are gone: an interval that contains the answer of the
//! samples, and a value inside it.
//!
//! Everything here is computed from buckets alone. An interval is sound for every series of samples that has these
//! buckets. Ends are rounded outward by [`margin`], which allows for the rounding of both the samples' kernel and the
//! computation here.
//!
//! # Not here
//! Which function is answered from what: `functions/buckets/`.

pub(crate) mod cut;
pub(crate) mod divided;

/// A value, and an interval that contains the answer of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounded {
    /// The most likely answer, within the interval.
    pub value: f64,
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
    /// Whether the samples may have no answer at all.
    pub may_be_absent: bool,
}

impl Bounded {
    /// `value` is moved into the interval if it is outside.
    pub fn new(value: f64, (lo, hi): (f64, f64)) -> Self {
        Bounded { value: value.max(lo).min(hi), lo, hi, may_be_absent: false }
    }

    /// A likely value, moved into the middle quarter of the interval if it is outside, so that [`Bounded::error`] is at
    /// most a quarter larger than that of the middle.
    pub fn central(value: f64, (lo, hi): (f64, f64)) -> Self {
        let beside = (hi / 8.0 - lo / 8.0) * 3.0;
        Bounded::new(value.max(lo + beside).min(hi - beside), (lo, hi))
    }

    /// The middle of an interval.
    pub fn middle((lo, hi): (f64, f64)) -> Self {
        Bounded::new(lo / 2.0 + hi / 2.0, (lo, hi))
    }

    /// The same, where the samples may have no answer if `condition` holds.
    pub fn or_absent(self, condition: bool) -> Self {
        Bounded { may_be_absent: self.may_be_absent || condition, ..self }
    }

    /// Widened by `margin` on both sides.
    pub fn widened(self, margin: f64) -> Self {
        Bounded { lo: self.lo - margin, hi: self.hi + margin, ..self }
    }

    /// Divided by a positive number.
    pub fn over(self, divisor: f64) -> Self {
        let Bounded { value, lo, hi, may_be_absent } = self;
        Bounded { value: value / divisor, lo: lo / divisor, hi: hi / divisor, may_be_absent }
    }

    /// How far the answer of the samples may be from the value, rounded up.
    pub fn error(&self) -> f64 {
        let error = (self.hi - self.value).max(self.value - self.lo);
        let largest = self.hi.abs().max(self.lo.abs());
        if error == 0.0 { 0.0 } else { error + largest * f64::EPSILON }
    }

    /// The same as a share of the value.
    pub fn relative_error(&self) -> f64 {
        let error = self.error();
        if error == 0.0 { 0.0 } else { error / self.value.abs() }
    }
}

/// What rounding may add to a sum of values with these magnitudes together.
pub(crate) fn margin(magnitudes: f64) -> f64 {
    magnitudes * f64::EPSILON * 64.0
}

/// Both ends of the product of two intervals.
pub(crate) fn product(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let corners = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
    corners.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)))
}
