//! Remote-write requests against an engine.

use super::*;
use crate::engine::{RemoteRefusal, RemoteReport};
use crate::model::MetricType;
use crate::remote::wire::{put_any_double, put_bytes, put_double, put_integer, put_message};
use crate::remote::{RemoteReason, RemoteVersion};

const NOW: i64 = YEAR_2024 + 1_000 * SECOND;
const NOW_MS: i64 = NOW / 1_000_000;

fn engine(options: Options) -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let engine = Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options, clock).unwrap();
    (dir, engine)
}

/// Appends a version 1 series to a request.
fn put_series(out: &mut Vec<u8>, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    put_message(out, 1, |out| {
        for (name, value) in labels {
            put_message(out, 1, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_bytes(out, 2, value.as_bytes());
            });
        }
        for (timestamp_ms, value) in samples {
            put_message(out, 2, |out| {
                put_double(out, 1, *value);
                put_integer(out, 2, *timestamp_ms as u64);
            });
        }
    });
}

/// A version 1 request of one series.
pub(super) fn one(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_series(&mut out, labels, samples);
    out
}

fn write(engine: &Engine, body: &[u8]) -> RemoteReport {
    engine.write_remote(body, RemoteVersion::One).unwrap()
}

fn stored(engine: &Engine, job: &str) -> Vec<(i64, u64)> {
    let view = engine.view();
    let found = view.select(&[Matcher::equal("job", job)], TimeRange::ALL, 10).unwrap();
    let Some(series) = found.first() else { return Vec::new() };
    let run = view.read(series, TimeRange::ALL).unwrap();
    run.timestamps.iter().map(|t| t / 1_000_000).zip(run.values.iter().map(|v| v.to_bits())).collect()
}

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];

#[test]
fn samples_keep_their_bits_and_may_come_late_and_twice() {
    let (_dir, engine) = engine(options());
    let stale = f64::from_bits(crate::model::STALE_NAN_BITS);
    for _ in 0..2 {
        let report = write(&engine, &one(UP, &[(NOW_MS, stale), (NOW_MS - 5, -0.0), (NOW_MS - 9, 1.5)]));
        assert_eq!((report.samples, report.refused), (3, 0));
    }
    write(&engine, &one(UP, &[(NOW_MS - 9, 2.5)]));
    let expected = [(NOW_MS - 9, 2.5f64), (NOW_MS - 5, -0.0), (NOW_MS, stale)].map(|(t, v)| (t, v.to_bits()));
    assert_eq!(stored(&engine, "a"), expected);
}

#[test]
fn invalid_samples_are_reported_and_the_rest_is_stored() {
    let (_dir, engine) = engine(Options { retention: Duration::from_secs(600), ..options() });
    let future = NOW_MS + 10 * 60 * 1000;
    let mut body =
        one(UP, &[(NOW_MS, 1.0), (future, 2.0), (future + 1, 3.0), (i64::MAX, 4.0), (i64::MIN, 5.0)]);
    put_series(&mut body, &[("job", "a")], &[(NOW_MS, 1.0), (NOW_MS + 1, 1.0)]);
    put_series(&mut body, &[("__name__", "up"), ("job", "b")], &[(NOW_MS, 7.0)]);
    let report = write(&engine, &body);
    assert_eq!((report.samples, report.refused, report.limited), (3, 5, 0));
    let shown: Vec<String> = report.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            format!(
                "series 1 up{{job=\"a\"}}: timestamp {} ms is more than 10 minutes in the future; check the sender's clock",
                future + 1
            ),
            format!(
                "series 1 up{{job=\"a\"}}: timestamp {} ms is more than 10 minutes in the future; check the sender's clock",
                i64::MAX
            ),
            format!("series 1 up{{job=\"a\"}}: timestamp {} ms is out of range", i64::MIN),
            "series 2 {job=\"a\"}: it has no label __name__".to_owned(),
        ]
    );
    assert_eq!(stored(&engine, "b"), [(NOW_MS, 7.0f64.to_bits())]);
    engine.append(&float_batch(3, &[1000])).unwrap();
    let old = write(&engine, &one(UP, &[(NOW_MS - 601_000, 1.0)]));
    assert!(matches!(old.refusals[0].reason, RemoteReason::TooOld { .. }), "{old:?}");
}

