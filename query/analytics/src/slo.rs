//! Arithmetic of service level objectives (Google's SRE workbook, chapter 5).

/// A pair of windows and how fast the budget must burn in both for an alert.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnWindow {
    /// `page` or `ticket`.
    pub severity: &'static str,
    /// The long window, in seconds.
    pub long_s: u32,
    /// The short window, in seconds: it ends an alert soon after the cause is gone.
    pub short_s: u32,
    /// How many times faster than the objective allows.
    pub burn: f64,
}

/// The windows for an objective over 30 days: 2 % of the budget in an hour, 5 % in six, 10 % in a day and in three.
pub const BURN_WINDOWS: [BurnWindow; 4] = [
    BurnWindow { severity: "page", long_s: 3600, short_s: 300, burn: 14.4 },
    BurnWindow { severity: "page", long_s: 21_600, short_s: 1800, burn: 6.0 },
    BurnWindow { severity: "ticket", long_s: 86_400, short_s: 7200, burn: 3.0 },
    BurnWindow { severity: "ticket", long_s: 259_200, short_s: 21_600, burn: 1.0 },
];

/// How many times faster than allowed the error budget is burning: the share of bad events divided by the share that
/// the objective allows. NaN without events, and for an objective outside of 0 to 1.
pub fn burn_rate(bad: f64, total: f64, objective: f64) -> f64 {
    let is_rate = objective > 0.0 && objective < 1.0 && total > 0.0;
    if is_rate { bad / total / (1.0 - objective) } else { f64::NAN }
}

/// The share of the budget that is left: 1 if nothing is used, below 0 if too much is; NaN like [`burn_rate`].
pub fn budget_remaining(bad: f64, total: f64, objective: f64) -> f64 {
    1.0 - burn_rate(bad, total, objective)
}

/// Seconds until the budget of `period_s` is used up at a burn rate; infinite at 0, and 0 if nothing is left.
pub fn time_left(remaining: f64, burn: f64, period_s: f64) -> f64 {
    if remaining <= 0.0 { 0.0 } else { period_s * remaining / burn.max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_workbook() {
        // 99.9 % over 30 days: 1.44 % errors burn 14.4 times too fast, and 2 % of the budget in an hour.
        let burn = burn_rate(14.4, 1000.0, 0.999);
        assert!((burn - 14.4).abs() < 1e-9);
        assert!((burn * 3600.0 / (30.0 * 86_400.0) - 0.02).abs() < 1e-9);
        assert!((budget_remaining(1.0, 4000.0, 0.999) - 0.75).abs() < 1e-9);
        assert!((time_left(0.5, 14.4, 2_592_000.0) - 90_000.0).abs() < 1e-6);
    }

    #[test]
    fn without_events_or_with_a_wrong_objective_there_is_no_rate() {
        assert!(burn_rate(0.0, 0.0, 0.99).is_nan() && burn_rate(1.0, 2.0, 1.0).is_nan());
        assert!(burn_rate(1.0, 2.0, f64::NAN).is_nan() && burn_rate(1.0, f64::NAN, 0.9).is_nan());
        assert_eq!(time_left(0.3, 0.0, 10.0), f64::INFINITY);
        assert_eq!(time_left(-0.1, 2.0, 10.0), 0.0);
    }
}
