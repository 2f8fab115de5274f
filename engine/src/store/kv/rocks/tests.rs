//! Removing ranges from tables that hold other keys too; opening after an ingestion that failed half-way.

use std::collections::BTreeMap;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::sync::turns::Dice;

const PARTITIONS: u8 = 10;
const GENERATIONS: u8 = 8;
const KEYS: u8 = 20;

fn open(dir: &Path) -> RocksKv {
    RocksKv::open(StoreSettings {
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
    let files = kv.opened().expect("it is open").db.live_files().expect("a list");
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
    kv.remove_ranges(Family::Chunks, dead, Removal::All).expect("removed");
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
    let tables = kv.opened().expect("it is open").tables(Family::Chunks).expect("two tables");
    let groups: Vec<usize> = ranges.chunk_by(|a, b| tables.any_across(a, b)).map(<[KeyRange]>::len).collect();
    assert_eq!(groups, [2, 2]);
    assert!(tables.any_inside(&(vec![10], vec![200])) && !tables.any_inside(&(vec![10], vec![100])));
    kv.remove_ranges(Family::Chunks, ranges.to_vec(), Removal::All).expect("removed");
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
    kv.remove_ranges(Family::Chunks, vec![(vec![], vec![0xff])], Removal::All).expect("removed");
    let stats = kv.stats();
    assert_eq!((stats.tables, stats.table_bytes), (0, 0));
}

/// A store with tables at random, of which some overlap.
fn scattered(kv: &RocksKv, dice: &mut Dice) {
    for number in 0..3 + dice.below(6) as u8 {
        let first = dice.below(100) as u8;
        let mut table = kv.table(Family::Chunks).expect("a table");
        for key in first..=first + dice.below(40) as u8 {
            table.put(&[key, number], &[key; 50]).expect("ascending keys");
        }
        kv.ingest(Family::Chunks, vec![table.finish().expect("a table")]).expect("taken in");
    }
}

/// The names of tables, with their levels and keys.
fn listed(kv: &RocksKv) -> BTreeMap<String, (i32, KeyRange)> {
    let files = kv.opened().expect("it is open").db.live_files().expect("a list");
    let keys = |file: LiveFile| Some((file.name, (file.level, (file.start_key?, file.end_key?))));
    files.into_iter().filter(|file| file.column_family_name == "chunks").filter_map(keys).collect()
}

/// Each table that is gone after a removal was inside a range, or named before.
#[test]
fn a_removal_rewrites_no_table_that_it_has_not_named() {
    let (mut rewritten, mut moved) = (0, 0);
    for seed in 0..40 {
        let (dir, mut dice) = (TempDir::new().expect("a folder"), Dice(seed));
        let kv = open(dir.path());
        scattered(&kv, &mut dice);
        let before = listed(&kv);
        let mut ranges: Vec<KeyRange> = Vec::new();
        for start in (0..140).step_by(20) {
            let from = start + dice.below(10) as u8;
            let range = (vec![from], vec![from + 1 + dice.below(9) as u8]);
            ranges.extend(dice.once_in(3).then_some(range));
        }
        let named = kv.rewritten(Family::Chunks, &ranges).expect("a list");
        kv.remove_ranges(Family::Chunks, ranges.clone(), Removal::All).expect("removed");
        let after = listed(&kv);
        for (name, (level, keys)) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
            let is_inside = ranges.iter().any(|(start, end)| *start <= keys.0 && keys.1 < *end);
            assert!(
                named.contains(keys) || (*level > 0 && is_inside),
                "seed {seed}: {name} {keys:?}, {ranges:?}"
            );
            rewritten += 1;
        }
        moved += named.len();
    }
    assert!(rewritten > 40 && moved > 40, "{rewritten} of {moved}");
}

/// Rewriting reads the blocks of removed keys too.
#[test]
fn a_probe_reads_what_was_removed_and_is_still_in_a_table() {
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    fill(&kv);
    kv.settle(Family::Chunks, &[(vec![], vec![0xff])]).expect("settled");
    let table = only_table(&kv, Family::Chunks);
    let opened = kv.opened().expect("it is open");
    let chunks = opened.family(Family::Chunks);
    // As a removal leaves it that ended half-way.
    opened.db.delete_range_cf_opt(chunks, vec![1], vec![9], &without_wal()).expect("removed");
    opened.db.flush_cf(chunks).expect("flushed");
    drop(opened);
    kv.close();
    let path = dir.path().join("store").join(&table);
    let mut bytes = std::fs::read(&path).expect("a table");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let kv = open(dir.path());
    let mut cursor = kv.probe(Family::Chunks);
    let mut step = cursor.seek(&[0]);
    while step.is_ok() && cursor.entry().is_some() {
        step = cursor.advance();
    }
    assert!(step.is_err_and(|error| error.is_damage()), "the block is damaged");
}

/// A file that is gone is lost data, and no error that passes.
#[test]
fn a_table_that_is_gone_is_damage() {
    const TABLES: u8 = 40;
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    let table = |key| {
        let mut table = kv.table(Family::Chunks).expect("a table");
        table.put(&[key], b"value").expect("a row");
        table.finish().expect("a table")
    };
    kv.ingest(Family::Chunks, (0..TABLES).map(table).collect()).expect("taken in");
    kv.close();
    // RocksDB opens some tables now, and the others when they are read.
    let kv = open(dir.path());
    for name in listed(&kv).keys() {
        std::fs::remove_file(dir.path().join("store").join(name.trim_start_matches('/'))).expect("removed");
    }
    let mut failed = 0;
    for key in 0..TABLES {
        let mut cursor = kv.cursor(Family::Chunks);
        let errors = [kv.get(Family::Chunks, &[key]).err(), cursor.seek(&[key]).err()];
        for error in errors.into_iter().flatten() {
            assert!(error.is_damage() && error.to_string().contains("No such file"), "{error}");
            failed += 1;
        }
    }
    assert!(failed >= 2, "{failed} reads failed");
}

/// RocksDB passes on what the system says. The path puts these words into an error.
#[test]
fn the_words_of_the_system_tell_lost_data_from_errors_that_pass() {
    for (words, is_damage) in
        [("Input/output error", true), ("No such file or directory", true), ("Too many open files", false)]
    {
        let dir = TempDir::new().expect("a folder");
        let store = dir.path().join(words);
        std::fs::create_dir_all(&store).expect("a folder");
        let error = DB::open(&RocksOptions::default(), &store).expect_err("there is no database");
        let error = unreadable("read the store")(error);
        assert!(error.is_damage() == is_damage && error.to_string().contains(words), "{error}");
    }
}

/// A removed record is hidden by a later table, until the records are rewritten.
#[test]
fn rewritten_records_have_nothing_of_removed_ones() {
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    let put = |key: &[u8], value: Option<&[u8]>| (key.to_vec(), value.map(<[u8]>::to_vec));
    kv.commit(vec![put(b"a", Some(b"secret")), put(b"b", Some(b"kept"))]).expect("committed");
    kv.commit(vec![put(b"a", None)]).expect("committed");
    let entries = || -> (u64, u64) {
        let files = kv.opened().expect("it is open").db.live_files().expect("a list");
        let records = files.iter().filter(|file| file.column_family_name == "meta");
        records.fold((0, 0), |sum, file| (sum.0 + file.num_entries, sum.1 + file.num_deletions))
    };
    assert_eq!(entries(), (3, 1), "both puts and the removal");
    kv.rewrite_records().expect("rewritten");
    assert_eq!(entries(), (1, 0));
    assert_eq!(kv.get(Family::Meta, b"b").expect("readable").as_deref(), Some(&b"kept"[..]));
}

/// The file of the only table of a family.
fn only_table(kv: &RocksKv, family: Family) -> String {
    let files = kv.opened().expect("it is open").db.live_files().expect("a list");
    let mut names =
        files.into_iter().filter(|file| file.column_family_name == family.name()).map(|file| file.name);
    let name = names.next().expect("a table");
    assert_eq!(names.next(), None);
    name.trim_start_matches('/').to_owned()
}

fn ingest(kv: &RocksKv, family: Family, key: &[u8]) {
    let mut table = kv.table(family).expect("a table");
    table.put(key, b"value").expect("a row");
    kv.ingest(family, vec![table.finish().expect("a table")]).expect("taken in");
}

/// A store whose last change was to take in a table of `family`, and that table gone: what RocksDB leaves where the
/// fsync of its MANIFEST fails.
fn torn(dir: &Path, family: Family) {
    let kv = open(dir);
    kv.commit(vec![(b"root".to_vec(), Some(b"1".to_vec()))]).expect("committed");
    ingest(&kv, Family::Index, b"kept");
    let before = kv.opened().expect("it is open").db.live_files().expect("a list").len();
    match family {
        Family::Meta => kv.commit(vec![(b"root".to_vec(), Some(b"2".to_vec()))]).expect("committed"),
        family => ingest(&kv, family, b"gone"),
    }
    let mut files = kv.opened().expect("it is open").db.live_files().expect("a list");
    assert_eq!(files.len(), before + 1);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let newest = files.pop().expect("a table").name;
    drop(kv);
    std::fs::remove_file(dir.join("store").join(newest.trim_start_matches('/'))).expect("removed");
}

/// RocksDB itself rewrites no table, and names those that settling would rewrite.
#[test]
fn tables_that_overlap_stay_until_they_are_settled() {
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    assert_eq!(kv.unsettled(Family::Chunks).expect("a list"), []);
    fill(&kv);
    let before = prefixes(&kv);
    let unsettled = kv.unsettled(Family::Chunks).expect("a list");
    assert_eq!(unsettled.len(), usize::from(GENERATIONS));
    assert!(unsettled.iter().all(|(first, last)| first[0] == 0 && last[0] == PARTITIONS - 1));
    assert_eq!(kv.unsettled(Family::Index).expect("a list"), [], "each family has its own tables");
    let span = (unsettled[0].0.clone(), unsettled[unsettled.len() - 1].1.clone());
    kv.settle(Family::Chunks, &[span]).expect("settled");
    assert_eq!(kv.unsettled(Family::Chunks).expect("a list"), []);
    assert_eq!(prefixes(&kv), before);
}

#[test]
fn an_ingestion_that_was_taken_back_in_part_is_taken_off() {
    let dir = TempDir::new().expect("a folder");
    torn(dir.path(), Family::Chunks);
    let store = dir.path().join("store");
    let found = torn::find(&store).expect("readable").expect("the last record");
    assert_eq!(found.tables.len(), 1);
    let read_only = RocksKv::open(StoreSettings {
        dir: store.clone(),
        staging: dir.path().join("staging"),
        cache_bytes: 1 << 20,
        open_timeout: Duration::from_secs(60),
        read_only: true,
    });
    let Err(Error::Corrupt { offset, what, .. }) = read_only else { panic!("nothing may change") };
    assert!(offset == found.offset && what.contains(&found.tables[0]) && what.contains("repair"), "{what}");
    let kv = open(dir.path());
    assert_eq!(kv.get(Family::Index, b"kept").expect("readable"), Some(b"value".to_vec()));
    assert_eq!(kv.get(Family::Chunks, b"gone").expect("readable"), None);
    assert_eq!(kv.get(Family::Meta, b"root").expect("readable"), Some(b"1".to_vec()));
    ingest(&kv, Family::Chunks, b"again");
    drop(kv);
    assert_eq!(torn::find(&store).expect("readable"), None);
    let names = std::fs::read_dir(&store).expect("a list").map(|entry| entry.expect("an entry").file_name());
    let aside = names.filter(|name| name.to_string_lossy().ends_with(".bad")).count();
    assert_eq!(aside, 1, "what was taken off is kept");
}

#[test]
fn a_torn_record_about_the_catalogue_is_never_removed() {
    let dir = TempDir::new().expect("a folder");
    torn(dir.path(), Family::Meta);
    assert_eq!(torn::find(&dir.path().join("store")).expect("readable"), None);
    let opened = RocksKv::open(StoreSettings {
        dir: dir.path().join("store"),
        staging: dir.path().join("staging"),
        cache_bytes: 1 << 20,
        open_timeout: Duration::from_secs(60),
        read_only: false,
    });
    assert!(opened.is_err(), "the lost table had acknowledged samples behind it");
}

#[test]
fn a_table_lost_before_the_last_change_is_no_torn_ingestion() {
    let dir = TempDir::new().expect("a folder");
    let kv = open(dir.path());
    ingest(&kv, Family::Chunks, b"lost");
    let lost = only_table(&kv, Family::Chunks);
    ingest(&kv, Family::Index, b"kept");
    drop(kv);
    let store = dir.path().join("store");
    std::fs::remove_file(store.join(lost)).expect("removed");
    assert_eq!(torn::find(&store).expect("readable"), None);
}

#[test]
fn openings_leave_one_file_of_options_and_no_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = dir.path().join("store");
    std::fs::create_dir_all(&store).expect("a folder");
    // Of an earlier version.
    std::fs::write(store.join("LOG"), "x").expect("a file");
    std::fs::write(store.join("LOG.old.1700000000"), "x").expect("a file");
    let names = || {
        let files = std::fs::read_dir(&store).expect("a folder");
        files.map(|file| file.expect("a file").file_name().into_string().expect("a name")).collect::<Vec<_>>()
    };
    for _ in 0..4 {
        let kv = open(dir.path());
        kv.commit(vec![(b"k".to_vec(), Some(b"v".to_vec()))]).expect("committed");
        kv.close();
        let names = names();
        let of = |start: &str| names.iter().filter(|name| name.starts_with(start)).count();
        assert_eq!((of("OPTIONS-"), of("LOG")), (1, 0), "{names:?}");
    }
}
