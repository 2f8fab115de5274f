//! How questions may be put: forms of each kind, methods, ranges that hold nothing, selectors
//! of everything, many at once; and what a limit says that refuses one.

use std::io::Write;
use std::time::Duration;

use barograph_server::admission::{Client, Kind, Turn};
use barograph_server::error::ApiError;
use serde_json::json;

use crate::harness::{Server, escape, read_reply, request, server};

/// A form of two parts, in the words of curl and with a file as some clients send.
fn multipart(pairs: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (i, (name, value)) in pairs.iter().enumerate() {
        let file = if i % 2 == 1 { "; filename=\"x\"\r\nContent-Type: text/plain" } else { "" };
        body.push_str(&format!(
            "--------cf1a;b\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
        ));
    }
    body + "--------cf1a;b--\r\n"
}

const MULTIPART: &str = "multipart/form-data; boundary=\"------cf1a;b\"";

fn post(
    server: &Server,
    method: &str,
    target: &str,
    content_type: &str,
    body: &str,
) -> crate::harness::Reply {
    server.send(method, target, &[("content-type", content_type)], body.as_bytes())
}

#[test]
fn forms_are_urlencoded_or_multipart_in_any_case() {
    let server = server(&[("enable_admin", "true")]);
    server.write("m,a=x value=1 1000000000\nm,a=y value=2 1000000000\nn value=3 1000000000\n");
    let wanted = server.get("/api/v1/query?query=sum(m)&time=1").data();
    assert_eq!(wanted["result"][0]["value"][1], "3");
    let query = "/api/v1/query";
    for kind in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLEncoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "APPLICATION/X-WWW-FORM-URLENCODED;charset=utf-8",
    ] {
        assert_eq!(post(&server, "POST", query, kind, "query=sum(m)&time=1").data(), wanted, "{kind}");
    }
    let form = multipart(&[("query", "sum(m)"), ("time", "1")]);
    assert_eq!(post(&server, "POST", query, MULTIPART, &form).data(), wanted);
    assert_eq!(
        post(&server, "POST", query, &MULTIPART.replace("multipart/form-data", "Multipart/FORM-Data"), &form)
            .data(),
        wanted
    );
    let beside = post(&server, "POST", "/api/v1/query?query=n", MULTIPART, &form);
    assert_eq!(
        beside.data()["result"][0]["value"][1],
        "3",
        "the URL comes before a multipart form: {}",
        beside.text()
    );
    let values = post(&server, "POST", "/api/v1/label/a/values", MULTIPART, &multipart(&[("match[]", "m")]));
    assert_eq!(values.data(), json!(["x", "y"]));
    for (kind, body, part) in [
        ("multipart/form-data", form.as_str(), "boundary"),
        (MULTIPART, "nothing", "no boundary in the body"),
        (MULTIPART, &form[..form.len() - 20], "cut short"),
        ("application/json", "{\"query\":\"m\"}", "it is required"),
    ] {
        let message = post(&server, "POST", query, kind, body).error(400, "bad_data");
        assert!(message.contains(part), "{kind}: {message}");
    }
    // A form of PUT counts as one of POST.
    let delete = "/api/v1/admin/tsdb/delete_series";
    let url_encoded = "application/x-www-form-urlencoded";
    assert_eq!(post(&server, "PUT", delete, url_encoded, "match[]=m{a=\"x\"}").status, 204);
    assert_eq!(server.export("m"), "m,a=y value=2 1000000000\n");
    assert_eq!(post(&server, "PUT", delete, MULTIPART, &multipart(&[("match[]", "m")])).status, 204);
    assert_eq!(server.export("m"), "");
}

#[test]
fn several_statements_of_version_1_clients_are_answered_in_turn() {
    let server = server(&[]);
    server.write("m,db=one value=1 1\n");
    let text = "CREATE DATABASE \"one\"; SHOW RETENTION POLICIES ON one;;SHOW DATABASES";
    let got = server.get(&format!("/query?q={}", escape(text)));
    assert_eq!(got.status, 200, "{}", got.text());
    let results = got.json()["results"].take();
    assert_eq!(results[0], json!({"statement_id": 0}));
    assert_eq!(results[1]["series"][0]["values"][0][0], "autogen");
    assert_eq!(results[2]["statement_id"], 2);
    assert_eq!(results[2]["series"][0]["values"], json!([["one"]]));
    let form = multipart(&[("db", "one"), ("q", text)]);
    assert_eq!(post(&server, "POST", "/query", MULTIPART, &form).text(), got.text());
    for text in ["CREATE DATABASE a; SELECT * FROM b", ";", "SELECT 1; SHOW DATABASES"] {
        assert_eq!(server.get(&format!("/query?q={}", escape(text))).status, 400, "{text}");
    }
}

