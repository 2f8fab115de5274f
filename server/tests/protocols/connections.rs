//! What connections take: memory that is counted, and files that storage needs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use barograph_server::api::body::ARRIVAL_BYTES;

use crate::harness::{connect, read_reply, read_to_end, request, server};

#[test]
fn connections_take_their_memory_and_give_it_back() {
    let server = server(&[]);
    let connections = &server.app.memory.connections;
    let mut first = server.connect();
    first.write_all(&request("GET", "/ping", &[], b"")).unwrap();
    assert_eq!(read_reply(&mut first, false).status, 204);
    let at_rest = connections.used();
    assert!(at_rest > 0);
    // A connection takes more memory while a body arrives.
    let head = "POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nm v=";
    first.write_all(head.as_bytes()).unwrap();
    server.wait_for("the body", || connections.used() == at_rest + ARRIVAL_BYTES);
    first.write_all(b"1 1\n").unwrap();
    assert_eq!(read_reply(&mut first, false).status, 204);
    server.wait_for("the end of the body", || connections.used() == at_rest);
    // So does a long head, and the HTTP library keeps its buffer until the connection ends.
    let long = format!("GET /ping?{} HTTP/1.1\r\nhost: localhost\r\n", "x".repeat(40_000));
    first.write_all(long.as_bytes()).unwrap();
    server.wait_for("the head", || connections.used() > at_rest + 2 * 40_000);
    first.write_all(b"\r\n").unwrap();
    let reply = read_reply(&mut first, false);
    assert_eq!((reply.status, reply.headers["connection"].as_str()), (204, "close"));
    server.wait_for("the end of the connection", || connections.used() == 0);
    // Without memory, a head is refused with the reason, and so are a body and a connection.
    let mut first = server.connect();
    server.wait_for("the connection", || connections.used() == at_rest);
    // A quarter is reserved for requests, too little for any of these.
    connections.set_limit(at_rest / 3 * 4);
    let with_body = |path| request("POST", path, &[], b"m v=1 1");
    for (sent, status) in
        [(long.into_bytes(), 503), (with_body("/api/v2/write"), 429), (with_body("/write"), 503)]
    {
        first.write_all(&sent).unwrap();
        let reply = read_reply(&mut first, false);
        assert_eq!((reply.status, reply.headers["retry-after"].as_str()), (status, "1"));
        assert!(reply.text().contains("memory for connections"), "{}", reply.text());
        drop(first);
        server.wait_for("the end of the connection", || connections.used() == 0);
        first = server.connect();
        server.wait_for("the connection", || connections.used() == at_rest);
    }
    let refused = read_to_end(&mut server.connect());
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("the memory for connections is used up"), "{refused}");
    drop(first);
    server.wait_for("all memory", || connections.used() == 0);
}

/// What requests take of the memory of connections leaves as many connections as without them.
#[test]
fn bodies_that_stop_before_their_end_keep_out_no_new_connection() {
    const CONNECTIONS: usize = 40;
    let server = server(&[]);
    let connections = &server.app.memory.connections;
    let first = server.connect();
    server.wait_for("the connection", || connections.used() > 0);
    let at_rest = connections.used();
    // Three quarters are for so many connections, and half as many bodies fit into the rest.
    connections.set_limit(at_rest * CONNECTIONS as u64 / 3 * 4);
    let head = "POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nm v=";
    let bodies: Vec<_> = (0..CONNECTIONS / 3)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let arriving = bodies.len() as u64;
    server
        .wait_for("the bodies", || connections.used() == at_rest * (1 + arriving) + arriving * ARRIVAL_BYTES);
    let mut others: Vec<_> = (1 + bodies.len()..CONNECTIONS).map(|_| server.connect()).collect();
    for stream in &mut others {
        stream.write_all(&request("GET", "/ping", &[], b"")).unwrap();
        assert_eq!(read_reply(stream, false).status, 204);
    }
    let refused = read_to_end(&mut server.connect());
    assert!(refused.contains("the memory for connections is used up"), "{refused}");
    drop((first, bodies, others));
    server.wait_for("all memory", || connections.used() == 0);
}

#[test]
fn line_connections_that_rest_hold_nothing_and_lines_wait_for_memory_in_their_socket() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("memory", "64MiB")]);
    let small = &server.app.bodies.small;
    let mut resting: Vec<_> = (0..20).map(|_| connect(server.tcp.unwrap())).collect();
    server.wait_for("the connections", || server.app.telemetry.line_connections.get() == 20);
    assert_eq!(small.used(), 0);
    // All that those who come may have.
    let all = small.try_take(small.limit() - small.limit() / 4).unwrap();
    for (i, stream) in resting.iter_mut().enumerate() {
        stream.write_all(format!("l,i=i{i} value=1 1\n").as_bytes()).unwrap();
    }
    server.wait_for("the line of those who wait", || small.waiting() == 20);
    assert_eq!(server.app.telemetry.ingest(barograph_server::telemetry::Origin::Tcp).lines.get(), 0);
    drop(all);
    server.wait_for("all lines", || server.series("l").len() == 20);
    server.wait_for("all memory", || small.used() == 0);
    // The beginning of a line holds memory until the line is complete.
    resting[0].write_all(b"l,i=last val").unwrap();
    server.wait_for("its memory", || small.used() > 0);
    resting[0].write_all(b"ue=1 1\n").unwrap();
    server.wait_for("its end", || server.series("l").len() == 21 && small.used() == 0);
}

