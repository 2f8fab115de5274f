//! Remote write as senders do it and as enemies do, federation, metadata and exemplars.

use barograph::internals::remote::wire::{put_bytes, put_double, put_integer, put_message};

use crate::harness::{Reply, Server, escape, server};

const SNAPPY: (&str, &str) = ("content-encoding", "snappy");
const ONE: (&str, &str) = ("content-type", "application/x-protobuf");
const TWO: (&str, &str) = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");

fn now_ms() -> i64 {
    barograph_server::clock::now_ns() / 1_000_000
}

pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// Appends the label fields of a series.
pub fn put_labels(out: &mut Vec<u8>, labels: &[(&str, &str)]) {
    for (name, value) in labels {
        put_message(out, 1, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    }
}

pub fn put_sample(out: &mut Vec<u8>, timestamp_ms: i64, value: f64) {
    put_message(out, 2, |out| {
        put_double(out, 1, value);
        put_integer(out, 2, timestamp_ms as u64);
    });
}

/// Appends a version 1 series.
pub fn put_series(out: &mut Vec<u8>, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    put_message(out, 1, |out| {
        put_labels(out, labels);
        samples.iter().for_each(|(t, v)| put_sample(out, *t, *v));
    });
}

pub fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_series(&mut out, labels, samples);
    out
}

impl Server {
    /// Sends a request as it is.
    pub fn remote_raw(&self, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send("POST", "/api/v1/write", headers, body)
    }

    /// Sends a version 1 message.
    pub fn remote(&self, message: &[u8]) -> Reply {
        self.remote_raw(&[SNAPPY, ONE], &snappy(message))
    }