#[test]
fn a_range_that_ends_before_it_starts_holds_nothing() {
    let server = server(&[]);
    server.write("m,a=x value=1 1500000000\n");
    for path in ["series?match[]=m&", "labels?", "labels?match[]=m&", "label/a/values?"] {
        let reply = server.get(&format!("/api/v1/{path}start=3&end=2"));
        assert_eq!(reply.data(), json!([]), "{path}");
        let found = server.get(&format!("/api/v1/{path}start=1&end=2")).data();
        assert_ne!(found, json!([]), "{path}");
    }
    server.get("/api/v1/series?match[]=m{&start=3&end=2").error(400, "bad_data");
    server.get("/api/v1/export?match[]=m&start=3&end=2").error(400, "bad_data");
}

#[test]
fn times_outside_of_what_can_be_stored_are_its_ends() {
    let server = server(&[]);
    server.write("m,a=x value=1 1500000000\n");
    for range in [
        "start=-1e300&end=1e30",
        "start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z",
        "start=0001-01-01T00:00:00Z&end=9999-01-01T00:00:00Z",
        "start=0001-01-01T00:00:00Z&end=9999-12-31T23:59:59.999Z",
    ] {
        let found = server.get(&format!("/api/v1/series?match[]=m&{range}")).data();
        assert_eq!(found.as_array().unwrap().len(), 1, "{range}");
    }
    assert_eq!(server.get("/api/v1/query?query=m&time=1e30").data()["result"], json!([]));
    // Grafana asks so whether there are exemplars: milliseconds where seconds are meant.
    let probe = "/api/v1/query_exemplars?query=m&start=1764408000000&end=1764409800000";
    assert_eq!(server.get(probe).data(), json!([]));
    let range = "/api/v1/query_range?query=m&step=60&start=1764408000000&end=1764409800000";
    assert_eq!(server.get(range).data()["result"], json!([]));
    assert_eq!(server.get("/api/v1/metadata?limit=-1&limit_per_metric=-1").data(), json!({}));
    for time in ["nan", "inf", "-Inf", "1e400"] {
        server.get(&format!("/api/v1/series?match[]=m&start={time}")).error(400, "bad_data");
    }
    assert_eq!(server.get("/api/v1/series?match[]=m&limit=-1").data().as_array().unwrap().len(), 1);
}

