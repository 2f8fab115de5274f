//! Samples as a stream of line protocol, and events as JSON.

use std::ops::ControlFlow;

use barograph_engine::model::{Labels, Matcher, TimeRange};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::api::call::{Call, Encoded, success};
use crate::api::lines::{self, Omitted};
use crate::api::reply::{Broken, Reply, TEXT};
use crate::api::{json, selectors};
use crate::error::ApiError;
use crate::storage;
use barograph::{Database, Event};

/// Bytes of a piece of the stream.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that may wait for a slow client.
const PIECES_WAITING: usize = 4;
/// Events listed when the request does not say how many.
const EVENTS_DEFAULT: usize = 1_000;
/// Most events of one answer.
const EVENTS_MAX: usize = 100_000;

/// `/api/v1/export?match[]=…&start=…&end=…`: line protocol, streamed. A failure half-way
/// cuts the connection; a whole answer ends with the end of the chunked body.
///
/// # Errors
/// 400 for bad parameters.
pub async fn export(call: Call) -> Result<Reply, ApiError> {
    let wanted = selectors::read_required(&call)?;
    let range = call.params.range()?;
    let database = call.database()?;
    let turn = call.turn().await?;
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut sink = |piece: Vec<u8>| match sender.blocking_send(Ok(Bytes::from(piece))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        if let Err(e) = write_all(&database, &wanted, range, &mut sink) {
            tracing::error!("an export broke off: {e}");
            let _ = sender.blocking_send(Err(Broken(e.to_string())));
        }
    });
    Ok(Reply::stream(TEXT, receiver))
}

/// Writes everything that is selected, piece by piece, until `sink` breaks off. A series
/// that several selectors match is written once.
///
/// # Errors
/// What storage gives.
pub fn write_all(
    database: &Database,
    wanted: &[Vec<Matcher>],
    range: TimeRange,
    sink: &mut dyn FnMut(Vec<u8>) -> ControlFlow<()>,
) -> barograph_engine::Result<()> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut omitted = Omitted::default();
    let mut stopped = false;
    for (i, matchers) in wanted.iter().enumerate() {
        let earlier = &wanted[..i];
        let written = |labels: &Labels| earlier.iter().any(|m| m.iter().all(|m| m.matches_labels(labels)));
        database.export(matchers, range, |series| {
            if !written(&series.labels) {
                lines::write_series(&mut piece, &series, &mut omitted);
            }
            stopped = piece.len() >= PIECE_BYTES && sink(std::mem::take(&mut piece)).is_break();
            !stopped
        })?;
        if stopped {
            return Ok(());
        }
        for event in
            database.events(matchers, range, usize::MAX)?.iter().filter(|event| !written(&event.labels))
        {
            lines::write_event(&mut piece, &event.labels, event.timestamp, &event.text, &mut omitted);
        }
    }
    piece.extend_from_slice(omitted.comment().as_bytes());
    if !piece.is_empty() {
        let _ = sink(piece);
    }
    Ok(())
}

/// `/api/v1/events?match[]=…&start=…&end=…&limit=…`: what string fields said, oldest
/// first, as `[{"labels":{…},"timestamp":seconds,"text":…}]`.
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
    let gzip = call.accepts_gzip();
    let encoded = storage::blocking(move || {
        let mut found = find_events(&database, &wanted, range, limit)?;
        let mut warnings = Vec::new();
        if found.len() > limit {
            found.truncate(limit);
            warnings.push(super::prometheus::TRUNCATED.to_owned());
        }
        let body = success(&warnings, &[], |out| json::list(out, &found, event));
        Ok::<_, ApiError>(Encoded::new(body, gzip))
    });
    Ok(encoded.await??.into_reply())
}

/// The events of all selectors in order of time, at most one more than `limit` a selector.
fn find_events(
    database: &Database,
    wanted: &[Vec<Matcher>],
    range: TimeRange,
    limit: usize,
) -> Result<Vec<Event>, ApiError> {
    let mut found = Vec::new();
    match wanted {
        [] => found = database.events(&[], range, limit + 1)?,
        several => {
            for matchers in several {
                found.extend(database.events(matchers, range, limit + 1)?);
            }
        }
    }
    found.sort_by(|a, b| (a.timestamp, &a.labels, &a.text).cmp(&(b.timestamp, &b.labels, &b.text)));
    found.dedup_by(|a, b| a.timestamp == b.timestamp && a.labels == b.labels && a.text == b.text);
    Ok(found)
}

fn event(out: &mut Vec<u8>, event: &Event) {
    out.extend_from_slice(b"{\"labels\":");
    json::labels(out, &event.labels);
    out.extend_from_slice(b",\"timestamp\":");
    json::time(out, event.timestamp.div_euclid(1_000_000));
    out.extend_from_slice(b",\"text\":");
    json::string(out, &event.text);
    out.push(b'}');
}
