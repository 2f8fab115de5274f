//! Read-only maps of segments.
//!
//! Replay reads a segment once, from front to back. A map avoids the copy and lets the kernel read ahead. The rest of
//! the log never maps files: writing through a map on a full disk kills the process, and so does a file that shrinks
//! under its map.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Advice, Mmap, MmapOptions};

use crate::error::{Error, Result};

/// The bytes of a segment that nobody writes to.
#[derive(Debug)]
pub(super) struct SegmentMap(Mmap);

impl SegmentMap {
    /// Maps a whole segment.
    ///
    /// Only for recovery and checks. The caller holds the directory's lock or has otherwise ensured that no log is
    /// opened in the directory, and recovery drops the map before it truncates the file.
    #[expect(unsafe_code, reason = "a map has to trust the file system")]
    pub fn open(path: &Path) -> Result<SegmentMap> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        // SAFETY: no bytes under the map change or vanish during its lifetime. An open log only appends to segments and
        // unlinks them; only recovery truncates one, under the directory's lock and after its own map of it has been
        // dropped.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(|error| Error::io("map", path, error))?;
        // Advice only: without it replay would be slower, not wrong.
        let _ = map.advise(Advice::Sequential);
        Ok(SegmentMap(map))
    }
}

impl Deref for SegmentMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
