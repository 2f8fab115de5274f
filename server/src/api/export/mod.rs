//! Samples as a stream of line protocol, and events as JSON.

pub mod lines;

use barograph::{Matcher, TimeRange};

use crate::api::call::{Call, TRUNCATED, success};
use crate::api::gate::Asked;
use crate::api::selectors;
use crate::error::ApiError;
use crate::http::reply::{JSON, Reply, TEXT};
use crate::json;
use crate::json::Sink;
use barograph::{Event, Reader};
use lines::Omitted;

/// Number of events in an answer if the request does not specify it.
const EVENTS_DEFAULT: usize = 1_000;
/// Maximum number of events in an answer.
const EVENTS_MAX: usize = 100_000;

/// `/api/v1/export?match[]=…&start=…&end=…`: line protocol, streamed. A failure after the first bytes closes the
/// connection; a complete answer ends with the last chunk of the chunked body. An export has no deadline: it runs as
/// long as its client keeps reading.
///
/// # Errors
/// 400 for bad parameters.
pub async fn export(call: Call) -> Result<Reply, ApiError> {
    let wanted = selectors::read_required(&call)?;
    let range = call.params.range()?;
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?.unhurried()).await?;
    admitted
        .stream(TEXT, move |work, out| write_all(&database.reader(work), &wanted.parse(work)?, range, out))
        .await
}

/// Writes everything that the selectors match. A series that several selectors match is written once.
///
/// # Errors
/// The errors of storage and of the sink.
pub fn write_all<S>(
    reader: &Reader<'_>,
    wanted: &[Vec<Matcher>],
    range: TimeRange,
    sink: &mut S,
) -> Result<(), S::Error>
where
    S: Sink<Error: From<barograph::Error>>,
{
    let mut omitted = Omitted::default();
    let mut outcome = Ok(());
    // A long series arrives in pieces and is counted as omitted once.
    let mut left_out = None;
    reader.export(wanted, range, |series| {
        if left_out.as_ref() == Some(&series.labels) {
            return true;
        }
        let before = omitted.series;
        outcome = lines::write_series(sink, &series, &mut omitted);
        if omitted.series > before {
            left_out = Some(series.labels);
        }
        outcome.is_ok()
    })?;
    outcome?;
    let mut outcome = Ok(());
    reader.each_event(wanted, range, |event| {
        outcome =
            lines::write_event(sink, &event.labels, event.timestamp.as_nanos(), &event.text, &mut omitted);
        outcome.is_ok()
    })?;
    outcome?;
    let comment = omitted.comment();
    sink.put(comment.len(), |out| out.extend_from_slice(comment.as_bytes()))
}

/// `/api/v1/events?match[]=…&start=…&end=…&limit=…`: the values of string fields, oldest first, as
/// `[{"labels":{…},"timestamp":seconds,"text":…}]`.
///
/// # Errors
/// 400 for bad parameters.
pub async fn events(call: Call) -> Result<Reply, ApiError> {
    let wanted = selectors::read(&call)?;
    let range = call.params.range()?;
    let limit = match call.params.limit("limit")? {
        0 => EVENTS_DEFAULT,
        limit => limit.min(EVENTS_MAX),
    };
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?).await?;
    admitted
        .answer(JSON, move |work, out| {
            let wanted = wanted.parse_or_everything(work)?;
            let mut found = database.reader(work).events(&wanted, range, limit + 1)?;
            let mut warnings = Vec::new();
            if found.len() > limit {
                found.truncate(limit);
                warnings.push(TRUNCATED.to_owned());
            }
            let room = |event: &&Event| json::labels_room(&event.labels) + event.text.len() + 64;
            success(out, &warnings, &[], |out| json::items(out, &found, room, event))
        })
        .await
}

fn event(out: &mut Vec<u8>, event: &Event) {
    out.extend_from_slice(b"{\"labels\":");
    json::labels(out, &event.labels);
    out.extend_from_slice(b",\"timestamp\":");
    json::time(out, event.timestamp.as_millis());
    out.extend_from_slice(b",\"text\":");
    json::string(out, &event.text);
    out.push(b'}');
}
