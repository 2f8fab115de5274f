//! Logs of HdrHistogram over HTTP. The reader and the writer of the crate `hdrhistogram` are the judges.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use serde_json::Value;

use barograph_server::clock::now_ns;

use crate::harness::{Reply, Server, escape, gzip, server};

const START: i64 = 1_704_672_000;
/// The largest error of a quantile that is exported with a unit far below it.
const EXPORTED: f64 = 0.012;
/// The largest error of a quantile of an imported histogram with three significant digits.
const IMPORTED: f64 = 0.003_3;

/// Pseudo-random latencies in seconds, from 2 ms to 2 s.
fn latency(at: i64) -> f64 {
    let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    0.002 * 1_000f64.powf((mixed % 10_000) as f64 / 10_000.0)
}

/// A server with an hour of latencies of two jobs, one each second.
fn with_latencies() -> Server {
    let server = server(&[]);
    let mut lines = String::new();
    for at in 0..3_600 {
        for job in 0..2 {
            writeln!(lines, "latency,job=j{job} value={} {}000000000", latency(2 * at + job), START + at)
                .unwrap();
        }
    }
    server.write(&lines);
    server
}

fn export(server: &Server, query: &str, more: &str) -> Reply {
    server.get(&format!("/api/v1/export/hdr?query={}&{more}", escape(query)))
}

/// The histograms of a log by tag and start, as the crate reads them.
fn read_log(log: &str) -> Vec<(Option<String>, f64, Histogram<u64>)> {
    let mut found = Vec::new();
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let payload = STANDARD.decode(interval.encoded_histogram()).unwrap();
            let histogram = Deserializer::new().deserialize(&mut &payload[..]).unwrap();
            let start = interval.start_timestamp().as_secs_f64();
            found.push((interval.tag().map(|tag| tag.as_str().to_owned()), start, histogram));
        }
    }
    found
}

/// The value at a quantile, by its rank among the values.
fn at(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((quantile * values.len() as f64).ceil() as usize).max(1) - 1]
}

fn number(server: &Server, query: &str, time: i64) -> f64 {
    let data = server.get(&format!("/api/v1/query?time={time}&query={}", escape(query))).data();
    let text = data["result"][0]["value"][1].as_str().unwrap_or_else(|| panic!("{query}: {data}"));
    text.parse().unwrap()
}

fn histogram(server: &Server, query: &str, time: i64) -> Value {
    server.get(&format!("/api/v1/query?time={time}&query={}", escape(query))).data()["result"][0]["histogram"]
        [1]
    .take()
}

fn import(server: &Server, parameters: &str, log: impl AsRef<[u8]>) -> Reply {
    server.send("POST", &format!("/api/v1/import/hdr?{parameters}"), &[], log.as_ref())
}

#[test]
fn tools_read_what_is_exported() {
    let server = with_latencies();
    let range = format!("start={}&end={}&step=600", START + 600, START + 3_000);
    let reply = export(&server, "histogram_over_time(latency[10m])", &range);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let log = reply.text();
    assert!(
        log.starts_with(
            "#[Histogram log format version 1.3]\n#[unit: 0.000001]\n#[StartTime: 1704672000.000 "
        ),
        "{log}"
    );
    let found = read_log(&log);
    assert_eq!(found.len(), 2 * 5);
    assert!(found.is_sorted_by_key(|(_, start, _)| *start));
    for (tag, start, histogram) in found {
        let tag = tag.unwrap();
        let job = i64::from(tag == "job=j1");
        assert!(job == 1 || tag == "job=j0", "{tag}");
        assert_eq!(histogram.len(), 600);
        let first = start as i64 - START + 1;
        let mut values: Vec<f64> = (first..first + 600).map(|at| latency(2 * at + job) * 1e6).collect();
        for quantile in [0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (wanted, got) = (at(&mut values, quantile), histogram.value_at_quantile(quantile) as f64);
            assert!((got - wanted).abs() <= EXPORTED * wanted, "{tag} {start} {quantile}: {wanted} {got}");
        }
    }
}

/// Distributions of several series, and a unit that keeps every bucket.
#[test]
fn an_export_comes_back() {
    let server = with_latencies();
    let end = START + 3_600;
    let query = "sum(histogram_over_time(latency[1h]))";
    let unit = "unit=0.00000762939453125";
    let log = export(&server, query, &format!("time={end}&{unit}")).text();
    let [(None, _, histogram)] = &read_log(&log)[..] else { panic!("{log}") };
    assert_eq!(histogram.len(), 7_198);
    let reply = import(&server, &format!("metric=back&{unit}&extra_label=from%3Dhdr"), &log);
    assert_eq!(reply.status, 204, "{}", reply.text());
    let stored = histogram_without_sum(&server, "back{from=\"hdr\"}", end);
    let made = histogram_without_sum(&server, query, end);
    assert!(stored == made, "{} and {} bytes", stored.to_string().len(), made.to_string().len());
    assert!(stored["buckets"].as_array().unwrap().len() > 500, "{stored}");
    for query in ["histogram_sum(back)", "histogram_sum(sum(histogram_over_time(latency[1h])))"] {
        let sum: f64 = (1..=3_599).flat_map(|at| [latency(2 * at), latency(2 * at + 1)]).sum();
        let found = number(&server, query, end);
        assert!((found - sum).abs() < sum * 0.004, "{query}: {found} {sum}");
    }
}

