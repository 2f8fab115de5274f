//! How far an answer from buckets may be from that of the samples.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How far the answer of a query may be from that of the samples, if it comes from buckets of tiers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Accuracy {
    /// The width of the coarsest buckets that answered.
    pub tier: Duration,
    /// Whether the answer is that of the samples. Otherwise some values are estimates.
    pub exact: bool,
    /// No value differs by more than this, and no count of a native histogram, be it of one bucket, of several or of all;
    /// 0 if the answer is exact, and `None` if no bound is known.
    pub absolute: Option<f64>,
    /// No value differs by more than this share of it, and neither count nor sum of a native histogram; 0 if the answer is exact, and `None` if no bound is known.
    pub relative: Option<f64>,
    /// Whether the samples may have no value where the answer has one.
    pub may_be_absent: bool,
}

/// What the parts of a query note while it runs.
#[derive(Debug, Default)]
pub(crate) struct Noted(Mutex<Notes>);

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Notes {
    /// The width of the coarsest buckets, nanoseconds; 0 if none were read.
    width: u64,
    estimates: u64,
    /// Series with estimates.
    series: u64,
    absolute: f64,
    relative: f64,
    may_be_absent: bool,
}

impl Notes {
    /// Buckets of this width, nanoseconds, were read.
    pub fn of(width: i64) -> Self {
        Notes { width: width.unsigned_abs(), ..Notes::default() }
    }

    /// Adds an estimate that is off by at most `error`.
    pub fn add(&mut self, value: f64, error: f64, may_be_absent: bool) {
        self.estimates += 1;
        // NaN is not comparable: no bound.
        let error = if error.is_nan() { f64::INFINITY } else { error };
        let relative = if error == 0.0 { 0.0 } else { error / value.abs() };
        self.absolute = self.absolute.max(error);
        self.add_relative(relative);
        self.may_be_absent |= may_be_absent;
    }

    /// Another part of an estimate, such as the sum of a histogram, is off by at most this share of it.
    pub fn add_relative(&mut self, relative: f64) {
        self.relative = self.relative.max(if relative.is_nan() { f64::INFINITY } else { relative });
    }
}

impl Noted {
    /// Adds what was noted about one series.
    pub fn join(&self, notes: &Notes) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.width = all.width.max(notes.width);
        all.estimates += notes.estimates;
        all.series += u64::from(notes.estimates > 0);
        all.absolute = all.absolute.max(notes.absolute);
        all.relative = all.relative.max(notes.relative);
        all.may_be_absent |= notes.may_be_absent;
    }

    /// The accuracy of an answer that consists of the noted values; `None` if no buckets were read.
    pub fn accuracy(&self) -> Option<Accuracy> {
        let Notes { width, estimates, absolute, relative, may_be_absent, .. } = self.notes();
        let bound = |bound: f64| Some(bound).filter(|bound| bound.is_finite());
        (width > 0).then(|| Accuracy {
            tier: Duration::from_nanos(width),
            exact: estimates == 0,
            absolute: bound(absolute),
            relative: bound(relative),
            may_be_absent,
        })
    }

    /// Series with estimates so far.
    pub fn series(&self) -> u64 {
        self.notes().series
    }

    fn notes(&self) -> Notes {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accuracy {
    /// What an annotation says; `None` if there is nothing to say.
    pub(crate) fn text(&self) -> Option<String> {
        if self.exact {
            return None;
        }
        let tier = crate::numbers::go::go_float(self.tier.as_secs_f64());
        let bound = match (self.absolute, self.relative) {
            (Some(absolute), Some(relative)) => {
                let percent = crate::numbers::go::go_two_digits(relative * 100.0);
                format!("off by at most {} ({percent} %)", crate::numbers::go::go_two_digits(absolute))
            }
            (Some(absolute), None) => {
                format!("off by at most {}", crate::numbers::go::go_two_digits(absolute))
            }
            _ => "without a known bound".to_owned(),
        };
        Some(format!("estimated from buckets of {tier} seconds, {bound}"))
    }
}
