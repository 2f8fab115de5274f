//! The extreme Studentized deviate of each value among those before it: a seasonal hybrid ESD test (see [`crate::esd`])
//! that is repeated with each value and knows no later ones.
//!
//! The season is the median of the same time in the last seven seasons. The rest is measured from the median of the last
//! 4,000 of them, in median absolute deviations. The alert line is the distance that one of as many normal values passes
//! with a probability of 0.05, or that 2 % of those before it have passed if that is farther: the test has the same limit
//! for the share of outliers.

use super::Verdict;
use super::past::Past;
use super::track::{Track, WARM_UP};
use crate::esd::critical;

/// The number of values that one is compared with.
const HISTORY: usize = 4000;

/// Seasons whose same time is compared.
const SEASONS: usize = 7;

/// The probability that the most extreme of normal values passes the line.
const ALPHA: f64 = 0.05;

/// The share of values that may be outliers.
const SHARE: f64 = 0.02;

/// Values without their season, and the line that belongs to their number.
#[derive(Debug, Clone)]
struct Rest {
    track: Track,
    line: f64,
    /// The number of values for which the line was computed.
    line_of: usize,
}

impl Rest {
    fn new() -> Rest {
        Rest { track: Track::without_tail(HISTORY), line: f64::NAN, line_of: 0 }
    }

    /// The score of a value, and the usual range of such values before it.
    fn judge(&mut self, value: f64) -> Option<(f64, (f64, f64))> {
        let count = self.track.len();
        // The line changes by much less than 1 % while their number grows by 2 %.
        if count >= WARM_UP && 50 * count > 51 * self.line_of {
            self.line_of = count;
            self.line = critical(count as f64, ALPHA);
        }
        let usual = self.track.expected();
        let farther = usual.map(|(centre, scale)| self.track.distance(centre, 1.0 - SHARE) / scale);
        let distance = self.track.judge(value);
        Some((distance? / self.line.max(farther?), usual?))
    }
}

/// The state of the detector over one series.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    past: Past,
    plain: Rest,
    seasonal: Rest,
}

impl Detector {
    pub fn new(period: Option<usize>) -> Detector {
        Detector { past: Past::new(period, SEASONS, 0), plain: Rest::new(), seasonal: Rest::new() }
    }

    pub fn bytes(period: Option<usize>) -> usize {
        2 * Track::bytes(HISTORY) + Past::bytes(period, SEASONS, 0)
    }

    /// Scores a value by those before it, and adds it to them.
    pub fn step(&mut self, value: f64) -> Verdict {
        self.past.push(value);
        let usual = self.past.usual();
        let mut verdict = Verdict { score: f64::NAN, expected: f64::NAN, scale: f64::NAN };
        if !value.is_finite() {
            let of_season = usual.and_then(|usual| Some((usual, self.seasonal.track.expected()?)));
            let range = of_season.or_else(|| Some((0.0, self.plain.track.expected()?)));
            if let Some((usual, (centre, scale))) = range {
                (verdict.expected, verdict.scale) = (usual + centre, scale);
            }
            return verdict;
        }
        // Until there are enough values without their season, those with it count.
        let plain = self.plain.judge(value).map(|found| (found, 0.0));
        let of_season = usual.and_then(|usual| Some((self.seasonal.judge(value - usual)?, usual)));
        if let Some(((score, (centre, scale)), usual)) = of_season.or(plain) {
            verdict = Verdict { score, expected: usual + centre, scale };
        }
        verdict
    }
}
