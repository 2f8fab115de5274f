//! Addresses as clients write them: unescaped, long, malformed; on connections that carry other
//! requests too. Whatever is refused before it is a request gets an answer with a body.

use std::io::Write;

use crate::harness::{Server, escape, read_reply, read_to_end, request, server};

/// Sends bytes and gives all that comes back until the server closes.
fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = server.connect();
    stream.write_all(bytes).unwrap();
    read_to_end(&mut stream)
}

/// The statuses of the replies in an answer.
fn statuses(answer: &str) -> Vec<&str> {
    let status = |reply: &'_ str| reply.get(..3).is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit()));
    answer.split("HTTP/1.1 ").skip(1).filter(|reply| status(reply)).map(|reply| &reply[..3]).collect()
}

#[test]
fn the_documented_command_of_prometheus_deletes_series() {
    let server = server(&[("enable_admin", "true")]);
    server.write("up value=1 1\nstart,job=prometheus value=1 1\nstart,job=other value=1 1\n");
    // As `curl -X POST -g` sends it.
    let target = "/api/v1/admin/tsdb/delete_series?match[]=up&match[]=start{job=\"prometheus\"}";
    let reply = server.send("POST", target, &[], b"");
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_eq!(server.export("{__name__=~\".+\"}"), "start,job=other value=1 1\n");
}

