//! Composes the server: builds the state, starts it, reloads its settings and stops it.
//!
//! Start: sockets are bound first, so that a health check sees that the process is starting. Then the database is
//! opened; until that is done, every request except `/-/healthy` gets 503. Stop: the server stops listening, lets
//! running requests finish within `shutdown_timeout`, and then closes the database, which flushes.

mod options;
mod sockets;

use std::sync::Arc;

use barograph::{Database, Kept};
use tokio::sync::watch;

use crate::api::routes;
use crate::config::{Config, Sources};
use crate::state::{State, load_tokens};
use crate::telemetry::log;
use crate::{listen, monitor};

pub use options::options;
pub use sockets::Sockets;

/// The state of a server with the routes of the API, before a database is opened.
///
/// # Errors
/// The token file is unusable.
pub fn state(config: Config) -> anyhow::Result<State> {
    State::new(config, routes::paths())
}

/// Reads the settings again and applies those that can change while the server runs.
pub fn reload(state: &State, sources: &Sources) {
    let fresh = match sources.build() {
        Ok(fresh) => fresh,
        Err(e) => return tracing::error!("reload refused, the old settings stay: {e}"),
    };
    let (merged, waiting) = state.config.load().reload(&fresh);
    let tokens = match load_tokens(&merged) {
        // The listeners were bound on the assumption that tokens are required. Without tokens, every client could
        // connect.
        Ok(None) if state.tokens().is_some() => {
            return tracing::error!(
                "reload refused, the old settings stay: dropping token_file needs a restart"
            );
        }
        Ok(tokens) => tokens,
        Err(e) => return tracing::error!("reload refused, the old settings stay: {e:#}"),
    };
    if let Err(e) = log::set_filter(&merged.log) {
        tracing::error!("{e}; the old filter stays");
    }
    for key in waiting {
        tracing::warn!("setting {key} has changed but takes effect only after a restart");
    }
    let _kept = state.kept.lock();
    if let Some(database) = state.opened() {
        if let Err(e) = database.set_kept(kept(&merged, database)) {
            return tracing::error!("reload refused, the old settings stay: {e}");
        }
        if let Err(e) = database.set_compaction_rate(merged.compaction_rate) {
            return tracing::error!("reload refused, the old settings stay: {e}");
        }
        database.set_new_series_per_second(merged.max_new_series);
        database.set_cardinality_limits(merged.max_series_per_metric, merged.max_values_per_label);
        database.set_tenant_limits(merged.max_series_per_tenant, merged.max_new_series_per_tenant);
    }
    state.replace(merged, tokens);
    tracing::info!("settings reloaded");
}

/// What is kept: what the settings say if one of them is set, otherwise what a client has stored in the database.
fn kept(config: &Config, database: &Database) -> Kept {
    let set = Kept::of(&options(config));
    let stored = database.stored_kept().filter(|_| config.kept_places().next().is_none());
    stored.map_or(set.clone(), |mut stored| {
        stored.disk_bytes = set.disk_bytes;
        stored
    })
}

/// Serves until `stop` is true, then stops. The caller closes the database.
pub async fn run(state: Arc<State>, sockets: Sockets, stop: watch::Receiver<bool>) {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(listen::http::serve(state.clone(), sockets.http, stop.clone()));
    if let Some(listener) = sockets.tcp {
        tasks.spawn(listen::tcp::serve(state.clone(), listener, stop.clone()));
    }
    if let Some(socket) = sockets.udp {
        tasks.spawn(listen::udp::serve(state.clone(), socket, stop.clone()));
    }
    if let Some(interval) = state.config.load().self_interval {
        tasks.spawn(monitor::run(state.clone(), interval, stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
    state.stop();
}
