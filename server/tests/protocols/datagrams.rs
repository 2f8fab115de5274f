//! Line protocol over UDP: every datagram that is sent is stored, or counted as lost.

use std::net::UdpSocket;

use barograph::Database;

use crate::harness::{Server, server, server_at_rest, server_without_database};

/// What became of datagrams.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Fate {
    received: u64,
    stored: u64,
    kernel: u64,
    queue: u64,
    storage: u64,
}

fn fate(server: &Server) -> Fate {
    let udp = &server.state.telemetry.udp;
    Fate {
        received: udp.received.get(),
        stored: udp.stored.get(),
        kernel: udp.kernel_drops(),
        queue: udp.dropped_queue.get(),
        storage: udp.dropped_storage.get(),
    }
}

/// Waits until each of `sent` datagrams has met its fate.
fn wait_for_all(server: &Server, sent: u64) -> Fate {
    server.wait_for("all datagrams", || {
        let fate = fate(server);
        fate.received + fate.kernel == sent && fate.stored + fate.queue + fate.storage == fate.received
    });
    fate(server)
}

fn sender() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// A database that is not a server's yet.
fn database() -> Database {
    Database::in_memory(Default::default()).unwrap()
}

/// One line of `length` bytes, a series of its own.
fn line(number: usize, length: usize) -> String {
    let rest = format!(" value={number} 1764112350000000000");
    let name = format!("u,i={number},pad=");
    let pad = "x".repeat(length - name.len() - rest.len());
    format!("{name}{pad}{rest}")
}

