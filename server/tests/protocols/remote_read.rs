//! Remote read: both forms, limits, clients that go away.

use std::io::{Read, Write};
use std::net::TcpStream;

use barograph::internals::remote::histogram;
use barograph::internals::remote::wire::{Field, Fields, put_bytes, put_integer, put_message};
use barograph::{Histogram, Span};
use barograph_server::admission::Kind;
use barograph_server::remote_read::bits::crc32c;

use crate::harness::{Reply, Server, read_reply, request, server};
use crate::remote::{put_labels, put_sample, put_series, series, snappy};

/// Matchers by their number on the wire.
pub type Matchers<'a> = &'a [(u64, &'a str, &'a str)];

pub fn put_query(out: &mut Vec<u8>, start_ms: i64, end_ms: i64, matchers: Matchers<'_>) {
    put_message(out, 1, |out| {
        put_integer(out, 1, start_ms as u64);
        put_integer(out, 2, end_ms as u64);
        for (kind, name, value) in matchers {
            put_message(out, 3, |out| {
                put_integer(out, 1, *kind);
                put_bytes(out, 2, name.as_bytes());
                put_bytes(out, 3, value.as_bytes());
            });
        }
    });
}

pub fn query(start_ms: i64, end_ms: i64, matchers: Matchers<'_>, forms: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_query(&mut out, start_ms, end_ms, matchers);
    put_bytes(&mut out, 2, forms);
    out
}

impl Server {
    fn read_back(&self, message: &[u8]) -> Reply {
        self.send("POST", "/api/v1/read", &[("content-encoding", "snappy")], &snappy(message))
    }
}

fn fields(bytes: &[u8]) -> Vec<Field<'_>> {
    Fields::new(bytes).collect::<Result<_, _>>().unwrap()
}

fn labels(fields: &[Field<'_>]) -> String {
    let pair = |field: &Field<'_>| {
        let pair: Vec<Field<'_>> = field.message().unwrap().collect::<Result<_, _>>().unwrap();
        let text = |f: &Field<'_>| String::from_utf8(f.bytes().unwrap().to_vec()).unwrap();
        format!("{}={}", text(&pair[0]), text(&pair[1]))
    };
    let pairs: Vec<String> = fields.iter().filter(|f| f.number == 1).map(pair).collect();
    pairs.join(",")
}

type Series = (String, Vec<(i64, f64)>);

/// The results of a sampled answer.
fn sampled(reply: &Reply) -> Vec<Vec<Series>> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/x-protobuf");
    assert_eq!(reply.headers["content-encoding"], "snappy");
    let message = snap::raw::Decoder::new().decompress_vec(&reply.body).unwrap();
    let sample = |field: &Field<'_>| {
        let (mut time, mut value) = (0, 0.0);
        for field in fields(field.bytes().unwrap()) {
            match field.number {
                1 => value = field.double().unwrap(),
                _ => time = field.varint().unwrap() as i64,
            }
        }
        (time, value)
    };
    let one = |field: &Field<'_>| {
        let inner = fields(field.bytes().unwrap());
        (labels(&inner), inner.iter().filter(|f| f.number == 2).map(sample).collect())
    };
    fields(&message).iter().map(|result| fields(result.bytes().unwrap()).iter().map(one).collect()).collect()
}

/// Index of the query, labels, and of each chunk first time, last time and type.
type Frame = (u64, String, Vec<(i64, i64, u64)>);

/// The frames of a stream, checksums checked.
fn streamed(reply: &Reply) -> Vec<Frame> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.headers["content-type"],
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    let mut rest = &reply.body[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut at = 0;
        let length = barograph::internals::varint::read(rest, &mut at).unwrap() as usize;
        let crc = u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
        let message = &rest[at + 4..at + 4 + length];
        assert_eq!(crc32c(message), crc);
        rest = &rest[at + 4 + length..];
        let top = fields(message);
        let inner = fields(top[0].bytes().unwrap());
        let index = top.get(1).map_or(0, |f| f.varint().unwrap());
        let chunk = |field: &Field<'_>| {
            let parts = fields(field.bytes().unwrap());
            let number = |n: u32| parts.iter().find(|f| f.number == n).map_or(0, |f| f.varint().unwrap());
            (number(1) as i64, number(2) as i64, number(3))
        };
        found.push((index, labels(&inner), inner.iter().filter(|f| f.number == 2).map(chunk).collect()));
    }
    found
}

const T: i64 = 1_700_000_000_000;

fn filled() -> Server {
    let server = server(&[]);
    let mut message =
        series(&[("__name__", "up"), ("job", "a")], &[(T, 1.0), (T + 1, 0.0), (T + 2, f64::NAN)]);
    put_series(&mut message, &[("__name__", "up"), ("job", "b")], &[(T + 1, -0.5)]);
    put_series(&mut message, &[("__name__", "down"), ("job", "a")], &[(T + 1, 9.0)]);
    let long: Vec<(i64, f64)> = (0..300).map(|i| (T + i * 15_000, i as f64)).collect();
    put_series(&mut message, &[("__name__", "long")], &long);
    server.remote_write(&message);
    server
}

