//! The memory of the process: one setting bounds it, and this module divides it.
//!
//! [`PROCESS_BYTES`] are set aside for the program itself. The rest is divided by the table [`PARTS`], which the
//! documentation and the status page show. A part is a [`Share`], from which bytes are taken before memory is
//! allocated. The engine subdivides its part.

pub mod connections;
pub mod pool;

use std::sync::Arc;

use barograph::budget::{Part, Share};

use crate::config::Config;

/// Memory of the process that is not counted elsewhere, bytes: its code, stacks, the allocator's own pages, and the
/// minimum of RocksDB for any database. An idle server has 22 MiB of resident memory, 17 MiB of which are code.
pub const PROCESS_BYTES: u64 = 24 << 20;

/// One part in this many of the memory shared by all queries is for light ones.
const LIGHT_PART: u64 = 4;
/// A read that holds more bytes is not light, no matter how much memory there is.
const LIGHT_MAX_BYTES: u64 = 8 << 20;

/// The division of the memory besides [`PROCESS_BYTES`].
pub static PARTS: &[Part] = &[
    Part {
        name: "engine",
        parts: 32,
        bounds: "unflushed samples, series and their index, caches, log buffers, flushes and merges; subdivided \
                 below",
        full: "writes wait for `write_wait`, then get 429 (`/write`: 503) with `Retry-After`",
    },
    Part {
        name: "queries",
        parts: 12,
        bounds: "memory of running queries and other reads; `query_memory` caps one query, `query_memory_total` all \
                 of them. The limit of one query, at most half of the share, is reserved for one query at a time; a \
                 quarter of the rest is reserved for light reads",
        full: "a heavy read releases its memory, waits for its turn (oldest first) and runs again; a light one \
               retries for a second; exports and remote reads in chunks get 429 with `Retry-After`; a query that \
               needs more than the limit of one query gets 422",
    },
    Part {
        name: "answers",
        parts: 4,
        bounds: "answers that clients have not read yet; a client that reads less than `answer_rate` over \
                 `body_timeout` is disconnected",
        full: "an answer stays in `queries` while at most three eighths of that share are used; otherwise 429 with \
               `Retry-After`",
    },
    Part {
        name: "bodies",
        parts: 8,
        bounds: "bodies larger than 64 KiB, as sent (plus 16 KiB each while they arrive) and decompressed, and \
                 large batches of TCP lines; `max_body_total` caps it. The last quarter is reserved for \
                 decompression, an eighth for bodies up to 512 KiB",
        full: "bodies of declared length queue for up to `body_timeout`, tenants in rotation, and others do not \
               wait; then 429 (`/write`: 503) with `Retry-After`; a body larger than five eighths of the share gets \
               413",
    },
    Part {
        name: "forms",
        parts: 1,
        bounds: "bodies up to 64 KiB and TCP lines, half for writes and half for queries, so that large bodies \
                 cannot block them",
        full: "as for bodies; TCP lines are not read",
    },
    Part {
        name: "datagrams",
        parts: 2,
        bounds: "UDP datagrams waiting to be stored; `udp_queue` caps it",
        full: "datagrams are dropped and counted",
    },
    Part {
        name: "connections",
        parts: 3,
        bounds: "open connections, 4 KiB each; half of the share is reserved for them, and they get at most three \
                 quarters. A request holds 20 KiB; 16 KiB more while a body up to 64 KiB or of unknown length \
                 arrives; 128 KiB more for a body of 256 KiB or larger if seven eighths of the share are free; and \
                 twice the length of a header above 2 KiB. A 32nd is reserved for each of five kinds: status and \
                 health, writes up to 64 KiB, writes up to 512 KiB, larger writes, and all others. \
                 `max_connections` caps the number of connections",
        full: "a request waits for up to `body_timeout`, behind others of its kind; after that, and for new \
               connections, 503 with `Retry-After`, and the connection is closed. Health and status are answered \
               even then",
    },
    Part {
        name: "patterns",
        parts: 2,
        bounds: "compiled regular expressions cached for later requests; those of a running request also count \
                 toward its own memory",
        full: "the least recently used are dropped",
    },
];

const fn part(name: &str) -> &'static Part {
    Part::named(PARTS, name)
}

/// The memory of the process, divided into shares.
#[derive(Debug)]
pub struct Memory {
    total: u64,
    engine: u64,
    /// For queries and other reads while they run.
    pub queries: Arc<Share>,
    /// For answers that clients have not read yet.
    pub answers: Arc<Share>,
    /// For bodies that are not small.
    pub bodies: Arc<Share>,
    /// For small bodies.
    pub forms: Arc<Share>,
    /// For datagrams that wait to be stored.
    pub datagrams: Arc<Share>,
    /// For buffers of open connections.
    pub connections: Arc<Share>,
    /// For compiled regular expressions.
    pub patterns: Arc<Share>,
}

