//! Regular expressions of requests: weighed together, compiled once, and never on a thread that drives sockets.

use std::io::Write;

use barograph::internals::remote::wire::{put_bytes, put_integer, put_message};
use barograph_server::admission::Kind;
use barograph_server::api::endpoint::Admission;
use barograph_server::api::routes::ROUTES;

use crate::harness::{Reply, Server, escape, read_reply, request, server, server_with_one_thread};
use crate::remote::snappy;

/// Where an expression comes in: the path and what stands before it.
const ASKED: &[(&str, &str)] = &[
    ("/api/v1/query", "query"),
    ("/api/v1/query_range?start=0&end=10&step=5", "query"),
    ("/api/v1/query_exemplars?start=0&end=10", "query"),
    ("/api/v1/parse_query", "query"),
    ("/api/v1/format_query", "query"),
    ("/api/v1/series", "match[]"),
    ("/api/v1/labels", "match[]"),
    ("/api/v1/label/a/values", "match[]"),
    ("/api/v1/export", "match[]"),
    ("/federate", "match[]"),
    ("/api/v1/events", "match[]"),
    ("/api/v1/admin/tsdb/delete_series", "match[]"),
];

/// Those that take a form in a body.
fn takes_form(path: &str) -> bool {
    !matches!(path, "/federate" | "/api/v1/events" | "/api/v1/query_exemplars?start=0&end=10")
}

fn message(path: &str, name: &str, texts: &[String]) -> Vec<u8> {
    let form: Vec<String> = texts.iter().map(|text| format!("{name}={}", escape(text))).collect();
    let form = form.join("&");
    if takes_form(path) {
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        return request("POST", path, &kind, form.as_bytes());
    }
    let separator = if path.contains('?') { '&' } else { '?' };
    request("GET", &format!("{path}{separator}{form}"), &[], b"")
}

fn ask(server: &Server, path: &str, name: &str, texts: &[String]) -> Reply {
    let mut stream = server.connect();
    stream.write_all(&message(path, name, texts)).unwrap();
    read_reply(&mut stream, false)
}

/// A matcher whose automaton takes more than a MiB and is unlike any other.
fn heavy(n: usize) -> String {
    format!("a=~\"\\\\pL{{190}}{n}\"")
}

/// A remote read of `queries` with 100 such matchers each, all different.
fn remote_read(queries: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for query in 0..queries {
        put_message(&mut out, 1, |out| {
            put_integer(out, 2, 10);
            for n in 0..100 {
                put_message(out, 3, |out| {
                    put_integer(out, 1, 2);
                    put_bytes(out, 2, b"a");
                    put_bytes(out, 3, format!("\\pL{{190}}{}", 100 * query + n).as_bytes());
                });
            }
        });
    }
    request("POST", "/api/v1/read", &[("content-encoding", "snappy")], &snappy(&out))
}

#[test]
fn the_expressions_of_a_request_are_weighed_together_wherever_they_come_in() {
    let server = server(&[("enable_admin", "true"), ("memory", "1GiB")]);
    let queries = &server.state.memory.queries;
    let all: Vec<String> = (0..300).map(heavy).collect();
    for &(path, name) in ASKED {
        let selector = format!("x{{{}}}", all.join(","));
        let reply = ask(&server, path, name, &[selector]);
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        let text = reply.text();
        for word in ["more than 32MiB of memory together", "(query_regex_memory)", "with \\\"\\\\\\\\pL{190}"]
        {
            let plain = word.replace("\\\"", "\"").replace("\\\\", "\\");
            assert!(text.contains(word) || text.contains(&plain), "{path}: {word} of {text}");
        }
    }
    // Each of a hundred selectors is light, and together they are not.
    for &(path, name) in ASKED.iter().filter(|(_, name)| *name == "match[]") {
        let each: Vec<String> = all.chunks(3).map(|some| format!("x{{{}}}", some.join(","))).collect();
        let reply = ask(&server, path, name, &each);
        assert!(
            reply.status == 400 && reply.text().contains("(query_regex_memory)"),
            "{path}: {}",
            reply.text()
        );
    }
    let mut stream = server.connect();
    stream.write_all(&remote_read(100)).unwrap();
    let reply = read_reply(&mut stream, false);
    assert!(reply.status == 400 && reply.text().contains("(query_regex_memory)"), "{}", reply.text());

    server.wait_for("memory released", || server.held_by_reads() == 0);
    assert!(queries.peak() < 64 << 20, "{} bytes at once", queries.peak());
    let kept = barograph::internals::pattern::patterns().share();
    assert!(kept.used() <= kept.limit(), "{} of {}", kept.used(), kept.limit());
}

#[test]
fn an_expression_that_a_template_repeats_is_one() {
    let server = server(&[("memory", "1GiB")]);
    let doubles: String = (1..10).map(|n| format!(", g{n} = {{g{}, g{}}}", n - 1, n - 1)).collect();
    let text = format!("WITH (f = {{a=~\"\\\\pL{{190}}\"}}, g0 = {{f, f}}{doubles}) x{{g9}}");
    for &(path, name) in ASKED.iter().filter(|(_, name)| *name == "query") {
        let reply = ask(&server, path, name, std::slice::from_ref(&text));
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
    server.wait_for("memory released", || server.held_by_reads() == 0);
    let peak = server.state.memory.queries.peak();
    assert!(peak < 64 << 20, "{peak} bytes at once, of which 1,024 automata would be 2 GB");
}

#[test]
fn a_smaller_limit_is_a_setting() {
    let server = server(&[("query_regex_memory", "64KiB")]);
    let query = [format!("x{{{}}}", heavy(1))];
    let message = ask(&server, "/api/v1/query", "query", &query).error(400, "bad_data");
    assert!(message.contains("more than 64KiB") && message.contains("(query_regex_memory)"), "{message}");
    let plain = ["label_replace(x{a=~\"b.*|c\"}, \"d\", \"$1\", \"a\", \"(.*)-.*\")".to_owned()];
    assert_eq!(ask(&server, "/api/v1/query", "query", &plain).status, 200);
}

/// A text that is read by a thread that drives sockets is refused without a turn; one that waits for its thread is not
/// refused before it has that. (Remote read unpacks its body on such a thread before it has its turn, and reads it on
/// one.)
#[test]
fn no_expression_is_read_by_a_thread_that_drives_sockets() {
    let (server, mut thread) = server_with_one_thread(&[("enable_admin", "true")]);
    let faulty = ["x{a=~\"(\"}".to_owned()];
    for &(path, name) in ASKED {
        let message = message(path, name, &faulty);
        let kind = kind(path);
        let mut stream = server.connect();
        stream.write_all(&message).unwrap();
        server.wait_for(path, || server.state.gates.turns.running(kind) == 1);
        assert_eq!(server.get("/-/healthy").status, 200, "while {path} waits");
        assert_eq!(server.state.gates.turns.running(kind), 1, "{path} still waits");
        thread.let_pass(&server, "its end", || server.state.gates.turns.running(kind) == 0);
        let reply = read_reply(&mut stream, false);
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        assert!(reply.text().contains("bad regular expression"), "{path}: {}", reply.text());
    }
    drop(thread);
}

fn kind(path: &str) -> Kind {
    let path = path.split('?').next().unwrap().replace("/label/a/", "/label/{name}/");
    let route = ROUTES.iter().find(|route| route.endpoint.path == path);
    match route.unwrap_or_else(|| panic!("no route {path}")).endpoint.admission {
        Admission::Turn(kind) => kind,
        _ => panic!("{path} has no turn"),
    }
}
