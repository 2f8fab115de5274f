//! What InfluxDB clients send, and the ways line protocol goes wrong.

use serde_json::json;

use crate::harness::{Reply, Server, server};

fn write1(server: &Server, query: &str, body: &str) -> Reply {
    server.send("POST", &format!("/write{query}"), &[], body.as_bytes())
}

fn write2(server: &Server, query: &str, body: &str) -> Reply {
    server.send("POST", &format!("/api/v2/write{query}"), &[], body.as_bytes())
}

#[test]
fn precisions_of_both_versions() {
    let server = server(&[]);
    for (i, (query, expected)) in [
        ("", 7i64),
        ("?precision=ns", 7),
        ("?precision=n", 7),
        ("?precision=us", 7_000),
        ("?precision=u", 7_000),
        ("?precision=%C2%B5", 7_000),
        ("?precision=ms", 7_000_000),
        ("?precision=s", 7_000_000_000),
        ("?precision=m", 420_000_000_000),
        ("?precision=h", 25_200_000_000_000),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(write1(&server, query, &format!("a{i} value=1 7")).status, 204, "{query}");
        assert_eq!(server.export(&format!("a{i}")), format!("a{i} value=1 {expected}\n"));
    }
    assert_eq!(write2(&server, "?precision=ms&bucket=b&org=o", "b value=1 7").status, 204);
    assert_eq!(server.export("b"), "b,db=b value=1 7000000\n");
    let reply = write2(&server, "?precision=fortnight", "b value=1 7");
    assert_eq!((reply.status, reply.json()["code"].clone()), (400, json!("invalid")));
    assert!(reply.text().contains("fortnight"));
}

#[test]
fn databases_and_buckets_are_a_label() {
    let server = server(&[]);
    write1(&server, "?db=one&rp=autogen&u=x&p=y&consistency=all", "cpu value=1 1");
    write1(&server, "?db=two", "cpu value=2 1\ncpu,db=own value=3 1");
    write1(&server, "", "cpu value=4 1");
    let mut lines: Vec<String> = server.export("cpu").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        ["cpu value=4 1", "cpu,db=one value=1 1", "cpu,db=own value=3 1", "cpu,db=two value=2 1"]
    );
    let names = server.get("/query?q=SHOW+DATABASES").json();
    assert_eq!(names["results"][0]["series"][0]["values"], json!([["one"], ["own"], ["two"]]));
    assert_eq!(write1(&server, &format!("?db={}", "x".repeat(300)), "cpu value=1 1").status, 400);
    assert_eq!(write1(&server, "?db=%ff", "cpu value=1 1").status, 400);
}

#[test]
fn good_lines_are_kept_and_bad_ones_reported() {
    let server = server(&[]);
    let mut body = String::new();
    for i in 0..100 {
        body.push_str(&if i % 5 == 4 {
            format!("bad{i} novalue\n")
        } else {
            format!("good,n=n{i} value={i} 1\n")
        });
    }
    let reply = write2(&server, "?bucket=b", &body);
    assert_eq!(reply.status, 400);
    let value = reply.json();
    assert_eq!(value["code"], "invalid");
    assert_eq!(value["line"], 5);
    assert_eq!((value["lines_bad"].as_u64(), value["lines_total"].as_u64()), (Some(20), Some(100)));
    assert_eq!(value["errors"].as_array().unwrap().len(), 10);
    let message = value["message"].as_str().unwrap();
    assert!(message.starts_with("partial write: 20 of 100 lines refused, 80 stored; "), "{message}");
    assert!(
        message.contains("; unable to parse line 5, column ") && message.ends_with("and 10 more"),
        "{message}"
    );
    assert_eq!(server.series("good").len(), 80);

    let reply = write1(&server, "", "good,n=x value=1 1\nbad\n");
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"].as_str().unwrap().contains("1 of 2 lines"), "{}", reply.text());
    assert_eq!(server.series("good").len(), 81);
}

