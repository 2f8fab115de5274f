//! Slow, oversized, malformed and numerous: what arrives below the level of requests.

use std::io::{Read, Write};
use std::time::Duration;

use crate::harness::{
    ENDLESS, connect, escape, gzip, read_reply, read_to_end, request, server, server_at_rest,
};

#[test]
fn slow_headers_are_closed() {
    let server = server(&[("header_timeout", "50ms")]);
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n").unwrap();
    for stream in [&mut silent, &mut slow] {
        assert_eq!(read_to_end(stream), "");
    }
}

#[test]
fn idle_connections_are_closed() {
    let server = server(&[("idle_timeout", "50ms")]);
    let mut idle = server.connect();
    idle.write_all(&request("GET", "/ping", &[], b"")).unwrap();
    assert_eq!(read_reply(&mut idle, false).status, 204);
    assert_eq!(read_to_end(&mut idle), "");
}

/// Neither a rest nor a long answer is a slow header. Each header is there whole when its clock starts.
#[test]
fn a_connection_may_rest_between_requests() {
    let mut server = server_at_rest(&[("header_timeout", "20ms")]);
    let database = barograph::Database::in_memory(Default::default()).unwrap();
    server.state.set_database(database);
    let mut stream = connect(server.address);
    stream.write_all(&request("GET", "/ping", &[], b"")).unwrap();
    server.start();
    assert_eq!(read_reply(&mut stream, false).status, 204);
    // Three header time-outs: a clock that ran during the rest would have closed the connection. A longer rest on a
    // slow machine changes nothing.
    std::thread::sleep(Duration::from_millis(60));
    let long = format!("/api/v1/query?timeout=60ms&query={}", escape(ENDLESS));
    stream.write_all(&request("GET", &long, &[], b"")).unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 503);
    stream.write_all(&request("GET", "/ping", &[], b"")).unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 204);
}

