//! What the database itself says is kept: a change by a client, which counts if the options leave it to the database.
//!
//! # Format
//! A record of [`Family::Meta`](crate::store::kv::Family::Meta), in the envelope of `values`, version 1:
//!
//! ```text
//! 'k'                          KeptRecord
//! ```

use std::time::Duration;

use bincode::{Decode, Encode};

use crate::model::Timestamp;
use crate::options::{Kept, Ladder, Options, Tiers};
use crate::store::catalogue::trims::MatcherRecord;
use crate::store::catalogue::{decode_matchers, encode_matchers};
use crate::store::values;
use crate::{Error, Result};

/// Version of the record.
const KEPT_VERSION: u32 = 1;

/// The first byte of the key, which has no other.
pub(super) const KIND_KEPT: u8 = b'k';

/// The key of the record.
pub const KEPT_KEY: &[u8] = &[KIND_KEPT];

/// What is kept, without the size of the database. Times are nanoseconds; zero is for ever. Tiers are texts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeptRecord {
    retention: i64,
    tiers: String,
    ladders: Vec<(Vec<MatcherRecord>, i64, String)>,
    event_retention: Option<i64>,
}

impl KeptRecord {
    /// The record of what is kept.
    pub fn of(kept: &Kept) -> KeptRecord {
        let nanoseconds = |keep: Duration| i64::try_from(keep.as_nanos()).unwrap_or(Timestamp::MAX);
        let ladder = |Ladder { selector, retention, tiers }: &Ladder| {
            (encode_matchers(selector), nanoseconds(*retention), tiers.to_string())
        };
        KeptRecord {
            retention: nanoseconds(kept.retention),
            tiers: kept.tiers.to_string(),
            ladders: kept.ladders.iter().map(ladder).collect(),
            event_retention: kept.event_retention.map(nanoseconds),
        }
    }

    /// What is kept according to the record, and the size of the database according to the options.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn kept(&self, options: &Options) -> Result<Kept> {
        let corrupt = |what| Error::Corrupt { file: PLACE.to_owned(), offset: 0, what };
        let tiers = |text: &str| text.parse::<Tiers>().map_err(corrupt);
        let keep = |ns: i64| Duration::from_nanos(u64::try_from(ns).unwrap_or(0));
        let ladder = |(selector, retention, steps): &(Vec<MatcherRecord>, i64, String)| {
            let selector = decode_matchers(PLACE, selector)?;
            Ok(Ladder { selector, retention: keep(*retention), tiers: tiers(steps)? })
        };
        let mut kept = Kept::of(options);
        kept.retention = keep(self.retention);
        kept.tiers = tiers(&self.tiers)?;
        kept.ladders = self.ladders.iter().map(ladder).collect::<Result<_>>()?;
        kept.event_retention = self.event_retention.map(keep);
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
        let record: KeptRecord = values::decode(PLACE, KEPT_VERSION, bytes)?;
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
                ladders: vec![ladder("raw 3d"), ladder("5m, 1h")],
                event_retention: event_retention.map(Duration::from_secs),
                disk_bytes: 77,
            };
            let record = KeptRecord::of(&kept);
            assert_eq!(KeptRecord::decode(&record.encode().unwrap()).unwrap(), record);
            assert_eq!(record.kept(&options).unwrap(), kept);
        }
        let wrong = KeptRecord { tiers: "7m".to_owned(), ..KeptRecord::of(&Kept::of(&options)) };
        let error = KeptRecord::decode(&wrong.encode().unwrap()).unwrap_err();
        assert!(error.to_string().contains("\"7m\" is not a resolution"), "{error}");
    }
}
