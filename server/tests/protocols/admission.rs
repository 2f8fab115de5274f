//! The path of all reads: every route waits for a turn of its kind, is listed, can be cancelled, and releases its
//! memory, whether its client reads the answer or leaves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use barograph_server::admission::{Client, Kind, Lane, Turn};
use barograph_server::api::endpoint::{Admission, Endpoint};
use barograph_server::api::routes::ROUTES;
use serde_json::Value;

use crate::harness::{
    ENDLESS, Server, escape, read_reply, read_to_end, request, server, server_with_one_thread,
};

const LIST: &str = "/api/v1/status/active_queries";
const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

/// Routes that are answered at once: what they tell does not grow with the data, or is what others are refused by.
const INSTANT: &[&str] = &[
    "/-/healthy",
    "/-/ready",
    "/api/v1/alertmanagers",
    "/api/v1/alerts",
    "/api/v1/features",
    "/api/v1/rules",
    "/api/v1/scrape_pools",
    "/api/v1/status/active_queries",
    "/api/v1/status/active_queries/{name}/cancel",
    "/api/v1/status/buildinfo",
    "/api/v1/status/compaction",
    "/api/v1/status/config",
    "/api/v1/status/flags",
    "/api/v1/status/memory",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/walreplay",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
    "/api/v2/orgs",
    "/",
    "/health",
    "/metrics",
    "/ping",
    "/ready",
    "/settings",
];

/// Routes that write; memory for bodies and the engine's limits bound them.
const WRITES: &[&str] =
    &["/write", "/api/v1/write", "/api/v1/import/hdr", "/api/v2/write", "/api/v3/write_lp"];

/// One request of a route that is good in every way.
fn ask(endpoint: &Endpoint) -> Vec<u8> {
    let path = endpoint.path.replace("{name}", "1");
    if path == "/api/v1/read" {
        let nothing = snap::raw::Encoder::new().compress_vec(&[]).unwrap();
        return request("POST", &path, &[], &nothing);
    }
    let query = "match[]=m&query=m&start=0&end=60&step=60&time=0&q=SHOW+DATABASES&tier=1h";
    request(endpoint.methods[0].as_str(), &format!("{path}?{query}"), &[], b"")
}

fn listed(server: &Server) -> Vec<Value> {
    server.get(LIST).data()["queries"].as_array().unwrap().clone()
}

/// Takes a turn for the test itself.
fn take(server: &Server, kind: Kind) -> Turn {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime
        .block_on(server.state.gates.turns.enter(kind, Client::default(), Duration::from_secs(60)))
        .unwrap()
}

/// Takes a turn of a heavy request for the test itself, if one is free.
fn take_heavy(server: &Server, kind: Kind) -> Option<Turn> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let turn = server.state.gates.turns.enter_lane(kind, Lane::Heavy, Client::default(), Duration::ZERO);
    runtime.block_on(turn).ok()
}

/// A server that has one turn of each kind, and the turns.
fn all_taken() -> (Server, Vec<Turn>) {
    let server = server(&[("query_concurrency", "1"), ("enable_admin", "true")]);
    let turns = Kind::ALL.into_iter().map(|kind| take(&server, kind)).collect();
    (server, turns)
}

