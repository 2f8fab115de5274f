//! Read-only maps of segments, the one place with `unsafe`.
//!
//! Replay reads a segment once, front to back; a map spares the copy and lets the kernel read ahead. The rest of
//! the log never maps anything: writing through a map on a full disk kills the process, and a file that shrinks
//! under its map does so too.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Advice, Mmap, MmapOptions};

use crate::error::{Error, Result};

/// The bytes of a segment that nobody writes.
#[derive(Debug)]
pub(super) struct SegmentMap(Mmap);

impl SegmentMap {
    /// Maps a whole segment.
    ///
    /// Only recovery may call this: it holds the directory's lock, has not begun to write, and drops the map before
    /// it repairs or cuts the file.
    pub fn open(path: &Path) -> Result<SegmentMap> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        // SAFETY: the caller holds the lock of the directory, so no other process of ours writes the file, and in
        // this one no writer exists before recovery ends; each map is dropped before the file is changed.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(|error| Error::io("map", path, error))?;
        // Advice only: without it replay is slower, not wrong.
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
