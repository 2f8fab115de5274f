//! The results of an embedding program: errors with their kind and cause, and the matchers of a selector's text.

use std::error::Error as _;

use barograph::{
    Batch, Database, Error, ErrorKind, Labels, LineOptions, Matcher, Options, StorageError, TimeRange,
    Timestamp, Update, Value, parse_selector,
};

fn database() -> Database {
    Database::in_memory(Options::default().with_background(false)).expect("the options are good")
}

#[test]
fn the_error_of_the_engine_is_the_source_of_that_of_a_query() {
    let db = database();
    let error = db.query("sum(up) by (", Timestamp::now()).expect_err("no query");
    assert_eq!((error.kind(), error.source().is_none()), (ErrorKind::Parse, true));
    db.close().expect("nothing reads");
    let refused = db.query("up", Timestamp::now()).expect_err("it is closed");
    assert_eq!(refused.kind(), ErrorKind::Closed);
    let cause = refused.source().and_then(|cause| cause.downcast_ref::<StorageError>());
    assert!(matches!(cause, Some(StorageError::Closed)), "{cause:?}");
    let read = db.read(&[], TimeRange::ALL, 9, |_, _| true).expect_err("it is closed");
    assert!(read.source().is_some_and(|cause| cause.is::<StorageError>()), "{read:?}");
}

#[test]
fn the_text_of_a_selector_selects_in_every_read() {
    let db = database();
    let mut batch = Batch::new();
    for (job, code) in [("api", "200"), ("api", "500"), ("web", "200")] {
        let labels = Labels::from_pairs([("__name__", "http_requests_total"), ("job", job), ("code", code)]);
        let labels = labels.expect("names differ");
        batch.push(&labels, Timestamp::from_secs(1), Value::Float(1.0));
        batch.push_event(&labels, Timestamp::from_secs(1), "restarted");
    }
    db.append(&batch).expect("append");
    let matchers = parse_selector(r#"http_requests_total{job=~"a.*", code!="500"}"#).expect("a selector");
    let (mut exported, mut read) = (0, 0);
    db.export(&matchers, TimeRange::ALL, |series| {
        exported += series.values.len();
        true
    })
    .expect("export");
    db.read(&matchers, TimeRange::ALL, 9, |_, samples| {
        read += samples.len();
        true
    })
    .expect("read");
    assert_eq!((exported, read), (1, 1));
    assert_eq!(db.events(&matchers, TimeRange::ALL, 9).expect("events").len(), 1);
    assert_eq!(db.series(std::slice::from_ref(&matchers), TimeRange::ALL, 9).expect("series").len(), 1);
    db.delete(&matchers, TimeRange::ALL).expect("delete");
    assert_eq!(db.series(&[vec![]], TimeRange::ALL, 9).expect("series").len(), 2);
    // It matches every series, but not by accident: a delete refuses it.
    let everything = parse_selector("{}").expect("a selector");
    assert_eq!(everything, [Matcher::equal("", "")][..0]);
    assert!(matches!(db.delete(&everything, TimeRange::ALL), Err(Error::Storage(StorageError::Invalid(_)))));
}

#[test]
fn a_text_that_is_no_selector_is_refused_with_its_place() {
    for (text, place, words) in [
        ("", "1:1", "expected a series selector"),
        (r#"up{job="a""#, "1:11", "\",\" or \"}\""),
        (r#"up{job=~"a("}"#, "1:4", "no \")\" closes"),
        ("up[5m]", "1:3", "expected the end"),
        ("up\n  and down", "2:3", "expected the end"),
        ("sum(up)", "1:4", "expected the end"),
    ] {
        let error = parse_selector(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Parse, "{text}: {error}");
        let printed = error.to_string();
        assert!(printed.starts_with(&format!("{place}: parse error")), "{text}: {printed}");
        assert!(printed.contains(words), "{text}: {printed}");
    }
}

#[test]
fn a_ticket_keeps_the_database_open_and_answers_after_it_is_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = || Options::default().with_background(false).with_memory_bytes(64 << 20);
    let labels = Labels::from_pairs([("__name__", "up"), ("db", "a")]).expect("names differ");
    let batch = |second: i64| {
        let mut batch = Batch::new();
        batch.push(&labels, Timestamp::from_secs(second), Value::Float(1.0));
        batch
    };
    let db = Database::open_with(dir.path(), options()).expect("it opens");
    let first = db.begin_append(&batch(1)).expect("begun");
    assert!(!first.is_durable().expect("it waits"));
    drop(db);
    let refused = Database::open_with(dir.path(), options()).map(drop);
    assert!(
        matches!(refused, Err(Error::Storage(StorageError::Locked { .. }))),
        "the ticket holds it: {refused:?}"
    );
    assert_eq!(first.wait().expect("durable").samples, 1);
    drop(first);

    let db = Database::open_with(dir.path(), options()).expect("it opens");
    let tenant = db.for_tenant("a").expect("a tenant");
    let second = tenant.begin_append(&batch(2)).expect("begun");
    let foreign = db.for_tenant("b").expect("a tenant").begin_append(&batch(2)).map(drop);
    assert!(matches!(foreign, Err(Error::Storage(StorageError::Invalid(_)))), "{foreign:?}");
    db.close().expect("it closes");
    assert!(second.is_durable().expect("it was completed"));
    assert_eq!(second.wait().expect("it was completed").samples, 1);
    let db = Database::open_with(dir.path(), options()).expect("it opens, though the ticket is there");
    let answer = db.query("up[1m]", Timestamp::from_secs(3)).expect("an answer");
    assert_eq!(answer.stats.samples_total, 2);
}

#[test]
fn a_tenant_subscribes_to_its_own_series() {
    let db = database();
    let (own, other) = (db.for_tenant("a").expect("a tenant"), db.for_tenant("b").expect("a tenant"));
    let subscription = own.subscribe(&[]).expect("it is open");
    for (db, value) in [(&own, 1), (&other, 2), (&own, 3)] {
        let line = format!("cpu usage={value}i 1000000000");
        db.write_lines(line.as_bytes(), &LineOptions::default()).expect("a line");
    }
    db.close().expect("nothing reads");
    let values: Vec<Value> = subscription
        .filter_map(|update| if let Update::Sample { value, .. } = update { Some(value) } else { None })
        .collect();
    assert_eq!(values, [Value::Int(1), Value::Int(3)]);
}
