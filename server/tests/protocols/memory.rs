//! The shares of the memory: what the status page, the metrics and the documentation say of them.

use barograph::budget::Part;
use barograph_server::memory::{PARTS, table};

use crate::harness::server;

const MEMORY: u64 = 64 << 20;

#[test]
fn the_status_page_shows_every_share_and_they_fit_into_the_setting() {
    let server = server(&[("memory", "64MiB")]);
    server.write("cpu value=1 1000000000\n");
    let data = server.get("/api/v1/status/memory").data();
    assert_eq!(data["memoryBytes"], MEMORY);
    let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
    let (shares, parts) = (list(&data["shares"]), list(&data["engine"]["parts"]));
    let names = |list: &[serde_json::Value]| -> Vec<String> {
        list.iter().map(|share| share["name"].as_str().unwrap().to_owned()).collect()
    };
    let of_table = |table: &[Part]| table.iter().map(|part| part.name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&shares), of_table(&PARTS[1..]));
    assert_eq!(names(&parts), of_table(barograph::internals::PARTS));
    let sum =
        |list: &[serde_json::Value]| list.iter().map(|s| s["limitBytes"].as_u64().unwrap()).sum::<u64>();
    let engine = data["engine"]["limitBytes"].as_u64().unwrap();
    assert!(sum(&parts) <= engine);
    assert!(data["process"]["reservedBytes"].as_u64().unwrap() + engine + sum(&shares) <= MEMORY);
    let used = |name: &str| parts.iter().find(|p| p["name"] == name).unwrap()["usedBytes"].as_u64().unwrap();
    assert!(used("samples") > 0 && used("series") > 0 && used("line_cache") > 0);
    for share in &shares {
        assert!(share["peakBytes"].is_u64() && share["refused"].is_u64(), "{share}");
        assert!(!share["whenFull"].as_str().unwrap().is_empty());
    }
}

#[test]
fn shares_are_metrics_too() {
    let server = server(&[("memory", "64MiB")]);
    let held = server.state.memory.queries.take(12_345).unwrap();
    let most = server.state.memory.queries.limit();
    assert!(server.state.memory.queries.take(most).is_err());
    let text = server.get("/metrics").text();
    for line in [
        "barograph_memory_bytes 67108864".to_owned(),
        format!("barograph_memory_limit_bytes{{share=\"queries\"}} {most}"),
        "barograph_memory_used_bytes{share=\"queries\"} 12345".to_owned(),
        "barograph_memory_peak_bytes{share=\"queries\"} 12345".to_owned(),
        "barograph_memory_refused_total{share=\"queries\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    drop(held);
    for part in PARTS[1..].iter().chain(barograph::internals::PARTS) {
        let name = format!("barograph_memory_limit_bytes{{share=\"{}\"}}", part.name);
        assert!(text.contains(&name), "{name}");
    }
}

#[test]
fn the_page_about_operation_has_the_tables_of_the_program() {
    let page = include_str!("../../../docs/operations.md");
    for parts in [PARTS, barograph::internals::PARTS] {
        let table = table(parts);
        assert!(page.contains(&table), "docs/operations.md has to have\n{table}");
    }
}