#[test]
fn temporary_limits_are_distinguished() {
    let mut body = one(UP, &[(NOW_MS, 1.0)]);
    put_series(&mut body, &[("__name__", "up"), ("job", "b")], &[(NOW_MS, 1.0), (NOW_MS + 1, 1.0)]);
    let (_dir, passes) = engine(Options { new_series_per_second: 1, ..options() });
    let report = write(&passes, &body);
    assert_eq!((report.samples, report.refused, report.limited), (1, 2, 2));
    let (_dir, engine) = engine(Options { active_series: 1, ..options() });
    let report = write(&engine, &body);
    assert_eq!((report.samples, report.refused, report.limited), (1, 2, 0), "{:?}", report.refusals);
    assert!(matches!(report.refusals[0].reason, RemoteReason::Refused { .. }), "{:?}", report.refusals);
    let wide: Vec<(String, String)> = (0..100)
        .map(|i| (format!("l{i:03}"), "x".to_owned()))
        .chain([("__name__".to_owned(), "a".to_owned())])
        .collect();
    let mut wide: Vec<(&str, &str)> = wide.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    wide.sort_unstable();
    let report = write(&engine, &one(&wide, &[(NOW_MS, 1.0)]));
    assert_eq!((report.refused, report.limited), (1, 0), "too many labels never pass: {:?}", report.refusals);
    assert_eq!(
        report.refusals[0].reason.to_string(),
        "it has 101 labels, the limit is 64 (max_labels, Options::labels_per_series); raise it or send fewer"
    );
    let report = write(&engine, &one(&[("__name__", &"x".repeat(65_536))], &[(NOW_MS, 1.0)]));
    assert_eq!(
        report.refusals[0].reason.to_string(),
        "its labels have 65544 bytes, the limit is 65536 (max_label_bytes, Options::label_bytes_per_series); raise it \
         or shorten them"
    );
}

#[test]
fn unsorted_labels_are_one_series_and_found_by_their_bytes() {
    let (_dir, engine) = engine(options());
    let orders = [
        &[("__name__", "up"), ("job", "a")][..],
        &[("job", "a"), ("__name__", "up")],
        &[("__name__", "up"), ("job", "a"), ("empty", "")],
    ];
    for (round, labels) in (0..).zip(orders.iter().chain(&orders)) {
        let report = write(&engine, &one(labels, &[(NOW_MS + round, 1.0)]));
        assert_eq!((report.samples, report.refused), (1, 0), "{labels:?}: {:?}", report.refusals);
        // The second round of each order is answered from its bytes.
        assert_eq!(engine.shared.writer.known().remotes().len() as i64, 3.min(round + 1), "{labels:?}");
    }
    assert_eq!(engine.stats().series_created, 1);
    assert_eq!(stored(&engine, "a").len(), 6);
}

/// Adds an exemplar to a series of version 1.
fn put_exemplar(out: &mut Vec<u8>, labels: &[(&str, &str)], timestamp_ms: i64) {
    put_message(out, 3, |out| {
        for (name, value) in labels {
            put_message(out, 1, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_bytes(out, 2, value.as_bytes());
            });
        }
        put_double(out, 2, 0.5);
        put_integer(out, 3, timestamp_ms as u64);
    });
}

#[test]
fn exemplars_and_metadata_that_cannot_be_kept_are_dropped_and_counted() {
    let (_dir, engine) = engine(Options { retention: Duration::from_secs(3_600), ..options() });
    engine.append(&float_batch(3, &[1000])).unwrap();
    let mut body = Vec::new();
    put_message(&mut body, 1, |out| {
        let mut series = one(UP, &[(NOW_MS, 1.0)]);
        // Without the tag and the length of the series.
        out.extend(series.drain(2..));
        put_exemplar(out, &[("trace_id", &"x".repeat(121))], NOW_MS);
        put_exemplar(out, &[("", "x")], NOW_MS);
        put_exemplar(out, &[("a", "1"), ("a", "2")], NOW_MS);
        put_exemplar(out, &[("trace_id", "future")], NOW_MS + 601_000);
        put_exemplar(out, &[("trace_id", "old")], NOW_MS - 3_601_000);
        put_exemplar(out, &[("trace_id", "kept"), ("span", "")], NOW_MS);
        put_exemplar(out, &[("trace_id", &"y".repeat(120))], NOW_MS);
    });
    for (family, help) in [("up", 8_193), ("", 1), ("down", 8_192)] {
        put_message(&mut body, 3, |out| {
            put_bytes(out, 2, family.as_bytes());
            put_bytes(out, 4, &vec![b'h'; help]);
        });
    }
    let report = write(&engine, &body);
    assert_eq!((report.samples, report.refused, report.exemplars), (1, 0, 2), "{report:?}");
    assert_eq!((report.exemplars_dropped, report.metadata_dropped), (5, 2), "{:?}", report.drops);
    let shown: Vec<String> = report.drops.iter().map(ToString::to_string).collect();
    for (text, part) in shown.iter().zip([
        "series 1 up{job=\"a\"}: series up{job=\"a\"}: an exemplar with labels of 129 characters, the limit is 128",
        "series 1 up{job=\"a\"}: exemplar: the name of label 1 is empty",
        "series 1 up{job=\"a\"}: exemplar: label name \"a\" occurs twice",
        "more than 10 minutes in the future",
        "older than the retention",
        "metadata of \"up\": a help text of 8193 bytes, the limit is 8192",
        "metadata without a metric name",
    ]) {
        assert!(text.contains(part), "{part:?} not in {text}");
    }
    let found = engine.exemplars(&[vec![Matcher::equal("job", "a")]], TimeRange::ALL).unwrap();
    let labels: Vec<usize> = found[0].1.iter().map(|exemplar| exemplar.labels.len()).collect();
    assert_eq!(labels, [1, 1], "the label without a value is left out");
    assert_eq!(engine.metadata(None).unwrap().len(), 1);
}

