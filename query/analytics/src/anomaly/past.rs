//! The newest values of a series, and those of the same time in the seasons before.

use crate::order::median_in_place;

/// A ring of values.
#[derive(Debug, Clone)]
pub(super) struct Past {
    ring: Vec<f64>,
    seen: usize,
    period: Option<usize>,
    seasons: usize,
    same_time: Vec<f64>,
}

impl Past {
    /// Keeps `seasons` seasons and at least `least` values.
    pub fn new(period: Option<usize>, seasons: usize, least: usize) -> Past {
        Past {
            ring: vec![f64::NAN; Past::len(period, seasons, least)],
            seen: 0,
            period,
            seasons,
            same_time: Vec::with_capacity(seasons),
        }
    }

    fn len(period: Option<usize>, seasons: usize, least: usize) -> usize {
        period.unwrap_or(0).saturating_mul(seasons).max(least).saturating_add(1)
    }

    /// The memory that a ring takes.
    pub fn bytes(period: Option<usize>, seasons: usize, least: usize) -> usize {
        Past::len(period, seasons, least).saturating_mul(size_of::<f64>())
    }

    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        let at = self.seen % self.ring.len();
        self.ring[at] = value;
        self.seen += 1;
    }

    /// The value `back` steps before the newest one, if it is known and finite.
    pub fn back(&self, back: usize) -> Option<f64> {
        let step = self.seen.checked_sub(back + 1)?;
        Some(self.ring[step % self.ring.len()]).filter(|value| value.is_finite())
    }

    /// The median of the same time in the seasons before.
    pub fn usual(&mut self) -> Option<f64> {
        let period = self.period?;
        let mut same_time = std::mem::take(&mut self.same_time);
        same_time.clear();
        same_time.extend((1..=self.seasons).filter_map(|season| self.back(season * period)));
        let usual = (!same_time.is_empty()).then(|| median_in_place(&mut same_time));
        self.same_time = same_time;
        usual
    }
}
