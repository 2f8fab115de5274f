//! Applying: logged changes enter the head, where readers see them.
//!
//! The caller holds the commit lock, so changes enter in the order of the log.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::base::Base;
use crate::engine::jobs::Jobs;
use crate::engine::retention::Retention;
use crate::engine::subscribe::Subscriptions;
use crate::engine::write::CommitState;
use crate::head::{ChunkPolicy, Head, ResolvedBatch};
use crate::stats::{Counter, Stats};
use crate::store::catalogue::Tombstone;
use crate::store::versions::Versions;

/// Adds changes to the head, and reports them to subscriptions.
pub(super) struct Applier {
    head: Arc<Head>,
    versions: Arc<Versions>,
    retention: Arc<Retention>,
    subscriptions: Arc<Subscriptions>,
    jobs: Arc<Jobs>,
    chunk_samples: usize,
    samples: Counter,
    events: Counter,
}

impl Applier {
    pub fn new(base: &Base, subscriptions: Arc<Subscriptions>) -> Self {
        Applier {
            head: base.head.clone(),
            versions: base.versions.clone(),
            retention: base.retention.clone(),
            subscriptions,
            jobs: base.jobs.clone(),
            chunk_samples: base.options.chunk_samples,
            samples: Counter::default(),
            events: Counter::default(),
        }
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn subscriptions(&self) -> &Arc<Subscriptions> {
        &self.subscriptions
    }

    /// How the head cuts chunks.
    pub fn chunk_policy(&self) -> ChunkPolicy {
        ChunkPolicy { layout: self.versions.layout(), chunk_samples: self.chunk_samples }
    }

    /// Adds a batch to the head, and counts it. Readers see either all of it or nothing.
    pub fn batch(&self, commit: &mut CommitState, resolved: &mut ResolvedBatch, seq: u64) {
        self.samples.add(resolved.samples() as u64);
        self.events.add(resolved.events.len() as u64);
        self.retention.note(resolved.newest());
        let mut grown = 0;
        let applying = self.head.pins.start(&mut commit.turn, seq);
        // Read after the start: a view that does not show this batch was pinned before, so a subscription older than
        // such a view is included here.
        let subscribed = self.subscriptions.is_any().then(|| resolved.events.clone());
        let (turn, chunk_policy) = (&commit.turn, self.chunk_policy());
        resolved.for_each(|series, timestamp, start, value| {
            grown += series.append(turn, chunk_policy, timestamp, start, value);
        });
        self.notes(resolved);
        for event in resolved.events.drain(..) {
            grown += event.memory_bytes() as usize;
            self.head.events.push(seq, event);
        }
        drop(applying);
        if let Some(events) = subscribed {
            self.subscriptions.publish(resolved, &events);
        }
        commit.first_append.get_or_insert_with(Instant::now);
        // Counted under the lock: a flush that begins takes the count for its epoch.
        self.head.add_sample_bytes(grown as u64);
        self.jobs.note_work();
    }

    fn notes(&self, resolved: &ResolvedBatch) {
        for (key, metadata) in &resolved.metadata {
            self.head.metadata.insert(key, metadata);
        }
        for (series, exemplar) in &resolved.exemplars {
            self.head.exemplars.insert(series, exemplar);
        }
        resolved.databases.iter().for_each(|name| self.head.databases.insert(name));
        resolved.dropped.iter().for_each(|name| self.head.databases.remove(name));
    }

    /// Adds the tombstone, and deletes exemplars, which are in memory only. Readers see either all of the delete or
    /// nothing.
    pub fn delete(&self, commit: &mut CommitState, tombstone: &Arc<Tombstone>) {
        self.head.exemplars.delete(&tombstone.matchers, tombstone.range);
        commit.first_append.get_or_insert_with(Instant::now);
        self.head.pins.delete(tombstone.seq, || self.versions.add_tombstone(tombstone));
        self.jobs.note_work();
    }

    pub fn add_to(&self, stats: &mut Stats) {
        stats.samples = self.samples.get();
        stats.events = self.events.get();
    }
}