#[test]
fn datagrams_are_batches() {
    let server = server(&[("udp_listen", "127.0.0.1:0")]);
    let (socket, target) = (sender(), server.udp.unwrap());
    socket.send_to(b"u value=1 1\nu value=2 2", target).unwrap();
    socket.send_to(b"not a line", target).unwrap();
    socket.send_to(b"", target).unwrap();
    socket.send_to(b"u value=3 3\n", target).unwrap();
    server.wait_for("three samples", || server.export("u").lines().count() == 3);
    assert_eq!(wait_for_all(&server, 4), Fate { received: 4, stored: 4, kernel: 0, queue: 0, storage: 0 });
    let metrics = server.get("/metrics").text();
    for line in [
        "barograph_ingest_lines_bad_total{origin=\"udp\"} 1\n",
        "barograph_ingest_bytes_total{origin=\"udp\"} 45\n",
        "barograph_udp_datagrams_total 4\n",
        "barograph_udp_datagrams_stored_total 4\n",
        "barograph_udp_datagrams_dropped_total{reason=\"kernel\"} 0\n",
        "barograph_udp_queue_bytes 0\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[test]
fn datagrams_that_are_stored_together_stay_apart() {
    let server = server_without_database(&[("udp_listen", "127.0.0.1:0")]);
    let (socket, target) = (sender(), server.udp.unwrap());
    // One sender's datagrams are cut, another's follow; of a series without timestamps every value is kept.
    let datagrams = [
        "c,i=a value=1 17",
        "64\nc,i=b value=2 2",
        "c text=\"never closed",
        "closed\",value=9 9\nc,i=c value=3 3",
        "now value=1",
        "now value=2",
    ];
    for datagram in datagrams {
        socket.send_to(datagram.as_bytes(), target).unwrap();
    }
    server.wait_for("the datagrams", || fate(&server).received == 6);
    server.state.set_database(database());
    wait_for_all(&server, 6);
    assert_eq!(server.export("c"), "c,i=a value=1 17\nc,i=b value=2 2\nc,i=c value=3 3\n");
    let now: Vec<String> = server.export("now").lines().map(|line| line[..11].to_owned()).collect();
    assert_eq!(now, ["now value=1", "now value=2"]);
    assert!(server.get("/metrics").text().contains("barograph_ingest_lines_bad_total{origin=\"udp\"} 3\n"));
}

#[test]
fn what_does_not_fit_the_queue_is_counted() {
    let server = server_without_database(&[("udp_listen", "127.0.0.1:0"), ("udp_queue", "128KiB")]);
    let (socket, target) = (sender(), server.udp.unwrap());
    for number in 0..2_000 {
        socket.send_to(line(number, 500).as_bytes(), target).unwrap();
        // The smallest buffer that a system grants holds these: the queue alone is too small.
        if number % 50 == 49 {
            server.wait_for("the datagrams", || fate(&server).received == number as u64 + 1);
        }
    }
    let held = server.state.memory.datagrams.used();
    assert!((100_000..=128 * 1024).contains(&held), "{held}");
    server.state.set_database(database());
    let fate = wait_for_all(&server, 2_000);
    assert!(fate.queue > 1_000 && fate.stored > 100 && fate.storage + fate.kernel == 0, "{fate:?}");
    assert_eq!(server.export("u").lines().count() as u64, fate.stored);
}

#[test]
fn what_waits_counts_as_memory_and_is_dropped_where_there_is_none() {
    let server = server_without_database(&[("udp_listen", "127.0.0.1:0")]);
    let datagrams = &server.state.memory.datagrams;
    let (socket, target) = (sender(), server.udp.unwrap());
    socket.send_to(line(1, 1000).as_bytes(), target).unwrap();
    server.wait_for("its memory", || datagrams.used() >= 1000);
    datagrams.set_limit(datagrams.used());
    socket.send_to(line(2, 1000).as_bytes(), target).unwrap();
    server.wait_for("the second", || server.state.telemetry.udp.dropped_queue.get() == 1);
    server.state.set_database(database());
    let expected = Fate { received: 2, stored: 1, kernel: 0, queue: 1, storage: 0 };
    assert_eq!(wait_for_all(&server, 2), expected);
    server.wait_for("all memory", || datagrams.used() == 0);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let mut server = server_at_rest(&[("udp_listen", "127.0.0.1:0"), ("udp_buffer", "4KiB")]);
    let (socket, target) = (sender(), server.udp.unwrap());
    for number in 0..500 {
        socket.send_to(line(number, 100).as_bytes(), target).unwrap();
    }
    server.start();
    server.state.set_database(database());
    for number in 500..510 {
        socket.send_to(line(number, 100).as_bytes(), target).unwrap();
    }
    let fate = wait_for_all(&server, 510);
    assert!(fate.kernel > 400 && fate.stored > 0 && fate.queue + fate.storage == 0, "{fate:?}");
    assert_eq!(server.export("u").lines().count() as u64, fate.stored);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("barograph_udp_buffer_bytes 4096\n"), "{metrics}");
}

#[test]
fn what_waits_when_the_server_stops_is_stored() {
    // Some wait in the socket: nothing was taken from it before the stop.
    let mut server = server_at_rest(&[("udp_listen", "127.0.0.1:0"), ("udp_buffer", "256KiB")]);
    let (socket, target) = (sender(), server.udp.unwrap());
    for number in 0..200 {
        socket.send_to(line(number, 100).as_bytes(), target).unwrap();
    }
    server.start();
    let stored = database();
    server.state.set_database(stored.clone());
    server.stop();
    assert_eq!(fate(&server), Fate { received: 200, stored: 200, kernel: 0, queue: 0, storage: 0 });
    assert_eq!(stored.stats().samples, 200);

    // Others wait in the queue.
    let mut server = server_without_database(&[("udp_listen", "127.0.0.1:0")]);
    for number in 0..200 {
        socket.send_to(line(number, 100).as_bytes(), server.udp.unwrap()).unwrap();
    }
    server.wait_for("the datagrams", || fate(&server).received == 200);
    let stored = database();
    server.state.set_database(stored.clone());
    server.stop();
    assert_eq!(fate(&server), Fate { received: 200, stored: 200, kernel: 0, queue: 0, storage: 0 });
    assert_eq!(stored.stats().samples, 200);
}

#[test]
fn what_no_database_takes_is_counted() {
    let mut server = server_without_database(&[("udp_listen", "127.0.0.1:0")]);
    for number in 0..20 {
        sender().send_to(line(number, 100).as_bytes(), server.udp.unwrap()).unwrap();
    }
    server.wait_for("the datagrams", || fate(&server).received == 20);
    server.stop();
    assert_eq!(fate(&server), Fate { received: 20, stored: 0, kernel: 0, queue: 0, storage: 20 });
}

#[test]
fn the_largest_datagrams_are_whole() {
    for (address, length) in [("127.0.0.1:0", 65_507), ("[::1]:0", 65_527)] {
        let Ok(socket) = UdpSocket::bind(address) else {
            println!("SKIPPED: no {address} on this machine");
            continue;
        };
        let server = server(&[("udp_listen", address)]);
        let mut datagram: String =
            (2..1_702).map(|i| format!("u,i={i:04} value=1 1764112350000000000\n")).collect();
        let one = line(1, length - datagram.len());
        datagram.push_str(&one);
        assert_eq!(socket.send_to(datagram.as_bytes(), server.udp.unwrap()).unwrap(), length);
        wait_for_all(&server, 1);
        let exported = server.export("u");
        assert_eq!(exported.lines().count(), 1_701, "{address}");
        assert!(exported.contains(&one), "{address}: the last line is whole");
    }
}