/// Two bytes of a request may be a refusal, so a request may have millions.
#[test]
fn no_message_is_made_of_a_refusal_that_is_not_kept() {
    let (mut list, mut made) = (Vec::new(), 0);
    for number in 0..1_000_000 {
        RemoteReport::note(&mut list, || {
            made += 1;
            RemoteRefusal { number, name: String::new(), reason: RemoteReason::Empty }
        });
    }
    assert_eq!((list.len(), made), (RemoteReport::REFUSALS_MAX, RemoteReport::REFUSALS_MAX));
}

#[test]
fn references_that_lead_nowhere_are_refused_whatever_they_belong_to() {
    let (_dir, engine) = engine(options());
    let mut body = Vec::new();
    ["", "__name__", "up", "job", "a"].iter().for_each(|s| put_bytes(&mut body, 4, s.as_bytes()));
    put_message(&mut body, 5, |out| {
        put_bytes(out, 1, &[1, 2, 3, 4]);
        put_message(out, 2, |out| put_integer(out, 2, NOW_MS as u64));
        put_message(out, 4, |out| put_bytes(out, 1, &[3, 9]));
        put_message(out, 4, |out| put_bytes(out, 1, &[3]));
        put_message(out, 5, |out| put_integer(out, 3, 9));
    });
    let report = engine.write_remote(&body, RemoteVersion::Two).unwrap();
    assert_eq!((report.samples, report.refused, report.limited), (1, 3, 0), "{report:?}");
    assert_eq!((report.exemplars_dropped, report.metadata_dropped), (0, 0));
}

#[test]
fn a_broken_request_stores_nothing() {
    let (_dir, engine) = engine(options());
    let mut body = one(UP, &[(NOW_MS, 1.0)]);
    body.extend_from_slice(&[0x0a, 0x7f, 1]);
    let error = engine.write_remote(&body, RemoteVersion::One).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("the protobuf message is broken at byte {}: it ends inside a field", body.len() - 1)
    );
    assert!(stored(&engine, "a").is_empty());
}

#[test]
fn many_samples_are_stored_in_pieces() {
    let (_dir, engine) = engine(options());
    let samples: Vec<(i64, f64)> = (0..250_000).map(|i| (NOW_MS - 250_000 + i, i as f64)).collect();
    assert_eq!(write(&engine, &one(UP, &samples)).samples, 250_000);
    assert_eq!(stored(&engine, "a").len(), 250_000);
    // Two bytes a sample, all at time 0: what costs a sender nothing must cost little here.
    let mut body = one(UP, &[]);
    let tiny = [0x12, 0].repeat(150_000);
    let mut inner = body.split_off(2);
    inner.extend_from_slice(&tiny);
    let mut body = Vec::new();
    put_bytes(&mut body, 1, &inner);
    assert_eq!(write(&engine, &body).samples, 150_000);
    assert_eq!(stored(&engine, "a").len(), 250_001);
}

#[test]
fn version_two_brings_exemplars_and_metadata() {
    let (_dir, engine) = engine(options());
    let symbols = ["", "__name__", "http_bucket", "job", "a", "trace_id", "t1", "Sizes.", "bytes"];
    let mut body = Vec::new();
    symbols.iter().for_each(|s| put_bytes(&mut body, 4, s.as_bytes()));
    let series = |out: &mut Vec<u8>, both: bool| {
        put_bytes(out, 1, &[1, 2, 3, 4]);
        put_message(out, 2, |out| {
            put_double(out, 1, 4.0);
            put_integer(out, 2, NOW_MS as u64);
            put_integer(out, 3, NOW_MS as u64 - 1000);
        });
        if both {
            put_message(out, 3, |out| put_any_double(out, 2, 0.0));
        }
        put_message(out, 4, |out| {
            put_bytes(out, 1, &[5, 6]);
            put_double(out, 2, 0.25);
            put_integer(out, 3, NOW_MS as u64 - 3);
        });
        put_message(out, 5, |out| {
            put_integer(out, 1, 3);
            put_integer(out, 3, 7);
            put_integer(out, 4, 8);
        });
    };
    put_message(&mut body, 5, |out| series(out, false));
    put_message(&mut body, 5, |out| series(out, true));
    put_message(&mut body, 5, |out| put_bytes(out, 1, &[1, 2]));
    let report = engine.write_remote(&body, RemoteVersion::Two).unwrap();
    assert_eq!((report.samples, report.exemplars, report.refused), (1, 1, 3));
    let shown: Vec<String> = report.refusals.iter().map(|r| r.reason.to_string()).collect();
    assert_eq!(
        shown,
        [
            "it has samples and histograms; only one of them is allowed",
            "it has neither samples nor histograms"
        ]
    );
    let metadata = engine.metadata(Some("http")).unwrap();
    let entry = &metadata[0].1[0];
    assert_eq!((entry.kind, &*entry.help, &*entry.unit), (MetricType::Histogram, "Sizes.", "bytes"));
    let found = engine.exemplars(&[vec![Matcher::equal("job", "a")]], TimeRange::ALL).unwrap();
    assert_eq!((found[0].1[0].value, found[0].1[0].timestamp.as_nanos()), (0.25, NOW - 3_000_000));
}