fn histogram_without_sum(server: &Server, query: &str, time: i64) -> Value {
    let mut found = histogram(server, query, time);
    found["sum"] = Value::Null;
    found
}

/// A log of the crate, of a histogram a minute, which counts microseconds.
fn log_of(histograms: &[Histogram<u64>]) -> Vec<u8> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let start = UNIX_EPOCH + Duration::from_secs(START as u64);
    let mut builder = IntervalLogWriterBuilder::new();
    let builder = builder.add_comment("a comment").with_start_time(start).with_base_time(start);
    let mut writer = builder.begin_log_with(&mut log, &mut serializer).unwrap();
    for (at, histogram) in histograms.iter().enumerate() {
        let (start, length) = (Duration::from_secs(60 * at as u64), Duration::from_secs(60));
        writer.write_histogram(histogram, start, length, Tag::new(["A", "B"][at % 2])).unwrap();
    }
    log
}

/// A line with one observation, in an interval that ends at this second.
pub fn log_of_one(second: u64) -> String {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    histogram.record(1_000).unwrap();
    let mut plain = Vec::new();
    V2Serializer::new().serialize(&histogram, &mut plain).unwrap();
    format!("{second},0,1,{}\n", STANDARD.encode(&plain))
}

#[test]
fn what_tools_write_is_imported() {
    let server = server(&[]);
    let minute = |at: i64| (0..500).map(move |i| (latency(at * 500 + i) * 1e6).round());
    let histograms: Vec<Histogram<u64>> = (0..4)
        .map(|at| {
            let mut histogram = Histogram::new(3).unwrap();
            minute(at).for_each(|value| histogram.record(value as u64).unwrap());
            histogram
        })
        .collect();
    let log = log_of(&histograms);
    let packed =
        server.send("POST", "/api/v1/import/hdr?metric=rtt", &[("content-encoding", "gzip")], &gzip(&log));
    assert_eq!(packed.status, 204, "{}", packed.text());
    assert_eq!(server.series("rtt").len(), 2);
    for (i, histogram) in histograms.iter().enumerate() {
        let (tag, end) = (["A", "B"][i % 2], START + 60 * (i as i64 + 1));
        assert_eq!(number(&server, &format!("histogram_count(rtt{{tag=\"{tag}\"}})"), end), 500.0);
        let mut values: Vec<f64> = minute(i as i64).collect();
        for quantile in [0.01, 0.25, 0.5, 0.9, 0.99, 1.0] {
            let query = format!("histogram_quantile({quantile}, rtt{{tag=\"{tag}\"}})");
            let found = number(&server, &query, end) * 1e6;
            let is_near = |wanted: f64, error: f64| (found - wanted).abs() <= error * wanted;
            // PromQL counts from the upper end, where a whole rank may be that of the next value.
            let ours = [at(&mut values, quantile), at(&mut values, (quantile + 0.002).min(1.0))];
            assert!(ours.iter().any(|&wanted| is_near(wanted, IMPORTED)), "{query}: {ours:?} {found}");
            let theirs = histogram.value_at_quantile(quantile) as f64;
            assert!(is_near(theirs, 0.005) || is_near(ours[1], IMPORTED), "{query}: {theirs} {found}");
        }
    }
    // They are distributions of intervals, so they may be added over time.
    let all = "histogram_count(sum(sum_over_time(rtt[4m])))";
    assert_eq!(number(&server, all, START + 240), 2_000.0);
}

#[test]
fn bad_lines_are_named_and_good_ones_stored() {
    let server = server(&[]);
    let line = log_of_one(0);
    let payload = line.trim_end().rsplit(',').next().unwrap();
    let log = format!(
        "#[BaseTime: {START} (seconds since epoch)]\n0,1,1,{payload}\nnonsense\r\nTag=x,1,1,1,{payload}\n2,1,1,AAAA\n"
    );
    let reply = import(&server, "metric=m", &log);
    let said = reply.error(400, "bad_data");
    assert!(
        said.starts_with("partial write: 2 lines refused, 2 histograms stored; line 3: expected start,"),
        "{said}"
    );
    assert!(
        said.contains("; line 5: its payload has no four bytes")
            || said.contains("; line 5: its payload begins"),
        "{said}"
    );
    assert_eq!(number(&server, "histogram_count(m{tag=\"\"})", START + 1), 1.0);
    assert_eq!(number(&server, "histogram_count(m{tag=\"x\"})", START + 2), 1.0);

    for (parameters, why) in [
        ("metric=m&unit=0", "invalid parameter \"unit\": expected a positive number"),
        ("metric=m&unit=x", "invalid parameter \"unit\""),
        ("metric=m&extra_label=x", "invalid parameter \"extra_label\": expected name=value"),
        ("", "line 2: it has no metric name: give the parameter metric"),
        ("metric=m&extra_label=x%3Dy", "2 histograms stored"),
    ] {
        let said = import(&server, parameters, &log).error(400, "bad_data");
        assert!(said.contains(why), "{parameters}: {said}");
    }
}

