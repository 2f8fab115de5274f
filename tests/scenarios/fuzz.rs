//! Replays the fuzzers' seeds and every input that ever failed, with any compiler and without a fuzzer.

#[path = "../harness/fuzz.rs"]
mod harness;

use std::fs;
use std::path::Path;

/// `fuzz/programs/patterns.rs` compares millions.
#[test]
fn patterns_match_what_they_match_by_definition() {
    let compared = harness::generated(2026, |so_far| so_far.patterns >= 5_000);
    assert!(compared.comparisons > 2_000_000, "{compared:?}");
}

#[test]
fn seeds_and_regressions_replay() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, target) in harness::TARGETS {
        let mut replayed = 0;
        for folder in ["seeds", "regressions"] {
            let Ok(entries) = fs::read_dir(root.join(folder).join(name)) else { continue };
            for entry in entries {
                let path = entry.expect("an entry of the folder").path();
                target(&fs::read(&path).expect("an input"));
                replayed += 1;
            }
        }
        assert!(replayed > 0, "{name} has no seeds");
    }
}
