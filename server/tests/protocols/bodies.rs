//! Bodies that share too little memory: honest ones wait and pass, slow ones are cut off, small ones and questions are
//! never kept out by large ones.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use barograph_server::http::body::ARRIVAL_BYTES;

use crate::harness::{Server, connect, gzip, read_reply, server};

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// Begins a POST whose body is declared to have `length` bytes, and sends `body` of it.
fn begin(server: &Server, target: &str, fields: &str, length: usize, body: &[u8]) -> TcpStream {
    let mut stream = server.connect();
    let head =
        format!("POST {target} HTTP/1.1\r\nhost: localhost\r\n{fields}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// Lines of comments and one sample, `length` bytes.
fn body(number: usize, length: usize) -> Vec<u8> {
    let line = format!("m,i=i{number} value=1 1\n");
    let mut body = vec![b'#'; length - line.len()];
    *body.last_mut().unwrap() = b'\n';
    body.extend_from_slice(line.as_bytes());
    body
}

fn nothing_is_held(server: &Server) {
    let bodies = &server.state.bodies;
    server.wait_for("all memory", || {
        [&bodies.large, &bodies.small, &bodies.questions].iter().all(|pool| pool.used() == 0)
    });
}

/// Each has sent half of its body and says nothing more until all have. If each kept its half and waited for the other,
/// none would ever end.
#[test]
fn many_large_bodies_wait_for_each_other_and_all_pass() {
    const CLIENTS: usize = 64;
    const LENGTH: usize = 200 << 10;
    let server = server(&[("max_body_total", "1MiB")]);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|i| (begin(&server, "/write", "", LENGTH, &body(i, LENGTH)[..LENGTH / 2]), body(i, LENGTH)))
        .collect();
    // Three have the memory, and the others wait with nothing in hand.
    server.wait_for("the line", || server.state.bodies.large.waiting() == CLIENTS - 3);
    assert_eq!(server.state.bodies.large.used(), 3 * (LENGTH as u64 + ARRIVAL_BYTES));
    for (stream, body) in &mut clients {
        stream.write_all(&body[LENGTH / 2..]).unwrap();
    }
    for (stream, _) in &mut clients {
        let reply = read_reply(stream, false);
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    assert_eq!(server.series("m").len(), CLIENTS);
    nothing_is_held(&server);
}

#[test]
fn large_bodies_that_stop_before_their_end_keep_out_no_small_one_and_no_question() {
    const LENGTH: usize = 512 << 10;
    let server = server(&[("max_body_total", "1MiB")]);
    let stalled: Vec<_> =
        (0..16).map(|i| begin(&server, "/write", "", LENGTH, &body(i, LENGTH)[..LENGTH - 500])).collect();
    server.wait_for("the line", || server.state.bodies.large.waiting() == 15);
    server.write("small value=1 1\n");
    assert_eq!(server.send("POST", "/api/v2/write?bucket=b", &[], b"small value=2 2").status, 204);
    assert_eq!(server.form("/api/v1/query", "query=small&time=1").data()["result"][0]["value"][1], "1");
    // What unpacks to more than a small body has room that those cannot fill.
    let packed = gzip(&body(99, 200 << 10));
    let reply = server.send("POST", "/write", &[("content-encoding", "gzip")], &packed);
    assert_eq!(reply.status, 204, "{}", reply.text());
    // One that waits leaves the line when its client goes.
    drop(stalled);
    nothing_is_held(&server);
    assert_eq!(server.series("m").len(), 1, "no half of a body is stored");
}

/// A part of the memory is for bodies as agents send them.
#[test]
fn large_bodies_that_stop_before_their_end_keep_out_no_modest_one() {
    const LENGTH: usize = 600 << 10;
    let server = server(&[("max_body_total", "4MiB")]);
    let stalled: Vec<_> =
        (0..16).map(|i| begin(&server, "/write", "", LENGTH, &body(i, LENGTH)[..LENGTH - 500])).collect();
    server.wait_for("the line", || server.state.bodies.large.waiting() == 12);
    for number in 0..3 {
        let reply = server.send("POST", "/write", &[], &body(100 + number, 400 << 10));
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    assert_eq!(server.state.bodies.large.waiting(), 12);
    drop(stalled);
    nothing_is_held(&server);
    assert_eq!(server.series("m").len(), 3);
}

/// Large bodies are stored one after the other, and the batches of agents meanwhile.
#[test]
fn large_writes_that_wait_for_their_turn_keep_out_no_other_write() {
    const LENGTH: usize = 1 << 20;
    let server = server(&[("body_timeout", "1h")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let writes = &server.state.gates.large_writes;
    let enter = || runtime.block_on(writes.enter(u64::MAX, Duration::from_secs(60))).unwrap();
    let turns: Vec<_> = (0..writes.free()).map(|_| enter()).collect();
    let packed = gzip(&body(1, LENGTH));
    let remote = snap::raw::Encoder::new().compress_vec(&vec![0; 600 << 10]).unwrap();
    let large = |target, fields, body: &[u8]| begin(&server, target, fields, body.len(), body);
    let mut waiting = [
        large("/write", "", &body(0, LENGTH)),
        large("/api/v2/write?bucket=b", "content-encoding: gzip\r\n", &packed),
        large("/api/v3/write_lp?db=b", "", &body(2, LENGTH)),
        large("/api/v1/write", "content-encoding: snappy\r\n", &remote),
    ];
    server.wait_for("their bodies", || server.state.gates.large_writes.waiting() == waiting.len());
    for number in 10..20 {
        assert_eq!(server.send("POST", "/write", &[], &body(number, 400 << 10)).status, 204);
    }
    assert_eq!((server.series("m").len(), server.state.gates.large_writes.waiting()), (10, waiting.len()));
    drop(turns);
    let statuses = waiting.each_mut().map(|stream| read_reply(stream, false).status);
    assert_eq!(statuses, [204, 204, 204, 400]);
    assert_eq!(server.series("m").len(), 13);
    nothing_is_held(&server);
}

/// Small bodies and questions have memory of their own each: neither can fill that of the other.
#[test]
fn small_bodies_that_stop_keep_out_no_question() {
    const LENGTH: usize = 60 << 10;
    let server = server(&[("memory", "64MiB")]);
    let stalled: Vec<_> =
        (0..16).map(|i| begin(&server, "/write", "", LENGTH, &body(i, LENGTH)[..100])).collect();
    server.wait_for("the line", || server.state.bodies.small.waiting() > 0);
    assert_eq!(server.form("/api/v1/query", "query=1").status, 200);
    drop(stalled);
    nothing_is_held(&server);
    let stalled: Vec<_> =
        (0..16).map(|_| begin(&server, "/api/v1/query", FORM, LENGTH, b"query=1")).collect();
    server.wait_for("the line", || server.state.bodies.questions.waiting() > 0);
    server.write("small value=1 1\n");
    drop(stalled);
    nothing_is_held(&server);
}

#[test]
fn a_body_that_drips_is_cut_off() {
    let server = server(&[("body_timeout", "200ms"), ("body_rate", "1MiB")]);
    for fields in ["content-length: 1000000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = server.connect();
        let head = format!("POST /write HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let drip: &[u8] = if fields.contains("chunked") { b"1\r\n#\r\n" } else { b"#" };
        // A byte now and then, for as long as the server takes it.
        let mut answer = [0; 12];
        while let Err(e) = stream.read_exact(&mut answer) {
            assert!(matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{e}");
            if stream.write_all(drip).is_err() {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer == "HTTP/1.1 408" || answer.starts_with('\0'), "{answer}");
        nothing_is_held(&server);
    }
    assert!(server.get("/metrics").text().contains("code=\"4xx\",endpoint=\"/write\"} 2\n"));
}

fn chunked(server: &Server, target: &str, body: &[u8]) -> crate::harness::Reply {
    let mut stream = connect(server.address);
    let head = format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    for piece in body.chunks(10_000) {
        // A refusal ends the connection before all is sent.
        let sent = stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes());
        if sent.and_then(|()| stream.write_all(piece)).and_then(|()| stream.write_all(b"\r\n")).is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    read_reply(&mut stream, false)
}

#[test]
fn a_chunked_body_never_waits_with_something_in_hand() {
    let server = server(&[("max_body_total", "1MiB")]);
    let large = body(1, 300 << 10);
    assert_eq!(chunked(&server, "/write", &large).status, 204);
    assert_eq!(chunked(&server, "/write", &body(2, 100)).status, 204);
    let stalled = begin(&server, "/write", "", 600 << 10, b"#");
    server.wait_for("the memory", || server.state.bodies.large.used() == (600 << 10) + ARRIVAL_BYTES);
    // The patience of the settings is an hour.
    for (target, status) in [("/write", 503), ("/api/v2/write?bucket=b", 429)] {
        let reply = chunked(&server, target, &large);
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.text().contains("max_body_total"), "{}", reply.text());
        assert_eq!(reply.headers["retry-after"], "1");
    }
    assert_eq!(chunked(&server, "/write", &body(3, 50_000)).status, 204, "a small one passes");
    drop(stalled);
    nothing_is_held(&server);
    assert_eq!(chunked(&server, "/write", &large).status, 204);
}

#[test]
fn what_all_the_memory_cannot_hold_is_413_at_once() {
    let server = server(&[("max_body_total", "1MiB")]);
    for (target, fields, length) in [("/write", "", 800_000), ("/api/v1/query", FORM, 800_000)] {
        let reply = read_reply(&mut begin(&server, target, fields, length, b""), false);
        assert_eq!((reply.status, reply.headers.get("retry-after")), (413, None));
        assert!(reply.text().contains("640KiB, the limit (max_body_total, memory)"), "{}", reply.text());
    }
    let packed = gzip(&vec![b'#'; 2 << 20]);
    let reply = server.send("POST", "/write", &[("content-encoding", "gzip")], &packed);
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert!(reply.text().contains("896KiB, the limit (max_body_total, memory)"), "{}", reply.text());
    assert_eq!(chunked(&server, "/write", &body(1, 900_000)).status, 413);
    nothing_is_held(&server);
}
