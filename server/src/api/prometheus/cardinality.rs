//! The response of `/api/v1/status/tsdb`: the number of series, and the names and labels with the most series.

use barograph::{Cardinality, Stats, Timestamp};

use crate::json::{self, Sink};

/// Approximate bytes of an entry without its name.
const ENTRY_ROOM: usize = 48;

/// Writes the result and the totals of the database.
///
/// # Errors
/// The errors of the sink.
pub fn write<S: Sink>(sink: &mut S, found: &Cardinality, stats: &Stats) -> Result<(), S::Error> {
    let milliseconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_millis);
    let head = serde_json::json!({
        "numSeries": found.series, "numLabelPairs": found.label_pairs, "chunkCount": stats.stored_chunks,
        "minTime": milliseconds(stats.oldest), "maxTime": milliseconds(stats.newest),
    });
    let head = format!("{{\"headStats\":{head}");
    sink.put(head.len(), |out| out.extend_from_slice(head.as_bytes()))?;
    for (key, entries) in [
        ("seriesCountByMetricName", &found.series_by_metric),
        ("labelValueCountByLabelName", &found.values_by_label),
        ("memoryInBytesByLabelName", &found.bytes_by_label),
        ("seriesCountByLabelValuePair", &found.series_by_pair),
    ] {
        let key = format!(",\"{key}\":");
        sink.put(key.len(), |out| out.extend_from_slice(key.as_bytes()))?;
        json::items(sink, entries, |(name, _)| name.len() + ENTRY_ROOM, entry)?;
    }
    sink.put(1, |out| out.push(b'}'))
}

fn entry(out: &mut Vec<u8>, (name, value): &(String, u64)) {
    out.extend_from_slice(b"{\"name\":");
    json::string(out, name);
    out.extend_from_slice(b",\"value\":");
    out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
    out.push(b'}');
}