    /// Sends a version 1 message and insists that all is stored.
    pub fn remote_write(&self, message: &[u8]) {
        let reply = self.remote(message);
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
}

#[test]
fn captured_requests_of_prometheus_are_stored() {
    let server = server(&[]);
    let samples = include_bytes!("captured/prometheus-2.42-samples.snappy");
    let metadata = include_bytes!("captured/prometheus-2.42-metadata.snappy");
    for body in [&samples[..], &metadata[..]] {
        let reply = server.remote_raw(
            &[
                SNAPPY,
                ONE,
                ("x-prometheus-remote-write-version", "0.1.0"),
                ("user-agent", "Prometheus/2.42.0"),
            ],
            body,
        );
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    assert_eq!(server.export("up"), UP_CAPTURED);
    assert_eq!(server.series("{job=\"prometheus\"}").len(), SERIES_CAPTURED);
    let described = server.get("/api/v1/metadata").data();
    assert_eq!(described, serde_json::from_str::<serde_json::Value>(METADATA_CAPTURED).unwrap());
}

#[test]
fn refusals_are_reported_in_one_line() {
    let server = server(&[]);
    let now = now_ms();
    let mut message = series(&[("__name__", "up"), ("job", "a")], &[(now, 1.0), (now + 11 * 60_000, 2.0)]);
    put_series(&mut message, &[("__name__", "up"), ("a", "1"), ("a", "2")], &[(now, 1.0)]);
    put_series(&mut message, &[("__name__", "up"), ("", "1")], &[(now, 1.0)]);
    put_series(&mut message, &[("job", "nameless")], &[(now, 1.0)]);
    let reply = server.remote(&message);
    assert_eq!((reply.status, reply.headers["content-type"].as_str()), (400, "text/plain; charset=utf-8"));
    let text = reply.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [
        "partial write: 4 refused, 1 stored",
        "series 1 up{job=\"a\"}: timestamp",
        "more than 10 minutes in the future",
        "series 2 {__name__=\"up\", a=\"1\", a=\"2\"}: label name \"a\" occurs twice",
        "series 3 {__name__=\"up\", =\"1\"}: the name of label 2 is empty",
        "series 4 {job=\"nameless\"}: it has no label __name__",
    ] {
        assert!(text.contains(part), "{part:?} not in {text}");
    }
    assert_eq!(server.export("up"), format!("up,job=a value=1 {}\n", now * 1_000_000));
}

#[test]
fn unsorted_and_empty_labels_are_stored_as_prometheus_does() {
    let server = server(&[]);
    let now = now_ms();
    // As a forwarder that adds labels at the end sends it, and as an exporter that leaves a value empty.
    let mut message = series(&[("__name__", "one"), ("z", "2"), ("a", "1")], &[(now, 1.0)]);
    put_series(&mut message, &[("job", "x"), ("service", ""), ("__name__", "one")], &[(now, 2.0)]);
    server.remote_write(&message);
    let mut message = Vec::new();
    for symbol in ["", "__name__", "two", "z", "a", "1"] {
        put_bytes(&mut message, 4, symbol.as_bytes());
    }
    put_message(&mut message, 5, |out| {
        put_bytes(out, 1, &[3, 5, 4, 0, 1, 2]);
        put_sample(out, now, 3.0);
    });
    let reply = server.remote_raw(&[SNAPPY, TWO], &snappy(&message));
    assert_eq!(reply.status, 204, "{}", reply.text());
    let at = now * 1_000_000;
    assert_eq!(server.export("one"), format!("one,a=1,z=2 value=1 {at}\none,job=x value=2 {at}\n"));
    assert_eq!(server.export("two"), format!("two,z=1 value=3 {at}\n"));
}

#[test]
fn version_two_counts_what_is_written() {
    let server = server(&[]);
    let now = now_ms();
    let mut message = Vec::new();
    for symbol in ["", "__name__", "up", "job", "a", "trace_id", "t", "Whether it is up."] {
        put_bytes(&mut message, 4, symbol.as_bytes());
    }
    let series = |out: &mut Vec<u8>, timestamp_ms: i64| {
        put_message(out, 5, |out| {
            put_bytes(out, 1, &[1, 2, 3, 4]);
            put_sample(out, timestamp_ms, 1.0);
            put_message(out, 4, |out| {
                put_bytes(out, 1, &[5, 6]);
                put_double(out, 2, 0.5);
                put_integer(out, 3, now as u64);
            });
            put_message(out, 5, |out| {
                put_integer(out, 1, 2);
                put_integer(out, 3, 7);
            });
        });
    };
    let written = |reply: &Reply| {
        ["samples", "histograms", "exemplars"]
            .map(|what| reply.headers[&format!("x-prometheus-remote-write-{what}-written")].clone())
    };
    series(&mut message, now);
    let reply = server.remote_raw(&[SNAPPY, TWO], &snappy(&message));
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_eq!(written(&reply), ["1", "0", "1"]);
    series(&mut message, now + 3_600_000);
    let reply = server.remote_raw(&[SNAPPY, TWO], &snappy(&message));
    assert_eq!(reply.status, 400);
    assert_eq!(written(&reply), ["1", "0", "2"], "also when something was refused");
    let one = server.remote(&series_of_version_one(now));
    assert!(!one.headers.contains_key("x-prometheus-remote-write-samples-written"));
    // A sender takes an answer without counts for one of version 1: those that store nothing have them too.
    for (body, status) in [(&b"broken"[..], 400), (&[0xff, 0xff, 0xff, 0xff, 0x0f], 413)] {
        let reply = server.remote_raw(&[SNAPPY, TWO], body);
        assert_eq!((reply.status, written(&reply)), (status, ["0"; 3].map(str::to_owned)));
    }
    let reply = server.remote_raw(&[SNAPPY, TWO], &snappy(&[0xff; 64]));
    assert_eq!((reply.status, written(&reply)), (400, ["0"; 3].map(str::to_owned)));

    let described = server.get("/api/v1/metadata?metric=up").data();
    assert_eq!(
        described,
        serde_json::json!({ "up": [{ "type": "gauge", "help": "Whether it is up.", "unit": "" }] })
    );
    let found = server.get("/api/v1/query_exemplars?query=sum(rate(up%5B5m%5D))").data();
    assert_eq!(found[0]["seriesLabels"], serde_json::json!({ "__name__": "up", "job": "a" }));
    let exemplar = &found[0]["exemplars"][0];
    assert_eq!((&exemplar["labels"]["trace_id"], &exemplar["value"]), (&"t".into(), &"0.5".into()));
    assert_eq!(exemplar["timestamp"].as_f64(), Some(now as f64 / 1000.0));
    let none = server.get("/api/v1/query_exemplars?query=up&end=5").data();
    assert_eq!(none, serde_json::json!([]));
}

fn series_of_version_one(now: i64) -> Vec<u8> {
    series(&[("__name__", "up"), ("job", "a")], &[(now, 1.0)])
}

#[test]
fn metadata_is_limited_as_asked() {
    let server = server(&[]);
    let mut message = Vec::new();
    for (family, help) in [("b", "one"), ("a", "one"), ("a", "two")] {
        put_message(&mut message, 3, |out| {
            put_integer(out, 1, 1);
            put_bytes(out, 2, family.as_bytes());
            put_bytes(out, 4, help.as_bytes());
        });
    }
    server.remote_write(&message);
    let entry = |help: &str| serde_json::json!({ "type": "counter", "help": help, "unit": "" });
    let all = server.get("/api/v1/metadata").data();
    assert_eq!(all, serde_json::json!({ "a": [entry("two"), entry("one")], "b": [entry("one")] }));
    assert_eq!(server.get("/api/v1/metadata?limit=1").data(), serde_json::json!({ "a": all["a"] }));
    let newest = server.get("/api/v1/metadata?limit_per_metric=1&metric=a").data();
    assert_eq!(newest, serde_json::json!({ "a": [entry("two")] }));
    assert_eq!(server.get("/api/v1/metadata?metric=c").data(), serde_json::json!({}));
    server.get("/api/v1/metadata?limit=x").error(400, "bad_data");
    let mut long = Vec::new();
    put_message(&mut long, 3, |out| {
        put_bytes(out, 2, b"m");
        put_bytes(out, 4, &[b'x'; 10_000]);
    });
    assert_eq!(server.remote(&long).status, 204, "a description is beside the point of a request");
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("barograph_ingest_metadata_dropped_total{origin=\"remote_write\"} 1"),
        "{metrics}"
    );
}

#[test]
fn types_and_encodings_that_are_not_spoken_are_415() {
    let server = server(&[]);
    let body = snappy(&series_of_version_one(now_ms()));
    for headers in [
        vec![SNAPPY, ("content-type", "application/json")],
        vec![SNAPPY, ("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")],
        vec![("content-encoding", "gzip"), ONE],
        vec![("content-encoding", "zstd"), ONE],
        vec![SNAPPY, SNAPPY, ONE],
        vec![SNAPPY, ("content-type", "application/x-www-form-urlencoded")],
    ] {
        assert_eq!(server.remote_raw(&headers, &body).status, 415, "{headers:?}");
    }
    assert_eq!(server.remote_raw(&[], &body).status, 204, "the oldest senders say nothing");
    assert_eq!(server.get("/api/v1/write").status, 405);
}

/// Two bytes each: a request of 6 MB holds three million.
#[test]
fn empty_descriptions_are_counted_and_cost_little() {
    let server = server(&[]);
    let reply = server.remote(&[0x1a, 0].repeat(3_000_000));
    assert_eq!(reply.status, 204, "{}", reply.text());
    let counters = server.state.telemetry.ingest(barograph_server::telemetry::Origin::RemoteWrite);
    assert_eq!(counters.metadata_dropped.get(), 3_000_000);
}

#[test]
fn hostile_bodies() {
    let server = server(&[("max_body_decoded", "1MiB")]);
    let now = now_ms();
    // False lengths: refused before anything is allocated.
    assert_eq!(server.remote_raw(&[SNAPPY, ONE], &[0xff, 0xff, 0xff, 0xff, 0x0f]).status, 413);
    assert_eq!(server.remote_raw(&[SNAPPY, ONE], &snappy(&vec![0; 2 << 20])).status, 413);
    let whole = snappy(&series_of_version_one(now));
    for body in [&whole[..whole.len() - 1], &[0x80, 0x80, 0x3c, 0], b"up 1", b"", &[0xff; 64]] {
        assert_eq!(server.remote_raw(&[SNAPPY, ONE], body).status, 400, "{body:02x?}");
    }
    let good = series_of_version_one(now);
    for (tail, what) in [
        (&[0x0a, 0x05, 1][..], "a length past the end"),
        (&[0x08, 1], "a wrong wire type"),
        (&[0x0b, 0x0b, 0x0c, 0x0c], "groups"),
        (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "an overlong varint"),
        (&[0x0a, 0x80, 0x80, 0x80, 0x80, 0x08], "2^31 bytes announced"),
        (&[0x00, 0x00], "field number 0"),
        (&[0x22, 0x00], "a symbol of version 2"),
    ] {
        let reply = server.remote(&[&good[..], tail].concat());
        assert_eq!(reply.status, 400, "{what}");
        assert!(reply.text().contains("the protobuf message is broken at byte"), "{what}: {}", reply.text());
    }
    assert_eq!(server.series("up").len(), 0, "a broken request stores nothing");
    let unknown = [&good[..], &[0x92, 0x01, 2, 9, 9, 0x7d, 1, 2, 3, 4]].concat();
    server.remote_write(&unknown);
    let deep = (0..2000).fold(Vec::new(), |inner, _| {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &inner);
        out
    });
    assert_eq!(server.remote(&deep).status, 400, "2000 messages in each other");
    assert_eq!(server.remote(&[0x12, 0].repeat(100_000)).status, 204, "fields that nobody knows");
    assert_eq!(server.series("up").len(), 1);
}

