//! Of which series the tiers that the compactor chose hold buckets.
//!
//! A tier that the compactor chose omits the buckets of the classes of series for which they would save too little. The
//! decision for a class is made once, from measured sizes, and stored, so that it survives a restart.
//!
//! # Format
//! A record of [`Family::Meta`](crate::store::kv::Family::Meta), in the envelope of `values`, version 1:
//!
//! ```text
//! 'a'                          Choices
//! ```

use std::collections::BTreeMap;

use bincode::{Decode, Encode};

use crate::Result;
use crate::model::TierId;
use crate::store::values;

/// Version of the record.
const CHOICES_VERSION: u32 = 1;

/// The first byte of the key, which has no other.
pub(super) const KIND_CHOICES: u8 = b'a';

/// The key of the record.
pub const CHOICES_KEY: &[u8] = &[KIND_CHOICES];

/// What series have in common whose buckets save about as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[non_exhaustive]
pub struct SeriesClass {
    /// Whether the values are those of a counter: buckets have no sums.
    pub is_counter: bool,
    /// Whether there are native histograms.
    pub has_histograms: bool,
    /// The distance of samples is about this power of two, seconds.
    pub octave: i8,
}

impl SeriesClass {
    pub(crate) fn new(is_counter: bool, has_histograms: bool, octave: i8) -> Self {
        SeriesClass { is_counter, has_histograms, octave }
    }

    /// The distance of samples, seconds: between 0.71 and 1.41 times this.
    pub fn seconds(&self) -> f64 {
        f64::from(self.octave).exp2()
    }
}

/// Of which classes of series each tier holds buckets, as far as that has been decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Choices {
    /// By the number of the resolution and the class.
    holds: BTreeMap<(u8, SeriesClass), bool>,
}

impl Choices {
    /// Whether a tier holds buckets of a class of series; `None` if that has not been decided.
    pub(crate) fn holds(&self, tier: TierId, class: SeriesClass) -> Option<bool> {
        self.holds.get(&(tier.resolution, class)).copied()
    }

    /// Whether anything has been decided for a tier: it was chosen.
    pub(crate) fn has(&self, tier: TierId) -> bool {
        self.holds.keys().any(|(resolution, _)| *resolution == tier.resolution)
    }

    /// Decides whether a tier holds buckets of a class of series, unless it has been decided.
    pub(crate) fn decide(&mut self, tier: TierId, class: SeriesClass, holds: bool) {
        self.holds.entry((tier.resolution, class)).or_insert(holds);
    }

    /// Forgets what was decided for a tier.
    pub(crate) fn forget(&mut self, tier: TierId) {
        self.holds.retain(|(resolution, _), _| *resolution != tier.resolution);
    }

    /// The classes of series of which a tier omits the buckets.
    pub(crate) fn omitted(&self, tier: TierId) -> impl Iterator<Item = SeriesClass> + '_ {
        let of_tier = move |(resolution, _): &(u8, SeriesClass)| *resolution == tier.resolution;
        let omitted = self.holds.iter().filter(move |(key, holds)| of_tier(key) && !**holds);
        omitted.map(|((_, class), _)| *class)
    }

    /// The value of the record; `None`, for no record, if nothing has been decided.
    ///
    /// # Errors
    /// None in practice: the record is small.
    pub(crate) fn value(&self) -> Result<Option<Vec<u8>>> {
        (!self.holds.is_empty()).then(|| values::encode(CHOICES_VERSION, self)).transpose()
    }

    /// Decodes the result of [`Choices::value`].
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), or a newer version.
    pub(super) fn decode(bytes: &[u8]) -> Result<Choices> {
        values::decode("meta/a", CHOICES_VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Resolution;

    #[test]
    fn what_is_decided_stays_until_the_tier_is_forgotten() {
        let [hourly, daily] = ["1h", "1d"].map(|name| TierId::of(0, Resolution::parse(name).unwrap()));
        let class = |octave| SeriesClass::new(false, false, octave);
        let mut choices = Choices::default();
        assert_eq!(choices.holds(hourly, class(6)), None);
        choices.decide(hourly, class(6), false);
        choices.decide(hourly, class(6), true);
        choices.decide(hourly, class(3), true);
        choices.decide(daily, class(9), false);
        assert_eq!(choices.holds(hourly, class(6)), Some(false));
        assert_eq!(choices.holds(daily, class(6)), None);
        assert!(choices.has(hourly) && choices.has(daily));
        assert_eq!(choices.omitted(hourly).collect::<Vec<_>>(), [class(6)]);
        assert_eq!(Choices::decode(&choices.value().unwrap().unwrap()).unwrap(), choices);
        choices.forget(hourly);
        assert_eq!(choices.holds(hourly, class(3)), None);
        assert!(!choices.has(hourly) && choices.has(daily));
        assert_eq!(choices.omitted(daily).collect::<Vec<_>>(), [class(9)]);
        choices.forget(daily);
        assert_eq!(choices.value().unwrap(), None);
        assert_eq!((class(-3).seconds(), class(6).seconds()), (0.125, 64.0));
    }
}
