//! Tiers of buckets, from the options to the answers of queries, over RocksDB.

use std::time::Duration;

use barograph::{
    Batch, Database, Histogram, Labels, Matcher, Options, Request, ResetHint, STALE_NAN_BITS, Span,
    TierChoice, TimeRange, Timestamp, Value,
};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// A Monday.
const START: i64 = 1_704_067_200 + 7 * DAY;
const DAYS: i64 = 12;

/// Functions whose answers from whole buckets are those of the samples.
const QUERIES: [&str; 35] = [
    "count_over_time(gauge[6h])",
    "sum_over_time(gauge[1d])",
    "avg_over_time(gauge[6h])",
    "min_over_time(gauge[6h])",
    "max_over_time(gauge[1d])",
    "first_over_time(gauge[6h])",
    "last_over_time({__name__=~\"gauge|counter_total\"}[6h])",
    "present_over_time(gauge[1h])",
    "rate(counter_total[6h])",
    "increase(counter_total[1d])",
    "delta(gauge[6h])",
    "changes(gauge[6h])",
    "resets(counter_total[1d])",
    "sum by (job) (rate(counter_total[1h]))",
    "max_over_time(gauge[6h] offset 1h)",
    "gauge",
    "avg(gauge) by (job)",
    "timestamp(gauge)",
    "count_over_time(histogram[6h])",
    "rate(histogram[6h])",
    "increase(histogram[1d])",
    "delta(histogram[6h])",
    "resets(histogram[6h])",
    "changes(histogram[1d])",
    "first_over_time(histogram[6h])",
    "last_over_time(histogram[6h])",
    "ts_of_last_over_time(histogram[6h])",
    "histogram",
    "timestamp(histogram)",
    "histogram_quantile(0.9, sum(histogram))",
    "histogram_quantile(0.9, sum by (job) (rate(histogram[1d])))",
    "histogram_avg(increase(histogram[6h]))",
    "sum_over_time(levels[6h])",
    "avg_over_time(levels[1d])",
    "histogram_fraction(0, 2, sum(last_over_time(levels[6h])))",
];

/// Buckets have no sums of histograms that are no gauges, and no distributions unless they outlive samples.
const OF_SAMPLES: [&str; 3] =
    ["sum_over_time(histogram[6h])", "max_over_time(histogram[6h])", "histogram_over_time(gauge[6h])"];

fn options() -> Options {
    Options::default()
        .with_background(false)
        .with_tiers("5m, 1h".parse().expect("two tiers"))
        .with_wal_reserve_bytes(0)
        .with_memory_bytes(64 << 20)
}

fn labels(name: &str, job: i64) -> Labels {
    let job = job.to_string();
    Labels::from_pairs([("__name__", name), ("job", job.as_str())]).expect("two labels")
}

/// A value whose sums are exact most of the time, because averages of others may differ in their last bit, sometimes NaN or the end of the series.
fn gauge(job: i64, at: i64) -> f64 {
    match (at / MINUTE + job * 17) % 997 {
        0 => f64::NAN,
        1 => f64::from_bits(STALE_NAN_BITS),
        n => ((n * n + job) % 701) as f64 / 8.0 - 20.0,
    }
}

fn write(db: &Database, days: std::ops::Range<i64>) {
    for job in 0..3 {
        let mut batch = Batch::new();
        for at in (START + days.start * DAY..START + days.end * DAY).step_by(30) {
            // The second job has its samples on bounds of buckets, the others beside them.
            let time = Timestamp::from_secs(at + (job + 2) % 3);
            batch.push(&labels("gauge", job), time, Value::Float(gauge(job, at)));
            let counts = [at / MINUTE % 7, 5, at % DAY / MINUTE].map(|n| n as f64);
            let histogram = Histogram {
                count: counts.iter().sum(),
                sum: counts[2] * 3.0,
                positive_spans: vec![Span { offset: 0, length: 3 }],
                positive_buckets: counts.to_vec(),
                ..Histogram::default()
            };
            if at % (5 * MINUTE) == 0 && job < 2 {
                let gauge = Histogram { reset_hint: ResetHint::Gauge, ..histogram.clone() };
                batch.push(&labels("levels", job), time, Value::Histogram(gauge.into()));
                batch.push(&labels("histogram", job), time, Value::Histogram(histogram.into()));
            }
            let count = (at - START) % (DAY * 3 / 7 + job) * 11;
            batch.push(&labels("counter_total", job), time, Value::Float(count as f64 / 8.0));
        }
        db.append(&batch).expect("append");
        db.flush().expect("flush");
    }
}

