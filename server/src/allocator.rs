//! The program's allocator: jemalloc, RocksDB included.
//!
//! glibc keeps what a million series leave behind in the arenas of the threads that made them; jemalloc gives it back.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc looks for its settings under this name. A thread of its own gives free pages back, and soon (in place of after
/// ten seconds): a flush of many series leaves some in arenas that do not need them themselves.
#[expect(unsafe_code, reason = "a name that is visible in the whole program")]
// SAFETY: nothing else has this name, and jemalloc reads it as what it is, a pointer to a C string.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8; 59] = b"background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0\0";

/// From this much memory on, there is room for freed pages that wait for their return: some hundred megabytes under
/// load.
const ROOMY_BYTES: u64 = 1 << 30;

/// Makes the allocator keep within `memory` bytes. If that is little, freed pages are returned at once. This costs 40 %
/// more CPU under heavy allocation; keeping them took 214 MiB of a process limited to 128.
#[expect(unsafe_code, reason = "a setting without a type")]
pub fn fit(memory: u64) {
    if memory >= ROOMY_BYTES {
        return;
    }
    // First the default for new arenas, then the existing ones. Not all numbers have an arena; those return an error.
    let arenas = tikv_jemalloc_ctl::arenas::narenas::read().unwrap_or(0);
    let existing = (0..arenas).map(|arena| format!("arena.{arena}.dirty_decay_ms\0"));
    for name in std::iter::once("arenas.dirty_decay_ms\0".to_owned()).chain(existing) {
        // SAFETY: the setting is an ssize_t, and the name ends with a zero.
        let _ = unsafe { tikv_jemalloc_ctl::raw::write(name.as_bytes(), 0_isize) };
    }
}
