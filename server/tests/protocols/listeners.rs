//! Line protocol over plain TCP, and what is common to TCP and UDP.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};

use barograph::Database;
use barograph_server::telemetry::Origin;

use crate::harness::{Server, connect, read_more, read_to_end, server, server_without_database};

#[test]
fn tcp_lines_are_stored_and_bad_ones_reported() {
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
    server.wait_for("the close", || server.state.telemetry.line_connections.open.get() == 0);
}

/// A server and the handle of its database, which stays when the server has stopped.
fn server_and_database(settings: &[(&'static str, &str)]) -> (Server, Database) {
    let server = server_without_database(settings);
    let database = Database::in_memory(Default::default()).unwrap();
    server.state.set_database(database.clone());
    (server, database)
}

#[test]
fn half_a_line_is_not_stored_when_the_server_stops_and_whole_ones_are() {
    let (mut server, database) = server_and_database(&[("tcp_listen", "127.0.0.1:0")]);
    let mut stream = connect(server.tcp.unwrap());
    server.wait_for("the connection", || server.state.telemetry.line_connections.open.get() == 1);
    let mut lines: String = (0..20_000).map(|i| format!("a,i={} value={i} {i}\n", i % 7)).collect();
    lines.push_str("a,i=0 value=12");
    stream.write_all(lines.as_bytes()).unwrap();
    // All of it is in the socket by now, and of the last line only the half: `value=123.5 99999`.
    server.stop();
    assert_eq!(database.stats().samples, 20_000);
    let shown = read_to_end(&mut stream);
    assert_eq!(shown, "error: the last line (14 bytes) has no end and is not stored\n");
    let counters = server.state.telemetry.ingest(Origin::Tcp);
    assert_eq!((counters.lines.get(), counters.lines_bad.get()), (20_001, 1));
    assert_eq!(counters.bytes.get(), lines.len() as u64);
}

#[test]
fn half_a_line_is_not_stored_when_the_connection_breaks_off() {
    let (server, database) = server_and_database(&[("tcp_listen", "127.0.0.1:0")]);
    let mut stream = connect(server.tcp.unwrap());
    stream.write_all(b"a value=1 1\n").unwrap();
    server.wait_for("the first line", || database.stats().samples == 1);
    stream.write_all(b"a value=12").unwrap();
    // With this the close is a reset.
    let at_once = Some(std::time::Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&stream, at_once).unwrap();
    drop(stream);
    server.wait_for("the close", || server.state.telemetry.line_connections.open.get() == 0);
    assert_eq!(database.stats().samples, 1);
}

#[test]
fn connections_beyond_the_limit_are_informed_and_counted() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("max_connections", "1")]);
    let _first = connect(server.tcp.unwrap());
    server.wait_for("the first", || server.state.telemetry.line_connections.open.get() == 1);
    let mut second = connect(server.tcp.unwrap());
    let shown = read_to_end(&mut second);
    assert!(shown.is_empty() || shown == "error: too many connections (max_connections)\n", "{shown}");
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("barograph_line_connections_refused_total 1\n"), "{metrics}");
}

fn send_tcp(address: SocketAddr, lines: &str) {
    connect(address).write_all(lines.as_bytes()).unwrap();
}

fn send_udp(address: SocketAddr, lines: &str) {
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(lines.as_bytes(), address).unwrap();
}

#[test]
fn lines_have_the_precision_of_the_setting_and_http_has_its_own() {
    for (unit, time, nanoseconds) in [
        ("ns", "1764112350123456789", "1764112350123456789"),
        ("us", "1764112350123456", "1764112350123456000"),
        ("ms", "1764112350123", "1764112350123000000"),
        ("s", "1764112350", "1764112350000000000"),
        ("m", "29401872", "1764112320000000000"),
        ("h", "490031", "1764111600000000000"),
        ("auto", "1764112350", "1764112350000000000"),
        ("auto", "1764112350123", "1764112350123000000"),
        ("auto", "1764112350123456789", "1764112350123456789"),
    ] {
        let listen = [("tcp_listen", "127.0.0.1:0"), ("udp_listen", "127.0.0.1:0"), ("line_precision", unit)];
        let server = server(&listen);
        send_tcp(server.tcp.unwrap(), &format!("t value=1 {time}\n"));
        send_udp(server.udp.unwrap(), &format!("u value=1 {time}"));
        server.wait_for(unit, || server.export("{__name__=~\"t|u\"}").lines().count() == 2);
        assert_eq!(server.export("t"), format!("t value=1 {nanoseconds}\n"), "{unit}");
        assert_eq!(server.export("u"), format!("u value=1 {nanoseconds}\n"), "{unit}");
        server.write("h value=1 1764112350123456789");
        assert_eq!(
            server.export("h"),
            "h value=1 1764112350123456789\n",
            "HTTP means ns where nothing is said"
        );
        for origin in [Origin::Http, Origin::Tcp, Origin::Udp] {
            assert_eq!(server.state.telemetry.ingest(origin).lines_far.get(), 0, "{unit} {origin:?}");
        }
    }
}

#[test]
fn times_far_from_the_clock_are_counted_on_every_way_in() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("udp_listen", "127.0.0.1:0")]);
    let now = barograph_server::clock::now_ns();
    let (seconds, milliseconds) = (now / 1_000_000_000, now / 1_000_000);
    for target in ["/write", "/write?db=x&precision=ns", "/api/v2/write?bucket=x", "/write?precision=ms"] {
        let body = format!("h value=1 {seconds}\nh value=2\n");
        assert_eq!(server.send("POST", target, &[], body.as_bytes()).status, 204, "{target}");
    }
    for (target, time) in
        [("/write", now), ("/write?precision=s", seconds), ("/write?precision=ms", milliseconds)]
    {
        assert_eq!(server.send("POST", target, &[], format!("h value=1 {time}").as_bytes()).status, 204);
    }
    send_tcp(
        server.tcp.unwrap(),
        &format!("t value=1 {milliseconds}\nt value=2 {now}\nt value=3 {seconds}\n"),
    );
    send_udp(server.udp.unwrap(), &format!("u value=1 {milliseconds}\nu value=2 {now}"));
    // Lines can be seen before they are counted.
    server.wait_for("counters", || {
        let metrics = server.get("/metrics").text();
        [("http", 4), ("tcp", 2), ("udp", 1), ("remote_write", 0)].iter().all(|(origin, lines)| {
            metrics.contains(&format!("barograph_ingest_lines_far_total{{origin=\"{origin}\"}} {lines}\n"))
        })
    });
    assert_eq!((server.export("t").lines().count(), server.export("u").lines().count()), (3, 2));
}
