//! The store: chunks, index and catalogue in an ordered key-value store.
//!
//! Terms: a *generation* is the output of one flush or merge for one partition; the *catalogue* records which
//! generations are current. `kv` is the interface to the library; `rocks` is the only file that names RocksDB, and
//! `memory` implements the same interface with maps.

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
