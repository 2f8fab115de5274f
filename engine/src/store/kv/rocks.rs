//! The store over RocksDB. This is the only file that names it.
//!
//! RocksDB is not trusted blindly. Its own WAL is off (with one flipped bit it silently drops acknowledged records).
//! Chunks, events, times and the catalogue carry checksums of our own. Every read of a block verifies RocksDB's
//! checksum, the only one of series records and postings. Its MANIFEST is checked before it is opened, and the opening
//! is watched, because a flipped bit there can make it loop for ever.

mod cursor;
mod files;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use cursor::RocksCursor;
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::properties;
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor,
    CompactOptions, DB, DBCompressionType, FlushOptions, IngestExternalFileOptions, LiveFile,
    Options as RocksOptions, ReadOptions, SstFileWriter, WriteBatch, WriteBufferManager, WriteOptions,
};

use tables::{Placed, Tables};

use crate::store::kv::{
    Bulk, Change, Cursor, Family, KeyRange, Kv, KvStats, Removal, StagedFile, StoreSettings, Table,
    TableWriter,
};
use crate::store::manifest::torn;
use crate::{Error, Result};

/// An open RocksDB.
pub struct RocksKv {
    /// `None` once closed. A change or read of one key holds the lock, a cursor holds the database itself.
    open: RwLock<Option<Arc<Open>>>,
    table_options: [RocksOptions; Family::ALL.len()],
    settings: StoreSettings,
    next_table: AtomicU64,
    /// Why the library accepts no more changes.
    failure: OnceLock<String>,
}

/// Freed by closing.
struct Open {
    db: DB,
    cache: Cache,
}

/// A family is settled when level 0 has this many tables. A read checks each of them.
const OVERLAPPING_MAX: usize = 4;

/// Block size. In larger blocks, zstd finds the timestamps of one scrape again in the chunks of neighbouring series.
const BLOCK_BYTES: usize = 32 << 10;

/// Bytes that a scan reads ahead.
const SCAN_BYTES: usize = 64 << 10;

fn is_disk_full(message: &str) -> bool {
    message.contains("No space left on device")
}

fn failed(action: &'static str) -> impl Fn(rocksdb::Error) -> Error {
    move |e| {
        let message = e.into_string();
        if is_disk_full(&message) {
            return Error::DiskFull { path: PathBuf::from("store") };
        }
        Error::Store { action, message }
    }
}

/// The error of a failed read. It is damage if stored bytes differ from what was written or cannot be read at all.
fn unreadable(action: &'static str) -> impl Fn(rocksdb::Error) -> Error {
    move |e| {
        let kind = e.kind();
        let message = e.into_string();
        let is_lost =
            ["Input/output error", "No such file or directory"].iter().any(|what| message.contains(what));
        if kind != rocksdb::ErrorKind::Corruption && !is_lost {
            return Error::Store { action, message: with_cause(message) };
        }
        let (file, offset) = place_in(&message).unwrap_or_else(|| ("store".to_owned(), 0));
        Error::Corrupt { file, offset, what: format!("{action}: {message}") }
    }
}

/// The message, preceded by the cause if the message of a failed opening names only a consequence.
fn with_cause(message: String) -> String {
    let is_consequence = ["Failed to create RocksDB directory", "Direct I/O is not supported"]
        .iter()
        .any(|consequence| message.contains(consequence));
    match is_consequence {
        true => format!("its directory or the file CURRENT in it cannot be read ({message})"),
        false => message,
    }
}

/// The place that RocksDB names, as in `block checksum mismatch: … in /data/store/000012.sst offset 4096 size 1033`.
fn place_in(message: &str) -> Option<(String, u64)> {
    let (before, after) = message.rsplit_once(" offset ")?;
    let (_, file) = before.rsplit_once(" in ")?;
    Some((file.to_owned(), after.split(' ').next()?.parse().ok()?))
}

fn database_options() -> RocksOptions {
    let mut options = RocksOptions::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(2);
    // Files are few and large; -1 keeps them open. The soft limit of most systems is 1024.
    options.set_max_open_files(512);
    // The default starts 16 threads for each family, which takes longer than to open a few tables.
    options.set_max_file_opening_threads(1);
    // Each change is a few hundred bytes.
    options.set_manifest_preallocation_size(16 << 10);
    // They wake a thread and write to a file that does not exist.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // Used for the MANIFEST, and for the log that RocksDB creates and we do not use.
    options.set_writable_file_max_buffer_size(16 << 10);
    // The table of open files has 64 parts by default, which take more memory than a few files.
    options.set_table_cache_num_shard_bits(2);
    options
}