#[test]
fn federation_may_ask_for_everything_and_others_may_not() {
    let server = server(&[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    server.write(&format!("m,job=x value=1 {now}\nn value=2 {now}\n"));
    for (selector, lines) in [
        (r#"{job=~".*"}"#, 2),
        (r#"{__name__=~".*"}"#, 2),
        (r#"{__name__=~".+"}"#, 2),
        (r#"{job!="x"}"#, 1),
        (r#"{job=""}"#, 1),
        ("{}", 2),
    ] {
        let reply = server.get(&format!("/federate?match[]={}", escape(selector)));
        assert_eq!(reply.status, 200, "{selector}: {}", reply.text());
        let found = reply.text().lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(found, lines, "{selector}: {}", reply.text());
    }
    for selector in [r#"{job=~".*"}"#, r#"{job!="x"}"#, "{}"] {
        for path in ["series", "labels", "label/job/values", "export"] {
            let target = format!("/api/v1/{path}?match[]={}", escape(selector));
            let message = server.get(&target).error(400, "bad_data");
            assert!(message.contains("matches every series"), "{path}: {message}");
        }
    }
    assert_eq!(server.get("/federate").status, 400);
    assert_eq!(server.get("/federate?match[]=sum(m)").status, 400);
}

/// Takes a turn for the test itself.
async fn take(server: &Server, kind: Kind, patience: Duration) -> Result<Turn, ApiError> {
    server.state.gates.turns.enter(kind, Client::default(), patience).await
}

/// A dashboard asks all its panels at once. Nothing depends on how fast they are answered:
/// the test holds every turn until all of them wait.
#[test]
fn the_queries_of_a_large_dashboard_all_wait_for_their_turn() {
    const PANELS: usize = 200;
    let server = server(&[("query_wait", "1h")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let concurrency = server.state.config.load().query_concurrency;
    let turns: Vec<_> = [Kind::Query, Kind::List]
        .into_iter()
        .flat_map(|kind| std::iter::repeat_n(kind, concurrency))
        .map_while(|kind| runtime.block_on(take(&server, kind, Duration::ZERO)).ok())
        .collect();
    let mut panels: Vec<_> = (0..PANELS)
        .map(|i| {
            let mut stream = server.connect();
            let target = match i % 4 {
                0 => "/api/v1/label/job/values".to_owned(),
                _ => format!("/api/v1/query_range?query={i}&start=0&end=60&step=15"),
            };
            stream.write_all(&request("GET", &target, &[], b"")).unwrap();
            stream
        })
        .collect();
    server.wait_for("all panels", || server.state.gates.turns.waiting_in_all() == PANELS);
    assert!(server.held_by_reads() > 0, "what waits counts as memory");
    drop(turns);
    for (i, panel) in panels.iter_mut().enumerate() {
        assert_eq!(read_reply(panel, false).status, 200, "{i}");
    }
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

#[test]
fn what_waits_is_bounded_by_memory() {
    let server = server(&[("query_concurrency", "1"), ("query_wait", "1h")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let turn = runtime.block_on(take(&server, Kind::Query, Duration::ZERO)).unwrap();
    server.state.memory.queries.set_limit(10_000);
    server.state.memory.queries.set_reserve(0);
    let long = format!("/api/v1/query?query=1&padding={}", "x".repeat(6_000));
    let mut first = server.connect();
    first.write_all(&request("GET", &long, &[], b"")).unwrap();
    server.wait_for("the first", || server.state.gates.turns.waiting_in_all() == 1);
    let message = server.get(&long).error(429, "too_many_requests");
    assert!(message.contains("(query_memory_total)"), "{message}");
    let labels = format!("/api/v1/labels?padding={}", "x".repeat(6_000));
    server.get(&labels).error(429, "too_many_requests");
    drop(turn);
    assert_eq!(read_reply(&mut first, false).status, 200);
}

/// Each refusal of a limit names the setting that moves it.
#[test]
fn limits_name_their_settings() {
    let lines: String = (0..30).map(|i| format!("m,i=i{i} value={i} 1000000000\n")).collect();
    let all = server(&[
        ("query_max_series", "20"),
        ("query_max_samples", "1000"),
        ("max_body", "1KiB"),
        ("max_body_decoded", "2KiB"),
    ]);
    all.write(&lines);
    // A line without a time is of now, which federation looks at.
    all.write(&(0..30).map(|i| format!("f,i=i{i} value={i}\n")).collect::<String>());
    for (target, setting) in [
        ("/api/v1/query?time=1&query=m", "(query_max_series)"),
        ("/api/v1/series?match[]=m", "(query_max_series)"),
        ("/federate?match[]=f", "(query_max_series)"),
        ("/api/v1/query_range?start=0&end=5000&step=1&query=vector(1)", "(query_max_samples)"),
    ] {
        let reply = all.get(target);
        assert!(reply.text().contains(setting), "{target}: {} {}", reply.status, reply.text());
        assert_eq!(reply.status, 422, "{target}");
    }
    let gzip = crate::harness::gzip(&vec![b'#'; 10_000]);
    for (headers, body, setting) in [
        (&[][..], &vec![b'#'; 2000], "(max_body)"),
        (&[("content-encoding", "gzip")][..], &gzip, "(max_body_decoded)"),
    ] {
        let reply = all.send("POST", "/write", headers, body);
        assert_eq!(reply.status, 413);
        assert!(reply.text().contains(setting), "{}", reply.text());
    }
    let mut stream = all.connect();
    let head =
        "POST /api/v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    stream.write_all(format!("{head}content-length: 9999999\r\n\r\n").as_bytes()).unwrap();
    let message = read_reply(&mut stream, false).error(413, "bad_data");
    assert!(message.contains("query_max_bytes"), "{message}");
    let long = format!("match[]={{a=\"{}\"}}", "x".repeat(1 << 20));
    for path in ["series", "labels", "label/a/values", "export"] {
        let message = all.form(&format!("/api/v1/{path}"), &long).error(400, "bad_data");
        assert!(message.contains("the limit is 1MiB (query_max_bytes)"), "{path}: {message}");
    }
    let names: Vec<String> = (0..10_000).map(|i| format!("name-of-20-bytes-{i:04}")).collect();
    let fits = format!("match[]={{i=~\"i1|{}\"}}", names.join("|"));
    assert_eq!(all.form("/api/v1/label/i/values", &fits).data(), json!(["i1"]));
    let many = "match[]=m&".repeat(101);
    let message = all.form("/api/v1/series", &many).error(400, "bad_data");
    assert!(message.contains("fixed limit"), "{message}");
    let full = server(&[("query_concurrency", "1"), ("query_queue", "0")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _turn = runtime.block_on(take(&full, Kind::Query, Duration::ZERO)).unwrap();
    let message = full.get("/api/v1/query?query=1").error(429, "too_many_requests");
    assert!(message.contains("(query_queue)") && message.contains("(query_concurrency)"), "{message}");
}
