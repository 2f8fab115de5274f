//! Trims: up to when the data of some series has been dropped although other series still have theirs.
//!
//! # Format
//! Records of [`Family::Meta`](crate::store::kv::Family::Meta), in the envelope of `values`, version 1:
//!
//! ```text
//! 's' | number u32 BE       TrimRecord
//! ```
//!
//! # Invariant
//! C5. Samples, or buckets of a tier, at or before `until` of the series that a trim selects are past their retention. All
//!     tiers that keep them longer include them up to there. Partitions that a merge has not rewritten since may still hold
//!     some of them, so nothing is computed from them. Samples in raw generations with a cut after `cut` stay until the
//!     trim advances the next time: they were in memory when it came to `until`, or the retention has become longer
//!     since.
//!     A trim is forgotten when the partitions up to there are gone, or when trims of the present rules say the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::model::{Labels, Matcher, PartitionId, Resolution, SeriesSet, TierId, Timestamp};
use crate::store::catalogue::{Catalogue, GenerationRecord, decode_matchers, encode_matchers};
use crate::store::values;
use crate::{Error, Result};

/// Version of the records.
const TRIM_VERSION: u32 = 1;

/// The first byte of the key of a trim.
pub(super) const KIND_TRIM: u8 = b's';

/// Up to when the data of some series has been dropped from a tier (C5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trim {
    /// The tier of samples or buckets.
    pub tier: TierId,
    /// The series.
    pub series: SeriesSet,
    /// The last instant of a partition of the tier.
    pub until: Timestamp,
    /// The log was flushed up to this sequence when it came to `until`.
    pub cut: u64,
    /// All partitions up to there have been rewritten without the series.
    pub applied: Timestamp,
}

pub(super) type MatcherRecord = (String, u8, String);

#[derive(Encode, Decode)]
struct TrimRecord {
    class: u8,
    resolution: u8,
    matchers: Vec<MatcherRecord>,
    except: Vec<Vec<MatcherRecord>>,
    until: i64,
    cut: u64,
    applied: i64,
}

/// All trims, by number. A clone is free.
pub type Trims = Arc<BTreeMap<u32, Arc<Trim>>>;

impl Trim {
    /// Whether what a generation has of its series is past the retention, up to `until`.
    pub(crate) fn concerns(&self, record: &GenerationRecord) -> bool {
        !self.tier.is_raw() || record.cut <= self.cut
    }

    /// Its record.
    ///
    /// # Errors
    /// The matchers are larger than a record may be.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let Trim { tier, series, until, cut, applied } = self;
        let record = TrimRecord {
            class: tier.class,
            resolution: tier.resolution,
            matchers: encode_matchers(&series.matchers),
            except: series.except.iter().map(|matchers| encode_matchers(matchers)).collect(),
            until: *until,
            cut: *cut,
            applied: *applied,
        };
        values::encode(TRIM_VERSION, &record)
    }

    /// Decodes the result of [`Trim::encode`].
    ///
    /// # Errors
    /// [`Error::Corrupt`], or a newer version.
    pub(super) fn decode(place: &str, bytes: &[u8]) -> Result<Trim> {
        let record: TrimRecord = values::decode(place, TRIM_VERSION, bytes)?;
        let tier = TierId { class: record.class, resolution: record.resolution };
        if !tier.is_known() {
            let what = format!("a trim of the unknown {tier}");
            return Err(Error::Corrupt { file: place.to_owned(), offset: 0, what });
        }
        let except = record.except.iter().map(|matchers| decode_matchers(place, matchers));
        let series = SeriesSet {
            matchers: decode_matchers(place, &record.matchers)?,
            except: except.collect::<Result<_>>()?,
        };
        Ok(Trim { tier, series, until: record.until, cut: record.cut, applied: record.applied })
    }
}

impl Catalogue {
    fn trims_of(&self, tier: TierId) -> impl Iterator<Item = &Trim> {
        self.trims.values().map(|trim| &**trim).filter(move |trim| trim.tier == tier)
    }

    /// The last instant up to which the data of a series has been dropped from a tier, as far as that is not the same for
    /// all series; [`Timestamp::MIN`] if none has.
    pub(crate) fn trimmed(&self, tier: TierId, labels: &Labels) -> Timestamp {
        let of_series = self.trims_of(tier).filter(|trim| trim.series.contains(labels));
        of_series.map(|trim| trim.until).max().unwrap_or(Timestamp::MIN)
    }

    /// The same for all series that match all of `matchers`, which may be earlier for some of them.
    pub(crate) fn trimmed_among(&self, tier: TierId, matchers: &[Matcher]) -> Timestamp {
        let of_some = self.trims_of(tier).filter(|trim| trim.series.may_overlap(matchers));
        of_some.map(|trim| trim.until).max().unwrap_or(Timestamp::MIN)
    }