#[test]
fn samples_come_back_for_each_query() {
    let server = filled();
    let mut message = query(T + 1, T + 2, &[(0, "__name__", "up"), (2, "job", "a|b")], &[]);
    put_query(&mut message, T, T, &[(1, "job", "a")]);
    put_query(&mut message, T, T + 1, &[(3, "__name__", "up|long")]);
    let results = sampled(&server.read_back(&message));
    assert_eq!(results.len(), 3, "one result a query, in order");
    assert_eq!(results[0][0].0, "__name__=up,job=a");
    assert_eq!(results[0][0].1[0], (T + 1, 0.0), "both ends are included");
    assert!(results[0][0].1[1].1.is_nan() && results[0][0].1.len() == 2);
    assert_eq!(results[0][1], ("__name__=up,job=b".to_owned(), vec![(T + 1, -0.5)]));
    assert_eq!(results[1], [("__name__=long".to_owned(), vec![(T, 0.0)])]);
    assert_eq!(results[2], [("__name__=down,job=a".to_owned(), vec![(T + 1, 9.0)])]);
}

#[test]
fn chunks_are_streamed_to_those_who_take_them() {
    let server = filled();
    let mut message = query(T, T + 10_000_000, &[(0, "__name__", "long")], &[1, 0]);
    put_query(&mut message, T, T, &[(0, "__name__", "nothing")]);
    put_query(&mut message, T, T + 2, &[(0, "__name__", "up")]);
    let frames = streamed(&server.read_back(&message));
    let at = |i: i64| T + i * 15_000;
    assert_eq!(
        frames,
        [
            (
                0,
                "__name__=long".to_owned(),
                vec![(at(0), at(119), 1), (at(120), at(239), 1), (at(240), at(299), 1)]
            ),
            (2, "__name__=up,job=a".to_owned(), vec![(T, T + 2, 1)]),
            (2, "__name__=up,job=b".to_owned(), vec![(T + 1, T + 1, 1)]),
        ]
    );
    let empty = server.read_back(&query(T, T, &[(0, "__name__", "nothing")], &[1]));
    assert!(streamed(&empty).is_empty());
}

#[test]
fn histograms_come_back_in_both_forms() {
    let server = server(&[]);
    let sent = Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 6.0,
        sum: 9.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![2.0, 3.0],
        ..Histogram::default()
    };
    let mut message = Vec::new();
    put_message(&mut message, 1, |out| {
        put_labels(out, &[("__name__", "sizes")]);
        put_message(out, 4, |out| histogram::encode(out, &sent, T));
        put_sample(out, T + 1, 2.5);
    });
    server.remote_write(&message);
    let found = server.get(&format!("/api/v1/query?query=sizes&time={}", T / 1000)).data();
    assert_eq!(found["result"][0]["histogram"][1]["count"], "6", "{found}");

    let reply = server.read_back(&query(T, T + 1, &[(0, "__name__", "sizes")], &[0]));
    assert_eq!(sampled(&reply)[0][0].1, [(T + 1, 2.5)]);
    let answer = snap::raw::Decoder::new().decompress_vec(&reply.body).unwrap();
    let inner = fields(fields(fields(&answer)[0].bytes().unwrap())[0].bytes().unwrap());
    let field = inner.iter().find(|f| f.number == 4).expect("a histogram");
    let read = histogram::decode(field.message().unwrap()).unwrap();
    assert_eq!((read.histogram, read.timestamp_ms), (sent, T));

    let frames = streamed(&server.read_back(&query(T, T + 1, &[(0, "__name__", "sizes")], &[1])));
    assert_eq!(frames, [(0, "__name__=sizes".to_owned(), vec![(T, T, 3), (T + 1, T + 1, 1)])]);
}

#[test]
fn limits_are_reported_before_anything_is_sent() {
    let server = server(&[("query_max_samples", "1000"), ("query_max_series", "3")]);
    let long: Vec<(i64, f64)> = (0..1_001).map(|i| (T + i, 1.0)).collect();
    let mut message = series(&[("__name__", "long")], &long);
    for i in 0..4 {
        put_series(&mut message, &[("__name__", "wide"), ("i", &i.to_string())], &[(T, 1.0)]);
    }
    server.remote_write(&message);
    for form in [0, 1] {
        let reply = server.read_back(&query(T, T + 5_000, &[(0, "__name__", "long")], &[form]));
        assert_eq!(reply.status, 400, "form {form}");
        assert!(reply.text().contains("more than 1000 samples"), "{}", reply.text());
        let reply = server.read_back(&query(T, T + 5_000, &[(0, "__name__", "wide")], &[form]));
        assert_eq!(reply.status, 422, "form {form}");
        let fits = server.read_back(&query(T, T + 999, &[(0, "__name__", "long")], &[form]));
        assert_eq!(fits.status, 200, "form {form}");
    }
}

