//! Requests of both versions: built by hand, odd, and hostile.

use proptest::prelude::*;

use super::wire::{put_bytes, put_double, put_integer, put_message};
use super::*;
use crate::model::{Labels, MetricType};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn put_labels(out: &mut Vec<u8>, pairs: Pairs<'_>) {
    for (name, value) in pairs {
        put_message(out, 1, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    }
}

fn put_sample(out: &mut Vec<u8>, timestamp_ms: i64, value: f64) {
    put_message(out, 2, |out| {
        put_double(out, 1, value);
        put_integer(out, 2, timestamp_ms as u64);
    });
}

fn one(pairs: Pairs<'_>, samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_labels(out, pairs);
        samples.iter().for_each(|(t, v)| put_sample(out, *t, *v));
    });
    out
}

fn two(symbols: &[&str], refs: &[u8], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    symbols.iter().for_each(|s| put_bytes(&mut out, 4, s.as_bytes()));
    put_message(&mut out, 5, |out| {
        put_bytes(out, 1, refs);
        samples.iter().for_each(|(t, v)| put_sample(out, *t, *v));
    });
    out
}

const UP: Pairs<'static> = &[("__name__", "up"), ("job", "a")];

fn up() -> Labels {
    Labels::from_pairs(UP.iter().copied()).unwrap()
}

/// The only series of a request: labels, key, points.
fn series(version: RemoteVersion, body: &[u8]) -> (Result<Labels, LabelFault>, Vec<u8>, Vec<Point>) {
    let request = Request::open(version, body).unwrap();
    let items: Vec<Item<'_, '_>> = request.items().collect::<Result<_, _>>().unwrap();
    let [Item::Series(series)] = &items[..] else { panic!("{items:?}") };
    let (mut scratch, mut points) = (Vec::new(), Vec::new());
    let key = series.key(&mut scratch, 1 << 20).map(<[u8]>::to_vec).unwrap_or_default();
    series.for_each_point(|point| points.push(point)).unwrap();
    (series.labels(), key, points)
}

fn floats(samples: &[(i64, f64)]) -> Vec<Point> {
    let point = |(timestamp_ms, value): &(i64, f64)| Point::Sample {
        timestamp_ms: *timestamp_ms,
        start_ms: 0,
        value: *value,
    };
    samples.iter().map(point).collect()
}

#[test]
fn golden_request_of_version_one() {
    let body = one(UP, &[(1000, 1.0), (-5, 0.0)]);
    let expected = b"\x0a\x35\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01a\
        \x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xe8\x07\x12\x0b\x10\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(body, expected, "{}", body.escape_ascii());
    let (labels, key, points) = series(RemoteVersion::One, &body);
    assert_eq!(labels, Ok(up()));
    assert_eq!(key, body[2..28], "the label fields as sent");
    assert_eq!(points, floats(&[(1000, 1.0), (-5, 0.0)]));
}

#[test]
fn version_two_names_its_symbols() {
    let symbols = ["", "__name__", "up", "job", "a"];
    let (labels, key, points) = series(RemoteVersion::Two, &two(&symbols, &[1, 2, 3, 4], &[(1, 2.0)]));
    assert_eq!((labels, points), (Ok(up()), floats(&[(1, 2.0)])));
    assert_eq!(key, up().as_bytes());
    // The same labels by other references, not packed, in wide varints, and split in two.
    let mut body = Vec::new();
    ["", "a", "job", "up", "__name__"].iter().for_each(|s| put_bytes(&mut body, 4, s.as_bytes()));
    put_message(&mut body, 5, |out| {
        put_integer(out, 1, 4);
        put_sample(out, 1, 2.0);
        put_bytes(out, 1, &[0x83, 0x80, 0x00, 2]);
        put_integer(out, 1, 1);
    });
    assert_eq!(series(RemoteVersion::Two, &body).1, key);
    let fault =
        |refs: &[u8]| series(RemoteVersion::Two, &two(&symbols, refs, &[])).0.unwrap_err().to_string();
    assert_eq!(fault(&[1, 2, 3, 5]), "symbol 5 does not exist, the request has 5");
    assert_eq!(fault(&[1, 2, 3]), "its label references do not come in pairs");
    assert_eq!(fault(&[0, 2]), "the name of label 1 is empty");
}

