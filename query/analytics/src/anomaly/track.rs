//! How unusual a number is among those before it.

use crate::order::SortedWindow;
use crate::robust::MAD_TO_SIGMA;

/// The distance from the centre of a normal distribution that 1 % of the values exceed.
const NORMAL_99: f64 = 2.575_829_303_548_901;

/// The number of values after which the scale is computed again; the centre is computed for each value.
const REFRESH: usize = 8;

/// Minimum number of values before the first score.
pub(super) const WARM_UP: usize = 100;

/// The newest values of one kind, with their centre and scale.
///
/// The scale is the median distance from the centre. It is the 99th percentile of the distances if that is larger for a
/// normal distribution, because otherwise values with heavy tails would raise an alert with every tail.
#[derive(Debug, Clone)]
pub(super) struct Track {
    window: SortedWindow,
    with_tail: bool,
    scale: f64,
    since: usize,
}

impl Track {
    pub fn new(history: usize) -> Track {
        Track { window: SortedWindow::new(history), with_tail: true, scale: f64::NAN, since: 0 }
    }

    /// A scale that uses the median distance alone.
    pub fn without_tail(history: usize) -> Track {
        Track { with_tail: false, ..Track::new(history) }
    }

    pub fn bytes(history: usize) -> usize {
        SortedWindow::bytes(history)
    }

    /// The number of values, at most those of the history.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// The distance from a centre that a share of the values does not pass.
    pub fn distance(&self, centre: f64, share: f64) -> f64 {
        self.window.distance(centre, share)
    }

    /// Centre and scale of the values so far, if there are enough of them.
    pub fn expected(&self) -> Option<(f64, f64)> {
        (self.window.len() >= WARM_UP).then(|| (self.window.median(), self.scale))
    }

    /// The distance of a value from the centre, in scales; then adds the value.
    pub fn judge(&mut self, value: f64) -> Option<f64> {
        let distance = self.expected().map(|(centre, scale)| {
            let distance = (value - centre).abs();
            if distance == 0.0 { 0.0 } else { distance / scale }
        });
        self.push(value);
        distance
    }

    /// Adds a value.
    fn push(&mut self, value: f64) {
        self.window.push(value);
        self.since += 1;
        if self.since >= REFRESH || self.scale.is_nan() || self.window.len() <= WARM_UP {
            self.since = 0;
            let centre = self.window.median();
            let usual = MAD_TO_SIGMA * self.window.distance(centre, 0.5);
            let tail = if self.with_tail { self.window.distance(centre, 0.99) / NORMAL_99 } else { 0.0 };
            // A series that hardly ever moves has no scale of its own; its scale is a thousandth of its size.
            let least = 1e-3 * centre.abs().max(1e-3 * self.window.distance(0.0, 1.0));
            self.scale = usual.max(tail).max(least).max(f64::MIN_POSITIVE);
        }
    }
}
