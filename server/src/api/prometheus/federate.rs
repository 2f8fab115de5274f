//! Federation: the newest sample of each selected series, in the text format for scrapers.
//!
//! A sample is included if it is no older than the lookback and not a stale marker. Native histograms are omitted,
//! because the text format cannot represent them. A series without the label `instance` gets an empty one, as from
//! Prometheus, so that a scraper with `honor_labels` does not add its own. A selector may match every series here,
//! because many scrape configurations ask for everything that a server has.

use std::collections::BTreeMap;

use barograph::budget::Work;
use barograph::internals::Samples;
use barograph::{Labels, METRIC_NAME, Matcher, TimeRange, Timestamp, is_stale};

use crate::api::call::Call;
use crate::api::gate::Asked;
use crate::api::selectors;
use crate::error::ApiError;
use crate::http::reply::Reply;
use crate::json;
use crate::json::Sink;
use crate::telemetry::exposition;
use barograph::Database;

const INSTANCE: &str = "instance";

/// `/federate?match[]=…`
///
/// # Errors
/// 400 for invalid selectors or none, 422 if too many series match.
pub async fn federate(call: Call) -> Result<Reply, ApiError> {
    let wanted = selectors::read_any(&call)?;
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?).await?;
    let now = Timestamp::now();
    let range = TimeRange::left_open(now - call.config.query_lookback, now);
    let series_max = call.config.query_max_series;
    admitted
        .answer(exposition::CONTENT_TYPE, move |work, out| {
            write(&newest(&database, work, &wanted.parse(work)?, range, series_max)?, out)
        })
        .await
}

/// The newest samples by metric name, then by labels.
type Newest = BTreeMap<(String, Labels), (Timestamp, f64)>;

fn newest(
    database: &Database,
    work: &Work,
    wanted: &[Vec<Matcher>],
    range: TimeRange,
    series_max: usize,
) -> Result<Newest, ApiError> {
    /// Memory of an entry besides its texts: the pair itself in a node that may be half full, and two allocations.
    const ENTRY_BYTES: usize = 2 * size_of::<((String, Labels), (Timestamp, f64))>() + 64;
    let mut found = Newest::new();
    let mut outcome = Ok(());
    database.reader(work).read(wanted, range, series_max, |labels, samples| {
        let Some(sample) = last_float(samples.columns()) else { return true };
        let name = labels.metric_name().unwrap_or_default();
        let bytes = ENTRY_BYTES + name.len() + labels.as_bytes().len();
        outcome = work.take(bytes as u64).map_err(ApiError::from);
        if outcome.is_ok() && found.len() == series_max {
            outcome = Err(ApiError::execution(format!(
                "more than {series_max} series match, the limit (query_max_series); select fewer, or raise it"
            )));
        }
        if outcome.is_ok() {
            found.insert((name.to_owned(), labels.clone()), sample);
        }
        outcome.is_ok()
    })?;
    outcome?;
    Ok(found)
}

fn last_float(samples: &Samples) -> Option<(Timestamp, f64)> {
    let last = samples.len().checked_sub(1)?;
    let is_histogram = samples.histograms.last().is_some_and(|(at, _)| *at as usize == last);
    let value = samples.values[last];
    (!is_histogram && !is_stale(value)).then_some((Timestamp::from_nanos(samples.timestamps[last]), value))
}

fn write<S: Sink>(found: &Newest, sink: &mut S) -> Result<(), S::Error> {
    /// Approximate bytes of a name, a value and a time, in addition to the labels.
    const SAMPLE_ROOM: usize = 64;
    let mut previous = None;
    for ((name, labels), (timestamp, value)) in found {
        sink.put(json::labels_room(labels) + 2 * name.len() + SAMPLE_ROOM, |out| {
            if previous != Some(name) {
                out.extend_from_slice(b"# TYPE ");
                write_name(out, name);
                out.extend_from_slice(b" untyped\n");
                previous = Some(name);
            }
            write_series(out, name, labels);
            out.push(b' ');
            json::float(out, *value);
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(timestamp.as_millis()).as_bytes());
            out.push(b'\n');
        })?;
    }
    Ok(())
}

fn write_series(out: &mut Vec<u8>, name: &str, labels: &Labels) {
    // A name that is not an identifier is written in quotes among the labels.
    let mut is_first = is_identifier(name, true);
    if is_first {
        out.extend_from_slice(name.as_bytes());
        out.push(b'{');
    } else {
        out.push(b'{');
        quoted(out, name);
    }
    let empty = labels.get(INSTANCE).is_none().then_some((INSTANCE, ""));
    for (label, value) in empty.into_iter().chain(labels.iter()).filter(|(label, _)| *label != METRIC_NAME) {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        match is_identifier(label, false) {
            true => out.extend_from_slice(label.as_bytes()),
            false => quoted(out, label),
        }
        out.push(b'=');
        quoted(out, value);
    }
    out.push(b'}');
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    match is_identifier(name, true) {
        true => out.extend_from_slice(name.as_bytes()),
        false => quoted(out, name),
    }
}

fn is_identifier(name: &str, may_have_colons: bool) -> bool {
    let first = name.bytes().next();
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (b == b':' && may_have_colons);
    first.is_some_and(is_letter) && name.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_text() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        let mut found = Newest::new();
        for (labels, value) in [
            (set(&[("__name__", "up"), ("job", "b\"\\\n")]), 1.0),
            (set(&[("__name__", "up"), ("instance", "x"), ("job", "a")]), f64::INFINITY),
            (set(&[("__name__", "a.b"), ("ö", "1")]), -0.5),
        ] {
            found.insert(
                (labels.metric_name().unwrap().to_owned(), labels),
                (Timestamp::from_nanos(1_700_000_000_123_456_789), value),
            );
        }
        let mut text = Vec::new();
        write(&found, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            concat!(
                "# TYPE \"a.b\" untyped\n",
                "{\"a.b\",instance=\"\",\"ö\"=\"1\"} -0.5 1700000000123\n",
                "# TYPE up untyped\n",
                "up{instance=\"x\",job=\"a\"} +Inf 1700000000123\n",
                "up{instance=\"\",job=\"b\\\"\\\\\\n\"} 1 1700000000123\n",
            )
        );
    }

    #[test]
    fn only_live_floats_count() {
        let mut samples = Samples::default();
        assert_eq!(last_float(&samples), None);
        samples.push(1, 5.0);
        assert_eq!(last_float(&samples), Some((Timestamp::from_nanos(1), 5.0)));
        samples.push(2, f64::from_bits(barograph::STALE_NAN_BITS));
        assert_eq!(last_float(&samples), None);
        samples.push(3, f64::NAN);
        samples.histograms.push((2, Default::default()));
        assert_eq!(last_float(&samples), None);
    }
}