#[test]
fn labels_may_be_anywhere() {
    let mut scattered = Vec::new();
    put_message(&mut scattered, 1, |out| {
        put_sample(out, 1, 1.0);
        put_labels(out, &UP[..1]);
        put_sample(out, 2, 2.0);
        put_labels(out, &UP[1..]);
    });
    let (labels, key, points) = series(RemoteVersion::One, &scattered);
    assert_eq!((labels, points), (Ok(up()), floats(&[(1, 1.0), (2, 2.0)])));
    assert_eq!(key, series(RemoteVersion::One, &one(UP, &[])).1);
}

#[test]
fn label_rules() {
    let fault = |pairs: Pairs<'_>| series(RemoteVersion::One, &one(pairs, &[])).0.unwrap_err().to_string();
    assert_eq!(fault(&[]), "it has no label __name__");
    assert_eq!(fault(&[("job", "a")]), "it has no label __name__");
    assert_eq!(fault(&[("", "a")]), "the name of label 1 is empty");
    assert_eq!(fault(&[("__name__", ""), ("job", "a")]), "it has no label __name__");
    for pairs in [
        &[("__name__", "up"), ("a", "1"), ("a", "2")][..],
        &[("a", "1"), ("__name__", "up"), ("a", "1")],
        &[("__name__", "up"), ("a", ""), ("b", "1"), ("a", "2")],
        &[("__name__", "up"), ("a", ""), ("a", "")],
    ] {
        assert_eq!(fault(pairs), "label name \"a\" occurs twice", "{pairs:?}");
    }
    let mut body = Vec::new();
    put_message(&mut body, 1, |out| put_message(out, 1, |out| put_bytes(out, 1, b"\xff")));
    assert_eq!(series(RemoteVersion::One, &body).0, Err(LabelFault::NotUtf8 { at: 1 }));
}

#[test]
fn labels_come_in_any_order_and_empty_ones_are_left_out() {
    let expected = Labels::from_pairs([("__name__", "up"), ("a", "1"), ("z", "2")]).unwrap();
    for pairs in [
        &[("__name__", "up"), ("z", "2"), ("a", "1")][..],
        &[("z", "2"), ("a", "1"), ("__name__", "up")],
        &[("a", "1"), ("b", ""), ("z", "2"), ("__name__", "up"), ("Z", "")],
    ] {
        assert_eq!(series(RemoteVersion::One, &one(pairs, &[])).0, Ok(expected.clone()), "{pairs:?}");
        let symbols: Vec<&str> = pairs.iter().flat_map(|(name, value)| [*name, *value]).collect();
        let refs: Vec<u8> = (1..=symbols.len() as u8).collect();
        let body = two(&[&[""], &symbols[..]].concat(), &refs, &[]);
        assert_eq!(series(RemoteVersion::Two, &body).0, Ok(expected.clone()), "{pairs:?}");
    }
    // Version 2 says an empty text by symbol 0.
    let body = two(&["", "__name__", "up", "a"], &[3, 0, 1, 2], &[]);
    assert_eq!(series(RemoteVersion::Two, &body).0, Ok(Labels::from_pairs([("__name__", "up")]).unwrap()));
    let mut body = Vec::new();
    put_message(&mut body, 1, |out| {
        put_message(out, 3, |out| put_labels(out, &[("trace_id", "x"), ("span", "")]));
    });
    let points = series(RemoteVersion::One, &body).2;
    let trace = Labels::from_pairs([("trace_id", "x")]).unwrap();
    assert!(
        matches!(&points[0], Point::Exemplar { labels: Ok(labels), .. } if *labels == trace),
        "{points:?}"
    );
}

