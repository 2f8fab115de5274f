//! Tiers of buckets over HTTP: the parameters of queries, the accuracy of answers, and what the server says of tiers.

use std::fmt::Write as _;

use serde_json::json;

use crate::harness::{Server, server};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_704_672_000;

/// A server with five days of a series that has a sample each minute, in tiers except for the last two days.
fn with_tiers() -> Server {
    let server = server(&[("tiers", "5m 90d, 1h"), ("enable_admin", "true")]);
    let mut lines = String::new();
    for at in (START..START + 5 * DAY).step_by(60) {
        writeln!(lines, "cpu value={} {at}000000000", at / 60 % 101).unwrap();
    }
    server.write(&lines);
    for call in ["flush", "clean_tombstones"] {
        let answer = server.send("POST", &format!("/api/v1/admin/tsdb/{call}"), &[], b"");
        assert_eq!(answer.status, 204, "{call}");
    }
    server
}

fn query(server: &Server, query: &str, more: &str) -> serde_json::Value {
    let range = format!("start={}&end={}&step=3600", START + 2 * HOUR, START + DAY);
    server.get(&format!("/api/v1/query_range?query={query}&{range}{more}")).data()
}

#[test]
fn a_query_is_answered_from_a_tier_and_says_so() {
    let server = with_tiers();
    let exact = query(&server, "avg_over_time(cpu[2h])", "");
    assert_eq!(exact["accuracy"]["tierSeconds"], 3600.0);
    assert_eq!((&exact["accuracy"]["exact"], &exact["accuracy"]["absolute"]), (&json!(true), &json!(0.0)));
    let raw = query(&server, "avg_over_time(cpu[2h])", "&tier=raw");
    assert_eq!((&raw["result"], &raw["accuracy"]), (&exact["result"], &json!(null)));
    assert_eq!(raw["result"][0]["values"].as_array().unwrap().len(), 23);
    let narrow = query(&server, "avg_over_time(cpu[2h])", "&tier=5m");
    assert_eq!((&narrow["result"], &narrow["accuracy"]["tierSeconds"]), (&exact["result"], &json!(300.0)));
}

#[test]
fn a_tier_that_is_no_longer_kept_can_be_dropped() {
    let mut server = with_tiers();
    let drop_tier = |server: &Server, tier: &str| {
        let reply = server.send("POST", &format!("/api/v1/admin/tsdb/drop_tier?tier={tier}"), &[], b"");
        (reply.status, reply.text())
    };
    let (status, text) = drop_tier(&server, "5m");
    assert!(status == 400 && text.contains("the tier 5m is kept"), "{text}");
    let (status, text) = drop_tier(&server, "7m");
    assert!(status == 400 && text.contains("expected one of 1m, 5m"), "{text}");
    let (status, text) = drop_tier(&server, "6h");
    assert!(status == 400 && text.contains("there is no tier 6h"), "{text}");
    let before = query(&server, "avg_over_time(cpu[2h])", "")["result"].clone();
    server.reload(&[("tiers", "1h"), ("enable_admin", "true")]);
    let (status, text) = drop_tier(&server, "5m");
    assert!(status == 200 && text.contains("\"bytes\":"), "{text}");
    let tiers = server.get("/api/v1/status/compaction").data()["tiers"].clone();
    assert_eq!((tiers.as_array().map(Vec::len), &tiers[0]["resolution"]), (Some(1), &json!("1h")));
    assert_eq!(query(&server, "avg_over_time(cpu[2h])", "")["result"], before);
}

#[test]
fn parameters_that_name_no_tier_are_refused() {
    let server = server(&[]);
    for (more, why) in [
        (
            "tier=7m",
            "expected raw, exact or one of 1m, 5m, 10m, 15m, 30m, 1h, 2h, 3h, 6h, 12h, 1d, found \"7m\"",
        ),
        ("max_error=-1", "expected a number from 0 on, found \"-1\""),
        ("max_error=NaN", "found \"NaN\""),
    ] {
        let answer = server.get(&format!("/api/v1/query?query=1&{more}"));
        assert_eq!(answer.status, 400, "{more}");
        assert!(answer.text().contains(why.replace('"', "\\\"").as_str()), "{more}: {}", answer.text());
    }
}

#[test]
fn the_state_of_tiers_is_shown() {
    let server = with_tiers();
    let data = server.get("/api/v1/status/compaction").data();
    let hourly = &data["tiers"][1];
    assert_eq!((&hourly["resolution"], &hourly["keepSeconds"]), (&json!("1h"), &json!(0)));
    assert_eq!(data["tiers"][0]["keepSeconds"], 90 * DAY);
    assert_eq!(hourly["completeThrough"], (START + 3 * DAY) as f64);
    // The sample of the first instant belongs to the bucket that ends there.
    assert_eq!(hourly["buckets"], 3 * 24 + 1);
    let text = server.get("/metrics").text();
    assert!(text.contains("barograph_db_tier_buckets{width=\"1h\"} 73"), "{text}");
    assert!(
        text.contains(&format!("barograph_db_tier_complete_seconds{{width=\"5m\"}} {}", START + 3 * DAY))
    );
}