    /// The trims that reach past all of a partition.
    pub(crate) fn trims_over(&self, partition: PartitionId) -> Vec<Arc<Trim>> {
        let (_, end) = self.layout().bounds(partition);
        let over = |trim: &&Arc<Trim>| trim.tier == partition.tier && trim.until >= end;
        self.trims.values().filter(over).cloned().collect()
    }

    /// The last instant up to which the samples of all series have been dropped from partitions that still hold events.
    pub(super) fn trimmed_of_all(&self) -> Timestamp {
        let of_all = self.trims_of(TierId::RAW).filter(|trim| trim.series.is_all());
        of_all.map(|trim| trim.until).max().unwrap_or(Timestamp::MIN)
    }

    /// The last instant up to which the data of all series has been dropped from a tier.
    pub(crate) fn dropped_of_all(&self, tier: TierId) -> Timestamp {
        match tier.is_raw() {
            true => self.raw_from(),
            false => self.coverage.get(&tier).map_or(Timestamp::MIN, |coverage| coverage.from),
        }
    }

    /// The last instant up to which the data of the series of a ladder has been dropped from a tier.
    pub(crate) fn dropped_of(&self, tier: TierId, series: &SeriesSet) -> Timestamp {
        // Where a tier begins, data has been dropped only if there was some.
        let of_all = if tier.is_raw() { self.raw_from() } else { Timestamp::MIN };
        let of_series = self.trims_of(tier).filter(|trim| trim.series == *series).map(|trim| trim.until);
        of_series.max().unwrap_or(Timestamp::MIN).max(of_all)
    }

    /// The start of the first bucket of a series that what a tier holds of it describes completely: raw samples, or narrower
    /// buckets. Earlier ones cannot be computed again.
    pub(crate) fn complete_from(&self, source: TierId, labels: &Labels, resolution: Resolution) -> Timestamp {
        let of_all = self.coverage.get(&source).map_or(Timestamp::MIN, |coverage| coverage.from);
        resolution.ceil(of_all.max(self.trimmed(source, labels)))
    }

    /// Whether a part of the data after `t` has been dropped from a tier for some series only.
    pub(crate) fn is_trimmed_after(&self, tier: TierId, t: Timestamp) -> bool {
        self.trims_of(tier).any(|trim| trim.until > t)
    }

    /// The trims that say nothing that is not true of all series, or that those of `rules` say too, one of which has each
    /// series.
    pub(crate) fn spent_trims(&self, rules: &[SeriesSet]) -> Vec<u32> {
        let is_spent = |trim: &Trim| match trim.series.is_all() {
            true => trim.until <= self.dropped_partitions(),
            false => trim.until <= self.dropped_of_all(trim.tier) || self.is_replaced(trim, rules),
        };
        self.trims.iter().filter(|(_, trim)| is_spent(trim)).map(|(number, _)| *number).collect()
    }

    /// Whether a trim is not of one of these rules, and the trims of all rules that may have series of it reach as far.
    ///
    /// If a rule keeps some of the series for ever, it stays as long as their partitions: without it, a late sample would
    /// replace the bucket of those that have been dropped, and readers would take what is missing for what never was.
    fn is_replaced(&self, old: &Trim, rules: &[SeriesSet]) -> bool {
        let may_have = |rule: &&SeriesSet| {
            !old.series.except.contains(&rule.matchers) && rule.may_overlap(&old.series.matchers)
        };
        let reaches = |rule: &SeriesSet| {
            let mut of_rule = self.trims_of(old.tier).filter(|trim| trim.series == *rule);
            of_rule.any(|trim| trim.until >= old.until && trim.cut >= old.cut)
        };
        !rules.is_empty() && !rules.contains(&old.series) && rules.iter().filter(may_have).all(reaches)
    }
}

/// The key of a trim.
pub fn trim_key(number: u32) -> Vec<u8> {
    [&[KIND_TRIM], &number.to_be_bytes()[..]].concat()
}

