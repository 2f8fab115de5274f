//! A server in this process over a database in memory, and a client that sends exactly
//! the bytes it is given.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use barograph::Database;
use barograph_server::app::{self, Sockets};
use barograph_server::config::Sources;
use barograph_server::state::State;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Nobody waits longer than this for an answer; a test that does has found a hang. The slowest machine answers sooner.
const PATIENCE: Duration = Duration::from_secs(300);

/// What tests need besides their own settings. A time-out that is not what a test is about is out of reach, so that the
/// speed of the machine decides nothing.
const SETTINGS: [(&str, &str); 10] = [
    ("listen", "127.0.0.1:0"),
    ("host_allow", "test,x"),
    ("self_interval", "0"),
    ("header_timeout", "1h"),
    ("idle_timeout", "1h"),
    ("body_timeout", "1h"),
    ("shutdown_timeout", "1h"),
    ("query_timeout", "1h"),
    ("query_wait", "1h"),
    ("write_wait", "10m"),
];

/// A query that no machine answers within [`PATIENCE`], in 50 MB: smoothing starts again in each of a million windows
/// of a million values, and each of these 10^12 steps needs the one before. It ends at a time-out or when it is
/// cancelled.
pub const ENDLESS: &str =
    "max_over_time(double_exponential_smoothing(vector(time())[300h:1s], 0.5, 0.5)[300h:1s])";

/// A running server.
pub struct Server {
    pub state: Arc<State>,
    pub address: SocketAddr,
    pub tcp: Option<SocketAddr>,
    pub udp: Option<SocketAddr>,
    sources: Sources,
    sockets: Option<Sockets>,
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    running: Option<tokio::task::JoinHandle<()>>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The `data` of a success.
    pub fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        let mut value = self.json();
        assert_eq!(value["status"], "success");
        value["data"].take()
    }

    /// Asserts an error of the Prometheus shape and gives its message.
    pub fn error(&self, status: u16, error_type: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let value = self.json();
        assert_eq!(value["status"], "error");
        assert_eq!(value["errorType"], error_type, "{value}");
        value["error"].as_str().unwrap().to_owned()
    }
}

