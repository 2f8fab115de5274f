//! The program's allocator: jemalloc, RocksDB included.
//!
//! glibc keeps what a million series leave behind in the arenas of the threads that made them; jemalloc gives it back.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc looks for its settings under this name. A thread of its own gives free pages back, and soon (in place of after
/// ten seconds): a flush of many series leaves some in arenas that do not need them themselves.
// SAFETY: nothing else has this name, and jemalloc reads it as what it is, a pointer to a C string.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8; 59] = b"background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0\0";
