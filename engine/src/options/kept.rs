//! What a database keeps, and for how long: the options that may change while it is open.

use std::time::Duration;

use super::{Ladder, Options, Tiers};
use crate::Result;
use crate::model::{BySeries, Duplicates, SeriesRules};

/// What a database keeps, and for how long. [`Options`] has the same fields for opening.
///
/// ```
/// use barograph_engine::{Kept, Options};
/// let kept = Kept::of(&Options::default().with_tiers("5m 90d, 1h".parse().unwrap()));
/// assert!(kept.retention.is_zero() && kept.event_retention.is_none());
/// assert_eq!(kept.tiers.to_string(), "5m 90d, 1h");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// How long raw samples are kept; zero: for ever.
    pub retention: Duration,
    /// The tiers to keep.
    pub tiers: Tiers,
    /// What differs for some series; the first that matches counts.
    pub ladders: Vec<Ladder>,
    /// How long events are kept; zero: for ever. `None`: as long as the raw samples that are kept longest.
    pub event_retention: Option<Duration>,
    /// The size beyond which the oldest data is dropped; zero: no limit.
    pub disk_bytes: u64,
}

impl Kept {
    /// What the options say.
    pub fn of(options: &Options) -> Kept {
        let Options { retention, tiers, ladders, event_retention, disk_bytes, .. } = options;
        let (tiers, ladders) = (tiers.clone(), ladders.clone());
        Kept {
            retention: *retention,
            tiers,
            ladders,
            event_retention: *event_retention,
            disk_bytes: *disk_bytes,
        }
    }

    /// What the ladders say of the samples of each series. `duplicates` is the rule of those whose ladder has none.
    pub(crate) fn series_rules(&self, duplicates: Duplicates) -> SeriesRules {
        let selected = || self.ladders.iter().map(|ladder| (&ladder.selector[..], ladder));
        SeriesRules {
            duplicates: BySeries::new(duplicates, selected().map(|(selector, it)| (selector, it.duplicates))),
            counters: BySeries::new(None, selected().map(|(selector, it)| (selector, Some(it.is_counter)))),
        }
    }

    /// Checks it as a part of the options of a database.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) names the first that is wrong.
    pub(crate) fn validate(&self, options: &Options) -> Result<()> {
        self.clone().within(options.clone()).validate()
    }

    /// Options with this in place of what they say is kept.
    pub(crate) fn within(self, options: Options) -> Options {
        let Kept { retention, tiers, ladders, event_retention, disk_bytes } = self;
        Options { retention, tiers, ladders, event_retention, disk_bytes, ..options }
    }
}
