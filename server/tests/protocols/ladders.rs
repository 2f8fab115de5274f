//! What is kept of which series, changed and tried over HTTP.

use std::fmt::Write as _;
use std::path::Path;

use barograph::budget::Work;
use barograph::{Database, LineOptions};
use barograph_server::app;
use barograph_server::commands::{self, directory};
use serde_json::json;

use crate::harness::{Server, server, server_without_database};

const DAY: i64 = 86_400;
const START: i64 = 1_704_672_000;

const LADDERS: &str = "/api/v1/admin/ladders";

/// A server over a directory.
fn over(dir: &Path) -> Server {
    let server = server_without_database(&[("enable_admin", "true")]);
    let options = app::options(&server.state.config.load());
    server.state.set_database(Database::open_with(dir, options).unwrap());
    server
}

/// Changes what is kept, or tries to.
fn keep(server: &Server, form: &str) -> (u16, serde_json::Value) {
    let reply = server.form(LADDERS, form);
    let body: serde_json::Value = serde_json::from_str(&reply.text()).expect("JSON");
    (reply.status, if reply.status == 200 { body["data"].clone() } else { body["error"].clone() })
}

#[test]
fn what_is_kept_is_changed_over_http_and_stored() {
    let dir = tempfile::tempdir().unwrap();
    let server = over(dir.path());
    let kept = |server: &Server| server.get(LADDERS).data();
    let default = json!({
        "source": "default", "settings": [], "overruled": null,
        "retention": "0", "tiers": "auto", "ladders": [], "eventRetention": null,
    });
    assert_eq!(kept(&server), default);
    let change = "ladders=%7Bjob=%22a%22%7D -> raw 3d, 1h 30d%0Aup -> raw 9d, duplicates max&retention=15d";
    let (status, changed) = keep(&server, change);
    let expected = json!({
        "source": "database", "settings": [], "overruled": null,
        "retention": "15d", "tiers": "auto", "eventRetention": null,
        "ladders": ["{job=\"a\"} -> raw 3d, 1h 30d", "{__name__=\"up\"} -> raw 9d, duplicates max"],
    });
    assert_eq!((status, &changed), (200, &expected));
    assert_eq!(kept(&server), expected);
    // What has no parameter stays.
    let (_, changed) = keep(&server, "event_retention=30d&tiers=none");
    assert_eq!((&changed["eventRetention"], &changed["tiers"]), (&json!("30d"), &json!("none")));
    assert_eq!(changed["ladders"], expected["ladders"]);
    let state = server.get("/api/v1/status/compaction").data();
    assert_eq!((&state["keptBy"], state["ladders"].as_array().map(Vec::len)), (&json!("database"), Some(3)));
    assert_eq!(state["events"]["retentionSeconds"], 30 * DAY);
    assert_eq!(server.get("/api/v1/status/runtimeinfo").data()["storageRetention"], "15d");

    server.state.database().expect("it is open").close().unwrap();
    drop(server);
    let mut server = over(dir.path());
    assert_eq!(kept(&server), changed);
    // Settings win while they are set. They are tried all the same.
    server.reload(&[("retention", "20d")]);
    let overruled = kept(&server);
    assert_eq!((&overruled["source"], &overruled["settings"]), (&json!("settings"), &json!(["--retention"])));
    assert_eq!((&overruled["retention"], &overruled["ladders"]), (&json!("20d"), &json!([])));
    assert_eq!(overruled["overruled"]["ladders"], expected["ladders"]);
    let (status, refused) = keep(&server, "ladders=");
    assert_eq!(status, 409);
    assert!(refused.as_str().is_some_and(|text| text.contains("(--retention)")), "{refused}");
    assert_eq!(keep(&server, "retention=9d&dry_run=true").0, 200);
    assert_eq!(kept(&server), overruled);
    server.unset("retention");
    assert_eq!(kept(&server), changed);
    // An empty text is the default of a setting.
    let (_, changed) = keep(&server, "ladders=&event_retention=&retention=0&tiers=auto");
    let mut expected = default;
    expected["source"] = "database".into();
    assert_eq!(changed, expected);
}