/// What is past the retention is refused line by line.
#[test]
fn old_intervals_are_refused() {
    let server = server(&[("retention", "1d"), ("tiers", "none")]);
    let now = now_ns() as u64 / 1_000_000_000;
    // The newest sample decides what is past the retention.
    server.write(&format!("newest value=1 {now}000000000"));
    let log = log_of_one(now - 60) + &log_of_one(now - 3 * 86_400) + &log_of_one(now);
    let said = import(&server, "metric=m", &log).error(400, "bad_data");
    assert_eq!(
        said,
        "partial write: 1 lines refused, 2 histograms stored; line 2: it is older than the retention"
    );
    assert_eq!(number(&server, "histogram_count(sum_over_time(m[5m]))", now as i64), 2.0);
}

/// Payloads that expand a thousandfold end at the limit of decompressed bodies, and need no memory before.
#[test]
fn bombs_are_refused() {
    let server = server(&[("max_body_decoded", "4MiB"), ("max_body", "4MiB")]);
    let zeros = vec![0u8; 1_000_000];
    let mut payload = 0x1c84_9313u32.to_be_bytes().to_vec();
    payload.extend((zeros.len() as u32).to_be_bytes());
    payload.extend([0, 0, 0, 0, 0, 0, 0, 5]);
    payload.extend(1u64.to_be_bytes());
    payload.extend(u64::MAX.to_be_bytes());
    payload.extend(1f64.to_be_bytes());
    payload.extend(&zeros);
    let packed = {
        use std::io::Write as _;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&payload).unwrap();
        encoder.finish().unwrap()
    };
    let packed = [&0x1c84_9314u32.to_be_bytes()[..], &(packed.len() as u32).to_be_bytes(), &packed].concat();
    let line = |at: i64| format!("{},1,1,{}\n", START + at, STANDARD.encode(&packed));
    let few: String = (0..4).map(line).collect();
    assert!(few.len() < 10_000, "{}", few.len());
    assert_eq!(import(&server, "metric=m", &few).status, 204);
    let many: String = (0..100).map(line).collect();
    let said = import(&server, "metric=m", &many).error(413, "bad_data");
    assert!(
        said.contains("payloads of lines 1 to 5 is larger than 4MiB, the limit (max_body_decoded)"),
        "{said}"
    );
    assert_eq!(number(&server, "histogram_count(m)", START + 4), 0.0, "what came before is stored");
}

#[test]
fn only_distributions_are_exported() {
    let server = with_latencies();
    for query in ["latency", "1", "histogram_over_time(latency[1h]) or latency{job=\"none\"} or vector(1)"] {
        let said = export(&server, query, &format!("time={}", START + 60)).error(422, "execution");
        assert!(said.contains("not native histograms; histogram_over_time(x[1h])"), "{query}: {said}");
    }
    assert_eq!(
        export(&server, "latency", "start=1").error(400, "bad_data"),
        "invalid parameter \"end\": it is required"
    );
    assert!(export(&server, "nothing", "").text().ends_with("\"Interval_Compressed_Histogram\"\n"));
    // Values that HdrHistogram cannot count are left out, and the log says how many.
    server.write(&format!("odd value=-5 {START}000000000\nodd value=2 {}000000000", START + 1));
    let log = export(&server, "histogram_over_time(odd[1h])", &format!("time={}", START + 60)).text();
    assert!(
        log.contains(
            "#[the next line leaves out some observations, 1: negative, NaN, infinite or too large]\n"
        ),
        "{log}"
    );
    let found: HashMap<_, _> =
        read_log(&log).into_iter().map(|(tag, _, histogram)| (tag, histogram.len())).collect();
    assert_eq!(found, HashMap::from([(None, 1)]));
    // Counts that are not whole, as those of a rate, or negative.
    for (query, says) in [
        ("histogram_over_time(odd[1h]) / 8", "0 in all; the histogram has 0.25]\n"),
        (
            "0 * histogram_over_time(odd[1h]) - histogram_over_time(odd[1h])",
            "0 in all; the histogram has -2]\n",
        ),
    ] {
        let log = export(&server, query, &format!("time={}", START + 60)).text();
        assert!(log.contains(&format!("whole and not negative, {says}")), "{query}: {log}");
    }
    let log = export(&server, "histogram_over_time(latency[1h])", &format!("time={}", START + 60)).text();
    assert!(!log.contains("not negative"), "{log}");
}