fn family_options(family: Family, cache: &Cache) -> RocksOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_size(BLOCK_BYTES);
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    if family.has_filters() {
        table.set_bloom_filter(10.0, false);
    }
    let mut options = database_options();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Zstd);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    // A flush follows each commit, so a memtable holds little. After a full disk, RocksDB waits until this much is
    // free; with the smallest size that it allows, the small reserve of a small database is enough.
    options.set_write_buffer_size(64 << 10);
    options.set_arena_block_size(4 << 10);
    // The buffer of a table that is being written. The default of 1 MiB would only save some calls.
    options.set_writable_file_max_buffer_size(256 << 10);
    // Each commit writes a table with the changes of the catalogue; the cost of merging it into tables of all records
    // would depend on the size of the catalogue.
    options.set_target_file_size_base(if family.is_bulk() { 64 << 20 } else { 1 << 20 });
    // RocksDB accepts no change any more after it has met a damaged block while it rewrites a table. So large tables
    // are rewritten only when they have been read: by `settle` and `remove_ranges`.
    options.set_disable_auto_compactions(family.is_bulk());
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

impl RocksKv {
    /// Opens or creates the store.
    ///
    /// # Errors
    /// RocksDB refused, the MANIFEST is damaged, or opening took longer than
    /// `open_timeout` (one of its threads then keeps spinning: exit the process).
    pub fn open(settings: StoreSettings) -> Result<Self> {
        let manifest = crate::store::manifest::check(&settings.dir)?;
        if let Some(tail) = manifest.tail {
            tracing::warn!(
                dir = %settings.dir.display(),
                offset = tail.offset,
                bytes = tail.bytes,
                what = tail.what,
                "the MANIFEST ends in an unfinished record, which is dropped"
            );
        }
        let (sender, receiver) = mpsc::channel();
        let timeout = settings.open_timeout;
        let dir = settings.dir.clone();
        std::thread::Builder::new()
            .name("store-open".to_owned())
            .spawn(move || {
                // The receiver may have given up, in which case the result is dropped.
                let _ = sender.send(Self::open_repaired(&settings));
            })
            .map_err(|e| Error::io("start a thread to open", dir.clone(), e))?;
        receiver.recv_timeout(timeout).unwrap_or_else(|_| {
            Err(Error::Store {
                action: "open the store",
                message: format!(
                    "{} did not open within {timeout:?}; its MANIFEST may be damaged: restore a snapshot",
                    dir.display()
                ),
            })
        })
    }

    /// Opens it, if necessary after removing an ingestion that RocksDB undid only in part.
    fn open_repaired(settings: &StoreSettings) -> Result<Self> {
        let refused = match Self::open_unwatched(settings.clone()) {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        let Some(torn) = torn::find(&settings.dir).ok().flatten() else { return Err(refused) };
        if settings.read_only {
            return Err(Error::Corrupt {
                file: torn.manifest.display().to_string(),
                offset: torn.offset,
                what: format!(
                    "{}; opening for writing, or `barograph repair`, removes the record",
                    torn.describe()
                ),
            });
        }
        let aside = torn.take_off()?;
        fail_point!("repair.done");
        tracing::warn!(
            manifest = %torn.manifest.display(), offset = torn.offset, tables = torn.tables.join(", "),
            aside = %aside.display(),
            "the MANIFEST's last record adds tables that do not exist, because an fsync failed: it is removed; the \
             log has their samples"
        );
        Self::open_unwatched(settings.clone())
    }

    fn open_unwatched(settings: StoreSettings) -> Result<Self> {
        // The limit is not strict: a block that the cache refused would fail the read that needs it.
        let cache = Cache::new_lru_cache(settings.cache_bytes as usize);
        let mut options = database_options();
        options.set_info_logger(files::logger(&settings.dir));
        // Memtables hold the catalogue's changes until the flush that follows each of them. They count as a part of the
        // cache.
        let buffer_bytes = (settings.cache_bytes as usize / 4).clamp(1 << 20, 16 << 20);
        let buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(buffer_bytes, false, cache.clone());
        options.set_write_buffer_manager(&buffers);
        let families = |names: &[Family]| {
            names
                .iter()
                .map(|f| ColumnFamilyDescriptor::new(f.name(), family_options(*f, &cache)))
                .collect::<Vec<_>>()
        };
        let db = if settings.read_only {
            DB::open_cf_descriptors_read_only(&options, &settings.dir, families(&Family::ALL), false)
        } else {
            files::remove_unused(&settings.dir);
            DB::open_cf_descriptors(&options, &settings.dir, families(&Family::ALL))
        };
        let db = db.map_err(unreadable("open the store"))?;
        fail_point!("open.store");
        if !settings.read_only {
            clear_staging(&settings.staging)?;
        }
        let table_options = Family::ALL.map(|family| family_options(family, &cache));
        let open = RwLock::new(Some(Arc::new(Open { db, cache })));
        let failure = OnceLock::new();
        Ok(RocksKv { open, table_options, settings, next_table: AtomicU64::new(0), failure })
    }

    /// The database, unless it is closed.
    fn opened(&self) -> Result<MappedRwLockReadGuard<'_, Arc<Open>>> {
        RwLockReadGuard::try_map(self.open.read(), Option::as_ref).map_err(|_| Error::Closed)
    }