fn answer(db: &Database, query: &str, hours: (i64, i64), step: i64, tier: TierChoice) -> String {
    let at = |hour: i64| Timestamp::from_secs(START + hour * HOUR);
    let step = Duration::from_secs(step.unsigned_abs());
    let mut request = Request::range(query, at(hours.0), at(hours.1), step);
    request.tier = tier;
    let response = db.execute(&request).unwrap_or_else(|error| panic!("{query}: {error}"));
    format!("{:?}", response.value)
}

/// The answers of all queries, the same from tiers as from samples.
fn answers(db: &Database, hours: (i64, i64)) -> Vec<String> {
    let mut all = Vec::new();
    for query in QUERIES {
        for step in [HOUR, 6 * HOUR] {
            let raw = answer(db, query, hours, step, TierChoice::Raw);
            let exact = answer(db, query, hours, step, TierChoice::Exact);
            assert_eq!(exact, raw, "{query} each {step} s");
            all.push(raw);
        }
    }
    all
}

#[test]
fn queries_get_from_tiers_what_samples_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    write(&db, 0..DAYS);
    db.compact().expect("compact");
    let hourly = &db.tiers()[1];
    assert_eq!(
        hourly.complete.map(|(_, through)| through),
        Some(Timestamp::from_secs(START + (DAYS - 2) * DAY))
    );
    let all = (-10, DAYS * 24 + 5);
    answers(&db, all);
    for query in OF_SAMPLES {
        let raw = answer(&db, query, all, HOUR, TierChoice::Raw);
        assert_eq!(answer(&db, query, all, HOUR, TierChoice::Exact), raw, "{query}");
    }

    let late = Timestamp::from_secs(START + 2 * DAY + 7);
    let mut batch = Batch::new();
    batch.push(&labels("gauge", 1), late, Value::Float(1e6));
    batch.push(&labels("gauge", 9), late, Value::Float(7.0));
    db.append(&batch).expect("append");
    let hour =
        TimeRange::from(Timestamp::from_secs(START + 3 * DAY)..Timestamp::from_secs(START + 3 * DAY + 5_000));
    db.delete(&[Matcher::equal("job", "2")], hour).expect("delete");
    let changed = answers(&db, all);
    db.flush().expect("flush");
    assert_eq!(answers(&db, all), changed);
    db.compact().expect("compact");
    assert_eq!(answers(&db, all), changed);
    db.close().expect("close");

    let db = Database::open_with(dir.path(), options()).expect("open");
    assert_eq!(answers(&db, all), changed, "after a restart");
    assert!(db.verify_open().expect("verify").problems.is_empty());
}

#[test]
fn a_tier_answers_for_samples_that_are_past_the_retention() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    write(&db, 0..DAYS);
    db.compact().expect("compact");
    let old = (24, 5 * 24);
    let before = answers(&db, old);
    db.set_retention(Duration::from_secs(3 * DAY as u64)).expect("three days");
    db.compact().expect("expire");
    let gone = answer(&db, "count_over_time(gauge[6h])", old, 6 * HOUR, TierChoice::Raw);
    assert_eq!(gone, "Matrix([])", "no sample is left");
    let mut kept = before.iter();
    for query in QUERIES {
        for step in [HOUR, 6 * HOUR] {
            let exact = answer(&db, query, old, step, TierChoice::Exact);
            assert_eq!(Some(&exact), kept.next(), "{query} each {step} s");
        }
    }
    let at = |hour: i64| Timestamp::from_secs(START + hour * HOUR);
    let sum =
        Request::range("sum_over_time(counter_total[6h])", at(24), at(48), Duration::from_secs(HOUR as u64));
    let refused = db.execute(&sum).expect_err("a tier keeps no sums of counters").to_string();
    assert!(refused.contains("needs columns that the buckets of a series do not have"), "{refused}");
    // Nor sums of histograms that are no gauges, and no rate in a bucket that a window cuts.
    let hourly = |query| {
        db.execute(&Request::instant(query, at(48)).with_tier(TierChoice::Width(Duration::from_secs(3_600))))
    };
    for query in ["sum_over_time(histogram[6h])", "rate(histogram[90m])"] {
        let refused = hourly(query).expect_err(query).to_string();
        assert!(refused.contains("of native histograms is answered by buckets only where"), "{refused}");
    }
    let counted = hourly("count_over_time(histogram[90m])").expect("a bound");
    assert!(
        counted.accuracy.is_some_and(|accuracy| accuracy.absolute == Some(5.0)),
        "{:?}",
        counted.accuracy
    );
    let names = db.label_values("job", &[], ..).expect("values");
    assert_eq!(names.len(), 3, "their labels are found too: {names:?}");
}

