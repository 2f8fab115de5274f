//! The program's allocator: jemalloc, for RocksDB too.
//!
//! glibc keeps the memory of a million removed series in the arenas of the threads that created them; jemalloc returns
//! it.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc reads its settings from this name. A background thread returns free pages, and soon instead of after ten
/// seconds, because a flush of many series leaves free pages in arenas that do not need them.
#[expect(unsafe_code, reason = "a name that is visible in the whole program")]
// SAFETY: nothing else has this name, and jemalloc reads it as what it is, a pointer to a C string.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8; 59] = b"background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0\0";

/// From this much memory on, there is room for freed pages that have not been returned yet: a few hundred megabytes
/// under load.
const ROOMY_BYTES: u64 = 1 << 30;

/// Keeps the allocator within `memory` bytes. If `memory` is small, freed pages are returned at once. This costs 40 %
/// more CPU under heavy allocation; without it, a process limited to 128 MiB grew to 214 MiB.
#[expect(unsafe_code, reason = "a setting without a type")]
pub fn fit(memory: u64) {
    if memory >= ROOMY_BYTES {
        return;
    }
    // The first write sets the default for new arenas, the following ones set existing arenas. Numbers without an arena
    // return an error.
    let arenas = tikv_jemalloc_ctl::arenas::narenas::read().unwrap_or(0);
    let existing = (0..arenas).map(|arena| format!("arena.{arena}.dirty_decay_ms\0"));
    for name in std::iter::once("arenas.dirty_decay_ms\0".to_owned()).chain(existing) {
        // SAFETY: the setting is an ssize_t, and the name ends with a zero.
        let _ = unsafe { tikv_jemalloc_ctl::raw::write(name.as_bytes(), 0_isize) };
    }
}