#[test]
fn each_series_has_what_its_ladder_keeps() {
    let ladders = "{job=\"short\"} -> raw 1d, 1h; {job=\"none\"} -> raw 2d; target_info -> raw 1d, 1h";
    let server = server(&[("tiers", "5m, 1h"), ("ladders", ladders), ("enable_admin", "true")]);
    let mut lines = String::new();
    for at in (START..START + 9 * DAY).step_by(60) {
        for job in ["long", "short"] {
            writeln!(lines, "cpu,job={job} value={} {at}000000000", at / 60 % 101).unwrap();
        }
        writeln!(lines, "target_info,job=long,version=v1 value=1 {at}000000000").unwrap();
    }
    server.write(&lines);
    for call in ["flush", "clean_tombstones", "clean_tombstones"] {
        let answer = server.send("POST", &format!("/api/v1/admin/tsdb/{call}"), &[], b"");
        assert_eq!(answer.status, 204, "{call}");
    }

    // Windows of 90 minutes cut hours, and the series has lost what is narrower.
    let of = |job: &str, more: &str| {
        query(&server, &format!("avg_over_time(cpu%7Bjob=~%22{job}%22%7D[90m])"), more)
    };
    let (long, short) = (of("long", ""), of("short", ""));
    let accuracy = |answer: &serde_json::Value| {
        let accuracy = &answer["accuracy"];
        (accuracy["tierSeconds"].clone(), accuracy["exact"].clone())
    };
    assert_eq!(accuracy(&long), (json!(300.0), json!(true)));
    assert_eq!(accuracy(&short), (json!(3600.0), json!(false)));
    assert_eq!(of("long", "&tier=raw")["result"], long["result"]);
    assert_eq!(of("short", "&tier=raw")["result"], json!([]));
    let both = of("long|short", "");
    assert_eq!(both["result"].as_array().map(Vec::len), Some(2));
    assert_eq!(accuracy(&both), accuracy(&short), "both have hours");
    // The info series have hours alone, which nothing in the query says.
    let info = format!("/api/v1/query?time={}&query=info(cpu%7Bjob=%22long%22%7D)", START + 2 * DAY);
    let found = server.get(&info).data();
    assert_eq!(found["result"][0]["metric"]["version"], "v1", "{found}");

    let data = server.get("/api/v1/status/compaction").data();
    let [first, second, rest] = [0, 1, 3].map(|at| data["ladders"][at].clone());
    assert_eq!(first["ladder"], "{job=\"short\"} -> raw 1d, 1h");
    let dropped = first["droppedThrough"].as_object().expect("names and times");
    assert_eq!(dropped.keys().collect::<Vec<_>>(), ["5m", "raw"]);
    assert!(dropped["raw"].as_f64() > Some((START + 6 * DAY) as f64), "{dropped:?}");
    assert_eq!(second["droppedThrough"].as_object().map(serde_json::Map::len), Some(3), "{second}");
    assert_eq!(rest["droppedThrough"], json!({}));
    assert_eq!(rest["ladder"], "{} -> raw, 5m, 1h");

    let late = format!("cpu,job=short value=1 {}000000000", START + 5 * DAY);
    let refused = server.send("POST", "/write", &[], late.as_bytes());
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("is older than the retention, which reaches back to"),
        "{}",
        refused.text()
    );
    server.write(&late.replace("short", "long"));
}

#[test]
fn events_are_kept_as_long_as_their_setting_says() {
    let mut server = server(&[("retention", "3d"), ("event_retention", "6d"), ("enable_admin", "true")]);
    for day in 0..9 {
        let at = START + day * DAY + HOUR;
        server.write(&format!("log,job=a text=\"day {day}\",value={day} {at}000000000\n"));
    }
    let compact = |server: &Server| {
        for call in ["flush", "clean_tombstones", "clean_tombstones"] {
            let answer = server.send("POST", &format!("/api/v1/admin/tsdb/{call}"), &[], b"");
            assert_eq!(answer.status, 204, "{call}");
        }
    };
    compact(&server);
    let stored = |server: &Server| {
        let events = server.get(&format!("/api/v1/events?start={START}&end={}", START + 9 * DAY)).text();
        let samples = server.get(&format!("/api/v1/query?query=log[9d]&time={}", START + 9 * DAY)).data();
        let samples = samples["result"][0]["values"].as_array().map(Vec::len);
        (events.matches("day ").count(), samples)
    };
    assert_eq!(stored(&server), (7, Some(4)));
    let state = |server: &Server| server.get("/api/v1/status/compaction").data()["events"].clone();
    assert_eq!(state(&server)["retentionSeconds"], 6 * DAY);
    server.reload(&[("retention", "3d"), ("event_retention", "1d"), ("enable_admin", "true")]);
    compact(&server);
    assert_eq!(stored(&server), (2, Some(4)));
    assert!(state(&server)["droppedThrough"].as_f64() >= Some((START + 7 * DAY - 1) as f64));
    let late = format!("log,job=a text=\"late\" {}000000000", START + 6 * DAY);
    let refused = server.send("POST", "/write", &[], late.as_bytes());
    assert!(refused.status == 400 && refused.text().contains("event_retention"), "{}", refused.text());
}