/// Buckets keep distributions if they outlive samples.
#[test]
fn distributions_outlive_samples() {
    const OF_ALL: &str = "histogram_quantile(0.9, sum(histogram_over_time(gauge[6h])))";
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    write(&db, 0..DAYS);
    let old = (24, 5 * 24);
    let queries = ["histogram_over_time(gauge[6h])", "sum(histogram_over_time(gauge[1d]))", OF_ALL];
    let ask = |query, tier| answer(&db, query, old, 6 * HOUR, tier);
    let raw = queries.map(|query| ask(query, TierChoice::Raw));
    db.set_retention(Duration::from_secs(3 * DAY as u64)).expect("three days");
    db.compact().expect("build and expire");
    assert_eq!(ask(queries[0], TierChoice::Raw), "Matrix([])", "no sample is left");
    assert_eq!(queries.map(|query| ask(query, TierChoice::Exact)), raw);
    assert!(raw.iter().all(|answer| answer.len() > 500), "{raw:?}");

    let at = |query, second| db.execute(&Request::instant(query, Timestamp::from_secs(START + second)));
    let accuracy = |query| at(query, 2 * DAY + 1_000).map(|response| response.accuracy.expect("buckets"));
    let estimated = accuracy("histogram_over_time(gauge[6h])").expect("an estimate");
    assert!(!estimated.exact && estimated.absolute.is_some_and(|bound| bound < 30.0), "{estimated:?}");
    assert_eq!(accuracy(OF_ALL).expect("an estimate").absolute, None, "quantiles have no bound");
    let refused =
        at("histogram_over_time(counter_total[6h])", 2 * DAY).expect_err("no distribution of counters");
    assert!(
        refused.to_string().contains("needs columns that the buckets of a series do not have"),
        "{refused}"
    );
}

/// The page lists the functions that are answered from buckets. `BAROGRAPH_WRITE_DOCS=1` writes the list.
#[test]
fn the_page_lists_the_functions() {
    const BEGIN: &str = "<!-- functions -->\n";
    const END: &str = "<!-- end of functions -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/downsampling.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where the list begins");
    let (found, after) = rest.split_once(END).expect("where it ends");
    let list = barograph::internals::functions::rows_as_markdown();
    if std::env::var_os("BAROGRAPH_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{list}{END}{after}")).expect("the page is written");
    } else {
        assert_eq!(
            found, list,
            "BAROGRAPH_WRITE_DOCS=1 cargo test --release --test scenarios the_page_lists"
        );
    }
}

/// Without settings, each class of series has the tier that is worth it, and where one is not, samples answer.
#[test]
fn without_settings_each_class_of_series_has_a_tier() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::default().with_background(false).with_wal_reserve_bytes(0);
    let db = Database::open_with(dir.path(), options.with_memory_bytes(64 << 20)).expect("open");
    for day in 0..DAYS {
        let mut batch = Batch::new();
        for (name, seconds) in [("fast", 15), ("slow", 300)] {
            for at in (START + day * DAY..START + (day + 1) * DAY).step_by(seconds) {
                // Without a pattern that chunks could use.
                let noise = at.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
                batch.push(&labels(name, 0), Timestamp::from_secs(at), Value::Float(noise as f64 / 8.0));
            }
        }
        db.append(&batch).expect("append");
        db.flush().expect("flush");
        db.compact().expect("compact");
    }
    let tiers = db.tiers();
    assert_eq!(tiers.iter().map(|tier| tier.resolution.name()).collect::<Vec<_>>(), ["1h", "6h"]);
    let omitted = tiers.iter().map(|tier| tier.omits.iter().map(|class| class.seconds()).collect::<Vec<_>>());
    assert_eq!(omitted.collect::<Vec<_>>(), [vec![256.0], vec![]]);

    let (start, end) = (Timestamp::from_secs(START + DAY), Timestamp::from_secs(START + 9 * DAY));
    for (query, hours, tier) in [
        ("max_over_time(fast[1h])", 1, Some(1)),
        ("max_over_time(slow[1h])", 1, None),
        ("max_over_time(slow[6h])", 6, Some(6)),
        ("last_over_time({__name__=~'fast|slow'}[6h])", 6, Some(6)),
        ("fast", 1, Some(1)),
        ("slow", 1, None),
    ] {
        let (hours_of, step) = ((24, 9 * 24), hours * HOUR);
        let exact = answer(&db, query, hours_of, step, TierChoice::Exact);
        let raw = answer(&db, query, hours_of, step, TierChoice::Raw);
        assert_eq!(exact, raw, "{query}");
        let hourly = TierChoice::Width(Duration::from_secs(3_600));
        assert_eq!(answer(&db, query, hours_of, step, hourly), raw, "{query}, as it was asked for");
        let request = Request::range(query, start, end, Duration::from_secs(step.unsigned_abs()));
        let response = db.execute(&request).expect("an answer");
        let width = response.accuracy.map(|accuracy| accuracy.tier.as_secs() / 3_600);
        assert_eq!(width, tier, "{query}");
    }
}
