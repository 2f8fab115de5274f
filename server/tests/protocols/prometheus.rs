//! The Prometheus HTTP API: its contract, and its hostile questions.

use serde_json::json;

use crate::harness::{ENDLESS, Server, escape, server};

fn filled() -> Server {
    let server = server(&[]);
    let mut lines = String::new();
    for minute in 0..10i64 {
        for host in ["a", "b"] {
            let time = minute * 60_000_000_000;
            let value = minute * if host == "a" { 1 } else { 10 };
            lines.push_str(&format!("cpu,host={host} busy={value} {time}\n"));
        }
    }
    server.write(&lines);
    server
}

fn query(server: &Server, text: &str) -> crate::harness::Reply {
    server.get(&format!("/api/v1/query?time=540&query={}", escape(text)))
}

#[test]
fn instant_queries() {
    let server = filled();
    assert_eq!(
        query(&server, r#"cpu_busy{host="a"}"#).data(),
        json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "cpu_busy", "host": "a"}, "value": [540, "9"]},
        ]})
    );
    assert_eq!(query(&server, "1+1").data(), json!({"resultType": "scalar", "result": [540, "2"]}));
    assert_eq!(query(&server, "\"x<y\"").data(), json!({"resultType": "string", "result": [540, "x<y"]}));
    assert_eq!(query(&server, "nothing").data(), json!({"resultType": "vector", "result": []}));
    assert_eq!(
        query(&server, r#"cpu_busy{host="b"}[90s]"#).data(),
        json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "cpu_busy", "host": "b"}, "values": [[480, "80"], [540, "90"]]},
        ]})
    );
    let posted = server.form("/api/v1/query", "query=sum(cpu_busy)&time=1970-01-01T00:09:00Z");
    assert_eq!(posted.data()["result"][0]["value"], json!([540, "99"]));
    let mixed = server.form("/api/v1/query?time=540", "query=sum(cpu_busy)");
    assert_eq!(mixed.data()["result"][0]["value"], json!([540, "99"]));
}

#[test]
fn range_queries() {
    let server = filled();
    let reply = server.get("/api/v1/query_range?query=sum(cpu_busy)&start=60&end=180.5&step=1m");
    assert_eq!(
        reply.data(),
        json!({"resultType": "matrix", "result": [
            {"metric": {}, "values": [[60, "11"], [120, "22"], [180, "33"]]},
        ]})
    );
    let edge = server.get("/api/v1/query_range?query=1&start=0&end=11000&step=1");
    assert_eq!(edge.data()["result"][0]["values"].as_array().unwrap().len(), 11_001);
}