#[test]
fn a_line_that_stops_within_is_cut_off() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("body_timeout", "100ms")]);
    let mut stream = connect(server.tcp.unwrap());
    stream.write_all(b"l value=1 1\nl val").unwrap();
    assert_eq!(read_to_end(&mut stream), "error: the last line (5 bytes) has no end and is not stored\n");
    assert_eq!(server.export("l"), "l value=1 1\n");
    assert_eq!((server.app.bodies.small.used(), server.app.bodies.large.used()), (0, 0));
}

/// More than a batch at once, of lines longer than the first step of the buffer.
#[test]
fn batches_grow_where_there_is_memory_and_are_small_where_there_is_none() {
    let settings = [("tcp_listen", "127.0.0.1:0"), ("max_string", "60KiB"), ("max_line", "64KiB")];
    for memory in ["1GiB", "64MiB"] {
        let server = server(&[&settings[..], &[("memory", memory)]].concat());
        let held = (memory == "64MiB").then(|| {
            let large = &server.app.bodies.large;
            // A line still has to fit.
            let modest = large.limit() / 8 - (200 << 10);
            [large.try_take(large.limit() / 8 * 5).unwrap(), large.try_take(modest).unwrap()]
        });
        let text = "x".repeat(50_000);
        let lines: String = (0..60).map(|i| format!("l,i=i{i} text=\"{text}\",value=1 1\n")).collect();
        let mut stream = connect(server.tcp.unwrap());
        stream.write_all(lines.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), "", "{memory}");
        assert_eq!(server.series("l").len(), 60, "{memory}");
        assert_eq!(server.app.telemetry.ingest(barograph_server::telemetry::Origin::Tcp).events.get(), 60);
        drop(held);
        server.wait_for("all memory", || {
            server.app.bodies.small.used() == 0 && server.app.bodies.large.used() == 0
        });
    }
}

/// The program, under limits of open files.
struct Program {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(limit: &str, flags: &[&str]) -> Program {
    let dir = tempfile::tempdir().unwrap();
    let script =
        format!("{limit} && exec \"$0\" serve --listen 127.0.0.1:0 --memory 64MiB --data-dir \"$@\" 2>&1");
    let mut child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_barograph")])
        .arg(dir.path().join("data"))
        .args(flags)
        .env("BAROGRAPH_HOST_ALLOW", "test")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
        if let Some((_, rest)) = line.split_once("ready: http://") {
            break rest.split(',').next().unwrap().to_owned();
        }
    };
    // What it says later must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Program { child, address, _dir: dir }
}

fn ask(address: &str, method: &str, target: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(address.parse().unwrap());
    stream.write_all(&request(method, target, &[], body)).unwrap();
    let reply = read_reply(&mut stream, false);
    (reply.status, reply.text())
}

#[test]
fn idle_connections_leave_files_for_storage() {
    let program = program("ulimit -n 160", &["--enable-admin"]);
    // The settings alone would take 1024 of them.
    let mut idle = Vec::new();
    let refused = loop {
        let mut stream = connect(program.address.parse().unwrap());
        stream.write_all(&request("GET", "/ping", &[], b"")).unwrap();
        let reply = read_reply(&mut stream, false);
        if reply.status != 204 {
            break reply;
        }
        idle.push(stream);
    };
    assert_eq!((refused.status, idle.len()), (503, 40), "{}", refused.text());
    // On one of them a write, and files for what it wrote.
    let stream = &mut idle[0];
    for (target, body) in [
        ("/write", &b"m value=1 1"[..]),
        ("/api/v1/admin/tsdb/flush", b""),
        ("/write", b"m value=2 2"),
        ("/api/v1/admin/tsdb/flush", b""),
        ("/api/v1/admin/tsdb/clean_tombstones", b""),
    ] {
        stream.write_all(&request("POST", target, &[], body)).unwrap();
        let reply = read_reply(stream, false);
        assert_eq!(reply.status, 204, "{target}: {}", reply.text());
    }
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let program = program("ulimit -Sn 64 && ulimit -Hn 500", &[]);
    let (status, metrics) = ask(&program.address, "GET", "/metrics", b"");
    assert_eq!(status, 200);
    assert!(metrics.contains("process_max_fds 500\n"), "{metrics}");
    assert_eq!(ask(&program.address, "POST", "/write", b"m value=1 1").0, 204);
}
