//! Compressed bodies and answers.

use std::io::Read;

use crate::harness::{gzip, server};

const GZIP: (&str, &str) = ("content-encoding", "gzip");

#[test]
fn gzip_bodies_are_read() {
    let server = server(&[]);
    assert_eq!(server.send("POST", "/write", &[GZIP], &gzip(b"cpu value=1 1\n")).status, 204);
    assert_eq!(
        server.send("POST", "/write", &[("content-encoding", "identity")], b"cpu value=2 2\n").status,
        204
    );
    assert_eq!(server.export("cpu"), "cpu value=1 1\ncpu value=2 2\n");
}

#[test]
fn bombs_end_at_the_limit() {
    let server = server(&[("max_body_decoded", "1MiB")]);
    let bomb = gzip(&vec![b'\n'; 64 << 20]);
    assert!(bomb.len() < 128 << 10, "a good bomb is small: {}", bomb.len());
    let reply = server.send("POST", "/write", &[GZIP], &bomb);
    assert_eq!(reply.status, 413);
    assert!(reply.text().contains("1MiB"), "{}", reply.text());
    let nested = server.send("POST", "/write", &[GZIP], &gzip(&bomb));
    assert_eq!(nested.status, 400, "a bomb inside gzip is not unpacked, and is no line protocol");
    server.write("cpu value=1 1\n");
}

#[test]
fn texts_to_scrape_are_gzipped_for_those_who_take_it() {
    let server = server(&[]);
    let lines: String = (0..200).map(|i| format!("m,i=i{i} value=1\n")).collect();
    server.write(&lines);
    for target in ["/metrics", "/federate?match[]=m"] {
        let reply = server.send("GET", target, &[("accept-encoding", "gzip")], b"");
        assert_eq!((reply.status, reply.headers["content-encoding"].as_str()), (200, "gzip"), "{target}");
        assert!(reply.headers["content-type"].starts_with("text/plain"), "{target}");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&reply.body[..]), &mut text).unwrap();
        assert!(text.starts_with("# "), "{text}");
        assert!(text.len() > 2 * reply.body.len());
        assert!(!server.get(target).headers.contains_key("content-encoding"), "{target}");
    }
}

#[test]
fn other_encodings_are_415() {
    let server = server(&[]);
    for value in ["br", "zstd", "snappy", "deflate", "gzip, gzip", "gzip, identity", "\u{7f}"] {
        let reply = server.send("POST", "/api/v2/write", &[("content-encoding", value)], b"cpu value=1 1");
        assert!(
            reply.status == 415 || (value == "\u{7f}" && reply.status == 400),
            "{value}: {}",
            reply.status
        );
    }
    let twice = server.send("POST", "/write", &[GZIP, GZIP], b"x");
    assert_eq!(twice.status, 415);
    assert_eq!(server.send("POST", "/write", &[GZIP], b"not gzip").status, 400);
}

#[test]
fn large_answers_are_gzipped_for_those_who_take_it() {
    let server = server(&[]);
    let lines: String = (0..200).map(|i| format!("cpu,host=h{i} value=1 1\n")).collect();
    server.write(&lines);
    let target = "/api/v1/series?match[]=cpu";
    let plain = server.get(target);
    assert!(!plain.headers.contains_key("content-encoding"));
    let packed = server.send("GET", target, &[("accept-encoding", "br, gzip;q=0.5")], b"");
    assert_eq!(packed.headers["content-encoding"], "gzip");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let refused = server.send("GET", target, &[("accept-encoding", "gzip;q=0")], b"");
    assert!(!refused.headers.contains_key("content-encoding"));
}
