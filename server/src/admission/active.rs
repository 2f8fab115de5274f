//! The list of active work: who requested it, how far it has come, and how to stop it.
//!
//! Work enters the list before it waits for its turn and leaves it when its thread is done, not when its client
//! disconnects, so that work that still uses resources is still listed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use barograph::internals::Usage;
use barograph::{Cancel, Times};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::kind::Kind;
use crate::clock;
use crate::json;

/// Maximum length of a text in the list, bytes.
const TEXT_MAX: usize = 4096;
/// Maximum length of a text, and maximum number of reads, in a message that names reads.
const TEXT_IN_MESSAGE_MAX: usize = 200;
const NAMED_MAX: usize = 3;

/// All work that waits or runs.
#[derive(Debug, Default)]
pub struct ActiveWork {
    last_id: AtomicU64,
    entries: Mutex<BTreeMap<u64, Arc<Entry>>>,
}

/// The description of a piece of work in the list.
#[derive(Debug)]
pub struct Described {
    /// The kind of turn it waits for.
    pub kind: Kind,
    /// The path of the request.
    pub path: &'static str,
    /// The expression, or the selectors.
    pub text: String,
    /// The times at which an expression is evaluated.
    pub times: Option<Times>,
    /// The address of the client.
    pub client: Option<SocketAddr>,
    /// The tenant that the client is restricted to.
    pub tenant: Option<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    described: Described,
    since: Instant,
    since_ms: i64,
    runs: AtomicBool,
    usage: Usage,
    cancel: Cancel,
    canceled: Notify,
}

/// An entry in the list, which is removed when this is dropped.
#[derive(Debug)]
pub struct Active {
    work: Arc<ActiveWork>,
    entry: Arc<Entry>,
}

impl ActiveWork {
    /// Adds work to the list, as waiting.
    pub fn enter(self: &Arc<Self>, described: Described, usage: Usage, cancel: Cancel) -> Active {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry {
            id,
            described: Described { text: shortened(described.text, TEXT_MAX), ..described },
            since: Instant::now(),
            since_ms: clock::now_ns() / 1_000_000,
            runs: AtomicBool::new(false),
            usage,
            cancel,
            canceled: Notify::new(),
        });
        self.entries.lock().insert(id, entry.clone());
        Active { work: self.clone(), entry }
    }

    /// Cancels the work with this id. Returns `None` if no such work waits or runs, or if it belongs to another tenant
    /// than `tenant`.
    pub fn cancel(&self, id: u64, tenant: Option<&str>) -> Option<Value> {
        let entry = self.entries.lock().get(&id).filter(|entry| entry.is_of(tenant)).cloned()?;
        entry.cancel.cancel();
        entry.canceled.notify_one();
        Some(entry.describe())
    }

    /// All work, or the work of `tenant`, oldest first.
    pub fn list(&self, tenant: Option<&str>) -> Vec<Value> {
        let entries: Vec<Arc<Entry>> =
            self.entries.lock().values().filter(|entry| entry.is_of(tenant)).cloned().collect();
        entries.iter().map(|entry| entry.describe()).collect()
    }

    /// Names the reads that began at least `age` ago, oldest first, for a message. `None` if there are none.
    pub fn name_reads(&self, age: Duration) -> Option<String> {
        let entries = self.entries.lock();
        let is_one = |entry: &&Arc<Entry>| {
            entry.described.kind != Kind::Admin
                && entry.runs.load(Ordering::Relaxed)
                && entry.since.elapsed() >= age
        };
        let mut named: Vec<String> = entries.values().filter(is_one).map(|entry| entry.name()).collect();
        drop(entries);
        let more = named.len().saturating_sub(NAMED_MAX);
        named.truncate(NAMED_MAX);
        if more > 0 {
            named.push(format!("{more} more"));
        }
        (!named.is_empty()).then(|| named.join("; "))
    }
}

impl Active {
    /// Records whether the work has its turn.
    pub fn runs(&self, runs: bool) {
        self.entry.runs.store(runs, Ordering::Relaxed);
    }

    /// Waits until the work is canceled.
    pub async fn canceled(&self) {
        self.entry.canceled.notified().await;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.work.entries.lock().remove(&self.entry.id);
    }
}

impl Entry {
    /// Whether this is work of `tenant`; always true without a tenant.
    fn is_of(&self, tenant: Option<&str>) -> bool {
        tenant.is_none_or(|tenant| self.described.tenant.as_deref() == Some(tenant))
    }

