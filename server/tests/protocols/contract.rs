//! The HTTP contract to the letter: envelopes, error types, numbers and times, statistics,
//! the shapes of what is empty, CORS, compression, and what a server says that is not ready.

use barograph::{Batch, Database, Labels, Value as Sample};
use serde_json::{Value, json};

use crate::harness::{Server, escape, server, server_without_database};

fn with_samples(samples: &[(&str, i64, f64)]) -> Server {
    let server = server(&[]);
    let database = server.state.database().unwrap().clone();
    let mut batch = Batch::new();
    for (name, ms, value) in samples {
        let labels = Labels::from_pairs([("__name__", *name)]).unwrap();
        batch.push(&labels, barograph::Timestamp::from_millis(*ms), Sample::Float(*value));
    }
    database.append(&batch).unwrap();
    server
}

fn instant(server: &Server, query: &str, time: &str) -> String {
    server.get(&format!("/api/v1/query?time={time}&query={}", escape(query))).text()
}

#[test]
fn numbers_and_times_are_written_as_prometheus_writes_them() {
    let server =
        with_samples(&[("m", 1_435_781_451_781, 1.5), ("tiny", 1_000, 1e-7), ("huge", 1_000, -1e21)]);
    assert_eq!(
        instant(&server, "m", "1435781451.781"),
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":"#,
            r#"[{"metric":{"__name__":"m"},"value":[1435781451.781,"1.5"]}]}}"#,
            "\n"
        )
    );
    for (query, time, point) in [
        ("tiny + 0", "1.01", r#"[1.010,"1e-07"]"#),
        ("huge + 0", "1", r#"[1,"-1e+21"]"#),
        ("vector(-0)", "-1.5", r#"[-1.500,"-0"]"#),
        ("vector(1/0)", "0", r#"[0,"+Inf"]"#),
        ("vector(-1/0)", "0.0004", r#"[0,"-Inf"]"#),
        ("vector(0/0)", "1e3", r#"[1000,"NaN"]"#),
        ("vector(0.1 + 0.2)", "2015-07-01T20:10:51.781999999Z", r#"[1435781451.781,"0.30000000000000004"]"#),
    ] {
        let text = instant(&server, query, time);
        assert!(text.contains(point), "{query}: {text}");
    }
    let scalar = instant(&server, "1", "7.25");
    assert!(scalar.contains(r#""data":{"resultType":"scalar","result":[7.250,"1"]}"#), "{scalar}");
    let none = server.get("/api/v1/query_range?query=none&start=0&end=1&step=1").text();
    assert_eq!(none, "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}\n");
}

#[test]
fn errors_have_type_and_status() {
    let server = with_samples(&[("m", 0, 1.0)]);
    let reply = server.get("/api/v1/query?query=sum(");
    assert_eq!(
        reply.text(),
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": "#.to_owned()
            + reply.text().split_once("\\\"query\\\": ").unwrap().1
    );
    assert!(reply.text().contains("1:5: parse error: "), "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/json");
    let range =
        |query: &str, rest: &str| server.get(&format!("/api/v1/query_range?query={}&{rest}", escape(query)));
    for (query, rest, message) in [
        (
            "m",
            "start=2&end=1&step=1",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "m",
            "start=0&end=1&step=0",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            "m",
            "start=0&end=11001&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "m[5m]",
            "start=0&end=1&step=1",
            "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
    ] {
        let said = range(query, rest).error(400, "bad_data");
        assert!(said.ends_with(message), "{said}");
    }
    assert_eq!(range("m", "start=0&end=11000&step=1").status, 200, "exactly 11,000 intervals pass");
    assert_eq!(range("m", "start=0&end=1h&step=1").status, 400);
    assert_eq!(range("m", "start=0&end=3600&step=1m30s").status, 200);
    let clash = instant(&server, r#"m + on() (m or label_replace(vector(1), "a", "b", "", ""))"#, "0");
    assert!(clash.contains(r#""errorType":"execution""#) && clash.contains("many-to-many"), "{clash}");
    server.get("/api/v1/nothing").error(404, "not_found");
    server.send("POST", "/api/v1/admin/tsdb/snapshot", &[], b"").error(500, "unavailable");
    server.get("/api/v1/status/tsdb?limit=0").error(400, "bad_data");
}

#[test]
fn annotations_are_at_most_ten_of_each_kind() {
    let server = with_samples(&[("m", 0, 1.0), ("m", 1000, 2.0)]);
    let terms: Vec<String> = (2..15).map(|phi| format!("quantile({phi}, m)")).collect();
    let many: Value = serde_json::from_str(&instant(&server, &terms.join(" + "), "1")).unwrap();
    let warnings = many["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 11);
    assert!(warnings[0].as_str().unwrap().starts_with("PromQL warning: "), "{many}");
    assert_eq!(warnings[10], "3 more warning annotations omitted");
    assert!(many.get("infos").is_none());
    let info: Value = serde_json::from_str(&instant(&server, "rate(m[5m])", "1")).unwrap();
    assert!(info["infos"][0].as_str().unwrap().starts_with("PromQL info: metric might not be a counter"));
    assert!(info.get("warnings").is_none());
    let plain: Value = serde_json::from_str(&instant(&server, "m", "1")).unwrap();
    assert!(plain.get("warnings").is_none() && plain.get("infos").is_none());
}

#[test]
fn statistics_have_timings_and_samples() {
    let server = with_samples(&[("m", 0, 1.0), ("m", 1000, 2.0)]);
    let target = "/api/v1/query_range?query=m%2Bm&start=0&end=3&step=1";
    assert!(server.get(target).data().get("stats").is_none());
    for wanted in ["true", "all"] {
        let stats = server.get(&format!("{target}&stats={wanted}")).data()["stats"].take();
        for key in [
            "evalTotalTime",
            "resultSortTime",
            "queryPreparationTime",
            "innerEvalTime",
            "execQueueTime",
            "execTotalTime",
        ] {
            assert!(stats["timings"][key].is_number(), "{key}: {stats}");
        }
        assert_eq!(stats["samples"]["totalQueryableSamples"], 8);
        assert!(stats["samples"]["peakSamples"].as_u64().unwrap() >= 8, "{stats}");
        assert!(stats["memory"]["peakBytes"].as_u64().unwrap() > 64, "{stats}");
        let steps = &stats["samples"]["totalQueryableSamplesPerStep"];
        let all = json!([[0, 2], [1, 2], [2, 2], [3, 2]]);
        assert_eq!(steps, if wanted == "all" { &all } else { &Value::Null });
    }
}

#[test]
fn get_and_post_say_the_same() {
    let server = with_samples(&[("m", 0, 1.0), ("m", 60_000, 2.0)]);
    for (path, parameters) in [
        ("query", "query=m&time=60&lookback_delta=30s&timeout=10s&limit=5"),
        ("query_range", "query=m&start=0&end=60&step=30s"),
        ("series", "match[]=m&start=0&end=60"),
        ("labels", "match[]=m"),
        ("label/__name__/values", "match[]=m&start=0&end=60"),
        ("format_query", "query=sum(m)by(a)"),
        ("parse_query", "query=m"),
        ("query_exemplars", "query=m&start=0&end=60"),
    ] {
        let got = server.get(&format!("/api/v1/{path}?{parameters}"));
        assert_eq!(got.data(), server.form(&format!("/api/v1/{path}"), parameters).data(), "{path}");
        let (first, rest) = parameters.split_once('&').unwrap_or((parameters, "unknown=1"));
        let mixed = server.form(&format!("/api/v1/{path}?{rest}"), first);
        assert_eq!(mixed.data(), got.data(), "{path}: the URL's parameters count beside the form's");
    }
    for path in ["metadata", "targets", "rules", "alerts", "status/tsdb", "features"] {
        assert_eq!(server.form(&format!("/api/v1/{path}"), "").status, 405, "{path}");
    }
}

#[test]
fn what_is_empty_has_its_shape() {
    let server = server(&[]);
    for (path, data) in [
        ("series?match[]=m", json!([])),
        ("labels", json!([])),
        ("label/job/values", json!([])),
        ("metadata", json!({})),
        ("targets", json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}})),
        ("targets/metadata", json!([])),
        ("scrape_pools", json!({"scrapePools": []})),
        ("alertmanagers", json!({"activeAlertmanagers": [], "droppedAlertmanagers": []})),
        ("query_exemplars?query=m", json!([])),
        ("rules", json!({"groups": []})),
        ("alerts", json!({"alerts": []})),
        ("status/walreplay", json!({"min": 0, "max": 0, "current": 0})),
    ] {
        assert_eq!(server.get(&format!("/api/v1/{path}")).data(), data, "{path}");
    }
    for kind in ["alert", "record", "Alert", ""] {
        assert_eq!(server.get(&format!("/api/v1/rules?type={kind}")).data(), json!({"groups": []}), "{kind}");
    }
    let message = server.get("/api/v1/rules?type=x").error(400, "bad_data");
    assert_eq!(message, "invalid parameter \"type\": not supported value \"x\"");
    let build = server.get("/api/v1/status/buildinfo").data();
    for key in ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"] {
        assert!(build[key].is_string(), "{key}: {build}");
    }
    let runtime = server.get("/api/v1/status/runtimeinfo").data();
    for key in ["startTime", "serverTime", "lastConfigTime", "storageRetention", "CWD", "hostname", "GODEBUG"]
    {
        assert!(runtime[key].is_string(), "{key}: {runtime}");
    }
    let flags = server.get("/api/v1/status/flags").data();
    assert!(flags.as_object().unwrap().values().all(Value::is_string));
    let tsdb = server.get("/api/v1/status/tsdb").data();
    for key in ["numSeries", "chunkCount", "minTime", "maxTime"] {
        assert!(tsdb["headStats"][key].is_number(), "{key}: {tsdb}");
    }
    for key in [
        "seriesCountByMetricName",
        "labelValueCountByLabelName",
        "memoryInBytesByLabelName",
        "seriesCountByLabelValuePair",
    ] {
        assert_eq!(tsdb[key], json!([]), "{key}");
    }
}

#[test]
fn features_name_the_language() {
    let server = server(&[]);
    let features = server.get("/api/v1/features").data();
    for (chapter, feature, on) in [
        ("promql_functions", "histogram_quantile", true),
        ("promql_operators", "topk", true),
        ("promql", "delayed_name_removal", true),
        ("api", "explain", true),
        ("api", "admin", false),
    ] {
        assert_eq!(features[chapter][feature], on, "{chapter}.{feature}: {features}");
    }
    let chapters = features.as_object().unwrap().values();
    assert!(chapters.flat_map(|c| c.as_object().unwrap().values()).all(Value::is_boolean));
}

#[test]
fn other_origins_read_only_what_is_set() {
    let asked = [("origin", "https://grafana.example.com"), ("access-control-request-method", "POST")];
    let closed = server(&[]);
    let reply = closed.send("GET", "/api/v1/query?query=1", &asked, b"");
    assert!(!reply.headers.keys().any(|name| name.starts_with("access-control")), "{reply:?}");
    let preflight = closed.send("OPTIONS", "/api/v1/query", &asked, b"");
    assert!(!preflight.headers.keys().any(|name| name.starts_with("access-control")), "{preflight:?}");

    let open = server(&[("cors_origin", r"https://.*\.example\.com")]);
    let preflight = open.send("OPTIONS", "/api/v1/query_range", &asked, b"");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-methods"], "GET, POST, OPTIONS");
    for target in ["/api/v1/query?query=1", "/api/v1/query?query=sum(", "/api/v1/nothing"] {
        let reply = open.send("GET", target, &asked, b"");
        assert_eq!(reply.headers["access-control-allow-origin"], "https://grafana.example.com", "{target}");
        assert_eq!(reply.headers["vary"], "Origin");
    }
    let evil = [("origin", "https://example.com.evil.net")];
    let reply = open.send("GET", "/api/v1/query?query=1", &evil, b"");
    assert!(!reply.headers.contains_key("access-control-allow-origin"), "{reply:?}");
    let preflight = open.send("OPTIONS", "/api/v1/query", &evil, b"");
    assert!(!preflight.headers.contains_key("access-control-allow-origin"), "{preflight:?}");
    let outside = open.send("GET", "/metrics", &asked, b"");
    assert!(!outside.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn answers_are_compressed_for_those_who_take_it() {
    let server = with_samples(&[("m", 0, 1.0)]);
    let gzip = [("accept-encoding", "deflate, gzip;q=0.5")];
    for target in [
        "/api/v1/query_range?query=vector(1)&start=0&end=1000&step=1",
        "/api/v1/status/config",
        "/api/v1/features",
    ] {
        let plain = server.get(target);
        assert!(!plain.headers.contains_key("content-encoding"), "{target}");
        let packed = server.send("GET", target, &gzip, b"");
        assert_eq!(packed.headers["content-encoding"], "gzip", "{target}");
        assert!(packed.headers["vary"].contains("Accept-Encoding") && packed.body.len() < plain.body.len());
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut text)
            .unwrap();
        assert_eq!(text, plain.text(), "{target}");
    }
    let small = server.send("GET", "/api/v1/query?query=1&time=0", &gzip, b"");
    assert!(!small.headers.contains_key("content-encoding"));
}

#[test]
fn until_it_is_ready_a_server_says_so_plainly() {
    let server = server_without_database(&[]);
    for path in
        ["/-/ready", "/api/v1/query?query=1", "/api/v1/status/buildinfo", "/metrics", "/api/v1/labels"]
    {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (503, "Service Unavailable"), "{path}");
        assert!(reply.headers["content-type"].starts_with("text/plain"));
    }
    for path in ["/-/healthy", "/-/ready"] {
        let wanted = if path == "/-/healthy" { 200 } else { 503 };
        let head = server.send("HEAD", path, &[], b"");
        assert_eq!((head.status, head.body.len()), (wanted, 0), "{path}");
    }
    server.state.set_database(Database::in_memory(Default::default()).unwrap());
    for path in ["/-/healthy", "/-/ready"] {
        for method in ["GET", "HEAD"] {
            let reply = server.send(method, path, &[], b"");
            assert_eq!(
                (reply.status, reply.headers["content-type"].as_str()),
                (200, "text/plain; charset=utf-8")
            );
        }
    }
}