#[test]
fn a_body_without_a_good_line_has_the_words_that_stop_repeating() {
    let server = server(&[]);
    for (reply, key) in
        [(write1(&server, "", "bad\nworse\n"), "error"), (write2(&server, "", "bad"), "message")]
    {
        assert_eq!(reply.status, 400);
        let json = reply.json();
        let message = json[key].as_str().unwrap();
        assert!(
            message.starts_with("partial write: ") && message.contains("lines refused, 0 stored"),
            "{message}"
        );
        assert!(message.contains("unable to parse line 1, column 4: no fields"), "{message}");
    }
}

#[test]
fn hostile_lines_are_refused_with_their_place() {
    let server = server(&[]);
    let long_line = format!("a,t={} value=1 1", "x".repeat(1 << 20));
    let many_tags = format!("a{} value=1 1", (0..100_000).map(|i| format!(",t{i}=v")).collect::<String>());
    let digits = format!("a value={}x 1", "1".repeat(400));
    for line in [
        long_line.as_str(),
        &many_tags,
        &digits,
        "a,t=1,t=2 value=1 1",
        "a,=v value=1 1",
        "a,t= value=1 1",
        "a,t value=1 1",
        ",t=v value=1 1",
        "a =1 1",
        "a value= 1",
        "a value",
        "a",
        "a\0b value=1 1",
        "a value=nan 1",
        "a value=inf 1",
        "a value=-Infinity 1",
        "a value=0x1p3 1",
        "a value=1_0 1",
        "a value=+1 1",
        "a value=1e400 1",
        "a value=\"open 1",
        "a value=9223372036854775808i 1",
        "a value=1 9223372036854775808",
        "a value=1 -9223372036854775809",
        "a value=1 1.5",
        "a value=1 now",
        "a value=1 1 1",
    ] {
        let reply = write2(&server, "", line);
        let shown: String = line.chars().take(60).collect();
        assert_eq!(reply.status, 400, "{shown}");
        assert_eq!(reply.json()["line"], 1, "{shown}: {}", reply.text());
        assert!(reply.body.len() < 2_000, "{shown}: the answer has {} bytes", reply.body.len());
    }
    assert_eq!(
        write2(&server, "?precision=s", "a value=1 9223372036854775").status,
        400,
        "overflow of seconds"
    );
    let reply = server.send("POST", "/api/v2/write", &[], b"ok value=1 1\na,t=\xff value=1 1\n");
    assert_eq!((reply.status, reply.json()["line"].clone()), (400, json!(2)));
    assert!(server.series("a").is_empty());
    assert_eq!(server.series("ok").len(), 1);
}

#[test]
fn the_line_limit_is_named() {
    let server = server(&[("max_line", "300")]);
    let reply = write2(&server, "", &format!("a,t={} value=1 1", "x".repeat(400)));
    assert!(reply.text().contains("300"), "{}", reply.text());
}

#[test]
fn new_series_over_the_limit_are_429_and_known_ones_go_on() {
    let server = server(&[("max_new_series", "10")]);
    // To take them all would need a thousand seconds.
    let lines: String = (0..10_000).map(|i| format!("m,i={i:05} value=1 1\n")).collect();
    let reply = write2(&server, "", &lines);
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(reply.json()["code"], "too many requests");
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    for part in
        ["may pass later: send the body again", "more than 10 new series in one second", "(max_new_series)"]
    {
        assert!(message.contains(part), "{part:?} not in {message}");
    }
    let stored = server.series("m");
    assert!((10..10_000).contains(&stored.len()), "{} series stored", stored.len());
    let known = stored[0]["i"].as_str().unwrap();
    server.write(&format!("m,i={known} value=2 2\n"));
}

