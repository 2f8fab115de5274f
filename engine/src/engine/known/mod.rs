//! The series that are known by the bytes that writers send: a line or a series of a request that comes again costs one
//! look-up, and its labels are not made.

pub(in crate::engine) mod fields;
pub(in crate::engine) mod line_cache;
pub(in crate::engine) mod remote_cache;

use crate::engine::known::line_cache::LineCache;
use crate::engine::known::remote_cache::RemoteCache;
use crate::options::Options;

/// Owner of the caches from bytes to series.
#[derive(Debug)]
pub(in crate::engine) struct KnownSeries {
    lines: LineCache,
    remotes: RemoteCache,
}

impl KnownSeries {
    /// Empty caches.
    pub fn new(options: &Options) -> Self {
        KnownSeries {
            lines: LineCache::new(options.line_cache_bytes()),
            remotes: RemoteCache::new(options.remote_cache_bytes()),
        }
    }

    /// Those of line protocol.
    pub fn lines(&self) -> &LineCache {
        &self.lines
    }

    /// Those of remote write.
    pub fn remotes(&self) -> &RemoteCache {
        &self.remotes
    }

    /// Bytes of both.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes() + self.remotes.bytes()
    }

    /// Removes entries that name series which have left the head.
    pub fn purge_dead(&self) {
        self.lines.purge_dead();
        self.remotes.purge_dead();
    }
}
