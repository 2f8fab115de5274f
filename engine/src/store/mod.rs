//! The store: chunks, index and catalogue in an ordered key-value store.
//!
//! Words: a *generation* is what one flush or merge wrote into one partition; the
//! *catalogue* says which generations count. `kv` is the seam to the library; `rocks` is
//! the only file that names RocksDB, `memory` the same seam over maps.

pub mod blocks;
pub mod catalogue;
pub mod cursors;
pub mod duplicates;
pub mod gate;
pub mod generation;
pub mod generations;
pub mod iterators;
pub mod keys;
pub mod kv;
pub mod lifetime;
pub mod notes;
mod records;
pub mod times;
pub mod values;
pub(crate) mod versions;

#[cfg(feature = "rocksdb")]
pub use kv::rocks;
pub use kv::{guard, manifest, memory};
