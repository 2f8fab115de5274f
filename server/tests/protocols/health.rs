//! What `/-/healthy`, `/-/ready` and `/health` say of a database on a disk that fails.
#![cfg(feature = "rocksdb")]

use barograph::Database;
use barograph_server::app;

use crate::harness::{Server, server_without_database};

/// A server over a directory, with a sample in memory.
fn on_disk() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = server_without_database(&[("enable_admin", "true")]);
    let options = app::options(&server.state.config.load());
    server.state.set_database(Database::open_with(dir.path(), options).unwrap());
    server.write("a value=1 1\n");
    for path in ["/-/healthy", "/-/ready", "/health"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    (dir, server)
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn a_server_that_refuses_writes_until_a_restart_is_neither_healthy_nor_ready() {
    let (dir, server) = on_disk();
    assert_eq!(metric(&server, "barograph_db_wal_poisoned"), 0.0);
    std::fs::remove_dir_all(dir.path().join("wal")).unwrap();
    assert_eq!(server.send("POST", "/write", &[], b"a value=2 2\n").status, 503);
    for path in ["/-/healthy", "/-/ready"] {
        let why = server.get(path).error(503, "unavailable");
        assert!(
            why.contains("fsync of the log failed") && why.contains("restart the server"),
            "{path}: {why}"
        );
    }
    let health = server.get("/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("fail")));
    assert!(health.json()["message"].as_str().is_some_and(|why| why.contains("fsync of the log")));
    assert_eq!(metric(&server, "barograph_db_wal_poisoned"), 1.0);
    assert_eq!(server.export("a"), "a value=1 1\n", "it is still read");
}

#[test]
fn flushes_that_fail_are_named_until_one_succeeds() {
    let (dir, server) = on_disk();
    let flush = || server.send("POST", "/api/v1/admin/tsdb/flush", &[], b"").status;
    let staging = dir.path().join("staging");
    std::fs::remove_dir_all(&staging).unwrap();
    assert_eq!(flush(), 503);
    let healthy = server.get("/-/healthy");
    assert!(
        healthy.status == 200 && healthy.text().contains("Flushes have failed for "),
        "{}",
        healthy.text()
    );
    assert!(metric(&server, "barograph_db_flush_failures_total") >= 1.0);
    server.write("a value=2 2\n");
    std::fs::create_dir(&staging).unwrap();
    assert_eq!(flush(), 204);
    assert_eq!(server.get("/-/healthy").text(), "Barograph is healthy.\n");
    assert_eq!(server.export("a"), "a value=1 1\na value=2 2\n");
}
