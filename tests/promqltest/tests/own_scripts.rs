//! Our own scripts over the in-memory source. The same scripts run over the engine in the
//! root package's scenarios.

use std::path::Path;

use promqltest::{MemoryStorage, run_dir};

#[test]
fn own_scripts_pass_over_memory() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../promql");
    let files = run_dir(&dir, &mut MemoryStorage::default()).unwrap();
    let red: Vec<String> =
        files.iter().filter(|file| !file.is_green()).map(|file| file.to_string()).collect();
    assert!(red.is_empty(), "{}", red.join("\n"));
}
