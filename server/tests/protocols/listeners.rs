//! Line protocol over plain TCP and UDP.

use std::io::Write;
use std::net::UdpSocket;

use crate::harness::{connect, read_more, read_to_end, server};

#[test]
fn tcp_lines_are_stored_and_bad_ones_told() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("line_db", "wire")]);
    let mut stream = connect(server.tcp.unwrap());
    stream.write_all(b"a value=1 1\na val").unwrap();
    server.wait_for("the first line", || server.series("a").len() == 1);
    stream.write_all(b"ue=2 2\nbad line here\na value=3 3\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        assert!(read_more(&mut stream, &mut answer));
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("error: line 2, column "), "{answer}");
    stream.write_all(b"a value=4 4").unwrap();
    drop(stream);
    let expected = "a,db=wire value=1 1\na,db=wire value=2 2\na,db=wire value=3 3\na,db=wire value=4 4\n";
    server.wait_for("the last line, which has no end", || server.export("a") == expected);
}

#[test]
fn a_line_without_end_closes_the_connection() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("max_line", "1KiB")]);
    let mut stream = connect(server.tcp.unwrap());
    stream.write_all(&[b'x'; 4096]).unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.starts_with("error: a line is longer than 1024 bytes") || answer.is_empty(), "{answer}");
    server.wait_for("the close", || server.app.telemetry.line_connections.get() == 0);
}

#[test]
fn datagrams_are_batches() {
    let server = server(&[("udp_listen", "127.0.0.1:0")]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = server.udp.unwrap();
    socket.send_to(b"u value=1 1\nu value=2 2", target).unwrap();
    socket.send_to(b"not a line", target).unwrap();
    socket.send_to(b"", target).unwrap();
    socket.send_to(b"u value=3 3\n", target).unwrap();
    server.wait_for("three samples", || server.export("u").lines().count() == 3);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("barograph_ingest_lines_bad_total{origin=\"udp\"} 1"), "{metrics}");
}
