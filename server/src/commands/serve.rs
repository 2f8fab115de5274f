//! `barograph serve`: the process around the server: signals, the runtime, and the order of startup and shutdown.

use std::sync::Arc;

use anyhow::Context;
use barograph::Database;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api::admin;
use crate::app::{self, Sockets};
use crate::commands::directory;
use crate::config::{Config, Sources};
use crate::open_files;
use crate::state::State;
use crate::telemetry::log;

/// Serves until a signal stops it. `prepare` is called with the settings before they are used.
///
/// # Errors
/// Invalid settings, an address in use, or a database that cannot be opened or closed.
pub fn run(mut sources: Sources, prepare: fn(&Config)) -> anyhow::Result<()> {
    sources.read_environment();
    let config = sources.build()?;
    log::init(&config.log).map_err(anyhow::Error::msg)?;
    if config.in_memory {
        tracing::warn!(
            "nothing is stored: the database is in memory, and all data is lost when the server ends"
        );
    }
    prepare(&config);
    open_files::raise_limit();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("barograph-io").build()?;
    let result = runtime.block_on(serve(sources, config));
    // A query that ignores its deadline must not delay the exit: everything is on disk.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

async fn serve(sources: Sources, config: Config) -> anyhow::Result<()> {
    let sockets = Sockets::bind(&config).await?;
    let address = sockets.http.local_addr()?;
    let (dir, in_memory) = (config.data_dir.clone(), config.in_memory);
    let place = if in_memory { "memory".to_owned() } else { dir.display().to_string() };
    let options = app::options(&config);
    let state = Arc::new(app::state(config)?);
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(app::run(state.clone(), sockets, stopping));
    tracing::info!("listening on http://{address}, opening {place}");

    let opening = tokio::task::spawn_blocking(move || {
        if in_memory {
            return Ok(Database::in_memory(options)?);
        }
        let database = directory::open(&dir, options)?;
        admin::remove_unfinished_snapshots(&dir);
        anyhow::Ok(database)
    });
    let database = opening.await?.with_context(|| format!("cannot open {place}"))?;
    state.set_database(database.clone());
    report_opening(&database);
    tracing::info!("ready: http://{address}, data in {place}");

    wait_for_stop(&state, &sources).await?;
    stop.send_replace(true);
    serving.await?;
    tokio::task::spawn_blocking(move || database.close())
        .await?
        .with_context(|| format!("{place} was not closed cleanly"))?;
    tracing::info!("stopped");
    Ok(())
}

/// Reloads on SIGHUP; returns on SIGTERM and SIGINT.
async fn wait_for_stop(state: &Arc<State>, sources: &Sources) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => app::reload(state, sources),
        }
    }
    tracing::info!("stopping: finishing running requests, then flushing");
    Ok(())
}

/// Logs the result of opening, as an error if acknowledged data was damaged.
fn report_opening(database: &Database) {
    let report = database.open_report();
    tracing::info!(
        samples_replayed = report.samples_replayed,
        leftovers_removed = report.leftovers_removed,
        took_ms = report.open_time.as_millis() as u64,
        "database opened"
    );
    let Some(wal) = &report.wal else { return };
    if let Some(torn) = &wal.torn_tail {
        let (file, bytes) = (torn.file.display(), torn.bytes_dropped);
        tracing::info!(%file, offset = torn.offset, bytes, "the log ended in an unfinished write, which was dropped");
    }
    for damage in &wal.damage {
        let kept = damage.quarantined_to.as_deref().map(|path| path.display().to_string());
        tracing::error!(
            file = %damage.file.display(),
            offset = damage.offset,
            what = damage.what,
            kept,
            "the log was damaged"
        );
    }
    if report.samples_unknown > 0 {
        tracing::error!(
            samples = report.samples_unknown,
            "samples of the log were dropped: a damaged part of it took with it which series they are of"
        );
    }
}