#[test]
fn stale_markers_and_a_million_samples() {
    let server = server(&[]);
    let now = now_ms();
    let stale = f64::from_bits(barograph::STALE_NAN_BITS);
    server.remote_write(&series(
        &[("__name__", "gone"), ("job", "a")],
        &[(now - 2_000, 1.0), (now - 1_000, stale)],
    ));
    let gone = server.get("/api/v1/query?query=gone").data();
    assert_eq!(gone["result"], serde_json::json!([]), "the marker is kept bit for bit");
    let before =
        server.get(&format!("/api/v1/query?query=gone&time={}", (now - 1_500) as f64 / 1000.0)).data();
    assert_eq!(before["result"][0]["value"][1], "1");
    let many: Vec<(i64, f64)> = (0..1_000_000).map(|i| (now - 1_000_000 + i, (i % 7) as f64)).collect();
    server.remote_write(&series(&[("__name__", "many")], &many));
    let count = server
        .get(&format!("/api/v1/query?query=count_over_time(many%5B1h%5D)&time={}", now / 1000 + 1))
        .data();
    assert_eq!(count["result"][0]["value"][1], "1000000");
}

#[test]
fn an_exemplar_that_cannot_be_kept_leaves_the_request_as_it_is() {
    let server = server(&[]);
    let now = now_ms();
    let mut one = Vec::new();
    put_message(&mut one, 1, |out| {
        put_labels(out, &[("__name__", "up")]);
        put_sample(out, now, 1.0);
        put_message(out, 3, |out| {
            put_labels(out, &[("trace_id", &"x".repeat(200))]);
            put_integer(out, 3, now as u64);
        });
    });
    server.remote_write(&one);
    let mut two = Vec::new();
    for symbol in ["", "__name__", "up", "trace_id", &"x".repeat(200)] {
        put_bytes(&mut two, 4, symbol.as_bytes());
    }
    put_message(&mut two, 5, |out| {
        put_bytes(out, 1, &[1, 2]);
        put_sample(out, now + 1, 2.0);
        for refs in [[3, 4], [0, 2], [3, 2]] {
            put_message(out, 4, |out| {
                put_bytes(out, 1, &refs);
                put_integer(out, 3, now as u64);
            });
        }
    });
    let reply = server.remote_raw(&[SNAPPY, TWO], &snappy(&two));
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_eq!(reply.headers["x-prometheus-remote-write-samples-written"], "1");
    assert_eq!(
        reply.headers["x-prometheus-remote-write-exemplars-written"], "1",
        "what is dropped is not written"
    );
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("barograph_ingest_exemplars_dropped_total{origin=\"remote_write\"} 3"),
        "{metrics}"
    );
    assert!(metrics.contains("barograph_ingest_samples_bad_total{origin=\"remote_write\"} 0"), "{metrics}");
}

