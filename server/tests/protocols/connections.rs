//! What connections take: memory that is counted, and files that storage needs.

use std::io::{ErrorKind, Read, Write};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use barograph_server::http::body::ARRIVAL_BYTES;
use barograph_server::listen::requests::REQUEST_BYTES;
use barograph_server::memory::connections::{Place, Purpose, REST_BYTES};

use crate::harness::{Reply, Server, connect, read_reply, read_to_end, request, server};
use crate::process::{ask, program};

/// Settings with which nothing is cut off, however slow the machine is.
const PATIENT: &[(&str, &str)] = &[("header_timeout", "1h"), ("body_timeout", "1h"), ("body_rate", "0")];

#[test]
fn connections_take_their_memory_and_give_it_back() {
    let server = server(&[]);
    let connections = &server.state.memory.connections;
    let mut first = server.connect();
    first.write_all(&request("GET", "/ping", &[], b"")).unwrap();
    assert_eq!(read_reply(&mut first, false).status, 204);
    // The answer may arrive before the server has released what the request held.
    let at_rest = REST_BYTES;
    server.wait_for("the end of the first request", || connections.used() == at_rest);
    // A connection takes more memory while a body arrives.
    let head = "POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nm v=";
    first.write_all(head.as_bytes()).unwrap();
    server.wait_for("the body", || connections.used() == at_rest + REQUEST_BYTES + ARRIVAL_BYTES);
    first.write_all(b"1 1\n").unwrap();
    assert_eq!(read_reply(&mut first, false).status, 204);
    server.wait_for("the end of the body", || connections.used() == at_rest);
    // So does a long head, until it is answered.
    let long = format!("GET /ping?{} HTTP/1.1\r\nhost: localhost\r\n", "x".repeat(40_000));
    first.write_all(long.as_bytes()).unwrap();
    server.wait_for("the head", || connections.used() > at_rest + 40_000);
    first.write_all(b"\r\n").unwrap();
    let reply = read_reply(&mut first, false);
    assert_eq!((reply.status, reply.headers.get("connection")), (204, None));
    server.wait_for("the end of the request", || connections.used() == at_rest);
    // Without memory, a head is refused with the reason, and so are a request and a connection.
    let others = hold(&server, Purpose::Rest, connections.limit() / 4 * 3 - 2 * REST_BYTES);
    first.write_all(long.as_bytes()).unwrap();
    refused(&read_reply(&mut first, false));
    let _second = server.connect();
    let _third = server.connect();
    refused(&read_reply(&mut server.connect(), false));
    drop((first, others));
    drop(server);
    let server = crate::harness::server(&[("body_timeout", "10ms")]);
    let share = server.state.memory.connections.limit();
    let others = hold(&server, Purpose::SmallWrite, share / 2 - 4 * (share / 32));
    let mut stream = server.connect();
    stream.write_all(&request("POST", "/write", &[], b"m v=1 1")).unwrap();
    refused(&read_reply(&mut stream, false));
    drop((stream, others));
    server.wait_for("all memory", || server.state.memory.connections.used() == 0);
}

/// Memory of connections that others hold.
fn hold(server: &Server, purpose: Purpose, bytes: u64) -> Place {
    let mut taking = Box::pin(server.state.connections.take(purpose, bytes, Duration::MAX));
    match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(place) => place.unwrap(),
        Poll::Pending => panic!("{bytes} bytes are not free"),
    }
}

fn refused(reply: &Reply) {
    assert_eq!((reply.status, reply.headers["retry-after"].as_str()), (503, "1"), "{}", reply.text());
    assert!(reply.text().contains("memory for connections"), "{}", reply.text());
}

/// What requests take of the memory of connections leaves as many connections as without them, and memory for requests
/// of each other kind.
#[test]
fn bodies_that_stop_before_their_end_keep_out_no_other_request() {
    const CONNECTIONS: usize = 200;
    let server = server(PATIENT);
    let connections = &server.state.memory.connections;
    // Half is reserved for connections.
    connections.set_limit(REST_BYTES * CONNECTIONS as u64 * 2);
    let head =
        |length| format!("POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\nm v=");
    let bodies: Vec<_> = (0..CONNECTIONS / 2)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(head(1 << 20).as_bytes()).unwrap();
            stream
        })
        .collect();
    server.wait_for("bodies that wait", || server.state.connections.waiting() > bodies.len() / 4);
    let mut others: Vec<_> = (bodies.len()..CONNECTIONS).map(|_| server.connect()).collect();
    let query = "/api/v1/query?query=1&time=1";
    for stream in &mut others {
        for (method, path, body, status) in
            [("GET", "/ping", &b""[..], 204), ("GET", query, b"", 200), ("POST", "/write", b"m v=1 1", 204)]
        {
            stream.write_all(&request(method, path, &[], body)).unwrap();
            assert_eq!(read_reply(stream, false).status, status, "{path}");
        }
    }
    // What is too little for another body is enough for some connections. Then all that ask for something are refused,
    // unless it is answered at once.
    let mut more = Vec::new();
    let refused = loop {
        let mut stream = server.connect();
        stream.write_all(&request("GET", query, &[], b"")).unwrap();
        let reply = read_reply(&mut stream, false);
        if reply.status != 200 {
            break reply;
        }
        more.push(stream);
    };
    assert!(more.len() as u64 <= REQUEST_BYTES / REST_BYTES);
    assert_eq!((refused.status, refused.headers["connection"].as_str()), (503, "close"));
    let mut stream = server.connect();
    stream.write_all(&request("GET", "/-/healthy", &[], b"")).unwrap();
    let reply = read_reply(&mut stream, false);
    assert_eq!((reply.status, reply.headers["connection"].as_str()), (200, "close"));
    drop(more);
    drop((bodies, others));
    server.wait_for("all memory", || connections.used() == 0);
}