impl Memory {
    /// Divides the setting `memory`. A cap that is larger than its share is reduced to the share, with a warning.
    pub fn new(config: &Config) -> Self {
        let left = config.memory.saturating_sub(PROCESS_BYTES);
        let share = |part: &'static Part| Share::new(part.name, part.of(left));
        let memory = Memory {
            total: config.memory,
            engine: engine_bytes(config),
            queries: share(const { part("queries") }),
            answers: share(const { part("answers") }),
            bodies: share(const { part("bodies") }),
            forms: share(const { part("forms") }),
            datagrams: share(const { part("datagrams") }),
            connections: share(const { part("connections") }),
            patterns: share(const { part("patterns") }),
        };
        memory.cap(config);
        memory
    }

    /// Applies the caps of the settings.
    pub fn cap(&self, config: &Config) {
        for (setting, share, cap) in [
            ("query_memory_total", &self.queries, config.query_memory_total),
            ("max_body_total", &self.bodies, config.max_body_total),
            ("udp_queue", &self.datagrams, config.udp_queue),
        ] {
            share.set_limit(self.capped(setting, share, cap));
        }
        // Logged once, here. Every caller gets the capped value.
        self.capped("query_memory", &self.queries, config.query_memory);
        self.queries.set_reserve(self.one_query(config));
        self.queries.set_light(self.queries.common() / LIGHT_PART);
    }

    fn capped(&self, setting: &str, share: &Share, cap: Option<u64>) -> u64 {
        let most = part(share.name()).of(self.total.saturating_sub(PROCESS_BYTES));
        let Some(cap) = cap else { return most };
        if cap > most {
            let (share, memory) = (share.name(), self.total);
            tracing::warn!(
                "{setting} is {cap} bytes, more than the {most} that {share} have of memory ({memory}): it is \
                 {most}; raise memory, or leave {setting} unset"
            );
        }
        cap.min(most)
    }

    /// The setting `memory`, bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The engine's part of it, bytes.
    pub fn engine(&self) -> u64 {
        self.engine
    }

    /// The maximum that one query may hold, bytes. The same amount is reserved for the query whose turn it is when the
    /// rest is used up, so it is at most half of the share.
    pub fn one_query(&self, config: &Config) -> u64 {
        let half = self.queries.limit() / 2;
        config.query_memory.map_or(half, |cap| cap.min(half))
    }

    /// The maximum that one light read may hold, bytes.
    pub fn one_light_read(&self) -> u64 {
        (self.queries.common() / LIGHT_PART).min(LIGHT_MAX_BYTES)
    }

    /// The shares of the table, in its order, except the engine's.
    pub fn shares(&self) -> [&Arc<Share>; 7] {
        [
            &self.queries,
            &self.answers,
            &self.bodies,
            &self.forms,
            &self.datagrams,
            &self.connections,
            &self.patterns,
        ]
    }
}

/// A table of parts in the format of the documentation.
pub fn table(parts: &[Part]) -> String {
    let mut text = String::from("| share | 64ths | bounds | when it is full |\n|---|---|---|---|\n");
    for part in parts {
        let Part { name, parts, bounds, full } = part;
        text.push_str(&format!("| `{name}` | {parts} | {bounds} | {full} |\n"));
    }
    text
}

/// The engine's part of the setting `memory`, bytes.
pub fn engine_bytes(config: &Config) -> u64 {
    const { part("engine") }.of(config.memory.saturating_sub(PROCESS_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn config(settings: &[(&'static str, &str)]) -> Config {
        let mut sources = Sources::default();
        sources.flags.extend(settings.iter().map(|&(key, text)| (key, text.to_owned())));
        sources.build().unwrap()
    }

    #[test]
    fn the_shares_are_the_table_and_never_more_than_the_setting() {
        assert_eq!(PARTS.iter().map(|part| part.parts).sum::<u64>(), Part::WHOLE);
        for memory in ["64MiB", "100000001", "1GiB", "16TiB"] {
            let config = config(&[("memory", memory)]);
            let memory = Memory::new(&config);
            let shares = memory.shares();
            let names: Vec<_> = shares.iter().map(|share| share.name()).collect();
            let table: Vec<_> = PARTS.iter().map(|part| part.name).collect();
            assert_eq!(names, table[1..], "the engine's comes first");
            let sum = PROCESS_BYTES + memory.engine() + shares.iter().map(|share| share.limit()).sum::<u64>();
            assert!(sum <= config.memory && config.memory - sum < 1024, "{sum} of {}", config.memory);
        }
    }

    #[test]
    fn caps_make_shares_smaller_and_never_larger() {
        let whole = Memory::new(&config(&[("memory", "1GiB")]));
        let config = config(&[
            ("memory", "1GiB"),
            ("query_memory", "2GiB"),
            ("query_memory_total", "100MiB"),
            ("max_body_total", "64GiB"),
            ("udp_queue", "0"),
        ]);
        let memory = Memory::new(&config);
        assert_eq!(memory.queries.limit(), 100 << 20);
        assert_eq!(memory.one_query(&config), 50 << 20);
        assert_eq!(memory.queries.common(), 50 << 20, "the other half is for all");
        assert_eq!(memory.bodies.limit(), whole.bodies.limit());
        assert_eq!(memory.datagrams.limit(), whole.datagrams.limit());
        assert_eq!(whole.one_query(&Config::default()), whole.queries.limit() / 2);
    }
}