#[test]
fn a_limit_that_passes_is_503_to_clients_of_version_one() {
    // Nothing of these lines can be a matter of time but the last limit, and it is met at once.
    let server = server(&[("max_new_series", "1")]);
    let lines: String = (0..100).map(|i| format!("m,i={i} value=1 1\nbad\n")).collect();
    let reply = write1(&server, "", &lines);
    assert_eq!((reply.status, reply.headers["retry-after"].as_str()), (503, "1"), "{}", reply.text());
    let message = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(message.contains("max_new_series"), "{message}");
    // Telegraf drops what is answered with one of these, whatever the status.
    for words in ["partial write", "unable to parse", "points beyond retention policy", "hinted handoff"] {
        assert!(!message.contains(words), "{words:?} in {message}");
    }
}

#[test]
fn a_limit_that_does_not_pass_is_400_with_what_was_stored() {
    let server = server(&[("max_series", "3")]);
    let lines: String = (0..10).map(|i| format!("m,i={i} value=1 1\n")).collect();
    for (reply, key) in [(write1(&server, "", &lines), "error"), (write2(&server, "", &lines), "message")] {
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(!reply.headers.contains_key("retry-after"));
        let message = reply.json()[key].as_str().unwrap().to_owned();
        assert!(message.starts_with("partial write: 7 of 10 lines refused, 3 stored; "), "{message}");
        assert!(message.contains("3 active series, the limit (max_series,"), "{message}");
        assert!(!message.contains("unable to parse"), "{message}");
    }
    assert_eq!(server.series("m").len(), 3);
}

#[test]
fn limits_of_lines_are_settings() {
    let line = format!("{} {}=1,{}=\"{}\" 1", "m".repeat(300), "f".repeat(300), "g", "s".repeat(70_000));
    let refused = write2(&server(&[("max_line", "1MiB")]), "", &line);
    assert!(refused.text().contains("(max_name, LineLimits::name_bytes)"), "{}", refused.text());
    let open =
        server(&[("max_line", "1MiB"), ("max_name", "1KiB"), ("max_string", "80KiB"), ("max_fields", "2")]);
    assert_eq!(write2(&open, "", &line).status, 204);
    let three = write2(&open, "", "a b=1,c=2,d=3 1");
    assert!(three.text().contains("more than 2 fields, the limit (max_fields"), "{}", three.text());
    let value = format!("a,t={} value=1 1", "v".repeat(5_000));
    assert!(write2(&open, "", &value).text().contains("the limit is 4096 (max_value"));
    assert_eq!(write2(&server(&[("max_value", "8KiB")]), "", &value).status, 204);
    let sets =
        write2(&server(&[("max_label_bytes", "1KiB")]), "", &format!("a,t={} value=1 1", "v".repeat(2_000)));
    assert!(
        sets.text().contains("labels of 2010 bytes, the limit is 1024 (max_label_bytes"),
        "{}",
        sets.text()
    );
}

#[test]
fn a_line_whose_tags_and_fields_multiply_is_400_and_leaves_nothing_behind() {
    let server = server(&[("memory", "64MiB")]);
    let tags: Vec<String> = (0..62).map(|i| format!("t{i}={}", "x".repeat(500))).collect();
    for value in ["1", "\"\""] {
        let fields: Vec<String> = (0..3_900).map(|i| format!("f{i}={value}")).collect();
        let body = format!("good value=1 1\nwide,{} {} 1\n", tags.join(","), fields.join(","));
        for _ in 0..3 {
            let refused = write2(&server, "", &body);
            assert_eq!(refused.status, 400, "{}", refused.text());
            assert!(refused.text().contains("line 2, column 1"), "{}", refused.text());
            assert!(refused.text().contains("(max_line_label_bytes"), "{}", refused.text());
        }
    }
    let names = server.get("/api/v1/label/__name__/values").text();
    assert!(names.contains("good") && !names.contains("wide"), "{names}");
    assert_eq!(write2(&server, "", "another,host=a value=1 1").status, 204, "there is room for everybody");
}