/// A request that waits for memory is served as soon as there is some, and leaves the line when its client leaves.
#[test]
fn requests_wait_for_memory_of_their_kind() {
    let server = server(PATIENT);
    let connections = &server.state.memory.connections;
    connections.set_limit(32 * (REQUEST_BYTES + ARRIVAL_BYTES));
    let head = "POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: 7\r\n\r\n";
    let mut streams: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(head.as_bytes()).unwrap();
    }
    server.wait_for("the line", || server.state.connections.waiting() >= 20);
    let waiting = server.state.connections.waiting();
    // All of them are whole now, but those that wait have no memory yet.
    let gone = streams.pop();
    for stream in &mut streams {
        stream.write_all(b"m v=1 1").unwrap();
    }
    for stream in &mut streams {
        assert_eq!(read_reply(stream, false).status, 204);
    }
    assert!(waiting < streams.len());
    drop(gone);
    server.wait_for("the end of the line", || server.state.connections.waiting() == 0);
    drop(streams);
    server.wait_for("all memory", || connections.used() == 0);
}

/// The time that a header may take ends with the header.
#[test]
fn a_request_that_waits_for_memory_is_no_slow_header() {
    const HEADER: Duration = Duration::from_millis(50);
    let server = server(&[&PATIENT[1..], &[("header_timeout", "50ms")]].concat());
    let share = server.state.memory.connections.limit();
    let others = hold(&server, Purpose::SmallWrite, share / 2 - 4 * (share / 32));
    // Where sending takes longer than a header may, the connection is cut, and the next one is tried.
    let mut stream = loop {
        let mut stream = server.connect();
        let _ = stream.write_all(&request("POST", "/write", &[], b"m v=1 1"));
        stream.set_read_timeout(Some(HEADER / 5)).unwrap();
        let mut byte = [0];
        let mut is_open = || stream.read(&mut byte).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        while server.state.connections.waiting() == 0 && is_open() {}
        if server.state.connections.waiting() == 1 {
            break stream;
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    std::thread::sleep(2 * HEADER);
    assert_eq!(server.state.connections.waiting(), 1);
    drop(others);
    assert_eq!(read_reply(&mut stream, false).status, 204);
}

#[test]
fn line_connections_that_rest_hold_nothing_and_lines_wait_for_memory_in_their_socket() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("memory", "64MiB")]);
    let small = &server.state.bodies.small;
    let mut resting: Vec<_> = (0..20).map(|_| connect(server.tcp.unwrap())).collect();
    server.wait_for("the connections", || server.state.telemetry.line_connections.open.get() == 20);
    server.wait_for("their rest", || small.used() == 0);
    // All that those who come may have.
    let all = small.try_take(small.limit() - small.limit() / 4).unwrap();
    for (i, stream) in resting.iter_mut().enumerate() {
        stream.write_all(format!("l,i=i{i} value=1 1\n").as_bytes()).unwrap();
    }
    server.wait_for("the line of those who wait", || small.waiting() == 20);
    assert_eq!(server.state.telemetry.ingest(barograph_server::telemetry::Origin::Tcp).lines.get(), 0);
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
    assert_eq!((server.state.bodies.small.used(), server.state.bodies.large.used()), (0, 0));
}

/// More than a batch at once, of lines longer than the first step of the buffer.
#[test]
fn batches_grow_where_there_is_memory_and_are_small_where_there_is_none() {
    let settings = [("tcp_listen", "127.0.0.1:0"), ("max_string", "60KiB"), ("max_line", "64KiB")];
    for memory in ["1GiB", "64MiB"] {
        let server = server(&[&settings[..], &[("memory", memory)]].concat());
        let held = (memory == "64MiB").then(|| {
            let large = &server.state.bodies.large;
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
        assert_eq!(server.state.telemetry.ingest(barograph_server::telemetry::Origin::Tcp).events.get(), 60);
        drop(held);
        server.wait_for("all memory", || {
            server.state.bodies.small.used() == 0 && server.state.bodies.large.used() == 0
        });
    }
}

#[test]
fn idle_connections_leave_files_for_storage() {
    let program = program("ulimit -n 160", &["--enable-admin"]);
    // The settings alone would take 1024 of them.
    let mut idle = Vec::new();
    let refused = loop {
        let mut stream = connect(program.address.parse().unwrap());
        stream.write_all(&request("GET", "/api/v1/query?query=1&time=1", &[], b"")).unwrap();
        let reply = read_reply(&mut stream, false);
        if reply.status != 200 {
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
