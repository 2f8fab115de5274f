//! Calls that delete and copy.

use crate::harness::{ENDLESS, server};

const DELETE: &str = "/api/v1/admin/tsdb/delete_series";

#[test]
fn admin_calls_are_off_by_default() {
    let server = server(&[]);
    for target in [DELETE, "/api/v1/admin/tsdb/snapshot", "/api/v1/admin/tsdb/clean_tombstones"] {
        let message = server.send("POST", target, &[], b"").error(500, "unavailable");
        assert!(message.contains("--enable-admin"), "{message}");
    }
}

#[test]
fn deletes_take_what_was_named() {
    let server = server(&[("enable_admin", "true")]);
    server
        .write("a,t=x value=1 1000000000\na,t=x value=2 2000000000\na,t=y value=3 1000000000\nb value=4 1\n");
    assert_eq!(
        server.send("POST", &format!("{DELETE}?match[]=a{{t=%22x%22}}&start=2&end=3"), &[], b"").status,
        204
    );
    assert_eq!(server.export("a"), "a,t=x value=1 1000000000\na,t=y value=3 1000000000\n");
    assert_eq!(server.send("PUT", &format!("{DELETE}?match[]=a"), &[], b"").status, 204);
    assert_eq!(server.export("a"), "");
    assert_eq!(server.export("b"), "b value=4 1\n");
    assert_eq!(server.send("POST", "/api/v1/admin/tsdb/clean_tombstones", &[], b"").status, 204);
    assert_eq!(server.export("b"), "b value=4 1\n");
}

#[test]
fn deleting_everything_must_be_said() {
    let server = server(&[("enable_admin", "true")]);
    server.write("a value=1 1\n");
    server.send("POST", DELETE, &[], b"").error(400, "bad_data");
    for selector in [
        "{__name__=~%22.%2B%22}",
        "{a=~%22.*%22,__name__=~%22.%2B%22}",
        "{__name__=~%22[a-zA-Z_:].*%22}",
        "{__name__=~%22[a-zA-Z_:][a-zA-Z0-9_:]*%22}",
        "{__name__=~%22[^%20]%2B%22}",
    ] {
        let message =
            server.send("POST", &format!("{DELETE}?match[]={selector}"), &[], b"").error(400, "bad_data");
        assert!(message.contains("all=true"), "{message}");
    }
    server
        .send("POST", &format!("{DELETE}?match[]=a&match[]={{__name__!=%22%22}}"), &[], b"")
        .error(400, "bad_data");
    assert_eq!(server.export("a"), "a value=1 1\n");
    let all = format!("{DELETE}?match[]={{__name__=~%22.%2B%22}}&all=true");
    assert_eq!(server.send("POST", &all, &[], b"").status, 204);
    assert_eq!(server.export("a"), "");
}

#[test]
fn cleaning_names_the_read_that_keeps_deleted_data() {
    const LIST: &str = "/api/v1/status/active_queries";
    let server = server(&[("enable_admin", "true")]);
    let admin = |path: &str| server.send("POST", &format!("/api/v1/admin/tsdb/{path}"), &[], b"");
    server.write("a value=1 1000000000\na value=2 2000000000\n");
    assert_eq!(admin("flush").status, 204);
    let running = server.begin_endless();
    let listed = || server.get(LIST).data()["queries"][0].clone();
    server.wait_for("its evaluation", || listed()["bytesHeld"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!(admin("delete_series?match[]=a&start=2").status, 204);
    let refused = admin("clean_tombstones");
    assert!(refused.headers.contains_key("retry-after"));
    let (id, message) = (listed()["id"].clone(), refused.error(503, "unavailable"));
    let client = running.local_addr().unwrap();
    for part in ["1 replaced generations", ENDLESS, &format!("id {id}, /api/v1/query of {client}")] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(server.send("POST", &format!("{LIST}/{id}/cancel"), &[], b"").status, 200);
    server.wait_for("its end", || server.state.gates.turns.running_in_all() == 0);
    assert_eq!(admin("clean_tombstones").status, 204);
    assert_eq!(server.export("a"), "a value=1 1000000000\n");
}

/// The call waits for reads for a few seconds. On a machine that does not end a read in this time it refuses, and is
/// tried again with another read.
#[test]
fn cleaning_waits_for_a_read_that_ends_meanwhile() {
    const LIST: &str = "/api/v1/status/active_queries";
    let server = server(&[("enable_admin", "true")]);
    let admin = |path: &str| server.send("POST", &format!("/api/v1/admin/tsdb/{path}"), &[], b"").status;
    let merges = || server.state.database().unwrap().stats().merges;
    let attempt = |second: u64| {
        server.write(&format!("a value=1 {second}000000000\n"));
        assert_eq!(admin("flush"), 204);
        let _running = server.begin_endless();
        let listed = || server.get(LIST).data()["queries"][0].clone();
        server.wait_for("its evaluation", || listed()["bytesHeld"].as_u64().is_some_and(|bytes| bytes > 0));
        let id = listed()["id"].clone();
        assert_eq!(admin(&format!("delete_series?match[]=a&start={second}")), 204);
        let before = merges();
        std::thread::scope(|scope| {
            let cleaning = scope.spawn(|| admin("clean_tombstones"));
            server.wait_for("the merge", || merges() > before);
            assert_eq!(server.send("POST", &format!("{LIST}/{id}/cancel"), &[], b"").status, 200);
            cleaning.join().unwrap()
        })
    };
    assert!((1..=10).any(|second| attempt(second) == 204), "it never waits");
}

#[test]
fn one_snapshot_at_a_time() {
    let server = server(&[("enable_admin", "true")]);
    let busy = server.state.snapshot.try_lock().unwrap();
    let reply = server.send("POST", "/api/v1/admin/tsdb/snapshot?name=../../etc/passwd", &[], b"");
    reply.error(503, "unavailable");
    assert!(reply.headers.contains_key("retry-after"));
    drop(busy);
}