#[test]
fn every_route_waits_for_its_kind_or_is_known_to_need_no_turn() {
    let (server, _turns) = all_taken();
    for endpoint in ROUTES.iter().map(|route| &route.endpoint) {
        let mut stream = server.connect();
        match endpoint.admission {
            Admission::Write => {
                assert!(WRITES.contains(&endpoint.path), "{}: what it holds is bounded?", endpoint.path)
            }
            Admission::Always | Admission::Instant => {
                assert!(INSTANT.contains(&endpoint.path), "{}: is it bounded without a turn?", endpoint.path);
                stream.write_all(&ask(endpoint)).unwrap();
                let status = read_reply(&mut stream, false).status;
                assert!(status < 500, "{}: {status} while all turns are taken", endpoint.path);
            }
            Admission::Turn(kind) => {
                stream.write_all(&ask(endpoint)).unwrap();
                server.wait_for(endpoint.path, || server.state.gates.turns.waiting(kind) == 1);
                let entries = listed(&server);
                assert_eq!(entries.len(), 1, "{}: {entries:?}", endpoint.path);
                let entry = &entries[0];
                assert_eq!((&entry["path"], &entry["kind"]), (&endpoint.path.into(), &kind.name().into()));
                assert_eq!(entry["state"], "waiting", "{entry}");
                let cancel = format!("{LIST}/{}/cancel", entry["id"]);
                assert_eq!(server.send("POST", &cancel, &[], b"").status, 200, "{}", endpoint.path);
                assert_eq!(read_reply(&mut stream, false).status, 499, "{}", endpoint.path);
            }
        }
    }
    assert_eq!(server.state.gates.turns.waiting_in_all(), 0);
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

#[test]
fn a_kind_that_is_busy_keeps_no_other_from_its_turn() {
    let server = server(&[("query_concurrency", "1"), ("query_queue", "1"), ("enable_admin", "true")]);
    server.write("m,a=x value=1 1000000000\n");
    let _endless = server.begin_endless();
    let _waiting = server.begin_query("1");
    server.wait_for("the other", || server.state.gates.turns.waiting(Kind::Query) == 1);
    server.get("/api/v1/query?query=1").error(429, "too_many_requests");
    let metrics = server.get("/metrics").text();
    for line in [r#"barograph_reads_running{kind="query"} 1"#, r#"barograph_reads_waiting{kind="query"} 1"#] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    assert_eq!(server.series("m").len(), 1);
    assert_eq!(server.export("m"), "m,a=x value=1 1000000000\n");
    assert_eq!(server.get("/federate?match[]={}").status, 200);
    assert_eq!(server.send("POST", "/api/v1/admin/tsdb/flush", &[], b"").status, 204);
    assert_eq!(server.send("POST", "/query?q=SHOW+DATABASES", &[], b"").status, 200);
}

/// Heavy queries have few turns, and a light one does not wait for them, whether they run or wait.
#[test]
fn light_questions_are_answered_while_heavy_ones_wait_for_each_other() {
    let server = server(&[("query_wait", "1h"), ("query_timeout", "1h")]);
    server.write("m,a=x value=1 1000000000\n");
    let heavy: Vec<TcpStream> = (0..24).map(|_| server.begin_query(ENDLESS)).collect();
    let turns = &server.state.gates.turns;
    server.wait_for("their turns", || {
        let (running, waiting) = (turns.running(Kind::Query), turns.waiting(Kind::Query));
        running == turns.heavy(Kind::Query) && running + waiting == heavy.len()
    });
    let few = turns.heavy(Kind::Query);
    assert!((1..=4).contains(&few), "{few} of query_concurrency 8");
    for _ in 0..20 {
        assert_eq!(server.get("/api/v1/query?query=m&time=1").data()["result"][0]["value"][1], "1");
        assert_eq!(server.get("/api/v1/query_range?query=m&start=0&end=60&step=1").status, 200);
    }
    assert_eq!(turns.waiting(Kind::Query), heavy.len() - few);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains(&format!("\nbarograph_reads_heavy{{kind=\"query\"}} {few}\n")), "{metrics}");
    let states = listed(&server);
    assert_eq!(states.iter().filter(|entry| entry["state"] == "running").count(), few, "{states:?}");
    drop(heavy);
    server.wait_for("their end", || turns.running_in_all() + turns.waiting_in_all() == 0);
    assert_eq!(turns.heavy(Kind::Query), 0);
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

/// What a heavy query does as a light one before it has to wait is undone, and its answer is whole.
#[test]
fn a_query_that_turns_out_to_be_heavy_runs_again_in_its_turn() {
    let server = wide(&[("query_wait", "1h"), ("query_timeout", "1h")]);
    let alone: Vec<_> = LARGE.iter().map(|target| server.get(target)).collect();
    let turns = &server.state.gates.turns;
    for (target, alone) in LARGE.into_iter().zip(alone) {
        let kind = if target.contains("query") { Kind::Query } else { Kind::List };
        let kind = if target.contains("federate") { Kind::Federate } else { kind };
        // All turns of heavy requests of its kind are taken.
        let mut taken = Vec::new();
        while let Some(turn) = take_heavy(&server, kind) {
            taken.push(turn);
        }
        assert_eq!(turns.heavy(kind), taken.len());
        let mut stream = server.connect();
        stream.write_all(&request("GET", target, &[], b"")).unwrap();
        server.wait_for("its turn", || turns.waiting(kind) == 1);
        server.wait_for("memory released", || server.held_by_reads() < 1000);
        assert_eq!(listed(&server)[0]["state"], "waiting", "{target}");
        drop(taken);
        let reply = read_reply(&mut stream, false);
        assert_eq!((reply.status, reply.body == alone.body), (200, true), "{target}");
    }
    server.wait_for("memory released", || server.held_by_reads() == 0);
    assert_eq!(turns.running_in_all() + turns.waiting_in_all(), 0);
}

#[test]
fn what_heavy_reads_hold_leaves_memory_to_light_ones() {
    let server = server(&[]);
    server.write("m,a=x value=1 1000000000\n");
    let queries = &server.state.memory.queries;
    let heavy = queries.take(queries.common_to_all()).unwrap();
    assert!(queries.take(1).is_err());
    assert_eq!(server.get("/api/v1/query?query=m&time=1").data()["result"][0]["value"][1], "1");
    assert_eq!(server.series("m").len(), 1);
    assert_eq!(server.get("/federate?match[]=m").status, 200);
    drop(heavy);
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

/// All requests are abandoned: a waiter leaves the queue when its connection closes.
#[test]
fn abandoned_requests_give_their_places_back() {
    let server = server(&[("query_concurrency", "2")]);
    server.write("m,a=x value=1 1000000000\n");
    let taken = [take(&server, Kind::List), take(&server, Kind::List)];
    let form = format!("match[]={}&", escape(r#"{a=~"x.*|y"}"#)).repeat(100);
    let body = request("POST", "/api/v1/series", &FORM, form.as_bytes());
    let streams: Vec<TcpStream> = (0..72)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&body).unwrap();
            stream
        })
        .collect();
    server.wait_for("all of them", || server.state.gates.turns.waiting(Kind::List) == 72);
    drop(streams);
    server.wait_for("their leaving", || server.state.gates.turns.waiting(Kind::List) == 0);
    assert_eq!(listed(&server), [] as [Value; 0]);
    server.wait_for("memory released", || server.held_by_reads() == 0);
    drop(taken);
    assert_eq!(server.series("m").len(), 1);
}

/// 4,000 series at 10 s and now, whose label sets are long.
fn wide(settings: &[(&'static str, &str)]) -> Server {
    let server = server(settings);
    let long = "x".repeat(3_000);
    for part in 0..8 {
        let lines: String = (0..500)
            .map(|i| (part * 500 + i, &long))
            .map(|(i, long)| {
                format!(
                    "wide,i=i{i},long={i}{long} value={i} 10000000000\nwide,i=i{i},long={i}{long} value={i}\n"
                )
            })
            .collect();
        server.write(&lines);
    }
    server
}

/// What is asked in the next tests: each answer is larger than what sockets hold.
const LARGE: [&str; 6] = [
    "/api/v1/series?match[]=wide",
    "/api/v1/label/long/values",
    "/api/v1/status/tsdb?limit=10000",
    "/federate?match[]=wide",
    "/api/v1/query?query=wide&time=10",
    "/api/v1/query_range?query=wide&start=10&end=11&step=1",
];

#[test]
fn answers_count_until_they_are_sent() {
    let server = wide(&[]);
    for target in LARGE {
        let mut stream = server.connect();
        stream.write_all(&request("GET", target, &[], b"")).unwrap();
        let used = || server.held_by_reads();
        server.wait_for(target, || server.state.gates.turns.running_in_all() == 0 && used() > 0);
        let reply = read_reply(&mut stream, false);
        assert_eq!(reply.status, 200, "{target}");
        assert!(reply.body.len() > 12_000_000, "{target}: {}", reply.body.len());
        server.wait_for("memory released", || used() == 0);

        // Unread answers are held, except for what the sockets took, and nothing else is.
        let mut unread = server.connect();
        unread.write_all(&request("GET", target, &[], b"")).unwrap();
        server.wait_for(target, || server.state.gates.turns.running_in_all() == 0 && used() > 0);
        assert!(used() < reply.body.len() as u64 + 2_000_000, "{target}: {}", used());
        drop(unread);
        server.wait_for("memory released", || used() == 0);
    }
}

/// Each statement of a request may list all databases.
#[test]
fn lists_of_databases_count_until_they_are_sent() {
    let server = server(&[]);
    let lines: String = (0..2_000).map(|i| format!("m,db={i}{} value=1 1\n", "x".repeat(200))).collect();
    server.write(&lines);
    let target = format!("/query?q={}", "SHOW+DATABASES;".repeat(40));
    let mut unread = server.connect();
    unread.write_all(&request("GET", &target, &[], b"")).unwrap();
    server.wait_for("the answer", || {
        server.state.gates.turns.running_in_all() == 0 && server.held_by_reads() > 2_000_000
    });
    let reply = read_reply(&mut unread, false);
    assert_eq!((reply.status, reply.body.len() > 16_000_000), (200, true));
    let results = reply.json();
    assert_eq!(results["results"].as_array().unwrap().len(), 40);
    assert_eq!(results["results"][39]["series"][0]["values"].as_array().unwrap().len(), 2_000);
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

#[test]
fn large_answers_are_compressed_on_the_way() {
    let server = wide(&[("query_memory", "40MiB")]);
    for target in LARGE {
        let plain = server.get(target);
        let reply = server.send("GET", target, &[("accept-encoding", "gzip")], b"");
        assert_eq!((plain.status, reply.status), (200, 200), "{target}");
        assert_eq!(reply.headers["content-encoding"], "gzip", "{target}");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(reply.body.as_slice()).read_to_end(&mut text).unwrap();
        assert!(text == plain.body, "{target}: the same text");
        assert!(reply.body.len() < plain.body.len() / 10, "{target}: {}", reply.body.len());
    }
    server.wait_for("memory released", || server.held_by_reads() == 0);
}

#[test]
fn an_answer_has_a_limit_and_is_refused_before_it_is_there() {
    let server = wide(&[("query_memory", "8MiB")]);
    for target in LARGE {
        let message = server.get(target).text();
        assert!(message.contains("(query_memory)"), "{target}: {message:.300}");
        server.wait_for("memory released", || server.held_by_reads() == 0);
    }
    let peak = server.state.memory.queries.peak();
    assert!(peak <= (8 << 20) + 1_000, "{peak}: the answer, and what the request says");
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_and_its_memory_comes_back() {
    let mut server = wide(&[]);
    server.reload(&[("body_timeout", "50ms")]);
    for (count, target) in LARGE.into_iter().chain(["/api/v1/export?match[]=wide"]).enumerate() {
        let mut unread = server.connect();
        unread.write_all(&request("GET", target, &[], b"")).unwrap();
        let cut = || server.state.telemetry.answers_cut.get();
        server.wait_for(target, || cut() == count as u64 + 1);
        server.wait_for("memory released", || server.held_by_reads() == 0);
        server.wait_for("its turn", || server.state.gates.turns.running_in_all() == 0);
        assert!(!read_to_end(&mut unread).is_empty());
    }
    assert!(server.get("/metrics").text().contains("\nbarograph_http_answers_cut_total 7\n"));
}

#[test]
fn a_stream_has_few_pieces_in_flight() {
    const SAMPLES: usize = 800_000;
    let server = server(&[]);
    for series in 0..40 {
        let lines: String =
            (0..SAMPLES / 40).map(|i| format!("long,i={series} value={i}.5 {}\n", i + 1)).collect();
        server.write(&lines);
    }
    let mut unread = server.connect();
    unread.write_all(&request("GET", "/api/v1/export?match[]=long", &[], b"")).unwrap();
    let mut begun = [0; 64];
    unread.read_exact(&mut begun).unwrap();
    assert_eq!(server.state.gates.turns.running(Kind::Export), 1, "it runs while its client reads");
    drop(unread);
    server.wait_for("its turn", || server.state.gates.turns.running_in_all() == 0);
    server.wait_for("memory released", || server.held_by_reads() == 0);
    let whole = server.export("long");
    assert_eq!(whole.lines().count(), SAMPLES);
    server.wait_for("memory released", || server.held_by_reads() == 0);
    let peak = server.state.memory.queries.peak();
    assert!((512 << 10..3 << 20).contains(&peak), "{peak} for {} bytes", whole.len());
}

#[test]
fn a_union_of_series_has_the_limit_of_one() {
    let server = server(&[("query_max_series", "10")]);
    server.write(&(0..16).map(|i| format!("m,i=i{i} value=1 1000000000\n")).collect::<String>());
    let series = |parameters: &str| server.get(&format!("/api/v1/series?{parameters}"));
    let eight = |odd: u32| {
        escape(&format!(
            "m{{i=~\"i({})\"}}",
            (0..8).map(|i| (2 * i + odd).to_string()).collect::<Vec<_>>().join("|")
        ))
    };
    assert_eq!(series(&format!("match[]={}", eight(0))).data().as_array().unwrap().len(), 8);
    let both = format!("match[]={}&match[]={}", eight(0), eight(1));
    for parameters in ["match[]=m", &both] {
        let message = series(parameters).error(422, "execution");
        assert!(
            message.contains("more than 10 series") && message.contains("(query_max_series)"),
            "{message}"
        );
        series(&format!("{parameters}&limit=11")).error(422, "execution");
        let cut = series(&format!("{parameters}&limit=10")).json();
        assert_eq!(
            (cut["data"].as_array().unwrap().len(), cut["warnings"].is_array()),
            (10, true),
            "{parameters}"
        );
    }
}

/// The copy continues after its client has left, and so does the lock.
#[test]
fn a_snapshot_keeps_its_lock_when_its_client_leaves() {
    let (server, thread) = server_with_one_thread(&[("enable_admin", "true")]);
    let mut stream = server.connect();
    stream.write_all(&request("POST", "/api/v1/admin/tsdb/snapshot", &[], b"")).unwrap();
    server.wait_for("its turn", || server.state.gates.turns.running(Kind::Admin) == 1);
    server.wait_for("its lock", || server.state.snapshot.try_lock().is_err());
    drop(stream);
    server.wait_for("its leaving", || server.state.telemetry.requests_running.get() == 0);
    assert!(server.state.snapshot.try_lock().is_err(), "it waits for its thread");
    assert_eq!(listed(&server)[0]["path"], "/api/v1/admin/tsdb/snapshot");
    drop(thread);
    server.wait_for("its end", || server.state.gates.turns.running(Kind::Admin) == 0);
    assert!(server.state.snapshot.try_lock().is_ok());
}

/// A request that has its turn and whose client leaves is stopped, whatever its route.
#[test]
fn work_that_nobody_waits_for_is_stopped() {
    let (server, mut thread) = server_with_one_thread(&[("query_concurrency", "1")]);
    for endpoint in ROUTES.iter().map(|route| &route.endpoint) {
        let Admission::Turn(kind) = endpoint.admission else { continue };
        // A change that has begun continues. The body of a remote read needs the thread before its turn comes;
        // `remote_read.rs` has its client leave.
        if matches!(kind, Kind::Admin | Kind::RemoteRead) {
            continue;
        }
        let mut stream = server.connect();
        // What the client sends ahead does not hide that it leaves.
        stream.write_all(&[ask(endpoint), request("GET", "/-/healthy", &[], b"")].concat()).unwrap();
        server.wait_for(endpoint.path, || server.state.gates.turns.running(kind) == 1);
        assert_eq!(listed(&server)[0]["canceled"], false, "{}", endpoint.path);
        drop(stream);
        server.wait_for(endpoint.path, || listed(&server)[0]["canceled"] == true);
        thread.let_pass(&server, "its turn", || server.state.gates.turns.running(kind) == 0);
    }
    drop(thread);
    server.wait_for("memory released", || server.held_by_reads() == 0);
}