/// Two bytes of references stand for two megabytes: what is written out and held is bounded all the same.
#[test]
fn references_do_not_multiply_what_they_refer_to() {
    let large = "x".repeat(1 << 20);
    let symbols: Vec<&[u8]> = ["", "__name__", "up", &large].iter().map(|text| text.as_bytes()).collect();
    let mut body = Vec::new();
    symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol));
    let refs = [&[1, 2][..], &[3; 4_000_000]].concat();
    put_message(&mut body, 5, |out| {
        put_bytes(out, 1, &refs);
        put_message(out, 4, |out| put_bytes(out, 1, &refs));
        put_message(out, 4, |out| put_bytes(out, 1, &[3, 3]));
        put_message(out, 5, |out| put_integer(out, 3, 3));
    });
    let request = Request::open(RemoteVersion::Two, &body).unwrap();
    let Some(Ok(Item::Series(series))) = request.items().next() else { panic!("a series") };
    let mut scratch = Vec::new();
    let fault = series.key(&mut scratch, 64 << 10).unwrap_err();
    assert_eq!(fault, LabelFault::TooLong { bytes: 10 + (4_000_000 << 20), limit: 64 << 10 });
    assert!(scratch.capacity() <= 128 << 10, "{}", scratch.capacity());
    assert_eq!(series.labels(), Err(LabelFault::TooManySent { found: 2_000_001, limit: 10_000 }));
    assert!(
        series.describe().starts_with("{__name__=\"up\", xxx") && series.describe().chars().count() == 201
    );
    let mut points = Vec::new();
    series.for_each_point(|point| points.push(point)).unwrap();
    let bytes = |point: &Point| match point {
        Point::Exemplar { labels: Err(LabelFault::ExemplarTooLong { bytes, limit: 128 }), .. } => *bytes,
        other => panic!("{other:?}"),
    };
    assert_eq!([bytes(&points[0]), bytes(&points[1])], [10 + (4_000_000 << 20), 2 << 20]);
    assert!(matches!(&points[2], Point::Metadata(Ok(metadata)) if metadata.help.len() == 64 << 10));
}

#[test]
fn a_histogram_holds_no_more_than_it_may_have_while_it_is_read() {
    let mut body = Vec::new();
    put_message(&mut body, 1, |out| {
        put_labels(out, UP);
        put_message(out, 4, |out| {
            (0..20_000).for_each(|_| put_message(out, 11, |out| put_integer(out, 2, 50)));
            put_bytes(out, 12, &[2; 1_000_000]);
        });
    });
    let points = series(RemoteVersion::One, &body).2;
    let [Point::Histogram(wire)] = &points[..] else { panic!("{points:?}") };
    let h = &wire.histogram;
    assert_eq!((h.positive_buckets.len(), h.positive_spans.len()), (8_193, 4_097));
    assert!(wire.check().is_err());
}

#[test]
fn exemplars_and_metadata() {
    let mut body = Vec::new();
    put_message(&mut body, 1, |out| {
        put_labels(out, UP);
        put_message(out, 3, |out| {
            put_labels(out, &[("trace_id", "x"), ("span", "y")]);
            put_double(out, 2, 0.5);
            put_integer(out, 3, 7);
        });
    });
    let trace = Labels::from_pairs([("trace_id", "x"), ("span", "y")]).unwrap();
    let exemplar = Point::Exemplar { timestamp_ms: 7, value: 0.5, labels: Ok(trace.clone()) };
    assert_eq!(series(RemoteVersion::One, &body).2, std::slice::from_ref(&exemplar));

    let mut body = Vec::new();
    put_message(&mut body, 3, |out| {
        put_integer(out, 1, 1);
        put_bytes(out, 2, b"up");
        put_bytes(out, 4, b"Help.");
        put_bytes(out, 5, b"s");
    });
    let request = Request::open(RemoteVersion::One, &body).unwrap();
    let Some(Ok(Item::Metadata(family, metadata))) = request.items().next() else { panic!() };
    assert_eq!(
        (&*family, metadata.kind, &*metadata.help, &*metadata.unit),
        ("up", MetricType::Counter, "Help.", "s")
    );

    let mut body =
        two(&["", "__name__", "up", "job", "a", "trace_id", "x", "span", "y", "Help."], &[1, 2, 3, 4], &[]);
    put_message(&mut body, 5, |out| {
        put_bytes(out, 1, &[1, 2]);
        put_message(out, 4, |out| {
            put_bytes(out, 1, &[5, 6, 7, 8]);
            put_double(out, 2, 0.5);
            put_integer(out, 3, 7);
        });
        put_message(out, 5, |out| {
            put_integer(out, 1, 99);
            put_integer(out, 3, 9);
        });
    });
    let request = Request::open(RemoteVersion::Two, &body).unwrap();
    let Some(Ok(Item::Series(second))) = request.items().nth(1) else { panic!() };
    let mut points = Vec::new();
    second.for_each_point(|point| points.push(point)).unwrap();
    assert_eq!(points[0], exemplar);
    let Point::Metadata(Ok(metadata)) = &points[1] else { panic!("{points:?}") };
    assert_eq!((metadata.kind, &*metadata.help), (MetricType::Unknown, "Help."), "a type of the future");
}

