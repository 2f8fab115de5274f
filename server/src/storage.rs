//! The server's way to the database: options from settings, blocking calls off the
//! runtime's threads, the database's figures as metrics.
//!
//! Every call of `barograph::Database` blocks, a write until its fsync. So none is made on
//! a thread that drives sockets: [`blocking`] moves it to tokio's pool for that.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::app::App;
use crate::config::Config;
use crate::error::ApiError;
use crate::memory;
use crate::telemetry::database;
use crate::telemetry::exposition::Metric;
use barograph::{
    Database, Durability, LineLimits, LineOptions, Naming, Options, Precision, RepairReport, VerifyReport,
};

/// Runs a blocking call elsewhere and waits for it.
///
/// # Errors
/// 500 when the call panicked, which is a defect of ours.
pub async fn blocking<T, F>(call: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(call).await.map_err(|e| {
        tracing::error!("a blocking call failed: {e}");
        ApiError::internal("an internal call failed; the log has details")
    })
}

/// Now, in nanoseconds since 1970.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Options of the engine from the settings.
pub fn options(config: &Config) -> Options {
    Options {
        durability: match config.durability {
            "interval" => Durability::Interval(config.sync_interval),
            "off" => Durability::Off,
            _ => Durability::Always,
        },
        memory_bytes: memory::engine_bytes(config),
        retention: config.retention,
        partition_width: config.partition_width,
        flush_interval: config.flush_interval,
        wal_bytes: config.wal_size,
        new_series_per_second: config.max_new_series,
        active_series: config.max_series,
        max_series_per_metric: config.max_series_per_metric,
        max_values_per_label: config.max_values_per_label,
        tenant_label: config.tenant_label.clone(),
        max_series_per_tenant: config.max_series_per_tenant,
        max_new_series_per_tenant: config.max_new_series_per_tenant,
        labels_per_series: config.max_labels,
        label_bytes_per_series: config.max_label_bytes,
        label_bytes_per_line: config.max_line_label_bytes,
        partitions_per_request: config.max_partitions_per_request,
        write_wait: config.write_wait,
        scrub_interval: config.scrub_interval,
        recover_damaged_wal: config.on_damage.recover_wal,
        refuse_damaged_store: config.on_damage.refuse_store,
        ..Options::default()
    }
}

/// Opens the directory of the settings.
///
/// # Errors
/// As `barograph::Database::open_with`.
#[cfg(feature = "rocksdb")]
pub fn open(dir: &Path, options: Options) -> anyhow::Result<Database> {
    Ok(Database::open_with(dir, options)?)
}

/// Opens a directory for reading.
///
/// # Errors
/// As `barograph::Database::open_read_only`; a damaged log or store is refused, unless damage is allowed.
#[cfg(feature = "rocksdb")]
pub fn open_read_only(dir: &Path, allow_damage: bool) -> barograph_engine::Result<Database> {
    let (recover_damaged_wal, refuse_damaged_store) = (allow_damage, !allow_damage);
    Database::open_read_only(dir, Options { recover_damaged_wal, refuse_damaged_store, ..Options::default() })
}

/// Reads everything in a directory and checks every sum.
///
/// # Errors
/// As `barograph::Database::verify`.
#[cfg(feature = "rocksdb")]
pub fn verify(dir: &Path) -> anyhow::Result<VerifyReport> {
    Ok(Database::verify(dir)?)
}

/// Repairs what keeps a directory's store from opening, or tries.
///
/// # Errors
/// As `barograph::Database::repair`.
#[cfg(feature = "rocksdb")]
pub fn repair(dir: &Path, apply: bool) -> barograph_engine::Result<RepairReport> {
    Database::repair(dir, apply)
}

#[cfg(not(feature = "rocksdb"))]
mod without_rocksdb {
    //! A build without RocksDB knows databases in memory alone.
    use super::{Database, Options, Path, RepairReport, VerifyReport};
    use barograph_engine::{Error, Result};

    fn refuse<T>() -> Result<T> {
        Err(Error::Invalid("this program was built without RocksDB and opens no directory".to_owned()))
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn open(_: &Path, _: Options) -> anyhow::Result<Database> {
        Ok(refuse()?)
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn open_read_only(_: &Path, _: bool) -> Result<Database> {
        refuse()
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn verify(_: &Path) -> anyhow::Result<VerifyReport> {
        Ok(refuse()?)
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn repair(_: &Path, _: bool) -> Result<RepairReport> {
        refuse()
    }
}

#[cfg(not(feature = "rocksdb"))]
pub use without_rocksdb::{open, open_read_only, repair, verify};

/// How lines are read: the server's limits, one request's precision and `db`.
pub fn line_options(config: &Config, precision: Precision, db: Option<&str>) -> LineOptions {
    let extra_labels = db.map(|db| vec![("db".to_owned(), db.to_owned())]).unwrap_or_default();
    let limits = LineLimits {
        line_bytes: config.max_line,
        tags: config.max_labels,
        name_bytes: config.max_name,
        value_bytes: config.max_value,
        fields: config.max_fields,
        event_bytes: config.max_string,
    };
    let naming = config.naming.parse::<Naming>().unwrap_or_default();
    LineOptions { precision, extra_labels, naming, limits, ..LineOptions::default() }
}

/// The server's metrics and the database's.
pub fn all_metrics(app: &App, database: &Database) -> Vec<Metric> {
    let mut metrics = app.telemetry.metrics();
    metrics.push(database::query_memory(app.memory.queries.used()));
    metrics.extend(crate::telemetry::memory::metrics(&app.memory, database));
    metrics.extend(app.turns.metrics());
    metrics.extend(database::metrics(&database.stats()));
    metrics.extend(database::tenants(&database.tenants(database::TENANTS_MAX)));
    metrics
}
