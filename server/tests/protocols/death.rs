//! Queries of death: each gets its clear error within its budget, and meanwhile the server
//! answers others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{ENDLESS, Server, escape, read_reply, server};

/// 400 series of 400 samples.
fn filled(settings: &[(&'static str, &str)]) -> Server {
    let server = server(settings);
    for block in 0..20u64 {
        let mut lines = String::new();
        for i in 0..400u64 {
            for at in block * 20..block * 20 + 20 {
                lines.push_str(&format!("m,i=i{i} value={} {}\n", i * 1000 + at, at * 15_000_000_000));
            }
        }
        server.write(&lines);
    }
    server
}

/// What a client may receive: an error that it can act on, or an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wanted {
    /// This status, and a message that says this.
    Error(u16, &'static str),
    /// Success, or an error of a limit, of which time is one.
    Bounded,
}

/// The time-out of what may end by it. It decides nothing: where a machine is slow, 503 is as good as an answer.
const BOUNDED: &str = "&timeout=2s";

const QUERY: &str = "/api/v1/query?time=5000";
const RANGE: &str = "/api/v1/query_range?start=0&end=10000&step=1";

fn deaths() -> Vec<(&'static str, String, Wanted)> {
    use Wanted::{Bounded, Error};
    let text = str::to_owned;
    vec![
        (QUERY, text(r#"{__name__=~".+"}"#), Error(422, "more than 300 series")),
        (RANGE, text(r#"sum({__name__=~".+"})"#), Error(422, "more than 300 series")),
        ("/api/v1/query_range?start=0&end=1000000&step=1", text("up"), Error(400, "11,000 points")),
        ("/api/v1/query_range?start=0&end=315360000&step=0.001", text("up"), Error(400, "11,000 points")),
        (QUERY, "(".repeat(10_000) + "1" + &")".repeat(10_000), Error(400, "parse error")),
        (QUERY, "-".repeat(10_000) + "1", Error(400, "parse error")),
        (QUERY, "sum by (i) (".repeat(10_000), Error(400, "parse error")),
        (QUERY, format!("m{{i=~\"{}\"}}", "(x{999}){999}"), Error(400, "parse error")),
        (QUERY, format!("m{{i=~\"{}\"}}", "(a+)+".repeat(2_000) + "$"), Bounded),
        (QUERY, text(r#"m{i=~"i1(.*.*.*)*.*.*$",i=~"i[0-9]?"}"#), Bounded),
        (QUERY, format!("m{{i=~\"{}\",i=~\"i.\"}}", ".*a|".repeat(10_000)), Bounded),
        (QUERY, text(r#"topk(1e9, m{i=~"i1.*"})"#), Bounded),
        (QUERY, text(r#"topk(1e300, m{i=~"i1.*"})"#), Error(422, "overflows int64")),
        (QUERY, text(r#"topk(NaN, m{i=~"i1.*"})"#), Error(422, "NaN")),
        (QUERY, text(r#"quantile(NaN, m{i=~"i1.*"})"#), Bounded),
        (RANGE, text(r#"quantile(scalar(m{i="i1"}), m{i=~"i1.*"})"#), Bounded),
        // Each value of each series at each step is a group of its own, with a slot for each step.
        (RANGE, text(r#"count_values("v", m{i=~"i1.*"} + time())"#), Error(422, "(query_memory)")),
        (QUERY, "max_over_time(".repeat(100) + r#"m{i="i1"}"# + &"[1h:1s])".repeat(100), Bounded),
        (
            QUERY,
            "max_over_time(".repeat(20) + r#"m{i="i1"}"# + &"[100d:1s])".repeat(20),
            Error(422, "samples"),
        ),
        (
            QUERY,
            format!(r#"label_replace(m{{i=~"i1.*"}}, "j", "{}", "i", "(.*)")"#, "$1".repeat(50_000)),
            Bounded,
        ),
        (
            QUERY,
            format!(
                r#"label_replace(label_replace(m{{i=~"i1.*"}}, "j", "{}", "i", "(.*)"), "k", "{}", "j", "(.*)")"#,
                "$1".repeat(5_000),
                "$1".repeat(5_000)
            ),
            Error(422, "label_replace() would make a label value"),
        ),
        (
            QUERY,
            format!(
                r#"label_join(label_replace(m{{i=~"i1.*"}}, "j", "{}", "i", "(.*)"), "k", "", {})"#,
                "$1".repeat(10_000),
                vec!["\"j\""; 5_000].join(",")
            ),
            Error(422, "label_join() would make a label value"),
        ),
        (QUERY, text(r#"m{i=~"i1.*"} * on() group_left m{i=~"i2.*"}"#), Error(422, "many-to-many")),
        (RANGE, text(r#"m{i=~"i1.*"} * on() m{i="i1"}"#), Error(422, "many-to-one")),
        // The one side changes its label at every step, and each change makes a series of each of the many side.
        (
            RANGE,
            text(r#"m{i=~"i1.*"} * on() group_left(v) count_values("v", m{i="i1"} + time())"#),
            Error(422, "(query_memory)"),
        ),
        (RANGE, text(r#"m{i=~"i1.*"} @ 100 + m{i=~"i1.*"} @ 200"#), Error(422, "(query_memory)")),
        (QUERY, text("vector(1)[1000y:1ms]"), Error(400, "out of range")),
        (QUERY, text("vector(1)[100y:1ms]"), Error(422, "samples")),
        (QUERY, text("sum_over_time(vector(1)[30d:1s])"), Bounded),
        (QUERY, text("sort(m[5m])"), Error(400, "parse error")),
        (QUERY, "x".repeat(1_100_000), Error(400, "bytes")),
        (QUERY, "1 + ".repeat(30_000) + "1", Bounded),
    ]
}

/// Asks, and says what is wrong with the answer. A limit other than time ends the query however long that takes.
fn dies(server: &Server, (target, text, wanted): &(&str, String, Wanted)) -> Result<(), String> {
    let timeout = if *wanted == Wanted::Bounded { BOUNDED } else { "" };
    let reply = server.form(target, &format!("query={}{timeout}", escape(text)));
    let error = reply.json()["error"].as_str().unwrap_or("").to_owned();
    let is_good = match wanted {
        Wanted::Error(status, part) => reply.status == *status && error.contains(part),
        Wanted::Bounded => {
            [200, 400, 422, 503].contains(&reply.status) && (reply.status == 200) == error.is_empty()
        }
    };
    if is_good { Ok(()) } else { Err(format!("wanted {wanted:?}, got {}: {}", reply.status, reply.text())) }
}

/// A query of somebody who means no harm.
fn ask_modestly(server: &Server) {
    let reply = server.get("/api/v1/query?time=5000&query=sum(m{i=%22i7%22})");
    assert_eq!(reply.data()["result"][0]["value"][1], "7333");
}

/// Ends a loop when its owner is through, be it by a panic.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn each_ends_within_its_budget_while_others_are_answered() {
    let server = filled(&[
        ("query_max_series", "300"),
        ("query_max_samples", "5_000_000"),
        ("query_memory", "16MiB"),
        ("query_concurrency", "8"),
    ]);
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut faults = Vec::new();
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                ask_modestly(&server);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        for death in deaths() {
            let before = answered.load(Ordering::Relaxed);
            if let Err(reason) = dies(&server, &death) {
                faults.push(format!("{:.80}: {reason:.400}", death.1));
            }
            // One may have been on its way; the next was asked beside this death or after it.
            server.wait_for("answers for others", || answered.load(Ordering::Relaxed) > before + 1);
        }
    });
    assert_eq!(faults, [] as [String; 0]);
    server.wait_for("the last thread", || server.state.gates.turns.running_in_all() == 0);
    // An answer counts until its connection has let go of it, which may be a moment later.
    server.wait_for("all memory", || server.held_by_reads() == 0);
}

#[test]
fn others_are_answered_while_a_query_runs_that_nothing_but_its_timeout_ends() {
    // Two heavy ones may run, if there are two cores.
    let mut server = filled(&[("query_concurrency", "4")]);
    let mut endless = server.begin_endless();
    for _ in 0..10 {
        ask_modestly(&server);
    }
    assert_eq!(server.state.gates.turns.running_in_all(), 1, "it runs on");
    // What runs keeps its time-out of an hour; the next one gets another.
    server.reload(&[("query_timeout", "10ms")]);
    let reply = read_reply(&mut server.begin_query(ENDLESS), false);
    let message = reply.text();
    assert_eq!(reply.status, 503, "{message}");
    assert!(message.contains("timed out") || message.contains("while 1 heavy queries ran"), "{message}");
    server.wait_for("its thread", || server.state.gates.turns.running_in_all() == 1);
    let active = &server.get("/api/v1/status/active_queries").data()["queries"][0];
    let cancel = format!("/api/v1/status/active_queries/{}/cancel", active["id"]);
    assert_eq!(server.send("POST", &cancel, &[], b"").status, 200);
    read_reply(&mut endless, false).error(499, "canceled");
}