#[test]
fn strings_of_more_than_a_record_of_the_log_are_stored() {
    let server = server(&[("max_body", "128MiB"), ("memory", "1GiB")]);
    let text = "x".repeat(60_000);
    let body: String = (0..1_210).map(|i| format!("mix,host=h v=1,msg=\"{text}\" {i}\n")).collect();
    assert!(body.len() > 69 << 20);
    let answer = write2(&server, "", &body);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[test]
fn series_of_a_metric_over_its_limit_are_400_and_the_rest_is_stored() {
    let server = server(&[("max_series_per_metric", "10"), ("max_values_per_label", "30")]);
    let lines: String = (0..100).map(|i| format!("m,i={i:03} value=1 1\nn{i},i=x value=1 1\n")).collect();
    let reply = write2(&server, "", &lines);
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(
        reply.text().contains(r#"metric \"m\" has 10 active series, the limit (max_series_per_metric)"#),
        "{}",
        reply.text()
    );
    assert_eq!((server.series("m").len(), server.series(r#"{i="x"}"#).len()), (10, 29));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("barograph_db_refused_metric_limit_total 90"), "{metrics}");
    assert!(metrics.contains("barograph_db_refused_label_limit_total 71"), "{metrics}");
    server.write("m,i=000 value=2 2\n");
}

#[test]
fn a_request_with_times_too_far_apart_is_400_and_names_the_setting() {
    let server = server(&[("max_partitions_per_request", "100")]);
    let days = |count: u64| -> String {
        (0..count).map(|day| format!("m,i=0 value=1 {}\n", day * 86_400_000_000_000 + 1)).collect()
    };
    let reply = write2(&server, "", &days(101));
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("max_partitions_per_request"), "{}", reply.text());
    assert!(reply.text().contains("more than 100 partitions"), "{}", reply.text());
    assert_eq!(server.export("m"), "", "nothing of it is stored");
    assert_eq!(write2(&server, "", &days(100)).status, 204);
    assert_eq!(server.export("m").lines().count(), 100);
}

#[test]
fn unusual_but_good_lines_are_stored() {
    let server = server(&[]);
    server.write("a\\ b,k\\,1=v\\=2 f\\ 1=1 1\n# a comment\n\nc,t=é value=2 2\r\nd value=t 3\ne value=-5i 4\nf value=1");
    assert_eq!(server.export(r#"{__name__="a b_f 1"}"#), "a\\ b_f\\ 1,k\\,1=v\\=2 value=1 1\n");
    assert_eq!(server.export("c"), "c,t=é value=2 2\n");
    assert_eq!(server.export("d"), "d value=1 3\n");
    assert_eq!(server.export("e"), "e value=-5 4\n");
    assert!(server.export("f").starts_with("f value=1 1"), "a line without time gets the server's");
    assert_eq!(write1(&server, "", "").status, 204);
}

#[test]
fn string_fields_become_events() {
    let server = server(&[]);
    server.write("deploy,env=prod text=\"v1 \\\"final\\\"\",by=\"me\" 1500000000\n");
    let events = server.get("/api/v1/events?match[]=deploy_text").data();
    let expected = json!([{
        "labels": {"__name__": "deploy_text", "env": "prod"}, "timestamp": 1.5, "text": "v1 \"final\"",
    }]);
    assert_eq!(events, expected);
    assert_eq!(server.get("/api/v1/events").data().as_array().unwrap().len(), 2);
    assert_eq!(server.get("/api/v1/events?limit=1").json()["warnings"][0], "results truncated due to limit");
    assert_eq!(server.get("/api/v1/events?start=2").data(), json!([]));
    assert_eq!(server.export("deploy_by"), "deploy_by,env=prod value=\"me\" 1500000000\n");
}

#[test]
fn pings_and_health() {
    let server = server(&[]);
    for method in ["GET", "HEAD"] {
        let reply = server.send(method, "/ping", &[], b"");
        assert_eq!(reply.status, 204);
        assert_eq!(reply.headers["x-influxdb-version"], "1.8.10");
    }
    assert_eq!(server.get("/ping?verbose=true").json(), json!({"version": "1.8.10"}));
    let health = server.get("/health").json();
    assert_eq!((health["status"].as_str(), health["name"].as_str()), (Some("pass"), Some("barograph")));
}

#[test]
fn first_queries_of_version_1_writers() {
    let server = server(&[]);
    let created = json!({"results": [{"statement_id": 0}]});
    assert_eq!(server.form("/query", "q=CREATE+DATABASE+%22telegraf%22").json(), created);
    assert_eq!(server.get("/query?q=CREATE%20DATABASE%20x").json(), created);
    let reply = server.get("/query?db=x&q=SELECT+*+FROM+cpu");
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"].as_str().unwrap().contains("/api/v1/query"), "{}", reply.text());
    assert_eq!(server.get("/query").status, 400);
}

#[test]
fn a_created_database_is_listed_at_once() {
    let server = server(&[]);
    let list = |server: &Server| {
        let found = server.get("/query?q=SHOW+DATABASES").json();
        found["results"][0]["series"][0]["values"].clone()
    };
    assert_eq!(list(&server), json!([]));
    for statement in ["CREATE+DATABASE+glances", "CREATE+DATABASE+%22a+%5C%22b%5C%22%22+WITH+DURATION+1d"] {
        let reply = server.send("POST", &format!("/query?q={statement}"), &[], b"");
        assert_eq!((reply.status, reply.json()), (200, json!({ "results": [{ "statement_id": 0 }] })));
    }
    assert_eq!(list(&server), json!([["a \"b\""], ["glances"]]));
    let both = server.get("/query?q=CREATE+DATABASE+c%3BSHOW+DATABASES").json();
    assert_eq!(both["results"][1]["series"][0]["values"], json!([["a \"b\""], ["c"], ["glances"]]));
    write1(&server, "?db=glances", "cpu value=1 1");
    write1(&server, "?db=written", "cpu value=1 1");
    assert_eq!(list(&server), json!([["a \"b\""], ["c"], ["glances"], ["written"]]));
    let long = format!("/query?q=CREATE+DATABASE+{}", "x".repeat(257));
    assert_eq!(server.get(&long).status, 400);
}

#[test]
fn a_database_is_dropped_once_it_has_no_samples() {
    let server = server(&[("enable_admin", "true")]);
    let ask = |statement: &str| server.get(&format!("/query?q={}", crate::harness::escape(statement)));
    let list = || ask("SHOW DATABASES").json()["results"][0]["series"][0]["values"].clone();
    for name in ["empty", "full"] {
        assert_eq!(ask(&format!("CREATE DATABASE IF NOT EXISTS {name}")).status, 200);
    }
    write1(&server, "?db=full", "cpu value=1 1");
    let dropped = ask("DROP DATABASE empty; DROP DATABASE \"never there\"");
    assert_eq!((dropped.status, list()), (200, json!([["full"]])), "{}", dropped.text());
    let refused = ask("DROP DATABASE \"full\"");
    let said = refused.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(refused.status, 400);
    assert!(said.contains("\"full\" has samples") && said.contains("match[]={db=\"full\"}"), "{said}");
    assert_eq!((list(), server.series("cpu").len()), (json!([["full"]]), 1), "nothing is deleted");
    // As the answer says, to the letter.
    let delete = server.send("POST", "/api/v1/admin/tsdb/delete_series?match[]={db=\"full\"}", &[], b"");
    assert_eq!(delete.status, 204);
    assert_eq!(ask("DROP DATABASE full").status, 200);
    let database = server.state.database().unwrap();
    assert!(!database.drop_database("full").unwrap(), "its name is forgotten");
}

#[test]
fn statements_are_no_more_than_an_answer_holds() {
    let server = server(&[]);
    let statements = |count| server.form("/query", &format!("q={}", "SHOW+DATABASES%3B".repeat(count)));
    assert_eq!(statements(100).json()["results"].as_array().map(Vec::len), Some(100));
    let refused = statements(101);
    assert!(
        refused.status == 400 && refused.text().contains("more than 100 statements"),
        "{}",
        refused.text()
    );
}

#[test]
fn buckets_and_organizations_answer_a_look_up() {
    let server = server(&[]);
    let by_name = server.get("/api/v2/buckets?name=telegraf&org=home").json();
    let bucket = &by_name["buckets"][0];
    assert_eq!((bucket["name"].as_str(), bucket["id"].as_str().unwrap().len()), (Some("telegraf"), 16));
    let org = server.get("/api/v2/orgs?org=home").json();
    assert_eq!(org["orgs"][0]["name"], "home");
    assert_eq!(org["orgs"][0]["id"], bucket["orgID"]);
    assert_eq!(server.get("/api/v2/buckets").json()["buckets"], json!([]));

    let create = |name: &str| {
        let body = json!({ "name": name, "orgID": "x", "retentionRules": [] }).to_string();
        server.send("POST", "/api/v2/buckets", &[("content-type", "application/json")], body.as_bytes())
    };
    let created = create("telegraf");
    assert_eq!((created.status, created.json()["id"].clone()), (201, bucket["id"].clone()));
    let again = create("telegraf");
    assert_eq!((again.status, again.json()["code"].clone()), (422, json!("unprocessable entity")));
    assert_eq!(create("").status, 400);
    let bad = server.send("POST", "/api/v2/buckets", &[], b"{");
    assert_eq!((bad.status, bad.json()["code"].clone()), (400, json!("invalid")));
    for i in 0..30 {
        write2(&server, &format!("?bucket=b{i:02}"), "m v=1");
    }
    let names = |query: &str| -> Vec<String> {
        let reply = server.get(&format!("/api/v2/buckets{query}")).json();
        let list = reply["buckets"].as_array().unwrap().iter();
        list.map(|bucket| bucket["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("").len(), 20);
    assert_eq!(names("?offset=20&limit=100")[10..], ["telegraf"]);
    assert_eq!(names(&format!("?id={}", bucket["id"].as_str().unwrap())), ["telegraf"]);
    assert_eq!(server.get("/api/v2/buckets?limit=101").status, 400);
    let unknown = server.get("/api/v2/buckets?id=0000000000000000");
    assert_eq!((unknown.status, unknown.json()["code"].clone()), (404, json!("not found")));
}

#[test]
fn unknown_paths_of_version_two_answer_in_its_shape() {
    let server = server(&[]);
    let reply = server.get("/api/v2/tasks");
    assert_eq!((reply.status, reply.json()["code"].clone()), (404, json!("not found")));
    assert!(reply.json()["message"].as_str().unwrap().contains("/api/v2/tasks"));
    assert_eq!(server.get("/ready").json()["status"], "ready");
    let settings = server.get("/settings").json();
    assert_eq!(settings["config"]["line.proto.support.versions"], json!([1]));
}

#[test]
fn version_three_derives_the_unit_from_the_timestamp_and_names_refused_lines() {
    let server = server(&[]);
    let write3 = |query: &str, body: &str| {
        server.send("POST", &format!("/api/v3/write_lp{query}"), &[], body.as_bytes())
    };
    let body = "a value=1 1700000000\nb value=1 1700000000000\nc value=1 1700000000000000\nd value=1 1700000000000000000";
    assert_eq!(write3("?db=x", body).status, 204);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(server.export(name), format!("{name},db=x value=1 1700000000000000000\n"));
    }
    assert_eq!(write3("?db=x&precision=millisecond&no_sync=true", "e value=1 7").status, 204);
    assert_eq!(server.export("e"), "e,db=x value=1 7000000\n");

    let partial = write3("?db=x", "good value=1 1\nbad\nworse");
    assert_eq!(partial.status, 400);
    let said = partial.json();
    assert_eq!(said["error"], "partial write of line protocol occurred");
    let lines = said["data"].as_array().unwrap();
    assert_eq!(
        (lines.len(), &lines[0]["line_number"], &lines[0]["original_line"]),
        (2, &json!(2), &json!("bad"))
    );
    assert_eq!(server.series("good").len(), 1);

    let refused = write3("?db=x&accept_partial=false", "fine value=1 1\nbad");
    assert_eq!((refused.status, refused.json()["data"]["line_number"].clone()), (400, json!(2)));
    assert_eq!(refused.json()["error"], "parsing failed for write_lp endpoint");
    assert!(server.series("fine").is_empty(), "nothing of it is stored");
    for query in ["", "?db=x&accept_partial=maybe", "?db=x&precision=fortnight"] {
        assert_eq!(write3(query, "a value=1").status, 400, "{query}");
    }
}

#[cfg(feature = "rocksdb")]
#[test]
fn a_database_that_was_created_is_listed_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let server = crate::harness::server_without_database(&[]);
        // The server of the round before lets go of it when its last task has ended.
        let database = loop {
            match barograph::Database::open(dir.path()) {
                Err(barograph::Error::Storage(barograph::StorageError::Locked { .. })) => {
                    std::thread::yield_now()
                }
                opened => break opened.unwrap(),
            }
        };
        server.state.set_database(database.clone());
        if round == 0 {
            assert_eq!(server.get("/query?q=CREATE+DATABASE+glances").status, 200);
        }
        let names = server.get("/query?q=SHOW+DATABASES").json();
        assert_eq!(names["results"][0]["series"][0]["values"], json!([["glances"]]), "round {round}");
        database.close().unwrap();
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name_whichever_way_it_comes() {
    let server = server(&[("tcp_listen", "127.0.0.1:0"), ("udp_listen", "127.0.0.1:0")]);
    let marked = |name: &str| format!("\u{feff}{name} value=1 1\n");
    assert_eq!(write1(&server, "", &marked("one")).status, 204);
    assert_eq!(write2(&server, "", &marked("two")).status, 204);
    let v3 = server.send("POST", "/api/v3/write_lp?db=d", &[], marked("three").as_bytes());
    assert_eq!(v3.status, 204);
    let packed = crate::harness::gzip(marked("packed").as_bytes());
    assert_eq!(server.send("POST", "/write", &[("content-encoding", "gzip")], &packed).status, 204);
    let mut stream = crate::harness::connect(server.tcp.unwrap());
    std::io::Write::write_all(&mut stream, marked("tcp").as_bytes()).unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(marked("udp").as_bytes(), server.udp.unwrap()).unwrap();
    for name in ["one", "two", "three", "packed", "tcp", "udp"] {
        server.wait_for(name, || server.series(name).len() == 1);
    }
    let names = server.get("/api/v1/label/__name__/values").data();
    assert_eq!(names, json!(["one", "packed", "tcp", "three", "two", "udp"]));
    let wide: Vec<u8> = "\u{feff}m value=1 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let reply = server.send("POST", "/write", &[], &wide);
    assert!(
        reply.status == 400 && reply.text().contains("UTF-16: line protocol is UTF-8"),
        "{}",
        reply.text()
    );
}

#[test]
fn an_export_goes_into_the_databases_that_it_names() {
    let server = server(&[]);
    let export = "# DDL\nCREATE DATABASE a WITH NAME autogen\n# DML\n# CONTEXT-DATABASE:a\n\
                  # CONTEXT-RETENTION-POLICY:autogen\ncpu value=1 1\nbad\n# CONTEXT-DATABASE:b\ncpu value=2 1\nworse\n";
    let reply = write1(&server, "", export);
    assert_eq!(reply.status, 400);
    let message = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(message.starts_with("partial write: 2 of 4 lines refused, 2 stored"), "{message}");
    assert!(message.contains("line 7, column") && message.contains("line 10, column"), "{message}");
    let mut stored: Vec<String> = server.export("cpu").lines().map(str::to_owned).collect();
    stored.sort();
    assert_eq!(stored, ["cpu,db=a value=1 1", "cpu,db=b value=2 1"]);
    let merged = write1(&server, "?db=c", &export.replace("cpu", "mem"));
    assert_eq!(merged.status, 400);
    assert!(merged.text().contains("2 databases"), "{}", merged.text());
    assert!(server.series("mem").is_empty(), "nothing is stored");
    let one = "# CONTEXT-DATABASE:a\nmem value=1 1\n";
    assert_eq!(write1(&server, "?db=copy", one).status, 204);
    assert_eq!(server.export("mem"), "mem,db=copy value=1 1\n");
}

#[test]
fn an_export_has_not_too_many_sections_nor_too_long_names() {
    let server = server(&[]);
    let sections = |count: usize| -> String {
        (0..count).map(|i| format!("# CONTEXT-DATABASE:d{}\nm,i={i} value=1 1\n", i % 2)).collect()
    };
    assert_eq!(write1(&server, "", &sections(1_000)).status, 204);
    assert_eq!(server.series("m").len(), 1_000);
    for (body, part) in [
        (sections(1_001).replace("m,", "n,"), "more than 1000 times"),
        (format!("n value=1 1\n# CONTEXT-DATABASE:{}\nn value=1 1\n", "x".repeat(257)), "at most 256 bytes"),
        ("n value=1 1\n# CONTEXT-DATABASE:a\0b\nn value=1 1\n".to_owned(), "no NUL"),
    ] {
        let refused = write1(&server, "", &body);
        assert!(refused.status == 400 && refused.text().contains(part), "{part}: {}", refused.text());
        assert!(refused.text().contains("nothing is stored") && server.series("n").is_empty(), "{part}");
    }
}

#[test]
fn version_three_reads_exports_and_names_lines_far_behind() {
    let server = server(&[]);
    let write3 = |query: &str, body: &str| {
        server.send("POST", &format!("/api/v3/write_lp?db=d{query}"), &[], body.as_bytes())
    };
    let export = "# DDL\nCREATE DATABASE a\n# DML\n# CONTEXT-DATABASE:a\nm value=1 1\n";
    assert_eq!(write3("&accept_partial=false", export).status, 204);
    let refused = write3("&accept_partial=false", &format!("{export}bad"));
    assert_eq!(refused.json()["data"]["line_number"], 6, "{}", refused.text());
    let body: String = (0..10_000).map(|i| format!("m value={i} 1\nbad{i}\n")).collect();
    let lines = write3("&errors=10000", &body).json()["data"].take();
    assert_eq!(
        (lines[9_999]["line_number"].clone(), lines[9_999]["original_line"].clone()),
        (json!(20_000), json!("bad9999"))
    );
}

#[test]
fn answers_count_what_they_stored() {
    let server = server(&[]);
    let reply = write2(&server, "", "# c\n\nm a=1,b=2,c=\"x\ny\" 1\nm a=3 2\n");
    let count = |name: &str| reply.headers[name].clone();
    assert_eq!(
        [count("x-barograph-lines"), count("x-barograph-samples"), count("x-barograph-events")],
        ["2", "3", "1"]
    );
    let body = format!("m a=1 1\n{}", "bad\n".repeat(30));
    let reply = write2(&server, "?errors=25", &body).json();
    assert_eq!((reply["samples"].as_u64(), reply["errors"].as_array().unwrap().len()), (Some(1), 25));
    assert!(reply["message"].as_str().unwrap().ends_with("; and 20 more"), "{reply}");
    assert_eq!(write2(&server, "?errors=0", "m a=1 1").status, 400);
}

#[test]
fn unknown_paths_of_version_three_answer_in_its_shape() {
    let reply = server(&[]).get("/api/v3/query_sql");
    assert!(reply.status == 404 && reply.json()["error"].is_string(), "{}", reply.text());
}
