//! Why a function returns no result: the caller stopped it, or the series does not fit.

use std::fmt;

/// The caller's deadline has passed, or it cancelled the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// The caller's check. Long loops call it every few milliseconds and return [`Error::Stopped`] on an error.
pub type Check<'a> = &'a mut dyn FnMut() -> Result<(), Stop>;

/// Why a series does not fit a function. `Display` gives the sentence for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Fewer values than the function needs.
    TooShort {
        /// The number of values.
        has: usize,
        /// The least number that is accepted.
        needs: usize,
    },
    /// Fewer than two whole cycles of the season.
    TooFewCycles {
        /// The number of steps.
        has: usize,
        /// The season's length in steps.
        period: usize,
        /// The least number of cycles that is accepted.
        cycles: usize,
    },
    /// More than half of the steps have no value.
    Gaps {
        /// Steps without a value.
        missing: usize,
        /// All steps.
        of: usize,
    },
    /// A season must have at least two steps.
    Period(usize),
    /// All values are equal, so that there is no scale to compare with.
    Constant,
    /// No season was found.
    NoSeason,
    /// A value is too large: a result is not a finite number.
    Overflow,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Unfit::TooShort { has, needs } => {
                let values = if has == 1 { "value" } else { "values" };
                write!(f, "it has {has} {values} and at least {needs} are needed")
            }
            Unfit::TooFewCycles { has, period, cycles } => write!(
                f,
                "it has {has} steps, and {cycles} cycles of {period} steps are needed ({})",
                cycles.saturating_mul(period)
            ),
            Unfit::Gaps { missing, of } => {
                write!(f, "{missing} of its {of} steps have no value; at most half may be missing")
            }
            Unfit::Period(period) => {
                write!(f, "a season of {period} steps is too short: at least 2 are needed")
            }
            Unfit::Constant => f.write_str("all its values are equal"),
            Unfit::NoSeason => f.write_str("no season was found in it"),
            Unfit::Overflow => {
                f.write_str("its values are so large that a result is beyond the largest number")
            }
        }
    }
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The caller's check stopped the work.
    Stopped,
    /// The series does not fit the function.
    Unfit(Unfit),
}

impl From<Stop> for Error {
    fn from(Stop: Stop) -> Error {
        Error::Stopped
    }
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Error {
        Error::Unfit(unfit)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Stopped => f.write_str("stopped by the caller"),
            Error::Unfit(unfit) => unfit.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// Units of work (a multiplication and an addition, about a nanosecond) between two calls of the check.
const UNITS: usize = 1 << 20;

/// Calls a check whenever enough work is done.
pub(crate) struct Pace<'a> {
    check: Check<'a>,
    units: usize,
}

impl<'a> Pace<'a> {
    pub fn new(check: Check<'a>) -> Pace<'a> {
        Pace { check, units: 0 }
    }

    /// Counts work that is about to be done.
    pub fn work(&mut self, units: usize) -> Result<(), Stop> {
        self.units += units;
        if self.units >= UNITS {
            self.units = 0;
            (self.check)()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_called_once_in_a_while() {
        let mut calls = 0;
        let check = &mut || {
            calls += 1;
            Ok(())
        };
        let mut pace = Pace::new(check);
        for _ in 0..4096 {
            pace.work(1024).unwrap();
        }
        assert_eq!(calls, 4);
    }

    #[test]
    fn a_reason_names_its_figures() {
        let text = Unfit::TooFewCycles { has: 90, period: 48, cycles: 2 }.to_string();
        assert_eq!(text, "it has 90 steps, and 2 cycles of 48 steps are needed (96)");
    }
}
