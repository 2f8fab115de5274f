//! Series known by the bytes that writers send: a repeated line or series of a request costs one lookup, and its labels
//! are not created again.

pub(in crate::engine) mod fields;
pub(in crate::engine) mod line_cache;
pub(in crate::engine) mod remote_cache;

use crate::engine::known::line_cache::LineCache;
use crate::engine::known::remote_cache::RemoteCache;
use crate::options::Options;

/// Owner of the caches that map bytes to series.
#[derive(Debug)]
pub(in crate::engine) struct KnownSeries {
    lines: LineCache,
    remotes: RemoteCache,
}

impl KnownSeries {
    /// Creates empty caches.
    pub fn new(options: &Options) -> Self {
        KnownSeries {
            lines: LineCache::new(options.line_cache_bytes()),
            remotes: RemoteCache::new(options.remote_cache_bytes()),
        }
    }

    /// The cache for line protocol.
    pub fn lines(&self) -> &LineCache {
        &self.lines
    }

    /// The cache for remote write.
    pub fn remotes(&self) -> &RemoteCache {
        &self.remotes
    }

    /// The size of both, bytes.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes() + self.remotes.bytes()
    }

    /// Removes entries whose targets are series that have left the head.
    pub fn purge_dead(&self) {
        self.lines.purge_dead();
        self.remotes.purge_dead();
    }
}