/// A server with these settings besides what tests need.
pub fn server(settings: &[(&'static str, &str)]) -> Server {
    let server = server_without_database(settings);
    let database = Database::in_memory(app::options(&server.state.config.load())).unwrap();
    server.state.set_database(database);
    server
}

/// A server whose database is not open yet.
pub fn server_without_database(settings: &[(&'static str, &str)]) -> Server {
    let mut server = server_at_rest(settings);
    server.start();
    server
}

/// A server with one thread for what may block, and the hold on that thread: whatever wants it waits for the test.
pub fn server_with_one_thread(settings: &[(&'static str, &str)]) -> (Server, HeldThread) {
    let mut server =
        server_over(settings, tokio::runtime::Builder::new_multi_thread().max_blocking_threads(1));
    server.start();
    let database = Database::in_memory(app::options(&server.state.config.load())).unwrap();
    server.state.set_database(database);
    let thread = HeldThread::new(server.runtime.as_ref().unwrap().handle().clone());
    (server, thread)
}

/// The one thread for what may block, which does nothing until this is dropped.
pub struct HeldThread {
    handle: tokio::runtime::Handle,
    _release: std::sync::mpsc::Sender<()>,
}

impl HeldThread {
    fn new(handle: tokio::runtime::Handle) -> Self {
        let (release, released) = std::sync::mpsc::channel::<()>();
        handle.spawn_blocking(move || released.recv());
        HeldThread { handle, _release: release }
    }

    /// Lets what waits for the thread run, and takes it again, until `passed`: a request that has its turn may not have
    /// reached the thread yet.
    pub fn let_pass(&mut self, server: &Server, what: &str, mut passed: impl FnMut() -> bool) {
        server.wait_for(what, || {
            *self = HeldThread::new(self.handle.clone());
            passed()
        });
    }
}

/// A server that listens and takes no connection before it is started: what clients send before that is there when the
/// first clock starts.
pub fn server_at_rest(settings: &[(&'static str, &str)]) -> Server {
    server_over(settings, &mut tokio::runtime::Builder::new_multi_thread())
}

fn server_over(settings: &[(&'static str, &str)], runtime: &mut tokio::runtime::Builder) -> Server {
    let mut sources = Sources::default();
    for (key, text) in SETTINGS.iter().chain(settings) {
        sources.flags.insert(key, (*text).to_owned());
    }
    let config = sources.build().unwrap();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let sockets = runtime.block_on(Sockets::bind(&config)).unwrap();
    let address = sockets.http.local_addr().unwrap();
    let tcp = sockets.tcp.as_ref().map(|socket| socket.local_addr().unwrap());
    let udp = sockets.udp.as_ref().map(|socket| socket.local_addr().unwrap());
    let state = Arc::new(app::state(config).unwrap());
    let (stop, _) = watch::channel(false);
    let (runtime, sockets) = (Some(runtime), Some(sockets));
    Server { state, address, tcp, udp, sources, sockets, runtime, stop, running: None }
}

impl Server {
    /// Takes connections from now on.
    pub fn start(&mut self) {
        let (Some(sockets), Some(runtime)) = (self.sockets.take(), &self.runtime) else {
            panic!("it runs already");
        };
        self.running = Some(runtime.spawn(app::run(self.state.clone(), sockets, self.stop.subscribe())));
    }

    /// Changes settings while it runs.
    pub fn reload(&mut self, settings: &[(&'static str, &str)]) {
        for (key, text) in settings {
            self.sources.flags.insert(key, (*text).to_owned());
        }
        app::reload(&self.state, &self.sources);
    }

    /// Takes a setting out while it runs.
    pub fn unset(&mut self, key: &'static str) {
        self.sources.flags.remove(key);
        app::reload(&self.state, &self.sources);
    }

    /// A fresh connection.
    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// GET on a connection of its own.
    pub fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], b"")
    }

    /// A request on a connection of its own.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut connection = self.connect();
        connection.write_all(&request(method, target, headers, body)).unwrap();
        read_reply(&mut connection, method == "HEAD")
    }

    /// POST of a form.
    pub fn form(&self, target: &str, form: &str) -> Reply {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", target, &headers, form.as_bytes())
    }

    /// Writes lines and insists that all are good.
    pub fn write(&self, lines: &str) {
        let reply = self.send("POST", "/write", &[], lines.as_bytes());
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    /// The series that a selector finds.
    pub fn series(&self, selector: &str) -> Vec<Value> {
        self.form("/api/v1/series", &format!("match[]={}", escape(selector)))
            .data()
            .as_array()
            .unwrap()
            .clone()
    }

    /// Everything of a selector as line protocol.
    pub fn export(&self, selector: &str) -> String {
        let reply = self.get(&format!("/api/v1/export?match[]={}", escape(selector)));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    }

    /// Tells the server to stop and waits until it has.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let (Some(running), Some(runtime)) = (self.running.take(), &self.runtime) {
            runtime.block_on(async { tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap() });
        }
    }

    /// What reads and their answers hold, bytes.
    pub fn held_by_reads(&self) -> u64 {
        self.state.memory.queries.used() + self.state.memory.answers.used()
    }

    /// Waits until `ready` says so.
    pub fn wait_for(&self, what: &str, mut ready: impl FnMut() -> bool) {
        let started = std::time::Instant::now();
        while !ready() {
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends a query by POST and does not wait for its answer.
    pub fn begin_query(&self, text: &str) -> TcpStream {
        let mut stream = self.connect();
        let form = format!("query={}", escape(text));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        stream.write_all(&request("POST", "/api/v1/query", &headers, form.as_bytes())).unwrap();
        stream
    }

    /// Sends [`ENDLESS`] and returns when it is being evaluated.
    pub fn begin_endless(&self) -> TcpStream {
        let stream = self.begin_query(ENDLESS);
        self.wait_for("the evaluation", || self.state.memory.queries.used() > 0);
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection that gives up after a while.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The bytes of a request.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads one reply, by its length or by its chunks.
pub fn read_reply(stream: &mut TcpStream, is_head: bool) -> Reply {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        assert!(
            read_more(stream, &mut bytes),
            "the connection closed: {:?}",
            String::from_utf8_lossy(&bytes)
        );
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut body = bytes.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    if is_head || status == 204 {
        return Reply { status, headers, body: Vec::new() };
    }
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        body = read_chunks(stream, body);
    } else {
        let length: usize = headers["content-length"].parse().unwrap();
        while body.len() < length {
            assert!(read_more(stream, &mut body), "half a body");
        }
    }
    Reply { status, headers, body }
}

fn read_chunks(stream: &mut TcpStream, mut bytes: Vec<u8>) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            match bytes.windows(2).position(|w| w == b"\r\n") {
                Some(at) => break at,
                None => assert!(read_more(stream, &mut bytes), "half a chunk"),
            }
        };
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        while bytes.len() < line + 2 + length + 2 {
            assert!(read_more(stream, &mut bytes), "half a chunk");
        }
        body.extend_from_slice(&bytes[line + 2..line + 2 + length]);
        bytes.drain(..line + 2 + length + 2);
        if length == 0 {
            return body;
        }
    }
}

/// Reads what is there; false at the end.
pub fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut piece = [0; 65_536];
    match stream.read(&mut piece) {
        Ok(count) => {
            bytes.extend_from_slice(&piece[..count]);
            count > 0
        }
        Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
        Err(e) => panic!("no answer: {e}"),
    }
}

/// Reads until the server closes.
pub fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while read_more(stream, &mut bytes) {}
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes everything but letters and digits.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// gzip of `bytes`.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