    fn walk(&self, family: Family, options: ReadOptions) -> RocksCursor {
        match self.opened() {
            Ok(open) => RocksCursor::new(&open, family, options),
            Err(_) => RocksCursor::closed(),
        }
    }

    /// The error of a refused change. After a failed fsync of its MANIFEST, RocksDB refuses all further changes until
    /// it is reopened; from a full disk it recovers without that.
    fn refused(&self, open: &Open, action: &'static str, error: rocksdb::Error) -> Error {
        let error = failed(action)(error);
        let Err(stopped) = open.db.write_opt(WriteBatch::default(), &without_wal()) else { return error };
        if matches!(error, Error::DiskFull { .. }) || is_disk_full(stopped.as_ref()) {
            return Error::DiskFull { path: self.settings.dir.clone() };
        }
        let reason = self.failure.get_or_init(|| format!("{}: {error}", self.settings.dir.display()));
        Error::Poisoned(reason.clone())
    }
}

impl Open {
    /// The tables of a family.
    fn tables(&self, family: Family) -> Result<Tables> {
        let files = self.db.live_files().map_err(failed("list the tables"))?;
        let of_family = files.into_iter().filter(|file| file.column_family_name == family.name());
        let table = |file: LiveFile| {
            Some(Placed { is_upper: file.level == 0, keys: (file.start_key?, file.end_key?) })
        };
        Ok(Tables::new(of_family.filter_map(table).collect()))
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("all families are opened together")
    }
}

/// Tables that a crash left behind were never taken in.
fn clear_staging(staging: &Path) -> Result<()> {
    if staging.exists() {
        std::fs::remove_dir_all(staging).map_err(|e| Error::io("clear", staging, e))?;
        fail_point!("open.unstaged");
    }
    std::fs::create_dir_all(staging).map_err(|e| Error::io("create", staging, e))
}

fn without_wal() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

impl Bulk for RocksKv {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let open = self.opened()?;
        open.db.get_cf(open.family(family), key).map_err(unreadable("read the store"))
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        Box::new(self.walk(family, ReadOptions::default()))
    }

    fn scan<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        // On its own, each of many cursors would read 256 KiB ahead.
        options.set_readahead_size(SCAN_BYTES);
        Box::new(self.walk(family, options))
    }

    fn probe<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(SCAN_BYTES);
        // Rewriting a table reads removed keys, too.
        #[expect(deprecated, reason = "it is deprecated because it makes nothing faster")]
        options.set_ignore_range_deletions(true);
        Box::new(self.walk(family, options))
    }

    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        let number = self.next_table.fetch_add(1, Ordering::Relaxed);
        let path = self.settings.staging.join(format!("{}-{number}.sst", family.name()));
        let writer = SstFileWriter::create(&self.table_options[family as usize]);
        writer.open(&path).map_err(failed("create a table"))?;
        fail_point!("table.created");
        Ok(Box::new(RocksTable { writer, file: StagedFile::new(path), rows: 0 }))
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        let mut paths = Vec::with_capacity(tables.len());
        for table in &tables {
            let Table::File(file) = table else {
                return Err(Error::Store {
                    action: "ingest",
                    message: "a memory table in a file store".to_owned(),
                });
            };
            paths.push(file.path().to_owned());
        }
        if paths.is_empty() {
            return Ok(());
        }
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let open = self.opened()?;
        fail_point!("store.ingest");
        let taken = open.db.ingest_external_file_cf_opts(open.family(family), &options, paths);
        taken.map_err(|e| self.refused(&open, "take tables into the store", e))?;
        fail_point!("store.ingested");
        Ok(())
    }
}

impl Kv for RocksKv {
    fn commit(&self, changes: Vec<Change>) -> Result<()> {
        let open = self.opened()?;
        let meta = open.family(Family::Meta);
        let mut batch = WriteBatch::default();
        for (key, value) in &changes {
            match value {
                Some(value) => batch.put_cf(meta, key, value),
                None => batch.delete_cf(meta, key),
            }
        }
        let written = open.db.write_opt(batch, &without_wal());
        written.map_err(|e| self.refused(&open, "change the catalogue", e))?;
        fail_point!("store.commit");
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        open.db.flush_cf_opt(meta, &flush).map_err(|e| self.refused(&open, "flush the catalogue", e))?;
        fail_point!("store.committed");
        Ok(())
    }

