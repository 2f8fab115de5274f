//! The scripts of this repository, or those of a directory named by the environment, over memory and over the engine.
//!
//! `PROMQL_SCRIPTS=DIR cargo test --release --workspace --test own_scripts` runs the `*.test` files of DIR instead of
//! `tests/promql/`.

use std::path::{Path, PathBuf};

use promqltest::{EngineStorage, MemoryStorage, Storage, run_dir};

fn scripts() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../promql");
    std::env::var_os("PROMQL_SCRIPTS").map_or_else(own, PathBuf::from)
}

fn pass(name: &str, storage: &mut dyn Storage) {
    let dir = scripts();
    let files = run_dir(&dir, &mut [(name, storage)]).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let red: Vec<String> =
        files.iter().filter(|file| !file.is_green()).map(|file| file.to_string()).collect();
    assert!(red.is_empty(), "{}", red.join("\n"));
}

#[test]
fn scripts_pass_over_memory() {
    pass("memory", &mut MemoryStorage::default());
}

/// Everything in the engine except RocksDB, also in builds without it.
#[test]
fn scripts_pass_over_the_engine_with_its_store_in_memory() {
    pass("engine", &mut EngineStorage::with_store_in_memory().expect("a database"));
}

#[cfg(feature = "rocksdb")]
#[test]
fn scripts_pass_over_the_engine_on_disk() {
    pass("engine", &mut EngineStorage::on_disk().expect("a database"));
}
