//! What the database itself says is kept: a change by a client, which counts if the options leave it to the database.
//!
//! # Format
//! A record of [`Family::Meta`](crate::store::kv::Family::Meta), in the envelope of `values`, version 2:
//!
//! ```text
//! 'k'                          KeptRecord
//! ```
//!
//! In version 1 ladders had neither rules for duplicates nor types.

use std::time::Duration;

use bincode::{Decode, Encode};

use crate::model::Timestamp;
use crate::options::{Kept, Ladder, Options};
use crate::store::catalogue::trims::MatcherRecord;
use crate::store::catalogue::{decode_matchers, encode_matchers};
use crate::store::values;
use crate::{Error, Result};

/// Version of the record.
const KEPT_VERSION: u32 = 2;

/// The first byte of the key, which has no other.
pub(super) const KIND_KEPT: u8 = b'k';

/// The key of the record.
pub const KEPT_KEY: &[u8] = &[KIND_KEPT];

/// What is kept, without the size of the database. Times are nanoseconds; zero is for ever. Tiers and rules for duplicates
/// are texts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeptRecord {
    retention: i64,
    tiers: String,
    ladders: Vec<LadderRecord>,
    event_retention: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct LadderRecord {
    selector: Vec<MatcherRecord>,
    retention: i64,
    tiers: String,
    duplicates: Option<String>,
    is_counter: Option<bool>,
}

impl LadderRecord {
    fn of(ladder: &Ladder) -> LadderRecord {
        let Ladder { selector, retention, tiers, duplicates, is_counter } = ladder;
        LadderRecord {
            selector: encode_matchers(selector),
            retention: nanoseconds(*retention),
            tiers: tiers.to_string(),
            duplicates: duplicates.map(|rule| rule.to_string()),
            is_counter: *is_counter,
        }
    }

    fn ladder(&self) -> Result<Ladder> {
        Ok(Ladder {
            selector: decode_matchers(PLACE, &self.selector)?,
            retention: duration(self.retention),
            tiers: self.tiers.parse().map_err(corrupt)?,
            duplicates: self.duplicates.as_ref().map(|rule| rule.parse()).transpose().map_err(corrupt)?,
            is_counter: self.is_counter,
        })
    }
}

/// The record in version 1.
#[derive(Decode)]
#[cfg_attr(test, derive(Encode))]
struct First {
    retention: i64,
    tiers: String,
    ladders: Vec<(Vec<MatcherRecord>, i64, String)>,
    event_retention: Option<i64>,
}

impl From<First> for KeptRecord {
    fn from(first: First) -> KeptRecord {
        let First { retention, tiers, ladders, event_retention } = first;
        let ladder = |(selector, retention, tiers)| LadderRecord {
            selector,
            retention,
            tiers,
            duplicates: None,
            is_counter: None,
        };
        KeptRecord { retention, tiers, ladders: ladders.into_iter().map(ladder).collect(), event_retention }
    }
}

fn nanoseconds(keep: Duration) -> i64 {
    i64::try_from(keep.as_nanos()).unwrap_or(Timestamp::MAX)
}

fn duration(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

fn corrupt(what: String) -> Error {
    Error::Corrupt { file: PLACE.to_owned(), offset: 0, what }
}

impl KeptRecord {
    /// The record of what is kept.
    pub fn of(kept: &Kept) -> KeptRecord {
        KeptRecord {
            retention: nanoseconds(kept.retention),
            tiers: kept.tiers.to_string(),
            ladders: kept.ladders.iter().map(LadderRecord::of).collect(),
            event_retention: kept.event_retention.map(nanoseconds),
        }
    }

    /// What is kept according to the record, and the size of the database according to the options.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn kept(&self, options: &Options) -> Result<Kept> {
        let mut kept = Kept::of(options);
        kept.retention = duration(self.retention);
        kept.tiers = self.tiers.parse().map_err(corrupt)?;
        kept.ladders = self.ladders.iter().map(LadderRecord::ladder).collect::<Result<_>>()?;
        kept.event_retention = self.event_retention.map(duration);
        Ok(kept)
    }

    /// Its encoding.
    ///
    /// # Errors
    /// The matchers are larger than a record may be.
    pub fn encode(&self) -> Result<Vec<u8>> {
        values::encode(KEPT_VERSION, self)
    }

    /// Decodes the result of [`KeptRecord::encode`].
    ///
    /// # Errors
    /// [`Error::Corrupt`], or a newer version.
    pub(super) fn decode(bytes: &[u8]) -> Result<KeptRecord> {
        let record: KeptRecord = match values::version_of(bytes) {
            Some(1) => values::decode::<First>(PLACE, 1, bytes)?.into(),
            _ => values::decode(PLACE, KEPT_VERSION, bytes)?,
        };
        record.kept(&Options::default())?;
        Ok(record)
    }
}

const PLACE: &str = "meta/k";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MatchOp, Matcher};

    #[test]
    fn a_record_reads_back() {
        let selector = vec![Matcher::equal("job", "a"), Matcher::new("x", MatchOp::NotRegex, "b.*").unwrap()];
        let ladder = |steps: &str| Ladder::new(selector.clone(), steps).unwrap();
        let options = Options::default().with_disk_bytes(77);
        for (tiers, event_retention) in [("auto", None), ("none", Some(0)), ("5m 90d, 1h", Some(86_400))] {
            let kept = Kept {
                retention: Duration::from_secs(3_600),
                tiers: tiers.parse().unwrap(),
                ladders: vec![ladder("raw 3d"), ladder("5m, 1h, duplicates max, type gauge")],
                event_retention: event_retention.map(Duration::from_secs),
                disk_bytes: 77,
            };
            let record = KeptRecord::of(&kept);
            assert_eq!(KeptRecord::decode(&record.encode().unwrap()).unwrap(), record);
            assert_eq!(record.kept(&options).unwrap(), kept);
        }
        let first = First {
            retention: 0,
            tiers: "1h".to_owned(),
            ladders: vec![(encode_matchers(&selector), 0, "5m".to_owned())],
            event_retention: None,
        };
        let first = KeptRecord::decode(&values::encode(1, &first).unwrap()).unwrap();
        assert_eq!(first.kept(&options).unwrap().ladders, [ladder("5m")]);
        let wrong = KeptRecord { tiers: "7m".to_owned(), ..KeptRecord::of(&Kept::of(&options)) };
        let error = KeptRecord::decode(&wrong.encode().unwrap()).unwrap_err();
        assert!(error.to_string().contains("\"7m\" is not a resolution"), "{error}");
    }
}
