//! Removing ranges from tables that hold other keys too.

use tempfile::TempDir;

use super::*;

const PARTITIONS: u8 = 10;
const GENERATIONS: u8 = 8;
const KEYS: u8 = 20;

fn open(dir: &Path) -> RocksKv {
    RocksKv::open(RocksSettings {
        dir: dir.join("store"),
        staging: dir.join("staging"),
        cache_bytes: 1 << 20,
        open_timeout: Duration::from_secs(60),
        read_only: false,
    })
    .expect("a new folder")
}

/// One table for each generation, with keys in every partition, as a flush of late samples writes them.
fn fill(kv: &RocksKv) {
    for generation in 0..GENERATIONS {
        let mut table = kv.table(Family::Chunks).expect("a table");
        for partition in 0..PARTITIONS {
            for key in 0..KEYS {
                // Values that do not compress, so that sizes say how much is kept.
                let value: Vec<u8> = (0..500u32)
                    .map(|i| crc32fast::hash(&[generation, partition, key, i as u8]) as u8)
                    .collect();
                table.put(&[partition, generation, key], &value).expect("ascending keys");
            }
        }
        kv.ingest(Family::Chunks, vec![table.finish().expect("a table")]).expect("taken in");
    }
}

fn range(partition: u8, generation: u8) -> KeyRange {
    (vec![partition, generation], vec![partition, generation + 1])
}

fn prefixes(kv: &RocksKv) -> Vec<(u8, u8)> {
    let mut cursor = kv.cursor(Family::Chunks);
    cursor.seek(&[]).expect("a cursor");
    let mut found = Vec::new();
    while let Some((key, _)) = cursor.entry() {
        found.push((key[0], key[1]));
        cursor.advance().expect("a cursor");
    }
    assert_eq!(found.len() % usize::from(KEYS), 0, "whole generations");
    found.dedup();
    found
}

/// The number of the newest table: it grows by one with each that is written.
fn newest_table(kv: &RocksKv) -> u64 {
    let files = kv.db.live_files().expect("a list");
    files
        .iter()
        .filter_map(|file| file.name.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok())
        .max()
        .unwrap_or(0)
}

#[test]
fn many_ranges_are_removed_with_few_tables_written() {
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    fill(&kv);
    let (before, newest) = (kv.stats().table_bytes, newest_table(&kv));
    // All but the last generation of every partition, as merges leave it.
    let dead: Vec<KeyRange> =
        (0..PARTITIONS).flat_map(|p| (0..GENERATIONS - 1).map(move |g| range(p, g))).collect();
    kv.remove_ranges(Family::Chunks, dead).expect("removed");
    assert_eq!(prefixes(&kv), Vec::from_iter((0..PARTITIONS).map(|p| (p, GENERATIONS - 1))));
    let after = kv.stats().table_bytes;
    assert!(after < before / 6, "{before} bytes before, {after} after");
    let written = newest_table(&kv) - newest;
    assert!((1..=4).contains(&written), "{written} tables were written for 70 ranges in 8 tables");
}

#[test]
fn ranges_without_a_table_between_them_are_apart() {
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    for first in [0, 100] {
        let mut table = kv.table(Family::Chunks).expect("a table");
        for key in first..first + 50 {
            table.put(&[key], &[key; 100]).expect("ascending keys");
        }
        kv.ingest(Family::Chunks, vec![table.finish().expect("a table")]).expect("taken in");
    }
    let ranges = [(vec![10], vec![20]), (vec![30], vec![40]), (vec![105], vec![106]), (vec![120], vec![121])];
    let groups: Vec<usize> =
        kv.by_shared_tables(Family::Chunks, &ranges).expect("groups").map(<[KeyRange]>::len).collect();
    assert_eq!(groups, [2, 2]);
    kv.remove_ranges(Family::Chunks, ranges.to_vec()).expect("removed");
    let mut cursor = kv.cursor(Family::Chunks);
    cursor.seek(&[]).expect("a cursor");
    let mut found = 0;
    while cursor.entry().is_some() {
        found += 1;
        cursor.advance().expect("a cursor");
    }
    assert_eq!(found, 100 - 10 - 10 - 1 - 1);
}

#[test]
fn a_range_that_is_a_whole_table_takes_its_file() {
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    fill(&kv);
    kv.remove_ranges(Family::Chunks, vec![(vec![], vec![0xff])]).expect("removed");
    let stats = kv.stats();
    assert_eq!((stats.tables, stats.table_bytes), (0, 0));
}