#[test]
fn a_histogram_that_is_too_fine_is_stored_coarser() {
    let (_dir, engine) = engine(options());
    let mut body = Vec::new();
    put_message(&mut body, 1, |out| {
        out.extend(one(UP, &[]).split_off(2));
        put_message(out, 4, |out| {
            put_integer(out, 1, 10);
            // Schema 20, as OpenTelemetry counts; zigzag.
            put_integer(out, 4, 40);
            put_message(out, 11, |out| {
                put_integer(out, 1, 2 * 4_096);
                put_integer(out, 2, 2);
            });
            put_bytes(out, 12, &[8, 4]);
            put_integer(out, 15, NOW_MS as u64);
        });
    });
    let report = write(&engine, &body);
    assert_eq!((report.histograms, report.refused), (1, 0), "{:?}", report.refusals);
    let view = engine.view();
    let found = view.select(&[], TimeRange::ALL, 10).unwrap();
    let run = view.read(&found[0], TimeRange::ALL).unwrap();
    let histogram = &run.histograms[0].1;
    assert_eq!(histogram.schema, 8);
    // Bucket 4096 of schema 20 is the last part of bucket 1 of schema 8, 4097 the first of 2.
    assert_eq!((histogram.positive_spans[0].offset, &histogram.positive_buckets[..]), (1, &[4.0, 6.0][..]));
}

#[test]
fn histograms_and_start_times_are_stored() {
    let (_dir, engine) = engine(options());
    let mut body = Vec::new();
    ["", "__name__", "sizes", "job", "a"].iter().for_each(|s| put_bytes(&mut body, 4, s.as_bytes()));
    let histogram = |out: &mut Vec<u8>, count: u64, at: i64| {
        put_message(out, 3, |out| {
            put_integer(out, 1, count);
            put_double(out, 3, 9.5);
            put_message(out, 11, |out| put_integer(out, 2, 2));
            put_bytes(out, 12, &[6, 0]);
            put_integer(out, 15, at as u64);
            put_integer(out, 17, NOW_MS as u64 - 5_000);
        });
    };
    put_message(&mut body, 5, |out| {
        put_bytes(out, 1, &[1, 2, 3, 4]);
        histogram(out, 6, NOW_MS);
        histogram(out, 7, NOW_MS + 1);
    });
    let report = engine.write_remote(&body, RemoteVersion::Two).unwrap();
    assert_eq!((report.histograms, report.refused), (1, 1));
    let shown = report.refusals[0].to_string();
    assert!(shown.ends_with("ms: the buckets hold 6 observations, the count is 7"), "{shown}");
    let view = engine.view();
    let found = view.select(&[Matcher::equal("job", "a")], TimeRange::ALL, 10).unwrap();
    let run = view.read(&found[0], TimeRange::ALL).unwrap();
    assert_eq!((run.len(), run.starts.as_slice()), (1, &[NOW - 5 * SECOND][..]));
    let stored = &run.histograms[0].1;
    assert_eq!((stored.count, stored.sum, stored.positive_buckets.as_slice()), (6.0, 9.5, &[3.0, 3.0][..]));
}

#[test]
fn a_series_that_left_the_head_comes_back() {
    let (_dir, engine) = engine(options());
    write(&engine, &one(UP, &[(NOW_MS, 1.0)]));
    for i in 0..4 {
        engine.append(&float_batch(3, &[i])).unwrap();
        engine.flush().unwrap();
    }
    assert_eq!(engine.stats().head_series, 1, "the idle series is evicted");
    write(&engine, &one(UP, &[(NOW_MS + 1, 2.0)]));
    assert_eq!(stored(&engine, "a").len(), 2);
}