#[test]
fn limits_that_pass_are_429() {
    let server = server(&[("max_new_series", "1")]);
    let now = now_ms();
    let mut message = Vec::new();
    for i in 0..100 {
        put_series(&mut message, &[("__name__", "up"), ("i", &i.to_string())], &[(now, 1.0)]);
    }
    let reply = server.remote(&message);
    assert_eq!((reply.status, reply.headers["retry-after"].as_str()), (429, "1"));
    assert!(reply.text().contains("(max_new_series); retry later"), "{}", reply.text());
}

#[test]
fn limits_that_do_not_pass_are_400_and_the_rest_is_stored() {
    let server = server(&[("max_series", "1000")]);
    let now = now_ms();
    let mut message = Vec::new();
    for i in 0..1_005 {
        put_series(&mut message, &[("__name__", "up"), ("i", &i.to_string())], &[(now, 1.0)]);
    }
    let reply = server.remote(&message);
    assert_eq!((reply.status, reply.headers.contains_key("retry-after")), (400, false));
    assert!(reply.text().starts_with("partial write: 5 refused, 1000 stored; "), "{}", reply.text());
    assert!(reply.text().contains("1000 active series, the limit (max_series,"), "{}", reply.text());
    assert_eq!(server.series("up").len(), 1000, "the rest is stored; sending it again changes nothing");
    // A sender that repeats on 429 continues with its other metrics: each request of known series is whole.
    server.remote_write(&series(&[("__name__", "up"), ("i", "7")], &[(now + 1, 2.0)]));
}

