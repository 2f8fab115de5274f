//! NAB's scoring rule (Lavin and Ahmad, 2015): the value of a set of alerts, given labelled windows.
//!
//! The first alert inside a window counts the more the earlier it is, from near 1 at the window's left end to near 0 at
//! its right end. An alert outside of all windows costs the more the longer ago the last window ended, up to 1. A
//! window without an alert costs 1. Alerts in the first 15 % of a file (at most 750 rows) do not count. The score of a
//! corpus is scaled so that 0 is a detector without alerts, and 100 one that alerts only at the left end of each
//! window.

use crate::corpus::Window;

/// The weight of each outcome.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    pub hit: f64,
    pub false_alert: f64,
    pub miss: f64,
}

/// NAB's three application profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alert: 0.11, miss: 1.0 },
    Profile { name: "low-FP", hit: 1.0, false_alert: 0.22, miss: 1.0 },
    Profile { name: "low-FN", hit: 1.0, false_alert: 0.11, miss: 2.0 },
];

/// Rows at the beginning of a file that do not count.
pub fn probation(rows: usize) -> usize {
    (0.15 * rows as f64).floor().min(750.0) as usize
}

/// NAB's scaled sigmoid: 1 far before a position of 0, -1 far after it.
fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// The value of the alerts in one file. `alerts` are rows, ascending; windows ascend and do not overlap.
pub fn score(rows: usize, windows: &[Window], alerts: &[usize], profile: Profile) -> f64 {
    let best = sigmoid(-1.0);
    let mut of_windows = vec![-profile.miss; windows.len()];
    let mut of_false_alerts = 0.0;
    for &row in alerts.iter().filter(|&&row| row >= probation(rows)) {
        if let Some(place) = windows.iter().position(|&(left, right)| (left..=right).contains(&row)) {
            let (left, right) = windows[place];
            let position = -((right - row + 1) as f64) / (right - left + 1) as f64;
            of_windows[place] = of_windows[place].max(sigmoid(position) * profile.hit / best);
        } else {
            let last = windows.iter().rev().find(|&&(_, right)| right < row);
            let cost =
                last.map_or(-1.0, |&(left, right)| sigmoid((row - right) as f64 / (right - left) as f64));
            of_false_alerts += cost * profile.false_alert;
        }
    }
    of_windows.iter().sum::<f64>() + of_false_alerts
}

/// The score of a corpus from the sum of its files' scores and the number of its windows.
pub fn normalized(sum: f64, windows: usize, profile: Profile) -> f64 {
    let nothing = -profile.miss * windows as f64;
    let perfect = profile.hit * windows as f64;
    100.0 * (sum - nothing) / (perfect - nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Profile = PROFILES[0];

    fn assert_near(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-9, "{got}, expected {expected}");
    }

    #[test]
    fn probation_is_a_share_with_a_limit() {
        assert_eq!([probation(1000), probation(5000), probation(20_000)], [150, 750, 750]);
    }

    // The sigmoid at -1 is 2 / (1 + e^-5) - 1 = 0.986614298151.
    #[test]
    fn an_alert_at_the_left_end_is_perfect() {
        assert_near(score(1000, &[(500, 599)], &[500], STANDARD), 1.0);
        assert_near(normalized(1.0, 1, STANDARD), 100.0);
        assert_near(normalized(-1.0, 1, STANDARD), 0.0);
    }

    #[test]
    fn only_the_first_alert_in_a_window_counts() {
        // Row 550 is at -50/100: 2 / (1 + e^-2.5) - 1 = 0.848283639957, divided by 0.986614298151.
        assert_near(score(1000, &[(500, 599)], &[550, 560, 599], STANDARD), 0.859_792_566_131_4);
        // The right end is at -1/100.
        let right_end = (2.0 / (1.0 + (-0.05_f64).exp()) - 1.0) / 0.986_614_298_151_430_3;
        assert_near(score(1000, &[(500, 599)], &[599], STANDARD), right_end);
    }

    #[test]
    fn a_missed_window_costs_by_profile() {
        assert_near(score(1000, &[(500, 599)], &[], PROFILES[0]), -1.0);
        assert_near(score(1000, &[(500, 599)], &[], PROFILES[2]), -2.0);
    }

    #[test]
    fn a_false_alert_costs_more_the_longer_the_window_is_over() {
        // Before the first window a false alert costs all of its weight.
        assert_near(score(1000, &[(500, 600)], &[300], STANDARD), -1.0 - 0.11);
        assert_near(score(1000, &[(500, 600)], &[300], PROFILES[1]), -1.0 - 0.22);
        // 10 rows after a window of 101: position 0.1, 2 / (1 + e^0.5) - 1 = -0.244918662404.
        assert_near(score(1000, &[(500, 600)], &[500, 610], STANDARD), 1.0 - 0.11 * 0.244_918_662_403_709_1);
        // More than three lengths after it.
        assert_near(score(2000, &[(500, 600)], &[500, 901], STANDARD), 1.0 - 0.11);
    }

    #[test]
    fn alerts_in_probation_do_not_count() {
        assert_near(score(1000, &[(500, 600)], &[0, 100, 149, 500], STANDARD), 1.0);
        assert_near(score(1000, &[(500, 600)], &[150, 500], STANDARD), 1.0 - 0.11);
    }
}