#[test]
fn a_body_that_stops_is_408() {
    let server = server(&[("body_timeout", "50ms")]);
    let mut stream = server.connect();
    stream.write_all(b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ncpu v=1").unwrap();
    let reply = read_reply(&mut stream, false);
    assert_eq!(reply.status, 408, "{}", reply.text());
}

#[test]
fn a_header_over_16_kib_is_431() {
    let server = server(&[]);
    let long = "x".repeat(17 * 1024);
    assert_eq!(server.send("GET", "/ping", &[("x-long", &long)], b"").status, 431);
    let many: Vec<(String, &str)> = (0..200).map(|i| (format!("x-{i}"), "y")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(server.send("GET", "/ping", &many, b"").status, 431);
}

#[test]
fn a_body_over_the_limit_is_413_without_reading_it() {
    let server = server(&[("max_body", "1KiB")]);
    let mut declared = server.connect();
    declared.write_all(b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n").unwrap();
    let reply = read_reply(&mut declared, false);
    assert_eq!(reply.status, 413);
    assert!(reply.text().contains("1KiB"), "{}", reply.text());
    let mut chunked = server.connect();
    let chunk = "a v=1\n".repeat(400);
    let head = "POST /write HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    chunked.write_all(format!("{head}{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).unwrap();
    assert_eq!(read_reply(&mut chunked, false).status, 413);
    assert_eq!(server.get("/ping").status, 204);
}

#[test]
fn malformed_requests_are_400_and_close() {
    let server = server(&[]);
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"GARBAGE\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /write HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        let answer = read_to_end(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{:?}: {answer}", String::from_utf8_lossy(bytes));
    }
}

/// RFC 9112 lets a server refuse such a request, or read it by its chunks and close the
/// connection: either way the length that was a lie cannot smuggle a second request.
#[test]
fn content_length_beside_chunks_ends_the_connection() {
    let server = server(&[]);
    for head in
        ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 3"]
    {
        let mut stream = server.connect();
        let first = format!("POST /write HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n0\r\n\r\n");
        stream.write_all(first.as_bytes()).unwrap();
        stream.write_all(&request("GET", "/ping", &[], b"")).unwrap();
        let answer = read_to_end(&mut stream);
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[test]
fn a_chunk_of_2_to_the_63_is_400() {
    let server = server(&[]);
    for size in ["8000000000000000", "ffffffffffffffffffff", "-1", "zz"] {
        let mut stream = server.connect();
        let head = "POST /write HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}{size}\r\n").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = read_to_end(&mut stream);
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 413") || answer.is_empty(),
            "{size}: {answer}"
        );
    }
    assert_eq!(server.get("/ping").status, 204);
}

#[test]
fn pipelined_garbage_answers_the_first_and_closes() {
    let server = server(&[]);
    let mut stream = server.connect();
    let mut bytes = request("GET", "/ping", &[], b"");
    bytes.extend_from_slice(b"\x01\x02 nonsense\r\n\r\n");
    stream.write_all(&bytes).unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn connections_over_the_cap_are_refused_and_old_ones_served() {
    let server = server(&[("max_connections", "2")]);
    let mut old = [server.connect(), server.connect()];
    for stream in &mut old {
        stream.write_all(&request("GET", "/ping", &[], b"")).unwrap();
        assert_eq!(read_reply(stream, false).status, 204);
    }
    let answer = read_to_end(&mut server.connect());
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after"), "{answer}");
    for stream in &mut old {
        stream.write_all(&request("GET", "/ping", &[], b"")).unwrap();
        assert_eq!(read_reply(stream, false).status, 204);
    }
    assert!(server.state.telemetry.connections.refused.get() >= 1);
    drop(old);
    server.wait_for("free slots", || server.state.telemetry.connections.open.get() == 0);
    assert_eq!(server.get("/ping").status, 204);
}

#[test]
fn methods_and_paths_are_answered_in_json() {
    let server = server(&[]);
    for method in ["TRACE", "DELETE", "PATCH", "PUT", "BREW"] {
        let reply = server.send(method, "/api/v1/query", &[], b"");
        reply.error(405, "bad_data");
        assert_eq!(reply.headers["allow"], "GET, POST, HEAD, OPTIONS");
    }
    assert_eq!(server.send("GET", "/write", &[], b"").headers["allow"], "POST, OPTIONS");
    for (path, allow) in [("/api/v1/query", "GET, POST, HEAD, OPTIONS"), ("/write", "POST, OPTIONS")] {
        let reply = server.send("OPTIONS", path, &[], b"");
        assert_eq!((reply.status, reply.headers["allow"].as_str()), (204, allow));
    }
    for path in ["/nothing", "/api/v1/nothing", "/"] {
        assert_eq!(server.send("OPTIONS", path, &[], b"").status, 204, "{path}");
    }
    let page = server.get("/");
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    for path in ["-/healthy", "-/ready", "metrics", "api/v1/status/buildinfo"] {
        assert!(page.text().contains(&format!("href=\"{path}\"")), "{}", page.text());
        assert_eq!(server.get(&format!("/{path}")).status, 200, "{path}");
    }
    for path in ["/nothing", "//evil.example/..", "/api/v1/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"] {
        let reply = server.get(path);
        reply.error(404, "not_found");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert_eq!(reply.headers["content-type"], "application/json");
        assert!(!reply.headers.contains_key("location"));
    }
    assert_eq!(server.send("CONNECT", "example.com:80", &[], b"").status, 404);
}

#[test]
fn odd_requests_add_no_metrics() {
    let server = server(&[]);
    let count = || server.get("/metrics").text().lines().count();
    server.get("/nothing/0");
    count();
    let before = count();
    for i in 0..200 {
        server.send(&format!("M{i}"), &format!("/nothing/{i}"), &[], b"");
    }
    assert_eq!(count(), before);
    for host in ["localhost", "127.0.0.1:1", "[::1]", ""] {
        let mut stream = server.connect();
        stream.write_all(format!("GET /-/healthy HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).status, 200, "{host}");
    }
    let reply = server.send("GET", "/-/healthy", &[("origin", "https://evil.example")], b"");
    assert!(!reply.headers.keys().any(|name| name.starts_with("access-control")), "{reply:?}");
}

#[test]
fn bodies_share_a_budget() {
    let mut server = server(&[("max_body_total", "1MiB")]);
    let post = b"POST /write HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 600000\r\n\r\n";
    let body = vec![b'#'; 600_000];
    let mut hog = server.connect();
    hog.write_all(post).unwrap();
    let mut go_on = [0; 25];
    hog.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    // The hog may take an hour over the rest; who comes now waits for memory no longer than this.
    server.reload(&[("body_timeout", "50ms")]);
    hog.write_all(&body[..500_000]).unwrap();
    let mut other = server.connect();
    other.write_all(b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 400000\r\n\r\n").unwrap();
    other.write_all(&body[..300_000]).unwrap();
    let reply = read_reply(&mut other, false);
    assert!(reply.status == 503 && reply.text().contains("max_body_total"), "{}", reply.text());
    hog.write_all(&body[500_000..]).unwrap();
    assert_eq!(read_reply(&mut hog, false).status, 204);
    server.write("cpu value=1 1\n");
}

#[test]
fn a_truncated_body_stores_nothing() {
    let server = server(&[]);
    let mut stream = server.connect();
    stream.write_all(b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ncpu v=1 1\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    read_to_end(&mut stream);
    let whole = gzip(b"cpu v=1 1\n");
    let cut = &whole[..whole.len() - 4];
    assert_eq!(server.send("POST", "/write", &[("content-encoding", "gzip")], cut).status, 400);
    assert!(server.series("cpu_v").is_empty());
}