#[test]
fn versions_are_not_confused() {
    let open = |version, body: &[u8]| Request::open(version, body).map(|_| ()).unwrap_err().to_string();
    let wrong = "belongs to another version of the protocol; check the Content-Type";
    assert!(open(RemoteVersion::Two, &one(UP, &[])).contains(wrong));
    assert!(open(RemoteVersion::One, &two(&[""], &[], &[])).contains(wrong));
    let many = [0x22, 0].repeat(SYMBOLS_MAX + 1);
    assert!(open(RemoteVersion::Two, &many).contains("more than 1000000 symbols"));
}

#[test]
fn broken_series_break_the_request() {
    let body = |inner: &[u8]| {
        let mut out = one(UP, &[(1, 1.0)]);
        put_bytes(&mut out, 1, inner);
        out
    };
    for (inner, offset) in
        [(&[0x12u8, 5, 9][..], 45), (&[0x12, 2, 0x08, 1], 45), (&[0x10, 1], 43), (&[0x22, 1, 0x0f], 45)]
    {
        let body = body(inner);
        let request = Request::open(RemoteVersion::One, &body).unwrap();
        let found = request.items().find_map(|item| match item {
            Ok(Item::Series(series)) => series.for_each_point(|_| ()).err(),
            Ok(_) => None,
            Err(error) => Some(error),
        });
        assert_eq!(found.map(|e| e.offset), Some(offset), "{inner:?}: {found:?}");
    }
}

fn walk(version: RemoteVersion, body: &[u8]) {
    let Ok(request) = Request::open(version, body) else { return };
    let mut scratch = Vec::new();
    for item in request.items() {
        if let Ok(Item::Series(series)) = item {
            let key = series.key(&mut scratch, 1 << 20).map(<[u8]>::to_vec);
            if let Ok(labels) = series.labels() {
                // Where labels come sorted, the key of version 2 is the set's own form.
                let sent = (version == RemoteVersion::Two).then(|| Labels::from_bytes(&key.unwrap()));
                assert!(sent.and_then(Result::ok).is_none_or(|sent| sent == labels));
            }
            let _ = (series.describe(), series.for_each_point(|_| ()));
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        walk(RemoteVersion::One, &bytes);
        walk(RemoteVersion::Two, &bytes);
    }

    #[test]
    fn damaged_requests_never_panic(at in 0usize..60, bit in 0u8..8, cut in 0usize..60) {
        for (version, mut body) in [
            (RemoteVersion::One, one(UP, &[(1000, 1.0)])),
            (RemoteVersion::Two, two(&["", "__name__", "up"], &[1, 2], &[(1000, 1.0)])),
        ] {
            let place = at % body.len();
            body[place] ^= 1 << bit;
            walk(version, &body);
            body.truncate(cut);
            walk(version, &body);
        }
    }
}
