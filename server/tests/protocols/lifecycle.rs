//! Coming up, reloading, going down.

use std::io::Write;
use std::net::TcpStream;

use barograph::Database;
use barograph_server::app;
use barograph_server::config::Sources;

use crate::harness::{read_reply, read_to_end, server, server_without_database};

#[test]
fn before_the_database_is_open_only_health_answers() {
    let server = server_without_database(&[]);
    assert_eq!(server.get("/-/healthy").status, 200);
    for (method, target) in [
        ("GET", "/-/ready"),
        ("GET", "/api/v1/query?query=1"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/status/buildinfo"),
        ("POST", "/write"),
    ] {
        let reply = server.send(method, target, &[], b"a value=1 1");
        assert_eq!(reply.status, 503, "{target}");
        assert!(reply.headers.contains_key("retry-after"));
    }
    assert_eq!(server.get("/health").json()["status"], "fail");
    server.state.set_database(Database::in_memory(Default::default()).unwrap());
    assert_eq!(server.get("/-/ready").status, 200);
    assert_eq!(server.send("HEAD", "/-/ready", &[], b"").status, 200);
}

#[test]
fn a_running_request_is_finished_on_shutdown() {
    let mut server = server(&[]);
    let mut stream = server.connect();
    let mut idle = server.connect();
    idle.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut idle, false).status, 204);
    stream.write_all(b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\na val").unwrap();
    server.wait_for("the request", || server.state.telemetry.requests_running.get() == 1);
    let address = server.address;
    let finish = std::thread::spawn(move || {
        while TcpStream::connect(address).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        stream.write_all(b"ue=1 1").unwrap();
        read_reply(&mut stream, false).status
    });
    server.stop();
    assert_eq!(finish.join().unwrap(), 204);
    assert_eq!(read_to_end(&mut idle), "", "idle connections are closed");
}

#[test]
fn shutdown_does_not_wait_for_ever() {
    let mut server = server(&[("shutdown_timeout", "20ms")]);
    let mut stream = server.connect();
    stream.write_all(b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\na val").unwrap();
    server.wait_for("the request", || server.state.telemetry.requests_running.get() == 1);
    server.stop();
}

#[test]
fn a_reload_changes_what_may_change() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let server = server(&[]);
    assert_eq!(server.send("POST", "/api/v1/admin/tsdb/flush", &[], b"").status, 500);
    std::fs::write(file.path(), "enable_admin = true\nmax_body = \"1KiB\"\nmax_line = 512\n").unwrap();
    let mut sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    for key in ["listen", "host_allow", "self_interval", "shutdown_timeout"] {
        sources.flags.insert(key, server.state.config.load().texts[key].clone());
    }
    app::reload(&server.state, &sources);
    assert_eq!(server.send("POST", "/api/v1/admin/tsdb/flush", &[], b"").status, 204);
    assert_eq!(server.send("POST", "/write", &[], &[b'#'; 2000]).status, 413);
    assert_eq!(server.state.config.load().max_line, 65_536, "this one waits for a restart");
    std::fs::write(file.path(), "max_bodi = 1\n").unwrap();
    app::reload(&server.state, &sources);
    assert!(server.state.config.load().enable_admin, "a bad file changes nothing");
}

#[test]
fn the_server_watches_itself() {
    let server = server(&[("self_interval", "1s")]);
    server.wait_for("its own metrics", || !server.series("barograph_uptime_seconds").is_empty());
    let series = &server.series("barograph_uptime_seconds")[0];
    assert_eq!(series["job"], "barograph");
}