#[test]
fn limits_statistics_and_unknown_parameters() {
    let server = filled();
    let limited = server.get("/api/v1/query?query=cpu_busy&time=540&limit=1&nonsense=1");
    assert_eq!(limited.json()["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(limited.json()["warnings"][0], "results truncated due to limit");
    let stats = server.get("/api/v1/query?query=cpu_busy&time=540&stats=all").data();
    assert!(stats["stats"]["timings"]["execTotalTime"].is_number(), "{stats}");
    assert_eq!(stats["stats"]["samples"]["totalQueryableSamples"], 2);
    let short = server.get("/api/v1/query?query=cpu_busy&time=600&lookback_delta=30s").data();
    assert_eq!(short["result"], json!([]));
    for default in ["0", "0s", "-1"] {
        let target = format!("/api/v1/query?query=cpu_busy&time=600&lookback_delta={default}");
        assert_eq!(server.get(&target).data()["result"].as_array().unwrap().len(), 2, "{default}");
    }
    let scalar = server.get("/api/v1/query?query=1e23&time=0").data();
    assert_eq!(scalar["result"], json!([0, "100000000000000000000000"]));
}

#[test]
fn bad_parameters_are_400() {
    let server = filled();
    let range = "/api/v1/query_range?query=up";
    for target in [
        "/api/v1/query".to_owned(),
        "/api/v1/query?query=".to_owned(),
        "/api/v1/query?query=up&time=nan".to_owned(),
        "/api/v1/query?query=up&time=inf".to_owned(),
        "/api/v1/query?query=up&time=yesterday".to_owned(),
        "/api/v1/query?query=up&limit=1.5".to_owned(),
        "/api/v1/query_exemplars?query=up&start=2&end=1".to_owned(),
        "/api/v1/query?query=up&timeout=-1s".to_owned(),
        "/api/v1/query?query=up&lookback_delta=soon".to_owned(),
        "/api/v1/query?query=%ff".to_owned(),
        "/api/v1/query?query=%zz".to_owned(),
        format!("{range}&start=0&end=1"),
        format!("{range}&start=0&step=1"),
        format!("{range}&start=2&end=1&step=1"),
        format!("{range}&start=0&end=1&step=0"),
        format!("{range}&start=0&end=1&step=-1"),
        format!("{range}&start=nan&end=1&step=1"),
        format!("{range}&start=0&end=11001&step=1"),
        format!("{range}&start=0&end=315360000&step=0.001"),
        "/api/v1/series".to_owned(),
        "/api/v1/series?match[]=".to_owned(),
        "/api/v1/series?match[]={}".to_owned(),
        "/api/v1/labels?match[]=rate(x[5m])".to_owned(),
        "/api/v1/label/U__a_zz_/values".to_owned(),
        "/api/v1/export".to_owned(),
    ] {
        let message = server.get(&target).error(400, "bad_data");
        assert!(!message.is_empty(), "{target}");
    }
    let parse = query(&server, "sum(").error(400, "bad_data");
    assert!(parse.starts_with("invalid parameter \"query\": 1:"), "{parse}");
    let too_fine = server.get(&format!("{range}&start=0&end=11001&step=1")).error(400, "bad_data");
    assert!(too_fine.contains("11,000 points"), "{too_fine}");
}

#[test]
fn the_length_of_a_query_is_a_setting() {
    let server = server(&[("query_max_bytes", "1KiB")]);
    let of = |bytes: usize| format!("1{}", " ".repeat(bytes - 1));
    for path in ["query?time=1", "query_range?start=1&end=1&step=1", "format_query?", "parse_query?"] {
        let path = format!("/api/v1/{path}");
        let ask = |text: &str| server.form(&path, &format!("query={}", escape(text)));
        assert_eq!(ask(&of(1024)).status, 200, "{path}");
        let refused = ask(&of(1025)).error(400, "bad_data");
        assert!(refused.contains("1025 bytes") && refused.contains("query_max_bytes"), "{path}: {refused}");
    }
}

#[test]
fn hostile_queries_end_with_an_error() {
    let server = server(&[("query_max_series", "50"), ("query_max_samples", "1000")]);
    let lines: String = (0..200).map(|i| format!("m,i=i{i} value={i} 1000000000\n")).collect();
    server.write(&lines);
    let ask = |text: &str| server.form("/api/v1/query", &format!("time=1&query={}", escape(text)));
    assert_eq!(ask(r#"{__name__=~".+"}"#).status, 422, "more series than allowed");
    let many = (0..1000).map(|i| format!("alternative{i}")).collect::<Vec<_>>().join("|");
    assert!([200, 400].contains(&ask(&format!("m{{i=~\"{many}\"}}")).status));
    assert!([200, 400, 422].contains(&ask("m{i=~\"(a+)+$\"}").status));
    for text in [
        "(".repeat(10_000) + "1" + &")".repeat(10_000),
        "-".repeat(10_000) + "1",
        format!("m{{i=~\"{}\"}}", "(x{999}){999}"),
        format!("m{{i=~\"{}\"}}", "(".repeat(60_000)),
        "x".repeat((1 << 20) + 1),
        "sum by (".repeat(5_000),
        "m[5m:".repeat(300),
    ] {
        let reply = ask(&text);
        reply.error(400, "bad_data");
    }
    let nested = "max_over_time(".repeat(30) + "m" + &"[1h:1s])".repeat(30);
    assert!([400, 422, 503].contains(&ask(&nested).status), "subqueries multiply");
    for text in [
        "topk(1e18, m{i=~\"i1.\"})",
        "quantile(NaN, m{i=~\"i1.\"})",
        "m{i=\"i1\"} * on() group_left m{i=~\"i1.\"}",
    ] {
        let status = ask(text).status;
        assert!([200, 422].contains(&status), "{text}: {status}");
    }
    let selectors = "match[]=m&".repeat(900);
    server.form("/api/v1/series", &selectors).error(400, "bad_data");
    server.form("/api/v1/series", &"a=1&".repeat(2000)).error(400, "bad_data");
    assert_eq!(server.get("/-/ready").status, 200);
}

#[test]
fn a_query_ends_at_its_timeout() {
    let server = server(&[]);
    let reply = server.form("/api/v1/query", &format!("timeout=20ms&query={}", escape(ENDLESS)));
    let message = reply.error(503, "timeout");
    assert!(message.contains("timed out"), "{message}");
    server.wait_for("its thread", || server.state.gates.turns.running_in_all() == 0);
}

#[test]
fn more_queries_than_turns_wait_and_then_are_refused() {
    let server = server(&[("query_concurrency", "1"), ("query_queue", "0")]);
    let _running = server.begin_endless();
    let reply = server.get("/api/v1/query?query=1");
    reply.error(429, "too_many_requests");
    assert!(reply.headers.contains_key("retry-after"));
}

#[test]
fn series_labels_and_values() {
    let server = filled();
    server.write("http.status,code=200,a_b=1 value=1 1\n");
    assert_eq!(server.series("cpu_busy").len(), 2);
    assert_eq!(server.series(r#"{host="a"}"#), [json!({"__name__": "cpu_busy", "host": "a"})]);
    let union = server.get("/api/v1/series?match[]=cpu_busy&match[]={host=%22a%22}&match[]={code=%22200%22}");
    assert_eq!(union.data().as_array().unwrap().len(), 3);
    let limited = server.get("/api/v1/series?match[]=cpu_busy&limit=1").json();
    assert_eq!((limited["data"].as_array().unwrap().len(), limited["warnings"].is_array()), (1, true));
    assert_eq!(server.get("/api/v1/labels").data(), json!(["__name__", "a_b", "code", "host"]));
    assert_eq!(server.get("/api/v1/labels?match[]=cpu_busy").data(), json!(["__name__", "host"]));
    assert_eq!(server.get("/api/v1/label/host/values").data(), json!(["a", "b"]));
    assert_eq!(server.get("/api/v1/label/host/values?limit=1").data(), json!(["a"]));
    assert_eq!(server.get("/api/v1/label/U__a__b/values").data(), json!(["1"]));
    assert_eq!(server.get("/api/v1/label/__name__/values").data(), json!(["cpu_busy", "http.status"]));
    assert_eq!(server.get("/api/v1/label/absent/values").data(), json!([]));
    assert_eq!(server.get("/api/v1/series?match[]=absent").data(), json!([]));
}

#[test]
fn label_values_cannot_break_out_of_the_answer() {
    let server = server(&[]);
    server.write("x,t=</script><img\\ src\\=x> value=1 1\n");
    let reply = server.get("/api/v1/series?match[]=x");
    assert!(!reply.text().contains('<'), "{}", reply.text());
    assert_eq!(reply.data()[0]["t"], "</script><img src=x>");
}

#[test]
fn texts_of_queries() {
    let server = server(&[]);
    let formatted = server.get("/api/v1/format_query?query=sum(rate(x[5m]))by(a)").data();
    assert!(formatted.as_str().unwrap().contains("sum by (a)"), "{formatted}");
    let tree = server.get("/api/v1/parse_query?query=foo%2F2").data();
    assert_eq!(tree["type"], "binaryExpr", "{tree}");
    server.get("/api/v1/format_query?query=sum(").error(400, "bad_data");
    assert_eq!(server.get("/api/v1/query_exemplars?query=up&start=0&end=1").data(), json!([]));
}

#[test]
fn what_graphing_clients_ask() {
    let server = filled();
    assert_eq!(query(&server, "1+1").data()["result"][1], "2");
    for target in [
        "metadata",
        "status/buildinfo",
        "status/runtimeinfo",
        "status/flags",
        "status/config",
        "status/tsdb",
        "status/walreplay",
        "rules",
        "alerts",
        "targets",
        "targets/metadata",
        "scrape_pools",
        "alertmanagers",
    ] {
        let reply = server.get(&format!("/api/v1/{target}"));
        reply.data();
        assert_eq!(reply.headers["content-type"], "application/json", "{target}");
    }
    let build = server.get("/api/v1/status/buildinfo").data();
    assert!(build["version"].as_str().unwrap().starts_with("3."), "{build}");
    let tsdb = server.get("/api/v1/status/tsdb?limit=1").data();
    assert_eq!(tsdb["headStats"]["numSeries"], 2);
    assert_eq!(tsdb["seriesCountByMetricName"], json!([{"name": "cpu_busy", "value": 2}]));
    let stored = server.get("/api/v1/status/tsdb?limit=1&start=0&end=1").data();
    assert_eq!(stored["seriesCountByLabelValuePair"], json!([{"name": "__name__=cpu_busy", "value": 2}]));
    server.get("/api/v1/status/tsdb?start=x").error(400, "bad_data");
    assert_eq!(server.get("/api/v1/rules").data(), json!({"groups": []}));
    assert!(server.get("/api/v1/status/config").data()["yaml"].as_str().unwrap().contains("max_body"));
    assert_eq!(server.get("/api/v1/status/flags").data()["max-line"], "64KiB");
}

#[test]
fn exports_come_in_again() {
    let source = filled();
    let lines = source.export(r#"{__name__=~".+"}"#);
    assert_eq!(lines.lines().count(), 20);
    let copy = server(&[]);
    copy.write(&lines);
    assert_eq!(copy.export("cpu_busy"), lines);
    let part = source.get("/api/v1/export?match[]=cpu_busy&start=60&end=120").text();
    assert_eq!(part.lines().count(), 4);
    let union = source.get("/api/v1/export?match[]=cpu_busy&match[]={host=%22a%22}").text();
    assert_eq!(union.lines().count(), 20, "a series is written once");
}

#[test]
fn metrics_speak_of_what_happened() {
    let server = filled();
    query(&server, "cpu_busy");
    let text = server.get("/metrics");
    assert!(text.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    let text = text.text();
    for line in [
        "barograph_ingest_lines_total{origin=\"http\"} 20",
        "barograph_ingest_samples_total{origin=\"http\"} 20",
        "barograph_http_requests_total{code=\"2xx\",endpoint=\"/api/v1/query\"} 1",
        "barograph_query_seconds_count 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("barograph_query_seconds{quantile=\"0.999\"} 0."), "{text}");
}