#[test]
fn bad_requests() {
    let server = server(&[]);
    let bad = |message: &[u8], part: &str| {
        let reply = server.read_back(message);
        assert_eq!(reply.status, 400, "{part}");
        assert!(reply.text().contains(part), "{part}: {}", reply.text());
    };
    bad(&query(0, 1, &[(9, "a", "b")], &[]), "query 1, matcher 1: unknown type 9");
    bad(&query(0, 1, &[(2, "a", "(")], &[]), "query 1, matcher 1:");
    bad(b"\x0a\x7f", "broken at byte 2");
    let raw =
        |headers: &[(&str, &str)], body: &[u8]| server.send("POST", "/api/v1/read", headers, body).status;
    assert_eq!(raw(&[("content-encoding", "gzip")], b"x"), 415);
    assert_eq!(raw(&[], b"\xff\xff\xff\xff\x0f"), 413);
    assert_eq!(raw(&[], b"no snappy"), 400);
    assert_eq!(server.get("/api/v1/read").status, 405);
    assert_eq!(sampled(&server.read_back(b"")).len(), 0, "no query, no result");
}

/// A server for one remote read at a time, and a request whose answer is more than the sockets hold.
fn noisy() -> (Server, Vec<u8>) {
    let server = server(&[("query_concurrency", "1")]);
    let mut message = Vec::new();
    for i in 0..400 {
        let noise: Vec<(i64, f64)> =
            (0..2_000i64).map(|t| (T + t * 7, ((t * 7919 + i) as f64).sin())).collect();
        put_series(&mut message, &[("__name__", "noise"), ("i", &i.to_string())], &noise);
    }
    server.remote_write(&message);
    let body = snappy(&query(T, T + 1_000_000, &[(0, "__name__", "noise")], &[1]));
    (server, request("POST", "/api/v1/read", &[], &body))
}

/// A connection on which the answer has begun.
fn begun(server: &Server, request: &[u8]) -> TcpStream {
    let mut connection = server.connect();
    connection.write_all(request).unwrap();
    connection.read_exact(&mut [0; 64]).unwrap();
    connection
}

/// Writes take the memory of bodies too, and must not wait for the turns of reads.
#[test]
fn a_request_that_waits_for_its_turn_holds_no_memory_of_bodies() {
    const LENGTH: usize = 2_000_000;
    let (server, noise) = noisy();
    let unread = begun(&server, &noise);
    let long = query(T, T + 1, &[(0, "job", &"x".repeat(LENGTH))], &[]);
    let mut waiting = server.connect();
    waiting.write_all(&request("POST", "/api/v1/read", &[], &snappy(&long))).unwrap();
    server.wait_for("its wait", || server.state.gates.turns.waiting(Kind::RemoteRead) == 1);
    let bodies = &server.state.bodies;
    assert_eq!((bodies.large.used(), bodies.questions.used()), (0, 0));
    assert!(server.state.memory.queries.used() >= LENGTH as u64);
    drop(unread);
    assert_eq!(sampled(&read_reply(&mut waiting, false)), [Vec::new()], "no series");
    server.wait_for("memory given back", || server.held_by_reads() == 0);
}

/// A read in one piece needs at least 16 bytes for each sample.
#[test]
fn the_samples_of_one_long_series_need_not_fit_the_memory_of_a_read() {
    const SAMPLES: usize = 300_000;
    let server = server(&[("query_memory", "4MiB"), ("query_memory_total", "8MiB")]);
    for first in (0..SAMPLES).step_by(50_000) {
        let lines = (first..first + 50_000).map(|i| format!("long value={i}.5 {i}000000\n"));
        server.write(&lines.collect::<String>());
    }
    let expected: String = (0..SAMPLES).map(|i| format!("long value={i}.5 {}\n", i * 1_000_000)).collect();
    assert!(server.export("long") == expected, "every sample, in order");
    let wanted = [(0, "__name__", "long")];
    let query = |forms: &[u8]| query(0, SAMPLES as i64, &wanted, forms);
    let frames = streamed(&server.read_back(&query(&[1])));
    let mut next = 0;
    for (first, last, _) in frames.into_iter().flat_map(|(_, _, chunks)| chunks) {
        assert_eq!(first, next, "each millisecond has its sample");
        next = last + 1;
    }
    assert_eq!(next, SAMPLES as i64);
    assert_eq!(server.read_back(&query(&[])).status, 422, "an answer in one message has to fit");
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

#[test]
fn a_client_that_goes_away_frees_its_turn() {
    let (server, noise) = noisy();
    for _ in 0..3 {
        drop(begun(&server, &noise));
    }
    server.wait_for("the turn", || server.state.gates.turns.running_in_all() == 0);
    let frames = streamed(&server.read_back(&query(T, T + 1_000_000, &[(0, "__name__", "noise")], &[1])));
    assert_eq!(frames.len(), 400);
}