    fn remove_ranges(&self, family: Family, mut ranges: Vec<KeyRange>, removal: Removal) -> Result<()> {
        let open = self.opened()?;
        let cf = open.family(family);
        ranges.sort_unstable();
        let tables = open.tables(family)?;
        for (start, end) in ranges.iter().filter(|range| tables.any_inside(range)) {
            let removed = open.db.delete_file_in_range_cf(cf, start, end);
            removed.map_err(|e| self.refused(&open, "remove tables", e))?;
            fail_point!("remove.tables");
        }
        if removal == Removal::WholeTables {
            return Ok(());
        }
        // A table that also holds other keys stays; range tombstones hide the rest of it.
        let mut cursor = RocksCursor::new(&open, family, ReadOptions::default());
        let mut left = Vec::new();
        for range in ranges {
            cursor.seek(&range.0)?;
            if cursor.entry().is_some_and(|(key, _)| key < &range.1[..]) {
                left.push(range);
            }
        }
        drop(cursor);
        // Ranges with keys in the same table are removed together, so the table is rewritten once.
        for group in left.chunk_by(|a, b| tables.any_across(a, b)) {
            for (start, end) in group {
                let removed = open.db.delete_range_cf_opt(cf, start, end, &without_wal());
                removed.map_err(|e| self.refused(&open, "remove a range of keys", e))?;
            }
            fail_point!("remove.range");
            // Nothing else would ever make it free the space: no other keys come here.
            let (first, last) = (group.first().map(|r| &r.0[..]), group.last().map(|r| &r.1[..]));
            open.db.compact_range_cf(cf, first, last);
            fail_point!("remove.rewritten");
        }
        Ok(())
    }

    fn rewritten(&self, family: Family, ranges: &[KeyRange]) -> Result<Vec<KeyRange>> {
        Ok(self.opened()?.tables(family)?.rewritten_for(ranges))
    }

    fn unsettled(&self, family: Family) -> Result<Vec<KeyRange>> {
        Ok(self.opened()?.tables(family)?.unsettled(OVERLAPPING_MAX))
    }

    fn settle(&self, family: Family, spans: &[KeyRange]) -> Result<()> {
        let open = self.opened()?;
        for (first, last) in spans {
            open.db.compact_range_cf(open.family(family), Some(first), Some(last));
        }
        Ok(())
    }

    fn rewrite_records(&self) -> Result<()> {
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        let open = self.opened()?;
        open.db.compact_range_cf_opt(open.family(Family::Meta), None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        let open = self.opened()?;
        let checkpoint = Checkpoint::new(&open.db).map_err(failed("copy the store"))?;
        checkpoint.create_checkpoint(dir).map_err(failed("copy the store"))
    }

    fn close(&self) {
        let open = self.open.write().take();
        drop(open);
    }

    fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn stats(&self) -> KvStats {
        let Ok(open) = self.opened() else { return KvStats::default() };
        let mut stats = KvStats {
            cache_bytes: open.cache.get_usage() as u64,
            cache_pinned_bytes: open.cache.get_pinned_usage() as u64,
            ..KvStats::default()
        };
        for family in Family::ALL {
            let cf = open.family(family);
            let figure = |name: &properties::PropName| {
                open.db.property_int_value_cf(cf, name).ok().flatten().unwrap_or(0)
            };
            stats.table_bytes += figure(properties::TOTAL_SST_FILES_SIZE);
            stats.other_memory_bytes +=
                figure(properties::ESTIMATE_TABLE_READERS_MEM) + figure(properties::CUR_SIZE_ALL_MEM_TABLES);
        }
        stats.tables = open.db.live_files().map(|files| files.len() as u64).unwrap_or(0);
        stats
    }
}

/// A table being written to a file of its own.
struct RocksTable<'a> {
    writer: SstFileWriter<'a>,
    file: StagedFile,
    rows: u64,
}

impl TableWriter for RocksTable<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.rows += 1;
        self.writer.put(key, value).map_err(failed("write a table"))
    }

    fn size_bytes(&self) -> u64 {
        // The library keeps the block under construction out of this figure.
        self.writer.file_size()
    }

    fn finish(self: Box<Self>) -> Result<Table> {
        let mut table = *self;
        if table.rows == 0 {
            return Err(Error::Store { action: "finish a table", message: "it has no rows".to_owned() });
        }
        table.writer.finish().map_err(failed("finish a table"))?;
        fail_point!("table.finished");
        Ok(Table::File(table.file))
    }
}

#[cfg(test)]
mod tests;
