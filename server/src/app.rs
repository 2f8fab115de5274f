//! The composition of the server: settings, database, gates, counters; how it comes up
//! and in which order it goes down.
//!
//! Up: sockets are bound first, so that a health check sees a process that is starting;
//! then the database is opened, and until that is done everything but `/-/healthy`
//! answers 503. Down: stop listening, let running requests finish within
//! `shutdown_timeout`, then close the database, which flushes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use crate::admission::{ActiveWork, LargeWrites, Turns};
use crate::config::{Config, Sources};
use crate::error::ApiError;
use crate::http::auth::Tokens;
use crate::http::body::Bodies;
use crate::listen;
use crate::listen::udp::DatagramSocket;
use crate::memory::Memory;
use crate::memory::connections::Connections;
use crate::open_files;
use crate::telemetry::{Telemetry, log};
use barograph::model::pattern;
use barograph::{Database, Health};

/// What every request can see.
pub struct App {
    /// The settings now; a reload replaces them as a whole.
    pub config: ArcSwap<Config>,
    /// The server's counters.
    pub telemetry: Telemetry,
    /// Admits what reads, and what changes the whole.
    pub turns: Arc<Turns>,
    /// Admits large writes.
    pub large_writes: LargeWrites,
    /// What waits or runs of the reads.
    pub active: Arc<ActiveWork>,
    /// The memory of the process, divided.
    pub memory: Memory,
    /// Memory for request bodies.
    pub bodies: Bodies,
    /// The most connections of each listener.
    pub connections_max: usize,
    /// Memory of connections and of requests that arrive on them.
    pub connections: Arc<Connections>,
    /// Held while a snapshot is made, even after its client has left.
    pub snapshot: Arc<tokio::sync::Mutex<()>>,
    tokens: ArcSwap<Option<Tokens>>,
    database: OnceLock<Database>,
    stopping: AtomicBool,
}

