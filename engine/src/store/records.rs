//! Values of a generation's records, checked as they are read.

use crate::model::{Labels, SeriesId};
use crate::store::keys::Prefix;
use crate::{Error, Result};

/// Label set and text of an event; `None` if they are damaged.
pub(super) fn decode_event(bytes: &[u8]) -> Option<(Labels, String)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (length, rest) = body.split_first_chunk::<4>()?;
    let (labels, text) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((Labels::from_bytes(labels).ok()?, String::from_utf8(text.to_vec()).ok()?))
}

/// The label set of a series record.
pub(super) fn decode_labels(prefix: Prefix, id: u64, bytes: &[u8]) -> Result<Labels> {
    Labels::from_bytes(bytes).map_err(|e| Error::Corrupt {
        file: format!("index/{}", prefix.series(SeriesId(id)).escape_ascii()),
        offset: 0,
        what: e.to_string(),
    })
}

/// The error of a damaged value.
pub(super) fn damaged(key: &[u8], what: &str) -> Error {
    Error::Corrupt {
        file: format!("store/{}", key.escape_ascii()),
        offset: 0,
        what: format!("damaged {what}"),
    }
}