/// The two samples are not merged yet; then a command that writes merges them.
#[test]
fn commands_follow_the_rules_that_are_stored_in_a_directory_and_drop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = over(dir.path());
    assert_eq!(keep(&server, "ladders=up -> raw 1d, duplicates max").0, 200);
    let database = server.state.database().expect("it is open");
    for value in [9, 7] {
        let line = format!("up value={value} {START}000000000");
        database.write_lines(line.as_bytes(), &LineOptions::default()).unwrap();
        database.flush().unwrap();
    }
    database.close().unwrap();
    drop(server);
    let values = || {
        let read = directory::open_read_only(dir.path(), false).unwrap();
        let mut values = Vec::new();
        let visit = |_: &_, samples: barograph::Samples<'_>| {
            values.extend_from_slice(samples.values());
            true
        };
        read.reader(&Work::unbounded()).read(&[vec![]], .., 10, visit).unwrap();
        values
    };
    assert_eq!(values(), [9.0]);
    let writes = commands::open(dir.path()).unwrap();
    let line = format!("up value=1 {}000000000", START + 9 * DAY);
    writes.write_lines(line.as_bytes(), &LineOptions::default()).unwrap();
    writes.flush().unwrap();
    writes.compact().unwrap();
    writes.close().unwrap();
    assert_eq!(values(), [9.0, 1.0]);
}

#[test]
fn what_is_wrong_with_ladders_is_named() {
    let server = server(&[("enable_admin", "true")]);
    for (form, why) in [
        (
            "",
            "nothing to change: send at least one of the parameters retention, tiers, ladders, event_retention",
        ),
        ("ladder=up -> raw 3d", "nothing to change"),
        (
            "ladders=up -> raw 9x",
            "invalid parameter \"ladders\": option ladders: \"up -> raw 9x\": \"9x\" is not a time to keep a tier, such as 90d",
        ),
        ("ladders=up%7Bx -> raw 3d", "parse error"),
        (
            "ladders=a -> raw 3d&ladders=b -> raw 3d",
            "invalid parameter \"ladders\": it is given more than once",
        ),
        ("tiers=7m", "invalid parameter \"tiers\": \"7m\" is not a resolution"),
        ("retention=1h", "option retention: 3600s is shorter than one partition"),
        ("retention=30d&tiers=5m 3d", "option tiers: 5m is kept for 259200s, shorter than raw samples"),
        ("event_retention=x", "invalid parameter \"event_retention\": expected a duration"),
        ("retention=3d&dry_run=maybe", "invalid parameter \"dry_run\""),
    ] {
        let (status, refused) = keep(&server, form);
        assert_eq!(status, 400, "{form}: {refused}");
        assert!(refused.as_str().is_some_and(|text| text.contains(why)), "{form}: {refused}");
    }
    assert_eq!(server.get(LADDERS).data()["source"], "default");
}

#[test]
fn a_change_of_what_is_kept_is_tried_first() {
    let server = server(&[("enable_admin", "true")]);
    let mut lines = String::new();
    for at in (START..START + 9 * DAY).step_by(60) {
        for job in ["a", "b"] {
            writeln!(lines, "cpu,job={job} value={},text=\"x\" {at}000000000", at / 60 % 101).unwrap();
        }
    }
    server.write(&lines);
    for call in ["flush", "clean_tombstones"] {
        let answer = server.send("POST", &format!("/api/v1/admin/tsdb/{call}"), &[], b"");
        assert_eq!(answer.status, 204, "{call}");
    }
    let before = server.get(LADDERS).data();
    let (status, trial) =
        keep(&server, "retention=6d&tiers=5m 7d, 1h&ladders=cpu%7Bjob=%22a%22%7D -> raw 2d&dry_run=true");
    assert_eq!((status, server.get(LADDERS).data()), (200, before));
    let names = |list: &str| {
        let all = trial[list].as_array().expect("a list").iter();
        all.map(|it| it["tier"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names("builds"), names("drops")),
        (vec!["5m".to_owned(), "1h".to_owned()], vec!["raw".to_owned()])
    );
    let raw = &trial["drops"][0];
    assert_eq!((&raw["partitions"], &raw["rewritten"]), (&json!(2), &json!(4)));
    assert_eq!(raw["samples"], 2 * 2 * 1440 + 4 * 1440);
    assert_eq!(raw["from"], START as f64);
    assert!(
        trial["builds"][1]["buckets"].as_u64() > Some(0) && trial["freedBytes"].as_u64() > Some(0),
        "{trial}"
    );
}
