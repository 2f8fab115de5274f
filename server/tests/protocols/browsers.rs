//! Pages in a browser on the machine of a server without tokens: by their own name, by another's, and by a form.

use std::io::Write;

use barograph_server::http::auth::generate;

use crate::harness::{Reply, Server, read_reply, server};

fn send(server: &Server, line: &str, fields: &str, body: &str) -> Reply {
    let mut stream = server.connect();
    let length = body.len();
    stream
        .write_all(format!("{line} HTTP/1.1\r\n{fields}content-length: {length}\r\n\r\n{body}").as_bytes())
        .unwrap();
    read_reply(&mut stream, line.starts_with("HEAD"))
}

const REQUESTS: [(&str, &str); 7] = [
    ("GET /api/v1/query?query=m", ""),
    ("GET /", ""),
    ("GET /metrics", ""),
    ("POST /write", "m value=2 2"),
    ("POST /api/v2/write?bucket=b", "m value=2 2"),
    ("GET /query?q=CREATE+DATABASE+x", ""),
    ("POST /api/v1/admin/tsdb/delete_series?match[]=m", ""),
];

/// A page at a name of its own that was made to point to 127.0.0.1.
#[test]
fn dns_rebinding_reaches_nothing() {
    let mut server = server(&[("host_allow", "metrics.lan, other"), ("enable_admin", "true")]);
    let local = "host: localhost:10130\r\n";
    assert_eq!(send(&server, "POST /write", local, "m value=1 1").status, 204);
    for (line, body) in REQUESTS {
        for host in ["evil.example", "evil.example:10130", "127.0.0.1.evil.example"] {
            let reply = send(&server, line, &format!("host: {host}\r\n"), body);
            assert_eq!(reply.status, 421, "{line} {host}: {}", reply.text());
            assert!(
                reply.text().contains("host_allow") && reply.text().contains("token_file"),
                "{}",
                reply.text()
            );
        }
    }
    let export = |host: &str| send(&server, "GET /api/v1/export?match[]=m", &format!("host: {host}\r\n"), "");
    for host in ["127.0.0.1", "[::1]:10130", "LocalHost", "metrics.lan", "other:80"] {
        assert_eq!(export(host).text(), "m value=1 1\n", "{host}");
    }
    assert_eq!(send(&server, "GET /-/healthy", "", "").status, 200, "no browser leaves it out");
    server.reload(&[("host_allow", "")]);
    assert_eq!(send(&server, "GET /metrics", "host: metrics.lan\r\n", "").status, 421);
}

#[test]
fn with_tokens_a_host_is_any() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let (token, line) = generate().unwrap();
    writeln!(file, "{line} all").unwrap();
    let server = server(&[("token_file", file.path().to_str().unwrap())]);
    let fields =
        format!("host: metrics.example\r\norigin: https://x.example\r\nauthorization: Bearer {token}\r\n");
    assert_eq!(send(&server, "POST /write", &fields, "m value=1 1").status, 204);
    assert_eq!(send(&server, "GET /api/v1/query?query=m", &fields, "").status, 200);
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let server = server(&[("enable_admin", "true"), ("cors_origin", "https://good\\.example")]);
    let with = |field: &str| format!("host: localhost:1\r\n{field}\r\n");
    assert_eq!(send(&server, "POST /write", &with("origin: http://localhost:1"), "m value=1 1").status, 204);
    for field in ["origin: https://evil.example", "origin: null", "sec-fetch-site: cross-site"] {
        for (line, body) in &REQUESTS[3..] {
            let reply = send(&server, line, &with(field), body);
            assert_eq!(reply.status, 403, "{line} {field}: {}", reply.text());
            assert!(reply.text().contains("cors_origin"), "{}", reply.text());
        }
        let read = send(&server, "GET /api/v1/query?query=m&time=1", &with(field), "");
        assert_eq!(read.status, 200, "what it reads a browser does not show it");
        assert!(!read.headers.contains_key("access-control-allow-origin"));
    }
    let export = server.export("m");
    assert_eq!(export, "m value=1 1\n");
    let good = with("origin: https://good.example");
    assert_eq!(send(&server, "POST /write", &good, "m value=2 2").status, 204);
    assert_eq!(send(&server, "POST /api/v1/admin/tsdb/delete_series?match[]=m", &good, "").status, 204);
    assert_eq!(server.export("m"), "");
}