    /// A short description for a message.
    fn name(&self) -> String {
        let Described { path, text, client, .. } = &self.described;
        let client = client.map_or_else(String::new, |address| format!(" of {address}"));
        let seconds = self.since.elapsed().as_secs();
        let text = shortened(text.clone(), TEXT_IN_MESSAGE_MAX);
        format!("id {}, {path}{client}, which began {seconds} s ago: {text}", self.id)
    }

    fn describe(&self) -> Value {
        let mut value = json!({
            "id": self.id,
            "kind": self.described.kind.name(),
            "path": self.described.path,
            "query": self.described.text,
            "client": self.described.client.map_or_else(String::new, |address| address.to_string()),
            "startedAt": seconds(self.since_ms),
            "ageSeconds": self.since.elapsed().as_secs_f64(),
            "state": if self.runs.load(Ordering::Relaxed) { "running" } else { "waiting" },
            "canceled": self.cancel.is_canceled(),
            "series": self.usage.series(),
            "samplesRead": self.usage.samples_read(),
            "samplesHeld": self.usage.samples(),
            "bytesHeld": self.usage.bytes(),
            "bytesPeak": self.usage.bytes_peak(),
        });
        if let Some(tenant) = &self.described.tenant {
            value["tenant"] = json!(**tenant);
        }
        match self.described.times {
            None => {}
            Some(Times::Instant { time }) => value["time"] = seconds(time.as_millis()),
            Some(Times::Range { start, end, step }) => {
                value["start"] = seconds(start.as_millis());
                value["end"] = seconds(end.as_millis());
                value["step"] = seconds(step.as_millis() as i64);
            }
        }
        value
    }
}

/// A time or duration in the API's format.
fn seconds(ms: i64) -> Value {
    let mut text = Vec::new();
    json::time(&mut text, ms);
    serde_json::from_slice(&text).unwrap_or(Value::Null)
}

fn shortened(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}… ({} bytes in all)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str, times: Option<Times>) -> Described {
        let text = text.to_owned();
        Described { kind: Kind::Query, path: "/api/v1/query", text, times, client: None, tenant: None }
    }

    #[tokio::test]
    async fn work_is_listed_until_it_is_done() {
        let work = Arc::new(ActiveWork::default());
        let (cancel, range) = (
            Cancel::default(),
            Times::Range {
                start: barograph::Timestamp::from_millis(1500),
                end: barograph::Timestamp::from_secs(3),
                step: Duration::from_millis(500),
            },
        );
        let active = work.enter(described("up", Some(range)), Usage::default(), cancel.clone());
        let other = work.enter(described(&"é".repeat(3000), None), Usage::default(), Cancel::default());
        let listed = work.list(None);
        assert_eq!((&listed[0]["query"], &listed[0]["kind"]), (&json!("up"), &json!("query")));
        assert_eq!((&listed[0]["start"], &listed[0]["step"]), (&json!(1.5), &json!(0.5)));
        assert_eq!(listed[0]["state"], "waiting");
        assert!(listed[1]["query"].as_str().unwrap().ends_with("… (6000 bytes in all)"));
        active.runs(true);
        assert_eq!(work.list(None)[0]["state"], "running");
        assert!(work.cancel(1, None).is_some() && work.cancel(7, None).is_none());
        active.canceled().await;
        assert!(cancel.is_canceled());
        drop((active, other));
        assert!(work.list(None).is_empty() && work.cancel(1, None).is_none());
    }

    #[tokio::test]
    async fn a_tenant_sees_and_stops_its_own_work() {
        let work = Arc::new(ActiveWork::default());
        let places: Vec<Active> = [Some("a"), Some("b"), None]
            .into_iter()
            .map(|tenant| {
                let described = Described { tenant: tenant.map(Arc::from), ..described("up", None) };
                work.enter(described, Usage::default(), Cancel::default())
            })
            .collect();
        let ids =
            |tenant| work.list(tenant).iter().map(|entry| entry["id"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!((ids(Some("a")), ids(Some("b")), ids(Some("c"))), (vec![1], vec![2], vec![]));
        assert_eq!(ids(None), [1, 2, 3]);
        for foreign in [2, 3] {
            assert!(work.cancel(foreign, Some("a")).is_none());
            assert!(!places[foreign as usize - 1].entry.cancel.is_canceled());
        }
        assert_eq!(work.cancel(1, Some("a")).unwrap()["tenant"], "a");
        assert!(work.cancel(3, None).is_some());
    }
}
