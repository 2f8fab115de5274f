//! Chooses the tier whose buckets answer a selector.

use barograph_engine::model::Timestamp;

use crate::source::TierInfo;
use crate::steps::{NS_PER_MS, Shift, Steps, ms_to_ns};

/// Where a selector looks: at each step, at the samples of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    /// The steps.
    pub steps: Steps,
    /// The position of a window's right end relative to its step.
    pub shift: Shift,
    /// The length of a window; the lookback of an instant selector.
    pub range_ms: i64,
    /// Whether only the newest sample of a window counts.
    pub newest: bool,
}

/// The tiers of a source, as far as a query may use them.
#[derive(Debug)]
pub(crate) struct Tiers {
    /// The finest first.
    pub all: Vec<TierInfo>,
    /// Whether the request names the tier, so that samples are not read instead.
    pub forced: bool,
    /// Samples up to this time may be gone.
    pub samples_from: Timestamp,
}

impl Looks {
    /// The start of the first window.
    pub fn start(&self) -> Timestamp {
        ms_to_ns(self.shift.apply(self.steps.at(0)).saturating_sub(self.range_ms))
    }

    /// Whether no window cuts a bucket of this width.
    pub fn are_aligned(&self, width: i64) -> bool {
        is_aligned(width, self)
    }
}

impl Tiers {
    /// The width of the buckets that answer; `None` if samples do.
    pub fn choose(&self, looks: &Looks) -> Option<i64> {
        let finest = self.all.first().map(|tier| tier.width);
        if self.forced {
            return finest;
        }
        let start = looks.start();
        if start >= self.samples_from {
            return coarsest(&self.all, looks);
        }
        // Only a tier that reaches back far enough has everything.
        let farthest = self.all.iter().map(|tier| tier.from).min()?;
        let mut reaching = self.all.clone();
        reaching.retain(|tier| tier.from <= start.max(farthest));
        coarsest(&reaching, looks).or(reaching.first().map(|tier| tier.width))
    }

    /// Whether a window that begins after `start` needs an estimate where buckets do not give the answer of samples.
    pub fn must_estimate(&self, start: Timestamp) -> bool {
        self.forced || start < self.samples_from
    }
}

/// The width of the coarsest tier whose buckets have their bounds at the ends of all windows, so that no bucket is cut.
/// Most of the time must be stored in it, and a window, or the distance of the newest samples, must have room for a
/// bucket: otherwise reading samples costs no more. Tiers are given with the finest first.
fn coarsest(tiers: &[TierInfo], looks: &Looks) -> Option<i64> {
    let is_worth =
        |tier: &TierInfo| tier.width > 0 && is_stored(tier, looks) && is_aligned(tier.width, looks);
    tiers.iter().rfind(|tier| is_worth(tier)).map(|tier| tier.width)
}

/// Whether at least half of the time that the windows cover is stored in the tier.
fn is_stored(tier: &TierInfo, looks: &Looks) -> bool {
    let Looks { steps, shift, range_ms, .. } = *looks;
    let (first, last) = (shift.apply(steps.at(0)), shift.apply(steps.last()));
    let (from, through) = (ms_to_ns(first.saturating_sub(range_ms)), ms_to_ns(last));
    let stored = through.min(tier.through).saturating_sub(from.max(tier.from));
    stored >= through.saturating_sub(from) / 2
}