#[test]
fn federation_gives_the_newest_samples() {
    let server = server(&[]);
    let now = now_ms();
    let stale = f64::from_bits(barograph::STALE_NAN_BITS);
    let mut message = series(&[("__name__", "up"), ("job", "b")], &[(now - 2_000, 1.0), (now - 1_000, 0.0)]);
    put_series(&mut message, &[("__name__", "up"), ("instance", "x"), ("job", "a")], &[(now - 1_000, 1.0)]);
    put_series(&mut message, &[("__name__", "up"), ("job", "gone")], &[(now - 1_000, stale)]);
    put_series(&mut message, &[("__name__", "up"), ("job", "old")], &[(now - 400_000, 1.0)]);
    put_series(&mut message, &[("__name__", "a_total"), ("job", "b")], &[(now - 1_000, 1e21)]);
    server.remote_write(&message);
    let target =
        format!("/federate?match[]={}&match[]={}", escape("{job=~\"a|b|gone|old\"}"), escape("a_total"));
    let reply = server.get(&target);
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let at = now - 1_000;
    assert_eq!(
        reply.text(),
        format!(
            "# TYPE a_total untyped\na_total{{instance=\"\",job=\"b\"}} 1e+21 {at}\n\
             # TYPE up untyped\nup{{instance=\"x\",job=\"a\"}} 1 {at}\nup{{instance=\"\",job=\"b\"}} 0 {at}\n"
        )
    );
    assert_eq!(server.get("/federate").status, 400);
    assert_eq!(server.get("/federate?match[]=sum(up)").status, 400);
}

/// What the captured request says of `up`: line protocol.
const UP_CAPTURED: &str = "\
up,instance=127.0.0.1:19912,job=prometheus value=1 1795711316072000000
up,instance=127.0.0.1:19912,job=prometheus value=1 1795711317072000000
up,instance=127.0.0.1:19912,job=prometheus value=1 1795711318076000000
up,instance=127.0.0.1:19912,job=prometheus value=1 1795711319072000000
up,instance=127.0.0.1:19912,job=prometheus value=1 1795711320072000000
";
/// How many series it has.
const SERIES_CAPTURED: usize = 17;
/// What the captured metadata says.
const METADATA_CAPTURED: &str = r#"{"prometheus_remote_storage_histograms_pending": [{"type": "gauge",
    "help": "The number of histograms pending in the queues shards to be sent to the remote storage.", "unit": ""}]}"#;
