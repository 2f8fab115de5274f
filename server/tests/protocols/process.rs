//! The program as a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::harness::{connect, read_reply, request};

/// The program, under limits of open files.
pub struct Program {
    child: Child,
    /// Where it listens.
    pub address: String,
    dir: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one after `limit`, a command of the shell, and waits until it is ready.
pub fn program(limit: &str, flags: &[&str]) -> Program {
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
    Program { child, address, dir }
}

/// One request on a connection of its own: status and text.
pub fn ask(address: &str, method: &str, target: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(address.parse().unwrap());
    stream.write_all(&request(method, target, &[], body)).unwrap();
    let reply = read_reply(&mut stream, false);
    (reply.status, reply.text())
}

#[test]
fn in_memory_everything_works_and_nothing_is_stored() {
    let program = program("true", &["--in-memory", "--enable-admin"]);
    let ask = |method: &str, target: &str, body: &[u8]| ask(&program.address, method, target, body);
    let (status, text) = ask("GET", "/-/ready", b"");
    assert_eq!((status, text.contains("Nothing is stored")), (200, true), "{text}");
    assert_eq!(ask("POST", "/write", b"m v=7 1000000000").0, 204);
    let (status, answer) = ask("GET", "/api/v1/query?query=m_v&time=2", b"");
    assert_eq!((status, answer.contains("\"7\"")), (200, true), "{answer}");
    let (status, refused) = ask("POST", "/api/v1/admin/tsdb/snapshot", b"");
    assert_eq!((status, refused.contains("no snapshots")), (422, true), "{refused}");
    assert_eq!(std::fs::read_dir(program.dir.path()).unwrap().count(), 0, "no data directory");
}
