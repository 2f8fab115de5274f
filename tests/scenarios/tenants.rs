//! Handles of one tenant: every call of the facade reads, writes and deletes only that tenant's series.

use std::time::Duration;

use barograph::Exemplar;
use barograph::budget::Work;
use barograph::internals::remote::wire::{put_bytes, put_double, put_integer, put_message};
use barograph::{
    Batch, Database, Error, Labels, LineOptions, Matcher, Metadata, MetricType, Options, QueryValue,
    RemoteVersion, Request, StorageError, TimeRange, Timestamp, Value,
};

const TENANTS: [&str; 2] = ["aaaa", "bbbb"];
const SECOND: Duration = Duration::from_secs(1);
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn database() -> Database {
    Database::in_memory(Options::default().with_background(false)).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// Both tenants write the same names; they differ only in hosts, texts and descriptions.
fn fill(db: &Database) {
    for name in TENANTS {
        let own = db.for_tenant(name).unwrap();
        let mut batch = Batch::new();
        let host = format!("host-{name}");
        let series = labels(&[("__name__", "cpu"), ("host", &host), (&format!("tag_{name}"), "1")]);
        batch.push(&series, NOW, Value::Float(1.0));
        batch.push_event(&labels(&[("__name__", "log"), ("host", &host)]), NOW, &format!("text-{name}"));
        let trace = labels(&[("trace_id", &format!("trace-{name}"))]);
        batch.push_exemplar(&series, Exemplar { labels: trace, timestamp: NOW, value: 1.0 });
        let only = format!("only_{name}");
        batch.push(&labels(&[("__name__", &format!("{only}_total"))]), NOW, Value::Float(1.0));
        let metadata =
            |help: &str| Metadata { kind: MetricType::Counter, help: help.to_owned(), unit: String::new() };
        batch.push_metadata(&only, metadata(&format!("help-{name}")));
        own.append(&batch).unwrap();
        own.create_database(name).unwrap();
    }
}

type Call = (&'static str, fn(&Database) -> String);

/// Every call that reads. Its result for a tenant contains the tenant's name.
const READS: &[Call] = &[
    ("query", |db| format!("{:?}", db.query("cpu", NOW).unwrap().value)),
    ("query_range", |db| {
        format!("{:?}", db.query_range("max_over_time(cpu[5m:1s])", NOW, NOW + SECOND, SECOND).unwrap().value)
    }),
    ("execute", |db| format!("{:?}", db.execute(&Request::instant("cpu or cpu", NOW)).unwrap().value)),
    ("execute_at_once", |db| {
        format!("{:?}", db.execute_at_once(&Request::instant("cpu", NOW)).unwrap().value)
    }),
    ("read", |db| {
        let mut found = String::new();
        db.read(&[Matcher::equal("__name__", "cpu")], TimeRange::ALL, 100, |labels, _| {
            found.push_str(&labels.to_string());
            true
        })
        .unwrap();
        found
    }),
    ("export", |db| {
        let mut found = String::new();
        db.export(&[], TimeRange::ALL, |series| {
            found.push_str(&series.labels.to_string());
            true
        })
        .unwrap();
        found
    }),
    ("series", |db| format!("{:?}", db.series(&[Vec::new()], TimeRange::ALL, 100).unwrap())),
    ("label_names", |db| format!("{:?}", db.label_names(&[], TimeRange::ALL).unwrap())),
    ("label_names of some", |db| {
        format!("{:?}", db.label_names(&[Matcher::equal("__name__", "cpu")], TimeRange::ALL).unwrap())
    }),
    ("label_values", |db| format!("{:?}", db.label_values("host", &[], TimeRange::ALL).unwrap())),
    ("databases", |db| format!("{:?}", db.databases().unwrap())),
    ("events", |db| format!("{:?}", db.events(&[], TimeRange::ALL, 100).unwrap())),
    ("each_event", |db| {
        let mut found = String::new();
        let work = Work::unbounded();
        let each = db.reader(&work).each_event(&[Vec::new()], TimeRange::ALL, |event| {
            found.push_str(&event.text);
            true
        });
        each.unwrap();
        found
    }),
    ("metadata", |db| format!("{:?}", db.metadata(None).unwrap())),
    ("exemplars", |db| format!("{:?}", db.exemplars(&[Vec::new()], TimeRange::ALL).unwrap())),
    ("exemplars of a reader", |db| {
        format!("{:?}", db.reader(&Work::unbounded()).exemplars(&[Vec::new()], TimeRange::ALL).unwrap())
    }),
    ("cardinality of all time", |db| format!("{:?}", db.cardinality(Some(TimeRange::ALL), 100).unwrap())),
];

/// The number of series that a query returns.
fn found(db: &Database, query: &str) -> usize {
    match db.query(query, NOW).unwrap().value {
        QueryValue::Vector(samples) => samples.len(),
        other => panic!("{other:?}"),
    }
}

fn compare(db: &Database, when: &str) {
    let handles = TENANTS.map(|name| db.for_tenant(name).unwrap());
    for (what, read) in READS {
        let whole = read(db);
        for (name, handle) in TENANTS.iter().zip(&handles) {
            let own = read(handle);
            assert!(whole.contains(name), "{when}, {what}: {whole}");
            for other in TENANTS {
                assert_eq!(own.contains(other), other == *name, "{when}, {what} of {name}: {own}");
            }
        }
    }
    let [a, _] = &handles;
    let request = Request::instant("{__name__=~\".+\"}", NOW);
    assert_eq!(found(a, "{__name__=~\".+\"}"), 2, "{when}");
    let estimate = |db: &Database| format!("{:?}", db.explain(&request).unwrap());
    assert_ne!(estimate(a), estimate(db), "{when}");
    assert_eq!(a.cardinality(Some(TimeRange::ALL), 100).unwrap().series, 2, "{when}");
    assert_eq!(a.metadata(Some("only_bbbb")).unwrap(), [], "{when}");
}

#[test]
fn a_tenant_reads_its_own_by_every_call() {
    let db = database();
    fill(&db);
    compare(&db, "in memory");
    let cardinality = db.for_tenant("aaaa").unwrap().cardinality(None, 100).unwrap();
    assert_eq!((cardinality.series, cardinality.label_pairs), (2, 5), "{cardinality:?}");
    db.flush().unwrap();
    compare(&db, "flushed");
    // Series without new samples leave memory.
    for second in 0..4 {
        db.write_lines(format!("keep v=1 {}", NOW.as_nanos() + second).as_bytes(), &LineOptions::default())
            .unwrap();
        db.flush().unwrap();
    }
    assert_eq!(db.cardinality(None, 100).unwrap().series, 1);
    compare(&db, "in the store");
    // They return under new ids.
    fill(&db);
    compare(&db, "in both");
    db.compact().unwrap();
    compare(&db, "merged");
}

fn write(db: &Database, line: &str) -> Result<(), String> {
    let report = db.write_lines(line.as_bytes(), &LineOptions::default()).unwrap();
    report.errors.first().map_or(Ok(()), |error| Err(error.to_string()))
}

fn remote(db: &Database, pairs: &[(&str, &str)]) -> Result<(), String> {
    let mut body = Vec::new();
    put_message(&mut body, 1, |out| {
        for (name, value) in pairs {
            put_message(out, 1, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_bytes(out, 2, value.as_bytes());
            });
        }
        put_message(out, 2, |out| {
            put_double(out, 1, 1.0);
            put_integer(out, 2, NOW.as_millis() as u64);
        });
    });
    let report = db.write_remote(&body, RemoteVersion::One).unwrap();
    report.refusals.first().map_or(Ok(()), |refusal| Err(refusal.to_string()))
}

fn append(db: &Database, pairs: &[(&str, &str)]) -> Result<(), String> {
    let mut batch = Batch::new();
    batch.push(&labels(pairs), NOW, Value::Float(1.0));
    db.append(&batch).map(drop).map_err(|error| error.to_string())
}

/// The caches find series by the bytes that writers sent. A tenant must not reach another tenant's series through them.
#[test]
fn no_cache_leads_to_the_series_of_another_tenant() {
    let db = database();
    let [a, b] = TENANTS.map(|name| db.for_tenant(name).unwrap());
    let named = [("__name__", "r"), ("db", "bbbb")];
    for writer in [&b, &db, &b] {
        write(writer, "m,db=bbbb v=1 1").unwrap();
        write(writer, "m,db=bbbb v=1,w=1 1").unwrap();
        remote(writer, &named).unwrap();
        append(writer, &named).unwrap();
    }
    let extra = LineOptions::default().with_extra_labels(vec![("db".to_owned(), "aaaa".to_owned())]);
    db.write_lines(b"x,db=bbbb v=1 1", &extra).unwrap();
    for refused in [
        write(&a, "m,db=bbbb v=2 2"),
        write(&a, "m,db=bbbb v=2,w=2 2"),
        write(&a, "x,db=bbbb v=2 2"),
        write(&a, "m,db=bbbb t=\"text\" 2"),
        remote(&a, &named),
        append(&a, &named),
        a.handle(&labels(&named)).map(drop).map_err(|error| error.to_string()),
    ] {
        let why = refused.unwrap_err();
        assert!(why.contains(r#"its label db is "bbbb", but the writer is the tenant "aaaa""#), "{why}");
    }
    let bad = a.write_lines(
        b"x,host=h v=1 1",
        &LineOptions::default().with_extra_labels(vec![("db".to_owned(), "bbbb".to_owned())]),
    );
    assert_eq!(bad.unwrap().lines_bad, 1, "an extra label does not bypass the check");

    // The same bytes name a series of each tenant.
    for db in [&a, &b, &db, &a] {
        write(db, "n,host=h v=1 1").unwrap();
        write(db, "n,host=h v=1,w=1 1").unwrap();
        remote(db, &[("__name__", "s"), ("host", "h")]).unwrap();
    }
    let count = |db: &Database, metric: &str| {
        db.series(&[vec![Matcher::equal("__name__", metric)]], TimeRange::ALL, 100).unwrap().len()
    };
    for metric in ["n_v", "n_w", "s"] {
        assert_eq!([&a, &b, &db].map(|db| count(db, metric)), [1, 1, 3], "{metric}");
    }

    let handle = b.handle(&labels(&[("__name__", "handled")])).unwrap();
    assert_eq!(handle.labels().get("db"), Some("bbbb"));
    let mut batch = Batch::new();
    batch.push_to(&handle, NOW, Value::Float(1.0));
    assert!(
        matches!(a.append(&batch), Err(Error::Storage(StorageError::Invalid(_)))),
        "a handle is checked too"
    );
    b.append(&batch).unwrap();
}

/// Metadata stays with the tenant that wrote it, in the log and in the store.
#[test]
fn descriptions_belong_to_the_tenant_that_wrote_them() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = Options::default().with_background(false);
        Database::open_with(dir.path(), options).unwrap()
    };
    let described = |help: &str| Metadata { help: help.to_owned(), ..Metadata::default() };
    let db = open();
    for writer in [db.for_tenant("aaaa").unwrap(), db.for_tenant("bbbb").unwrap()] {
        let mut batch = Batch::new();
        batch.push(&labels(&[("__name__", "m")]), NOW, Value::Float(1.0));
        batch.push_metadata("m", described(&format!("of {}", writer.tenant().unwrap().name())));
        writer.append(&batch).unwrap();
    }
    let check = |db: &Database, when: &str| {
        for name in TENANTS {
            let own = db.for_tenant(name).unwrap().metadata(None).unwrap();
            assert_eq!(own, [("m".to_owned(), vec![described(&format!("of {name}"))])], "{when}, {name}");
        }
        let all = db.metadata(Some("m")).unwrap();
        assert_eq!(all[0].1, TENANTS.map(|name| described(&format!("of {name}"))), "{when}");
    };
    check(&db, "written");
    drop(db);
    let db = open();
    check(&db, "from the log");
    db.flush().unwrap();
    drop(db);
    check(&open(), "from the store");
}

/// A tenant may have as many metrics as series.
#[test]
fn the_families_that_a_tenant_may_have_are_counted() {
    const METRICS: u64 = 2_000;
    let own = database().for_tenant("aaaa").unwrap();
    let mut batch = Batch::new();
    for metric in 0..METRICS {
        batch.push(&labels(&[("__name__", &format!("m{metric}_total"))]), NOW, Value::Float(1.0));
    }
    own.append(&batch).unwrap();
    let (names, all) = (Work::unbounded(), Work::unbounded());
    own.reader(&names).label_values("__name__", &[Vec::new()], TimeRange::ALL, usize::MAX).unwrap();
    assert_eq!(own.reader(&all).metadata(None, usize::MAX).unwrap(), []);
    // The metric and its family without the suffix.
    let least = names.account().bytes() + 2 * METRICS * size_of::<String>() as u64;
    assert!(all.account().peak() >= least, "{} bytes, {least} at least", all.account().peak());
    assert_eq!(all.account().bytes(), names.account().bytes());
}

#[test]
fn a_tenant_deletes_and_creates_its_own() {
    let db = database();
    fill(&db);
    let [a, b] = TENANTS.map(|name| db.for_tenant(name).unwrap());
    a.delete(&[Matcher::equal("__name__", "cpu")], TimeRange::ALL).unwrap();
    assert_eq!([&a, &b].map(|db| found(db, "cpu")), [0, 1]);
    assert!(a.delete(&[], TimeRange::ALL).is_err(), "the tenant alone is not a selector");
    for name in ["bbbb", "other"] {
        assert!(a.create_database(name).is_err() && a.drop_database(name).is_err(), "{name}");
    }
    assert_eq!(db.databases().unwrap(), TENANTS);
    assert!(a.for_tenant("bbbb").is_err(), "a handle of one tenant makes none of another");
    assert_eq!(a.for_tenant("aaaa").unwrap().tenant().unwrap().name(), "aaaa");
    for bad in ["", "a\0b"] {
        assert!(db.for_tenant(bad).is_err());
    }
    let without = Database::in_memory(Options::default().with_tenant_label(String::new())).unwrap();
    assert!(without.for_tenant("a").err().unwrap().to_string().contains("tenant_label"));
}
