//! Queries while they run: listed, cancelled, explained, bounded in memory.

use std::io::Write;

use barograph_server::http::auth::generate;
use serde_json::{Value, json};

use crate::harness::{ENDLESS, Server, escape, read_reply, request, server};

const LIST: &str = "/api/v1/status/active_queries";

fn listed(server: &Server) -> Vec<Value> {
    server.get(LIST).data()["queries"].as_array().unwrap().clone()
}

fn cancel(server: &Server, id: &Value) -> Value {
    server.send("POST", &format!("{LIST}/{id}/cancel"), &[], b"").data()
}

#[test]
fn a_running_query_is_listed_and_cancelled() {
    let server = server(&[("query_concurrency", "1")]);
    assert_eq!(listed(&server), [] as [Value; 0]);
    let mut running = server.begin_query(ENDLESS);
    server.wait_for("the query", || listed(&server).first().is_some_and(|q| q["state"] == "running"));
    let mut waiting = server.begin_query("1 + 1");
    server.wait_for("the other", || listed(&server).len() == 2);
    server.wait_for("memory", || listed(&server)[0]["bytesHeld"].as_u64().unwrap() > 0);
    let queries = listed(&server);
    assert_eq!(queries[0]["query"], ENDLESS);
    assert_eq!((&queries[1]["query"], &queries[1]["state"]), (&json!("1 + 1"), &json!("waiting")));
    assert!(queries[0]["ageSeconds"].as_f64().unwrap() > 0.0, "{queries:?}");
    let client = running.local_addr().unwrap().to_string();
    assert_eq!(queries[0]["client"], client);

    assert_eq!(cancel(&server, &queries[1]["id"])["state"], "waiting");
    read_reply(&mut waiting, false).error(499, "canceled");
    assert_eq!(listed(&server).len(), 1, "the other continues");
    assert_eq!(cancel(&server, &queries[0]["id"])["state"], "running");
    let message = read_reply(&mut running, false).error(499, "canceled");
    assert!(message.contains("canceled"), "{message}");
    server.wait_for("an empty list", || listed(&server).is_empty());
    server.wait_for("memory released", || server.held_by_reads() == 0);
    server.send("POST", &format!("{LIST}/1/cancel"), &[], b"").error(404, "not_found");
    server.send("POST", &format!("{LIST}/x/cancel"), &[], b"").error(400, "bad_data");
    assert_eq!(server.get(&format!("{LIST}/1/cancel")).status, 405);
}

#[test]
fn cancelling_is_a_right_of_its_own() {
    let (reader, reader_line) = generate().unwrap();
    let (keeper, keeper_line) = generate().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{reader_line} read,write,admin\n{keeper_line} queries").unwrap();
    let server = server(&[("token_file", file.path().to_str().unwrap()), ("enable_admin", "true")]);
    let ask = |token: &str, method: &str, target: &str| {
        server.send(method, target, &[("authorization", &format!("Bearer {token}"))], b"").status
    };
    assert_eq!(ask(&reader, "GET", LIST), 200);
    assert_eq!(ask(&keeper, "GET", LIST), 403);
    assert_eq!(ask(&reader, "POST", &format!("{LIST}/9/cancel")), 403);
    assert_eq!(ask(&keeper, "POST", &format!("{LIST}/9/cancel")), 404);
}

#[test]
fn a_client_that_goes_away_ends_its_query() {
    let server = server(&[("query_concurrency", "1")]);
    drop(server.begin_endless());
    // A thread that has ended uses no CPU.
    server.wait_for("its end", || server.state.gates.turns.running_in_all() == 0);
    server.wait_for("memory released", || server.held_by_reads() == 0);
    assert!(listed(&server).is_empty());
    assert_eq!(server.get("/api/v1/query?query=1").status, 200, "its turn is free");
}