#[test]
fn what_is_not_escaped_is_escaped_here() {
    let server = server(&[]);
    server.write("m,café=<a>\\ |^`{}\\\\# value=7 1000000000\n");
    for query in [
        "m{\"café\"=~\"<.*\"}",
        "sum(m{\"café\"!=\"\"})>1",
        "m{\"café\"=~\".*#\"}",
        "m{\"café\"=~\".*[|].*`.*\\\\\\\\.*\"}",
    ] {
        let reply = server.get(&format!("/api/v1/query?time=1&query={query}"));
        assert_eq!(reply.data()["result"][0]["value"][1], "7", "{query}: {}", reply.text());
        let escaped = server.get(&format!("/api/v1/query?time=1&query={}", escape(query)));
        assert_eq!(escaped.text(), reply.text());
    }
    let values = server.get("/api/v1/label/café/values").data();
    assert_eq!(values[0], "<a> |^`{}\\\\#");
    // A byte of Latin-1 is escaped unchanged, and then is not valid UTF-8.
    let answer = exchange(&server, b"GET /api/v1/query?query=caf\xe9 HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("not UTF-8 after byte 3"), "{answer}");
    // An address with a host in it, as a proxy gets it.
    let absolute = server.get("http://test:1/api/v1/query?time=1&query=m{\"café\"!=\"\"}");
    assert_eq!(absolute.data()["result"][0]["value"][1], "7");
}

/// Addresses are escaped on each request of a connection, and bodies between them pass as they
/// are, whatever they look like.
#[test]
fn a_connection_carries_bodies_and_unescaped_addresses() {
    let server = server(&[]);
    let trap = "GET /\"<é>{ HTTP/1.1";
    let line = |name: &str| format!("{name} text=\"\\\"\r\n\r\n{}\r\n\r\n\" 1\n", trap.replace('"', "\\\""));
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let ask = "GET /api/v1/events?match[]={__name__=\"a_text\"} HTTP/1.1\r\n\r\n";
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&request("POST", "/write?x=\"", &[], line("a").as_bytes()));
    bytes.extend_from_slice(ask.as_bytes());
    let (first, second) = (&line("b")[..7], &line("b")[7..]);
    bytes.extend_from_slice(b"POST /write?x={ HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
    bytes.extend_from_slice(format!("{}{}0\r\n\r\n", chunk(first), chunk(second)).as_bytes());
    bytes.extend_from_slice(ask.replace("a_text", "b_text").as_bytes());
    bytes.extend_from_slice(&request("GET", "/ping?\"", &[("connection", "close")], b""));
    // At once, as a client that pipelines does, and byte by byte.
    let at_once = exchange(&server, &bytes);
    assert_eq!(statuses(&at_once), ["204", "200", "204", "200", "204"], "{at_once}");
    let mut stream = server.connect();
    for byte in &bytes {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(statuses(&read_to_end(&mut stream)), ["204", "200", "204", "200", "204"]);
    for name in ["a_text", "b_text"] {
        let events = server.get(&format!("/api/v1/events?match[]={name}")).data();
        assert_eq!(events[0]["text"], format!("\"\r\n\r\n{trap}\r\n\r\n"), "{name}");
        assert_eq!(events.as_array().unwrap().len(), 1, "{name}");
    }
}

#[test]
fn addresses_pass_up_to_64_kib() {
    let server = server(&[]);
    let pods: Vec<String> = (0..2000).map(|i| format!("pod-{i:05}")).collect();
    let query = format!("sum(m{{pod=~\"{}\"}})", pods.join("|"));
    assert!(query.len() > 20_000);
    let reply = server.get(&format!("/api/v1/query?query={query}"));
    assert_eq!(reply.status, 200, "{:.300}", reply.text());
    let longest = |length: usize| format!("/api/v1/query?query=1&x={}", "y".repeat(length - 24));
    assert_eq!(server.get(&longest(65_534)).status, 200);
    for length in [65_535, 66_000, 200_000] {
        let reply = server.get(&longest(length));
        let message = reply.error(414, "bad_data");
        assert!(message.contains("(max_url") && message.contains("POST"), "{message}");
        assert_eq!(reply.headers["content-type"], "application/json");
    }
    let escaped = server.get(&format!("/api/v1/query?query={}", "\"".repeat(30_000)));
    assert!(escaped.error(414, "bad_data").contains("POST"));
    let head = server.send("HEAD", &longest(70_000), &[], b"");
    assert_eq!((head.status, head.body.len()), (414, 0));
    for path in ["query", "series", "label/a/values"] {
        let form = format!("query=1&match[]=m&x={}", "y".repeat(100_000));
        assert_eq!(server.form(&format!("/api/v1/{path}"), &form).status, 200, "{path}");
    }
}

#[test]
fn the_lengths_of_a_head_have_settings() {
    let server = server(&[("max_url", "1KiB"), ("max_header", "2KiB")]);
    let message = server.get(&format!("/api/v1/query?query={}", "1".repeat(2_000))).error(414, "bad_data");
    assert!(message.contains("the limit is 1KiB (max_url"), "{message}");
    let large = server.send("GET", "/ping", &[("x-large", &"x".repeat(2_100))], b"");
    assert_eq!(large.status, 431);
    assert!(large.json()["error"].as_str().unwrap().contains("2KiB (max_header)"), "{}", large.text());
    assert_eq!(server.send("GET", "/ping", &[("x-large", &"x".repeat(1_900))], b"").status, 204);
    let many: Vec<(String, &str)> = (0..200).map(|i| (format!("x{i}"), "")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let many = server.send("GET", "/ping", &many, b"");
    assert!(many.status == 431 && many.text().contains("100 fields, a fixed limit"), "{}", many.text());
}

/// In the words that the clients of each path know.
#[test]
fn each_refusal_before_a_handler_has_a_body() {
    let server = server(&[]);
    for (bytes, status, part) in [
        (&b"GET /api/v1/query?query=a b HTTP/1.1\r\n\r\n"[..], 400, "escape it as %20"),
        (b"GET /api/v1/query\r\n", 400, "no HTTP version"),
        (b"GET / HTTP/2.5\r\n\r\n", 400, "neither HTTP/1.1 nor HTTP/1.0"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "TLS"),
        (b"POST /write HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400, "Content-Length"),
        (b"POST /write HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400, "differ"),
        (b"POST /write HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 400, "Transfer-Encoding"),
        (b"POST /write HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n", 400, "exclude"),
        (b"GET / HTTP/1.1\r\nbad name: 1\r\n\r\n", 400, "malformed"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/1.1 only"),
    ] {
        let shown = String::from_utf8_lossy(bytes);
        let answer = exchange(&server, bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{shown:?}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(body.contains(part), "{shown:?}: {answer}");
        assert_eq!(statuses(&answer), [status.to_string()], "{answer}");
    }
    let influx2 = exchange(&server, b"POST /api/v2/write?a b HTTP/1.1\r\n\r\n");
    assert!(influx2.contains("{\"code\":\"invalid\",\"message\":"), "{influx2}");
    let influx1 = exchange(&server, b"POST /write?a b HTTP/1.1\r\n\r\n");
    assert!(influx1.contains("\r\n\r\n{\"error\":"), "{influx1}");
    // A refusal is answered in its turn, and nothing after it is.
    let both =
        exchange(&server, b"GET /ping HTTP/1.1\r\n\r\nGET /a b HTTP/1.1\r\n\r\nGET /ping HTTP/1.1\r\n\r\n");
    assert_eq!(statuses(&both), ["204", "400"], "{both}");
}

/// A server that closes with bytes unread resets the connection, and the answer may be lost: so
/// the rest of what is refused is taken first.
#[test]
fn the_answer_to_what_is_too_large_arrives() {
    let server = server(&[("max_body", "1KiB")]);
    let message =
        server.form("/api/v1/query", &format!("query={}", "x".repeat(8 << 20))).error(413, "bad_data");
    assert!(message.contains("query_max_bytes"), "{message}");
    let lines = "a value=1 1\n".repeat(700_000);
    let reply = server.send("POST", "/write", &[], lines.as_bytes());
    assert!(reply.status == 413 && reply.text().contains("(max_body)"), "{}", reply.text());
    let mut chunked = server.connect();
    let head = "POST /write HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    chunked.write_all(format!("{head}{:x}\r\n{lines}\r\n0\r\n\r\n", lines.len()).as_bytes()).unwrap();
    assert_eq!(read_reply(&mut chunked, false).status, 413);
    let reply = server.get(&format!("/api/v1/query?query={}", "x".repeat(4 << 20)));
    reply.error(414, "bad_data");
}