fn is_aligned(width: i64, looks: &Looks) -> bool {
    let Looks { steps, shift, range_ms, newest } = *looks;
    let is_multiple = |ms: i64| (i128::from(ms) * i128::from(NS_PER_MS)) % i128::from(width) == 0;
    let end = shift.apply(steps.at(0));
    let moves = steps.count > 1 && shift.at_ms.is_none();
    let fits = |ms: i64| ms_to_ns(ms) >= width;
    is_multiple(end)
        && (!moves || is_multiple(steps.step_ms))
        && if newest { moves || fits(range_ms) } else { fits(range_ms) && is_multiple(range_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn tiers() -> Vec<TierInfo> {
        let width = |minutes: i64| minutes * MINUTE * NS_PER_MS;
        let stored = |minutes| TierInfo { width: width(minutes), from: i64::MIN, through: i64::MAX };
        [5, 60, 1440].map(stored).to_vec()
    }

    fn chosen(start: i64, step: i64, range: i64, offset: i64, newest: bool) -> Option<i64> {
        let steps = Steps { start_ms: start * MINUTE, step_ms: step * MINUTE, count: 10 };
        let shift = Shift { at_ms: None, offset_ms: offset * MINUTE };
        let found = coarsest(&tiers(), &Looks { steps, shift, range_ms: range * MINUTE, newest });
        found.map(|width| width / NS_PER_MS / MINUTE)
    }

    #[test]
    fn the_coarsest_that_no_window_cuts() {
        assert_eq!(chosen(120, 60, 180, 0, false), Some(60));
        assert_eq!(chosen(120, 60, 1440, 60, false), Some(60));
        assert_eq!(chosen(1440, 1440, 1440, 0, false), Some(1440));
        assert_eq!(chosen(125, 60, 180, 5, false), Some(60));
        assert_eq!(chosen(125, 60, 180, 0, false), Some(5));
        assert_eq!(chosen(120, 5, 180, 0, false), Some(5));
        assert_eq!(chosen(120, 60, 90, 0, false), Some(5));
        assert_eq!(chosen(120, 1, 60, 0, false), None);
        assert_eq!(chosen(120, 60, 1, 0, false), None, "no room for a bucket");
    }

    #[test]
    fn a_tier_without_most_of_the_time_is_left() {
        let steps = Steps { start_ms: 0, step_ms: 60 * MINUTE, count: 100 };
        let shift = Shift { at_ms: None, offset_ms: 0 };
        let looks = Looks { steps, shift, range_ms: 60 * MINUTE, newest: false };
        let with = |from_minutes: i64| {
            let mut tiers = tiers();
            tiers[1].from = from_minutes * MINUTE * NS_PER_MS;
            coarsest(&tiers, &looks).map(|width| width / NS_PER_MS / MINUTE)
        };
        assert_eq!(with(40 * 60), Some(60));
        assert_eq!(with(60 * 60), Some(5));
    }

    #[test]
    fn where_samples_are_gone_a_tier_that_has_everything_answers() {
        let hour = 60 * MINUTE * NS_PER_MS;
        let mut tiers = Tiers { all: tiers(), forced: false, samples_from: 100 * hour };
        tiers.all[0].from = 50 * hour;
        let shift = Shift { at_ms: None, offset_ms: 0 };
        let chosen = |start_hour: i64, step_minutes: i64| {
            let steps =
                Steps { start_ms: start_hour * 60 * MINUTE, step_ms: step_minutes * MINUTE, count: 1_000 };
            let looks = Looks { steps, shift, range_ms: 60 * MINUTE, newest: false };
            tiers.choose(&looks).map(|width| width / NS_PER_MS / MINUTE)
        };
        assert_eq!(chosen(60, 5), Some(5), "it reaches back");
        assert_eq!(chosen(40, 5), Some(60), "an estimate: the narrow tier begins later");
        assert_eq!(chosen(40, 60), Some(60));
        assert_eq!(chosen(200, 1), None, "samples are not gone");
        tiers.all.iter_mut().for_each(|tier| tier.from = tier.from.max(45 * hour));
        let steps = Steps { start_ms: 0, step_ms: 60 * MINUTE, count: 1_000 };
        let looks = Looks { steps, shift, range_ms: 60 * MINUTE, newest: false };
        assert_eq!(tiers.choose(&looks), Some(hour), "none reaches back, and this one reaches farthest");
    }

    #[test]
    fn newest_samples_need_buckets_at_their_steps() {
        assert_eq!(chosen(120, 60, 5, 0, true), Some(60));
        assert_eq!(chosen(121, 60, 5, 1, true), Some(60));
        assert_eq!(chosen(120, 1, 5, 0, true), None);
    }

    #[test]
    fn a_pinned_window_does_not_move() {
        let steps = Steps { start_ms: 7, step_ms: 13, count: 10 };
        let shift = Shift { at_ms: Some(60 * MINUTE), offset_ms: 0 };
        let looks = Looks { steps, shift, range_ms: 60 * MINUTE, newest: false };
        assert_eq!(coarsest(&tiers(), &looks), Some(60 * MINUTE * NS_PER_MS));
        assert_eq!(coarsest(&[], &looks), None);
    }
}