/// The number in a key, without its first byte.
pub(super) fn number_of(rest: &[u8]) -> Option<u32> {
    rest.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, MatchOp};

    fn trim(job: &str, tier: TierId, until: Timestamp) -> Arc<Trim> {
        let matchers = vec![Matcher::new("job", MatchOp::Regex, job).unwrap()];
        let except = vec![vec![Matcher::equal("instance", "a"), Matcher::equal("job", "b")]];
        Arc::new(Trim { tier, series: SeriesSet { matchers, except }, until, cut: 5, applied: until - 1 })
    }

    #[test]
    fn a_record_reads_back() {
        let trim = trim("a.*", TierId::of(0, Resolution::parse("1h").unwrap()), 77);
        assert_eq!(Trim::decode("x", &trim.encode().unwrap()).unwrap(), *trim);
        let unknown = Trim { tier: TierId { class: 0, resolution: 99 }, ..(*trim).clone() };
        assert!(Trim::decode("x", &unknown.encode().unwrap()).is_err());
        assert_eq!(number_of(&trim_key(258)[1..]), Some(258));
    }

    #[test]
    fn the_latest_trim_of_a_series_counts() {
        let hourly = TierId::of(0, Resolution::parse("1h").unwrap());
        let mut catalogue = Catalogue::new(1, Layout::new(1000));
        let trims = [trim("a", TierId::RAW, 10), trim("a|b", TierId::RAW, 30), trim("b", hourly, 50)];
        catalogue.trims = Arc::new((0..).zip(trims).collect());
        let labels = |job: &str| Labels::from_pairs([("job", job)]).unwrap();
        let raw = ["a", "b", "c"].map(|job| catalogue.trimmed(TierId::RAW, &labels(job)));
        assert_eq!(raw, [30, 30, Timestamp::MIN]);
        assert_eq!(catalogue.trimmed(hourly, &labels("b")), 50);
        let among = |job: &str| catalogue.trimmed_among(hourly, &[Matcher::equal("job", job)]);
        assert_eq!((among("b"), among("a")), (50, Timestamp::MIN));
        assert!(catalogue.is_trimmed_after(hourly, 49) && !catalogue.is_trimmed_after(hourly, 50));
        assert!(catalogue.spent_trims(&[]).is_empty());
        let all = crate::store::catalogue::Coverage {
            from: 10,
            through: 90,
            cut: 0,
            deletes_applied: 0,
            whole_from: Timestamp::MIN,
        };
        Arc::make_mut(&mut catalogue.coverage).insert(TierId::RAW, all);
        assert_eq!(catalogue.spent_trims(&[]), [0]);
    }

    #[test]
    fn a_trim_of_an_earlier_rule_is_spent_when_those_of_its_series_reach_as_far() {
        let of = |job: &str| vec![Matcher::new("job", MatchOp::Regex, job).unwrap()];
        let set = |job: &str, except: &[&str]| SeriesSet {
            matchers: of(job),
            except: except.iter().map(|job| of(job)).collect(),
        };
        let rest = |except: &[&str]| SeriesSet { matchers: Vec::new(), ..set("", except) };
        let trim = |series: &SeriesSet, until, cut| {
            Arc::new(Trim { tier: TierId::RAW, series: series.clone(), until, cut, applied: until })
        };
        let spent = |trims: &[Arc<Trim>], rules: &[SeriesSet]| {
            let mut catalogue = Catalogue::new(1, Layout::new(1000));
            catalogue.trims = Arc::new((0..).zip(trims.iter().cloned()).collect());
            catalogue.spent_trims(rules)
        };
        // There was one rule and one for the others, and now there is another before it.
        let old = trim(&set("a.*", &[]), 3999, 5);
        let rules = [set("ab.*", &[]), set("a.*", &["ab.*"]), rest(&["ab.*", "a.*"])];
        let all = |until, cut| [old.clone(), trim(&rules[0], until, cut), trim(&rules[1], until, cut)];
        assert_eq!(spent(&all(3999, 5), &rules), [0]);
        assert!(spent(&all(2999, 5), &rules).is_empty(), "one that does not reach as far");
        assert!(spent(&all(3999, 4), &rules).is_empty(), "samples that have come between");
        assert!(spent(&all(3999, 5)[..2], &rules).is_empty(), "some of its series are kept for ever");
        let again = [set("a.*", &[]), rest(&["a.*"])];
        assert_eq!(spent(&all(3999, 5), &again), [2], "it cannot be told that those of ab.* are among them");
        let hourly = TierId::of(0, Resolution::parse("1h").unwrap());
        let bucket_trim = Arc::new(Trim { tier: hourly, ..(*old).clone() });
        assert!(spent(&[bucket_trim, all(3999, 5)[1].clone(), all(3999, 5)[2].clone()], &rules).is_empty());
        // Of a rule that is gone, the series are kept as long as all others, for ever.
        assert!(spent(&all(3999, 5), &[SeriesSet::default()]).is_empty());
        // Series that another rule had before it are not its own.
        let later = trim(&set("a.*", &["ab.*"]), 1999, 5);
        let rules = [set("ab.*", &[]), set("ac.*", &["ab.*"]), set("a.*", &["ab.*", "ac.*"]), rest(&["a.*"])];
        assert_eq!(spent(&[later, trim(&rules[1], 1999, 5), trim(&rules[2], 2999, 6)], &rules), [0]);
    }
}