impl App {
    /// A server without a database yet.
    ///
    /// # Errors
    /// The token file is unusable.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let tokens = load_tokens(&config)?;
        let memory = Memory::new(&config);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        pattern::patterns().count_in(memory.patterns.clone());
        Ok(App {
            telemetry: Telemetry::default(),
            turns: Turns::new(config.query_concurrency, cores, config.query_queue),
            large_writes: LargeWrites::on(cores),
            active: Arc::default(),
            connections_max: open_files::connections_max(&config, open_files::limit()),
            bodies: Bodies::new(memory.bodies.clone(), memory.forms.clone()),
            connections: Connections::new(memory.connections.clone()),
            memory,
            snapshot: Arc::default(),
            tokens: ArcSwap::from_pointee(tokens),
            database: OnceLock::new(),
            stopping: AtomicBool::new(false),
            config: ArcSwap::from_pointee(config),
        })
    }

    /// Hands in the opened database; requests are answered from here on.
    pub fn set_database(&self, database: Database) {
        let _ = self.database.set(database);
    }

    /// The database.
    ///
    /// # Errors
    /// 503 while it is being opened and once the server stops.
    pub fn database(&self) -> Result<&Database, ApiError> {
        match self.database.get() {
            Some(database) if !self.stopping.load(Ordering::Relaxed) => Ok(database),
            Some(_) => Err(ApiError::busy("the server is stopping", 5)),
            None => Err(ApiError::busy("the database is being opened; retry later", 1)),
        }
    }

    /// How the database is; `None` while it is being opened.
    pub fn health(&self) -> Option<Health> {
        self.database.get().map(Database::health)
    }

    /// The accepted tokens; `None` lets everybody in.
    pub fn tokens(&self) -> arc_swap::Guard<Arc<Option<Tokens>>> {
        self.tokens.load()
    }

    /// Reads the settings again and applies what may change while running.
    pub fn reload(&self, sources: &Sources) {
        let fresh = match sources.build() {
            Ok(fresh) => fresh,
            Err(e) => return tracing::error!("reload refused, the old settings stay: {e}"),
        };
        let (merged, waiting) = self.config.load().reload(&fresh);
        let tokens = match load_tokens(&merged) {
            // The listeners were bound on the assumption of tokens: without them every client could connect.
            Ok(None) if self.tokens.load().is_some() => {
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
        if let Some(database) = self.database.get() {
            if let Err(e) = database.set_retention(merged.retention) {
                return tracing::error!("reload refused, the old settings stay: retention: {e}");
            }
            database.set_new_series_per_second(merged.max_new_series);
            database.set_cardinality_limits(merged.max_series_per_metric, merged.max_values_per_label);
            database.set_tenant_limits(merged.max_series_per_tenant, merged.max_new_series_per_tenant);
        }
        self.memory.cap(&merged);
        self.tokens.store(Arc::new(tokens));
        self.config.store(Arc::new(merged));
        tracing::info!("settings reloaded");
    }
}

fn load_tokens(config: &Config) -> anyhow::Result<Option<Tokens>> {
    match &config.token_file {
        Some(path) => Ok(Some(Tokens::load(path, &config.tenant_label)?)),
        None => Ok(None),
    }
}

/// The bound sockets.
pub struct Sockets {
    /// Requests.
    pub http: TcpListener,
    /// Lines over TCP.
    pub tcp: Option<TcpListener>,
    /// Lines over UDP.
    pub udp: Option<DatagramSocket>,
}

impl Sockets {
    /// Binds what the settings name.
    ///
    /// # Errors
    /// An address does not resolve, is taken, or would let strangers in (an address other
    /// than loopback without tokens or `insecure`).
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let http = bind_tcp(&config.listen, "listen", config.insecure || config.token_file.is_some()).await?;
        let tcp = match &config.tcp_listen {
            Some(address) => Some(bind_tcp(address, "tcp_listen", config.insecure).await?),
            None => None,
        };
        let udp = match &config.udp_listen {
            Some(address) => {
                let socket =
                    UdpSocket::bind(address).await.map_err(|e| cannot_bind("udp_listen", address, &e))?;
                require_loopback(socket.local_addr()?, "udp_listen", config.insecure)?;
                Some(DatagramSocket::new(socket.into_std()?, config.udp_buffer)?)
            }
            None => None,
        };
        Ok(Sockets { http, tcp, udp })
    }
}

async fn bind_tcp(address: &str, setting: &str, open: bool) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.map_err(|e| cannot_bind(setting, address, &e))?;
    require_loopback(listener.local_addr()?, setting, open)?;
    Ok(listener)
}

fn cannot_bind(setting: &str, address: &str, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("{setting}: cannot listen on {address}: {error}")
}

fn require_loopback(address: std::net::SocketAddr, setting: &str, open: bool) -> anyhow::Result<()> {
    if address.ip().is_loopback() || open {
        return Ok(());
    }
    let way_out = if setting == "listen" { "set token_file, or insecure" } else { "set insecure" };
    anyhow::bail!(
        "{setting}: {address} is not a loopback address, so anybody who reaches it could read, write and delete; {way_out}"
    )
}

/// Serves until `stop` turns true, then winds down. The database is closed by the caller.
pub async fn run(app: Arc<App>, sockets: Sockets, stop: watch::Receiver<bool>) {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(listen::http::serve(app.clone(), sockets.http, stop.clone()));
    if let Some(listener) = sockets.tcp {
        tasks.spawn(listen::tcp::serve(app.clone(), listener, stop.clone()));
    }
    if let Some(socket) = sockets.udp {
        tasks.spawn(listen::udp::serve(app.clone(), socket, stop.clone()));
    }
    if let Some(interval) = app.config.load().self_interval {
        tasks.spawn(crate::monitor::run(app.clone(), interval, stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
    app.stopping.store(true, Ordering::Relaxed);
}
