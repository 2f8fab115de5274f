//! Queries that wait or run: who asked what, how far it is, and how to stop it.
//!
//! A query enters before it waits at the gate and leaves when its thread is done, not when
//! its client goes away, so that what still costs something is still listed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use barograph_query::{Cancel, Request, Times, Usage};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::api::call::{Call, success_value};
use crate::api::json;
use crate::api::reply::Reply;
use crate::error::ApiError;
use crate::storage;

/// Longest part of a query's text that the list shows, bytes.
const TEXT_MAX: usize = 4096;

/// All queries that wait or run.
#[derive(Debug, Default)]
pub struct ActiveQueries {
    last_id: AtomicU64,
    entries: Mutex<BTreeMap<u64, Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    text: String,
    times: Times,
    client: Option<SocketAddr>,
    since: Instant,
    since_ms: i64,
    runs: AtomicBool,
    usage: Usage,
    cancel: Cancel,
    canceled: Notify,
}

/// A query's place in the list, which it leaves when this is dropped.
#[derive(Debug)]
pub struct Active {
    queries: Arc<ActiveQueries>,
    entry: Arc<Entry>,
}

impl ActiveQueries {
    /// Puts a query on the list, as waiting.
    pub fn enter(self: &Arc<Self>, request: &Request, client: Option<SocketAddr>) -> Active {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry {
            id,
            text: shortened(&request.query),
            times: request.times,
            client,
            since: Instant::now(),
            since_ms: storage::now_ns() / 1_000_000,
            runs: AtomicBool::new(false),
            usage: request.usage.clone(),
            cancel: request.cancel.clone(),
            canceled: Notify::new(),
        });
        self.entries.lock().insert(id, entry.clone());
        Active { queries: self.clone(), entry }
    }

    /// Stops a query; `None` if no such query waits or runs.
    fn cancel(&self, id: u64) -> Option<Value> {
        let entry = self.entries.lock().get(&id).cloned()?;
        entry.cancel.cancel();
        entry.canceled.notify_one();
        Some(entry.describe())
    }

    /// The oldest first.
    fn list(&self) -> Vec<Value> {
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        entries.iter().map(|entry| entry.describe()).collect()
    }
}

impl Active {
    /// Its turn has come.
    pub fn runs(&self) {
        self.entry.runs.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody stops it.
    pub async fn canceled(&self) {
        self.entry.canceled.notified().await;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.queries.entries.lock().remove(&self.entry.id);
    }
}

impl Entry {
    fn describe(&self) -> Value {
        let mut value = json!({
            "id": self.id,
            "query": self.text,
            "client": self.client.map_or_else(String::new, |address| address.to_string()),
            "startedAt": seconds(self.since_ms),
            "ageSeconds": self.since.elapsed().as_secs_f64(),
            "state": if self.runs.load(Ordering::Relaxed) { "running" } else { "waiting" },
            "series": self.usage.series(),
            "samplesRead": self.usage.samples_read(),
            "samplesHeld": self.usage.samples(),
            "bytesHeld": self.usage.bytes(),
            "bytesPeak": self.usage.bytes_peak(),
        });
        match self.times {
            Times::Instant { time_ms } => value["time"] = seconds(time_ms),
            Times::Range { start_ms, end_ms, step_ms } => {
                value["start"] = seconds(start_ms);
                value["end"] = seconds(end_ms);
                value["step"] = seconds(step_ms);
            }
        }
        value
    }
}

/// A time or duration as the rest of the API prints it.
fn seconds(ms: i64) -> Value {
    let mut text = Vec::new();
    json::time(&mut text, ms);
    serde_json::from_slice(&text).unwrap_or(Value::Null)
}

fn shortened(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}… ({} bytes in all)", &text[..end], text.len())
}

/// `/api/v1/status/active_queries`
pub fn list(call: &Call) -> Reply {
    success_value(&json!({ "queries": call.app.active.list() }))
}

/// `/api/v1/status/active_queries/{id}/cancel`: the query's client gets 499.
///
/// # Errors
/// 400 for what is no number, 404 for a query that is not there (any more).
pub fn cancel(call: &Call) -> Result<Reply, ApiError> {
    let id = &call.segment;
    let number: u64 =
        id.parse().map_err(|_| ApiError::bad_data(format!("{id:?} is not the id of a query")))?;
    match call.app.active.cancel(number) {
        Some(entry) => Ok(success_value(&entry)),
        None => Err(ApiError::not_found(format!("no query {number} waits or runs"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_query_is_listed_until_it_is_done() {
        let queries = Arc::new(ActiveQueries::default());
        let request = Request::range("up", 1500, 3000, 500);
        let active = queries.enter(&request, None);
        let other = queries.enter(&Request::instant("é".repeat(3000), 0), None);
        let listed = queries.list();
        assert_eq!(listed[0]["query"], "up");
        assert_eq!((&listed[0]["start"], &listed[0]["step"]), (&json!(1.5), &json!(0.5)));
        assert_eq!(listed[0]["state"], "waiting");
        assert!(listed[1]["query"].as_str().unwrap().ends_with("… (6000 bytes in all)"));
        active.runs();
        assert_eq!(queries.list()[0]["state"], "running");
        assert!(queries.cancel(1).is_some() && queries.cancel(7).is_none());
        active.canceled().await;
        assert!(request.cancel.is_canceled());
        drop((active, other));
        assert!(queries.list().is_empty() && queries.cancel(1).is_none());
    }
}
