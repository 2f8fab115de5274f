//! The state shared by all requests: settings, database, memory, gates, counters. `app/` builds it and serves it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::admission::Gates;
use crate::config::Config;
use crate::error::ApiError;
use crate::http::auth::Tokens;
use crate::http::body::Bodies;
use crate::memory::Memory;
use crate::memory::connections::Connections;
use crate::open_files;
use crate::telemetry::exposition::Metric;
use crate::telemetry::{self, Telemetry, compaction, database};
use barograph::internals::pattern;
use barograph::{Database, Health};

/// The shared state.
pub struct State {
    /// The current settings. A reload replaces them as a whole.
    pub config: ArcSwap<Config>,
    /// The server's counters.
    pub telemetry: Telemetry,
    /// The gates that admit requests.
    pub gates: Gates,
    /// The memory of the process, divided into shares.
    pub memory: Memory,
    /// Memory for request bodies.
    pub bodies: Bodies,
    /// Maximum number of connections of each listener.
    pub connections_max: usize,
    /// Memory of connections and of requests that arrive on them.
    pub connections: Arc<Connections>,
    /// Held while a snapshot is made, even after its client has disconnected.
    pub snapshot: Arc<tokio::sync::Mutex<()>>,
    /// Held while a reload or a client changes what is kept.
    pub kept: Mutex<()>,
    tokens: ArcSwap<Option<Tokens>>,
    database: OnceLock<Database>,
    stopping: AtomicBool,
}

impl State {
    /// The state of a server without a database. `endpoints` are the endpoints whose requests are counted.
    ///
    /// # Errors
    /// The token file is unusable.
    pub fn new(config: Config, endpoints: impl Iterator<Item = &'static str>) -> anyhow::Result<Self> {
        let tokens = load_tokens(&config)?;
        let memory = Memory::new(&config);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        pattern::patterns().count_in(memory.patterns.clone());
        Ok(State {
            telemetry: Telemetry::new(endpoints),
            gates: Gates::new(cores, config.query_concurrency, config.query_queue),
            connections_max: open_files::connections_max(&config, open_files::limit()),
            bodies: Bodies::new(memory.bodies.clone(), memory.forms.clone()),
            connections: Connections::new(memory.connections.clone()),
            memory,
            snapshot: Arc::default(),
            kept: Mutex::default(),
            tokens: ArcSwap::from_pointee(tokens),
            database: OnceLock::new(),
            stopping: AtomicBool::new(false),
            config: ArcSwap::from_pointee(config),
        })
    }

    /// Sets the opened database. From then on, requests are answered.
    pub fn set_database(&self, database: Database) {
        let _ = self.database.set(database);
    }

    /// The database.
    ///
    /// # Errors
    /// 503 while it is being opened and when the server stops.
    pub fn database(&self) -> Result<&Database, ApiError> {
        match self.database.get() {
            Some(database) if !self.stopping.load(Ordering::Relaxed) => Ok(database),
            Some(_) => Err(ApiError::busy("the server is stopping", 5)),
            None => Err(ApiError::busy("the database is being opened; retry later", 1)),
        }
    }

    /// The database, even while the server stops; `None` while it is being opened.
    pub fn opened(&self) -> Option<&Database> {
        self.database.get()
    }

    /// The health of the database; `None` while it is being opened.
    pub fn health(&self) -> Option<Health> {
        self.database.get().map(Database::health)
    }

    /// From now on, requests no longer get the database.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The accepted tokens; `None` means that no token is required.
    pub fn tokens(&self) -> arc_swap::Guard<Arc<Option<Tokens>>> {
        self.tokens.load()
    }

    /// Replaces settings and tokens.
    pub fn replace(&self, config: Config, tokens: Option<Tokens>) {
        self.memory.cap(&config);
        self.tokens.store(Arc::new(tokens));
        self.config.store(Arc::new(config));
    }

    /// The metrics of the server and of `database`.
    pub fn metrics(&self, database: &Database) -> Vec<Metric> {
        let mut metrics = self.telemetry.metrics();
        metrics.push(database::query_memory(self.memory.queries.used()));
        metrics.extend(telemetry::memory::metrics(&self.memory, database));
        metrics.extend(self.gates.turns.metrics());
        metrics.extend(database::metrics(&database.stats()));
        metrics.extend(compaction::metrics(&database.tiers()));
        metrics.extend(database::tenants(&database.tenants(database::TENANTS_MAX)));
        metrics
    }
}

/// Loads the tokens of the settings.
///
/// # Errors
/// The token file is unusable.
pub fn load_tokens(config: &Config) -> anyhow::Result<Option<Tokens>> {
    match &config.token_file {
        Some(path) => Ok(Some(Tokens::load(path, &config.tenant_label)?)),
        None => Ok(None),
    }
}