/// 500 series at 0 and 10 s.
fn wide(settings: &[(&'static str, &str)]) -> Server {
    let server = server(settings);
    let lines: String =
        (0..1000).map(|i| format!("m,i=i{} value={i} {}\n", i % 500, i / 500 * 10_000_000_000u64)).collect();
    server.write(&lines);
    server
}

#[test]
fn memory_is_bounded_for_one_query_and_for_all() {
    let server = wide(&[("query_memory", "4MiB"), ("query_memory_total", "8MiB")]);
    let range = |query: &str| {
        server.get(&format!("/api/v1/query_range?start=0&end=5000&step=1&query={}", escape(query)))
    };
    let message = range("m").error(422, "execution");
    assert!(message.contains("more than 4MiB") && message.contains("(query_memory)"), "{message}");
    for hungry in ["m @ 5 + 0", "label_replace(m @ 5, \"j\", \"$1$1$1$1\", \"i\", \"(.*)\")", "m and m @ 5"] {
        range(hungry).error(422, "execution");
    }
    assert_eq!(range("sum(m{i=~\"i1.\"})").status, 200);
    server.wait_for("memory released", || server.held_by_reads() == 0);

    // Others hold all but a little of it.
    let queries = &server.state.memory.queries;
    let others = queries.take_to_begin(queries.common() - 20_000).unwrap();
    let refused = queries.refused();
    assert_eq!(range("m{i=\"i1\"}").status, 200, "in its turn, with what is kept back for one");
    assert!(queries.refused() > refused, "it had to wait for it");
    drop(others);
    // What all of it cannot hold does not pass by waiting.
    queries.set_limit(20_000);
    range("m{i=\"i1\"}").error(422, "execution");
}

/// Others hold all memory except the reserve from before the first request until after the last: each request evaluates
/// and writes its answer with the reserve, one after another.
#[test]
fn all_that_find_the_memory_in_use_are_answered_in_their_turn() {
    let server = wide(&[("query_memory", "4MiB"), ("query_memory_total", "8MiB")]);
    // The evaluation needs some 2 MiB of the 4, and writing the answer needs another in addition to the result.
    let query = escape("m{i=~\"i..\"} @ 5");
    let targets = [
        format!("/api/v1/query_range?start=0&end=1000&step=1&query={query}"),
        "/api/v1/query?query=m&time=5".to_owned(),
        "/api/v1/series?match[]=m".to_owned(),
    ];
    let alone: Vec<_> = targets.iter().map(|target| server.get(target)).collect();
    server.wait_for("memory released", || server.held_by_reads() == 0);
    let queries = &server.state.memory.queries;
    // The text of twelve requests fits, and no more.
    let others = queries.take_to_begin(queries.common() - 4_000).unwrap();
    // A reply may arrive before the server has released its memory.
    let wait_for_release = || server.wait_for("memory released", || queries.used() == others.bytes());
    let refused = queries.refused();
    let mut asked = Vec::new();
    for _ in 0..12 {
        let mut stream = server.connect();
        stream.write_all(&request("GET", &targets[0], &[], b"")).unwrap();
        asked.push(stream);
    }
    for mut stream in asked {
        let reply = read_reply(&mut stream, false);
        assert_eq!((reply.status, reply.data()), (200, alone[0].data()));
    }
    assert!(queries.refused() >= refused + 12, "each finds it in use");
    assert!(alone[0].text().len() > 500_000, "writing takes more than what is left");
    for (target, alone) in targets.iter().zip(&alone) {
        wait_for_release();
        let refused = queries.refused();
        let reply = server.get(target);
        assert_eq!((reply.status, reply.data()), (200, alone.data()), "{target}");
        assert!(queries.refused() > refused, "{target} finds it in use");
    }
    let large = format!("/api/v1/query_range?start=0&end=5000&step=1&query={}", escape("m @ 5"));
    wait_for_release();
    server.get(&large).error(422, "execution");
    wait_for_release();
    drop(others);
    assert!(queries.peak() <= queries.limit());
}

#[test]
fn the_answer_counts_until_it_is_sent() {
    let server = wide(&[]);
    let mut stream = server.connect();
    let target = format!("/api/v1/query_range?start=0&end=10000&step=1&query={}", escape("m @ 5"));
    stream.write_all(&request("GET", &target, &[], b"")).unwrap();
    server.wait_for("the answer", || {
        server.state.gates.turns.running_in_all() == 0 && server.held_by_reads() > 50_000_000
    });
    let reply = read_reply(&mut stream, false);
    assert_eq!(reply.status, 200);
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

#[test]
fn an_explanation_has_estimates_and_what_came_of_them() {
    let server = wide(&[]);
    let query = "sum(rate(m[1m])) + on () vector(1) * (count(m @ 5))";
    let target = format!("/api/v1/query_range?start=10&end=40&step=10&query={}", escape(query));
    assert!(server.get(&target).data().get("explain").is_none());
    let data = server.get(&format!("{target}&explain=true")).data();
    assert_eq!(data["resultType"], "matrix");
    let root = &data["explain"];
    assert_eq!(
        (&root["operation"], &root["span"], &root["steps"]),
        (&json!("+"), &json!([0, 51]), &json!(4))
    );
    let rate = &root["children"][0]["children"][0];
    assert_eq!((&rate["operation"], &rate["text"]), (&json!("rate"), &json!("rate(m[1m])")));
    let selector = &rate["children"][0];
    assert_eq!(selector["operation"], "range selector");
    for side in ["estimated", "actual"] {
        assert_eq!(selector[side]["series"], 500, "{selector}");
        assert_eq!(selector[side]["samples"], 1000, "{selector}");
        assert_eq!(selector[side]["chunks"], 500, "{selector}");
    }
    assert_eq!(root["actual"]["samples"], 1500, "a part includes those below it");
    assert!(rate["actual"]["bytes"].as_u64().unwrap() > 500 * 4 * 8, "{rate}");
    assert!(rate["actual"]["seconds"].as_f64().unwrap() > 0.0);
    let count = &root["children"][1]["children"][1];
    assert_eq!((&count["operation"], &count["stepInvariant"]), (&json!("count"), &json!(true)));
    assert_eq!(count["estimated"]["series"], 1);
    let bad = server.get(&format!("{target}&explain=perhaps")).error(400, "bad_data");
    assert!(bad.contains("\"explain\""), "{bad}");
}
