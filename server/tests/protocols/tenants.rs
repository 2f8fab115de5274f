//! Tokens of tenants: for every route, what each of them shows, writes and stops.

use std::io::Write;

use barograph::Database;
use barograph::internals::remote::wire::{put_bytes, put_integer, put_message};
use barograph_server::api::endpoint::Tenancy;
use barograph_server::api::routes::ROUTES;
use barograph_server::app;
use barograph_server::clock::now_ns;
use barograph_server::http::auth::generate;

use crate::harness::{ENDLESS, Reply, Server, escape, read_reply, request, server_without_database};
use crate::hdr;
use crate::remote::{put_labels, put_sample, series, snappy};
use crate::remote_read;

/// Two tenants, whose names are in everything they write.
const TENANTS: [&str; 2] = ["aaaa", "bbbb"];

/// A server with the tokens of both tenants, and one token without a tenant.
struct Shared {
    server: Server,
    tokens: Vec<(&'static str, String)>,
    file: tempfile::NamedTempFile,
}

/// A request without its token.
struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

impl Shared {
    fn new(settings: &[(&'static str, &str)]) -> Self {
        Shared::with_background(settings, true)
    }

    /// A server whose database flushes, and removes idle series, only on request: no test waits for that.
    fn without_background(settings: &[(&'static str, &str)]) -> Self {
        Shared::with_background(settings, false)
    }

    fn with_background(settings: &[(&'static str, &str)], background: bool) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tokens = Vec::new();
        for name in ["root"].into_iter().chain(TENANTS) {
            let (token, line) = generate().unwrap();
            let tenant = if name == "root" { String::new() } else { format!("tenant={name}") };
            writeln!(file, "{line} all {tenant} {name}").unwrap();
            tokens.push((name, format!("Bearer {token}")));
        }
        let path = file.path().to_str().unwrap().to_owned();
        let all = [&[("token_file", &*path), ("enable_admin", "true")], settings].concat();
        let server = server_without_database(&all);
        let options = app::options(&server.state.config.load()).with_background(background);
        server.state.set_database(Database::in_memory(options).unwrap());
        Shared { server, tokens, file }
    }

    fn token(&self, who: &str) -> &str {
        &self.tokens.iter().find(|(name, _)| *name == who).unwrap().1
    }

    fn ask(&self, who: &str, ask: &Ask) -> Reply {
        let headers: Vec<(&str, &str)> =
            ask.headers.iter().copied().chain([("authorization", self.token(who))]).collect();
        self.server.send(ask.method, &ask.target, &headers, &ask.body)
    }

    /// A query without a time is sent with a time after everything that was written.
    fn get(&self, who: &str, target: &str) -> Reply {
        let later = now_ns() / 1_000_000_000 + 2;
        self.ask(who, &get(&target.replace("/query?query=", &format!("/query?time={later}&query="))))
    }

    fn post(&self, who: &str, target: &str, body: &str) -> Reply {
        self.ask(who, &post(target, &[], body))
    }

    fn write(&self, who: &str, lines: &str) {
        let reply = self.post(who, "/write", lines);
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    /// The series that a client sees, by their values of `label`.
    fn values(&self, who: &str, label: &str) -> Vec<String> {
        let found = self.get(who, &format!("/api/v1/label/{label}/values")).data();
        found.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// Writes data of each tenant for every route to show.
    fn fill(&self) {
        // With a token without a tenant, `info()` takes the newest of two series, and refuses two with the same time.
        let times = now_ns() / 1_000_000..;
        for (name, now) in TENANTS.into_iter().zip(times) {
            self.write(
                name,
                &format!("cpu,host=host-{name},tag_{name}=1 v=1\nlog,host=host-{name} msg=\"text-{name}\"\nonly_{name} v=1"),
            );
            let mut message = series(
                &[
                    ("__name__", "target_info"),
                    ("data", &format!("info-{name}")),
                    ("instance", "i"),
                    ("job", "j"),
                ],
                &[(now, 1.0)],
            );
            put_message(&mut message, 1, |out| {
                put_labels(out, &[("__name__", "up"), ("instance", "i"), ("job", "j")]);
                put_sample(out, now, 1.0);
                put_message(out, 3, |out| {
                    put_labels(out, &[("trace_id", &format!("trace-{name}"))]);
                    put_integer(out, 3, now as u64);
                });
            });
            put_message(&mut message, 3, |out| {
                put_integer(out, 1, 1);
                put_bytes(out, 2, format!("only_{name}_v").as_bytes());
                put_bytes(out, 4, format!("help-{name}").as_bytes());
            });
            let reply = self.ask(name, &remote_write(&message));
            assert_eq!(reply.status, 204, "{}", reply.text());
            let created = self.post(name, &format!("/query?q=CREATE+DATABASE+{name}"), "");
            assert_eq!(created.status, 200, "{}", created.text());
        }
    }
}

fn get(target: &str) -> Ask {
    Ask { method: "GET", target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
}

fn post(target: &str, headers: &[(&'static str, &'static str)], body: impl AsRef<[u8]>) -> Ask {
    let (headers, body) = (headers.to_vec(), body.as_ref().to_vec());
    Ask { method: "POST", target: target.to_owned(), headers, body }
}

fn remote_write(message: &[u8]) -> Ask {
    let headers = [("content-encoding", "snappy"), ("content-type", "application/x-protobuf")];
    post("/api/v1/write", &headers, snappy(message))
}

/// A remote read of everything, as one answer and as a stream.
fn remote_reads() -> Vec<Ask> {
    let now = now_ns() / 1_000_000;
    let message =
        |forms: &[u8]| remote_read::query(now - 3_600_000, now + 3_600_000, &[(2, "__name__", ".+")], forms);
    let ask = |forms: &[u8]| post("/api/v1/read", &[("content-encoding", "snappy")], snappy(&message(forms)));
    vec![ask(&[]), ask(&[1])]
}

/// The effect of a tenant's token on a route.
enum Probe {
    /// Each answer shows the tenant's own data and nothing of another tenant.
    Own(Vec<Ask>),
    /// It changes the tenant's own data: see the tests below.
    Change,
    /// The answers contain nothing that was written.
    Same(Vec<Ask>),
    /// It is refused.
    Whole(Ask),
}

/// Expressions whose answers name the series they select.
fn expressions() -> Vec<String> {
    [
        r#"{__name__=~".+"}"#,
        "cpu_v",
        r#"cpu_v{db=~".+"}"#,
        r#"cpu_v{db!=""} or cpu_v"#,
        "max_over_time(cpu_v[5m:1s])",
        "last_over_time(cpu_v[5m]) + on(host) group_left(db) cpu_v",
        "group by (host, db) (cpu_v)",
        "topk(9, cpu_v)",
        "info(up)",
        r#"WITH (all = {host=~".+"}) cpu_v{all}"#,
        r#"label_replace(cpu_v, "copy", "$1", "host", "(.*)")"#,
        "cpu_v @ end()",
        "sort_by_label(cpu_v, \"host\")",
        "count_values by (host) (\"v\", cpu_v)",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The effect on each route. A new route must state here, or in [`plain_probe`], what it shows to a tenant.
fn probe(path: &str) -> Option<Probe> {
    let gets = |targets: &[&str]| targets.iter().map(|target| get(target)).collect::<Vec<_>>();
    let all = escape(r#"{__name__=~".+"}"#);
    let now = now_ns() / 1_000_000_000 + 1;
    // Longer than the slowest machine takes from the first write to the last answer.
    let window = format!("start={}&end={now}", now - 3_600);
    Some(match path {
        "/api/v1/read" => Probe::Own(remote_reads()),
        "/api/v1/query" => Probe::Own(
            expressions()
                .iter()
                .map(|text| get(&format!("/api/v1/query?time={now}&query={}", escape(text))))
                .collect(),
        ),
        "/api/v1/query_range" => {
            let target =
                |text: &String| format!("/api/v1/query_range?{window}&step=60&query={}", escape(text));
            Probe::Own(expressions().iter().map(|text| get(&target(text))).collect())
        }
        "/api/v1/series" => Probe::Own(gets(&[&format!("/api/v1/series?match[]={all}")])),
        "/api/v1/labels" => Probe::Own(gets(&["/api/v1/labels", &format!("/api/v1/labels?match[]={all}")])),
        "/api/v1/label/{name}/values" => Probe::Own(gets(&[
            "/api/v1/label/host/values",
            "/api/v1/label/db/values",
            "/api/v1/label/__name__/values",
            &format!("/api/v1/label/host/values?match[]={all}"),
        ])),
        "/api/v1/metadata" => Probe::Own(gets(&["/api/v1/metadata", "/api/v1/metadata?limit=9"])),
        "/api/v1/query_exemplars" => {
            Probe::Own(gets(&[&format!("/api/v1/query_exemplars?{window}&query={all}")]))
        }
        "/federate" => Probe::Own(gets(&[&format!("/federate?match[]={all}")])),
        "/api/v1/events" => Probe::Own(gets(&["/api/v1/events", &format!("/api/v1/events?match[]={all}")])),
        "/api/v1/export" => Probe::Own(gets(&[&format!("/api/v1/export?match[]={all}")])),
        "/api/v1/export/hdr" => Probe::Own(gets(&[&format!(
            "/api/v1/export/hdr?time={now}&query={}",
            escape("histogram_over_time(cpu_v[1h])")
        )])),
        "/api/v1/status/tsdb" => Probe::Own(gets(&[
            "/api/v1/status/tsdb?limit=1000",
            &format!("/api/v1/status/tsdb?limit=1000&{window}"),
        ])),
        "/api/v1/status/active_queries" => Probe::Own(gets(&["/api/v1/status/active_queries"])),
        "/query" => Probe::Own(gets(&["/query?q=SHOW+DATABASES"])),
        "/api/v2/buckets" => Probe::Own(gets(&["/api/v2/buckets"])),
        "/api/v1/format_query" => Probe::Same(gets(&["/api/v1/format_query?query=up"])),
        "/api/v1/parse_query" => Probe::Same(gets(&["/api/v1/parse_query?query=up"])),
        "/api/v1/targets" => Probe::Same(gets(&["/api/v1/targets"])),
        "/api/v1/targets/metadata" => Probe::Same(gets(&["/api/v1/targets/metadata"])),
        _ => return plain_probe(path),
    })
}

/// The effect on routes that need no parameters to show it.
fn plain_probe(path: &str) -> Option<Probe> {
    Some(match path {
        "/write"
        | "/api/v2/write"
        | "/api/v3/write_lp"
        | "/api/v1/write"
        | "/api/v1/import/hdr"
        | "/api/v1/admin/tsdb/delete_series"
        | "/api/v1/status/active_queries/{name}/cancel" => Probe::Change,
        "/api/v1/status/buildinfo"
        | "/api/v1/status/runtimeinfo"
        | "/api/v1/status/walreplay"
        | "/api/v1/features"
        | "/api/v1/rules"
        | "/api/v1/alerts"
        | "/api/v1/scrape_pools"
        | "/api/v1/alertmanagers"
        | "/api/v2/orgs"
        | "/ping"
        | "/health"
        | "/ready"
        | "/settings"
        | "/"
        | "/-/healthy"
        | "/-/ready" => Probe::Same(vec![get(path)]),
        "/api/v1/status/flags"
        | "/api/v1/status/config"
        | "/api/v1/status/memory"
        | "/api/v1/status/compaction"
        | "/metrics" => Probe::Whole(get(path)),
        "/api/v1/admin/ladders"
        | "/api/v1/admin/tsdb/clean_tombstones"
        | "/api/v1/admin/tsdb/snapshot"
        | "/api/v1/admin/tsdb/drop_tier"
        | "/api/v1/admin/tsdb/flush" => Probe::Whole(post(path, &[], "")),
        _ => return None,
    })
}

/// An answer as text, decompressed if necessary.
fn text(reply: &Reply) -> String {
    match reply.headers.get("content-encoding").map(String::as_str) {
        Some("snappy") => {
            let bytes = snap::raw::Decoder::new().decompress_vec(&reply.body).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => reply.text(),
    }
}

/// Every route, with every token.
fn compare_all(shared: &Shared) {
    for endpoint in ROUTES.iter().map(|route| &route.endpoint) {
        let Some(probe) = probe(endpoint.path) else { panic!("{} has no probe", endpoint.path) };
        let (tenancy, asks) = match probe {
            Probe::Own(asks) => (Tenancy::Own, asks),
            Probe::Change => (Tenancy::Own, Vec::new()),
            Probe::Same(asks) => (Tenancy::Same, asks),
            Probe::Whole(ask) => (Tenancy::Whole, vec![ask]),
        };
        assert_eq!(endpoint.tenancy, tenancy, "{}", endpoint.path);
        for ask in &asks {
            let target = &ask.target;
            for (who, _) in &shared.tokens {
                let reply = shared.ask(who, ask);
                let is_refused = tenancy == Tenancy::Whole && *who != "root";
                let shown = text(&reply);
                assert_eq!(reply.status == 403, is_refused, "{who} {target}: {} {shown}", reply.status);
                // A snapshot of a database in memory fails for every token.
                assert!(
                    is_refused || reply.status < 400 || tenancy == Tenancy::Whole,
                    "{who} {target}: {shown}"
                );
                for tenant in TENANTS {
                    let is_shown = tenancy == Tenancy::Own && (*who == "root" || *who == tenant);
                    let is_named = tenancy == Tenancy::Whole;
                    assert!(
                        is_named || shown.contains(tenant) == is_shown,
                        "{who} {target}, {tenant}: {shown}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_route_shows_a_tenant_its_own_and_nothing_of_another() {
    let shared = Shared::new(&[]);
    shared.fill();
    let running: Vec<_> = TENANTS
        .iter()
        .map(|name| {
            let query = format!("label_replace({ENDLESS}, \"x\", \"{name}\", \"\", \"\")");
            let form = format!("query={}", escape(&query));
            let headers = [
                ("content-type", "application/x-www-form-urlencoded"),
                ("authorization", shared.token(name)),
            ];
            let mut stream = shared.server.connect();
            stream.write_all(&request("POST", "/api/v1/query", &headers, form.as_bytes())).unwrap();
            stream
        })
        .collect();
    let active = || shared.get("root", "/api/v1/status/active_queries").text();
    shared.server.wait_for("both queries", || TENANTS.iter().all(|name| active().contains(name)));
    compare_all(&shared);
    shared.server.state.database().unwrap().flush().unwrap();
    compare_all(&shared);
    drop(running);
}

#[test]
fn naming_another_tenant_shows_no_more() {
    let shared = Shared::new(&[]);
    shared.fill();
    for target in [
        "/api/v1/series?match[]={db=\"bbbb\"}",
        "/api/v1/labels?match[]={db=\"bbbb\"}",
        "/api/v1/label/host/values?match[]={host=\"host-bbbb\"}",
        "/api/v1/query?query=cpu_v{db=\"bbbb\"}",
        "/api/v1/query?query=max_over_time(cpu_v{host=\"host-bbbb\"}[5m:1s])",
        "/api/v1/metadata?metric=only_bbbb_v",
        "/api/v1/query_exemplars?start=0&end=9999999999&query=up{db=\"bbbb\"}",
        "/api/v1/events?match[]={host=\"host-bbbb\"}",
        "/api/v1/export?match[]={host=\"host-bbbb\"}",
        "/federate?match[]={host=\"host-bbbb\"}",
    ] {
        let target = target.replace('"', "%22");
        let [own, root] = ["aaaa", "root"].map(|who| shared.get(who, &target));
        assert_eq!((own.status, root.status), (200, 200), "{target}: {}", own.text());
        assert!(root.text().contains("bbbb"), "{target}: {}", root.text());
        assert!(!own.text().contains("bbbb"), "{target}: {}", own.text());
    }
    let absent = |who: &str| {
        let target = "/api/v1/query?query=absent(cpu_v{host=%22host-bbbb%22})";
        shared.get(who, target).data()["result"].as_array().unwrap().len()
    };
    assert_eq!((absent("aaaa"), absent("bbbb"), absent("root")), (1, 0, 0), "another tenant does not see it");
    let explained =
        shared.get("aaaa", "/api/v1/query?query=count({__name__=~%22.%2B%22})&explain=true").data();
    assert_eq!(explained["result"][0]["value"][1], "4", "{explained}");
    let tsdb = |who: &str| shared.get(who, "/api/v1/status/tsdb").data()["headStats"]["numSeries"].clone();
    assert_eq!((tsdb("aaaa"), tsdb("root")), (4.into(), 8.into()));
}

#[test]
fn what_a_tenant_writes_is_its_own_by_every_way_in() {
    let shared = Shared::new(&[]);
    let (now, seconds) = (now_ns() / 1_000_000, now_ns() / 1_000_000_000);
    for name in TENANTS {
        for target in
            ["/write", &format!("/write?db={name}"), "/api/v2/write", &format!("/api/v3/write_lp?db={name}")]
        {
            let path = target.split('?').next().unwrap().replace('/', "_");
            let reply = shared.post(name, target, &format!("m,path={path} v=1"));
            assert_eq!(reply.status, 204, "{target}: {}", reply.text());
        }
        let message = series(&[("__name__", "m_v"), ("path", "remote")], &[(now, 1.0)]);
        for _ in 0..2 {
            assert_eq!(shared.ask(name, &remote_write(&message)).status, 204);
        }
        let log = hdr::log_of_one(seconds as u64);
        let reply = shared.post(name, "/api/v1/import/hdr?metric=m_v&extra_label=path%3Dhdr", &log);
        assert_eq!(reply.status, 204, "{}", reply.text());
        let others = shared.post(name, "/api/v1/import/hdr?metric=m_v&extra_label=db%3Dcccc", &log);
        assert!(others.error(400, "bad_data").contains("line 1: "), "{}", others.text());
    }
    let counts = |who: &str| {
        let target = format!("/api/v1/query?time={}&query=count+by+(db)+(m_v)", seconds + 60);
        let data = shared.get(who, &target).data();
        let result = data["result"].as_array().unwrap();
        result
            .iter()
            .map(|one| (one["metric"]["db"].to_string(), one["value"][1].to_string()))
            .collect::<Vec<_>>()
    };
    let both = [("\"aaaa\"".to_owned(), "\"5\"".to_owned()), ("\"bbbb\"".to_owned(), "\"5\"".to_owned())];
    assert_eq!(
        (&counts("root")[..], &counts("aaaa")[..], &counts("bbbb")[..]),
        (&both[..], &both[..1], &both[1..])
    );

    // Lines of another tenant are refused and the rest is stored, even if its own writers have made the series known.
    for who in ["root", "aaaa"] {
        let reply = shared.post(who, "/write", "m,db=bbbb,path=x v=1\nm,path=y v=1");
        match who {
            "root" => assert_eq!(reply.status, 204),
            _ => {
                assert_eq!(reply.status, 400, "{}", reply.text());
                assert!(reply.text().contains("1 of 2 lines refused, 1 stored"), "{}", reply.text());
                assert!(
                    reply
                        .text()
                        .contains(r#"its label db is \"bbbb\", but the writer is the tenant \"aaaa\""#),
                    "{}",
                    reply.text()
                );
            }
        }
        let own = series(&[("__name__", "m_v"), ("db", "bbbb"), ("path", "z")], &[(now, 1.0)]);
        let reply = shared.ask(who, &remote_write(&own));
        assert_eq!(reply.status, if who == "root" { 204 } else { 400 }, "{}", reply.text());
    }
    let export = "# DML\n# CONTEXT-DATABASE: bbbb\nm,path=w v=1\n";
    assert_eq!(shared.post("aaaa", "/write", export).status, 400, "nor does an export get there");
    assert_eq!(
        shared.values("bbbb", "path"),
        ["_api_v2_write", "_api_v3_write_lp", "_write", "hdr", "remote", "x", "z"]
    );
    assert!(!shared.values("aaaa", "path").contains(&"w".to_owned()));

    for target in ["/write?db=bbbb", "/api/v2/write?bucket=bbbb", "/api/v3/write_lp?db=bbbb"] {
        let reply = shared.post("aaaa", target, "m,path=v v=1");
        assert_eq!(reply.status, 403, "{target}: {}", reply.text());
        assert!(reply.text().contains("may not use the database"), "{}", reply.text());
    }
}

/// A remote-write request that describes the metric `shared` and has a sample of it.
fn describing(help: &str) -> Ask {
    let mut message = series(&[("__name__", "shared")], &[(now_ns() / 1_000_000, 1.0)]);
    put_message(&mut message, 3, |out| {
        put_integer(out, 1, 1);
        put_bytes(out, 2, b"shared");
        put_bytes(out, 4, help.as_bytes());
    });
    remote_write(&message)
}

#[test]
fn descriptions_belong_to_the_tenant_that_wrote_them() {
    let shared = Shared::new(&[]);
    for (who, help) in [("root", "of nobody"), ("bbbb", "of bbbb")] {
        assert_eq!(shared.ask(who, &describing(help)).status, 204, "{who}");
    }
    // More than a family keeps.
    for i in 0..20 {
        assert_eq!(shared.ask("aaaa", &describing(&format!("of aaaa {i}"))).status, 204);
    }
    let helps = |who: &str, target: &str| -> Vec<String> {
        let found = shared.get(who, target).data();
        let entries = found["shared"].as_array().unwrap();
        entries.iter().map(|entry| entry["help"].as_str().unwrap().to_owned()).collect()
    };
    for target in ["/api/v1/metadata", "/api/v1/metadata?metric=shared"] {
        assert_eq!(helps("bbbb", target), ["of bbbb", "of nobody"], "{target}");
        let own = helps("aaaa", target);
        assert_eq!((own.len(), &*own[0]), (9, "of aaaa 19"), "{target}: {own:?}");
        assert!(!own.contains(&"of bbbb".to_owned()), "{target}: {own:?}");
        assert_eq!(helps("root", target).len(), 10, "{target}");
    }
}

#[test]
fn databases_are_tenants_where_the_label_is_theirs() {
    let shared = Shared::new(&[]);
    for (statement, status) in [
        ("CREATE+DATABASE+aaaa", 200),
        ("CREATE+DATABASE+bbbb", 403),
        ("DROP+DATABASE+bbbb", 403),
        ("SHOW+DATABASES;+CREATE+DATABASE+bbbb", 403),
    ] {
        assert_eq!(shared.post("aaaa", &format!("/query?q={statement}"), "").status, status, "{statement}");
    }
    assert_eq!(shared.get("aaaa", "/api/v2/buckets?name=aaaa").status, 200);
    assert_eq!(shared.get("aaaa", "/api/v2/buckets?name=bbbb").status, 403);
    let create = |who: &str, name: &str| {
        shared.post(who, "/api/v2/buckets", &format!("{{\"name\":\"{name}\"}}")).status
    };
    assert_eq!((create("bbbb", "aaaa"), create("bbbb", "bbbb")), (403, 201));
    let listed = |who: &str| {
        shared.get(who, "/query?q=SHOW+DATABASES").json()["results"][0]["series"][0]["values"].to_string()
    };
    assert_eq!((&*listed("aaaa"), &*listed("root")), (r#"[["aaaa"]]"#, r#"[["aaaa"],["bbbb"]]"#));
    assert_eq!(shared.post("aaaa", "/query?q=DROP+DATABASE+aaaa", "").status, 200);
    assert_eq!(listed("root"), r#"[["bbbb"]]"#);
}

#[test]
fn another_label_may_name_tenants() {
    let shared = Shared::new(&[("tenant_label", "team")]);
    for name in TENANTS {
        shared.write(name, "m v=1");
        assert_eq!(
            shared.post(name, "/write?db=telegraf", "n v=1").status,
            204,
            "a database is a label like any other"
        );
    }
    assert_eq!(
        (shared.values("aaaa", "team"), shared.values("root", "team").len()),
        (vec!["aaaa".to_owned()], 2)
    );
    assert_eq!(shared.post("aaaa", "/write", "m,team=bbbb v=1").status, 400);
    let created = shared.post("aaaa", "/query?q=CREATE+DATABASE+aaaa", "");
    assert_eq!(created.status, 403, "databases are shared: {}", created.text());
    assert_eq!(shared.post("root", "/query?q=CREATE+DATABASE+other", "").status, 200);
    let listed = shared.get("aaaa", "/query?q=SHOW+DATABASES").text();
    assert!(listed.contains("telegraf") && !listed.contains("other"), "{listed}");
}

#[test]
fn a_tenant_deletes_its_own() {
    let shared = Shared::new(&[]);
    shared.fill();
    let count = |who: &str| {
        shared.get(who, "/api/v1/query?query=count(last_over_time(cpu_v[1h]))").data()["result"].clone()
    };
    let all = escape(r#"{host=~"host-.*"}"#);
    assert_eq!(
        shared.post("aaaa", &format!("/api/v1/admin/tsdb/delete_series?match[]={all}"), "").status,
        204
    );
    assert_eq!(count("aaaa"), serde_json::json!([]));
    assert_eq!(count("bbbb")[0]["value"][1], "1");
    assert!(shared.get("bbbb", "/api/v1/events").text().contains("text-bbbb"));
    let everything = escape(r#"{__name__=~".+"}"#);
    let target = format!("/api/v1/admin/tsdb/delete_series?all=true&match[]={everything}");
    assert_eq!(shared.post("aaaa", &target, "").status, 204);
    assert_eq!(count("bbbb")[0]["value"][1], "1");
}

#[test]
fn a_tenant_cancels_its_own_queries() {
    let shared = Shared::new(&[]);
    let form = format!("query={}", escape(ENDLESS));
    let headers =
        [("content-type", "application/x-www-form-urlencoded"), ("authorization", shared.token("bbbb"))];
    let mut stream = shared.server.connect();
    stream.write_all(&request("POST", "/api/v1/query", &headers, form.as_bytes())).unwrap();
    let list = |who: &str| {
        shared.get(who, "/api/v1/status/active_queries").data()["queries"].as_array().unwrap().clone()
    };
    shared.server.wait_for("the query", || !list("bbbb").is_empty());
    let query = &list("root")[0];
    assert_eq!(query["tenant"], "bbbb");
    let target = format!("/api/v1/status/active_queries/{}/cancel", query["id"]);
    shared.post("aaaa", &target, "").error(404, "not_found");
    assert_eq!(list("bbbb")[0]["canceled"], false);
    assert_eq!(shared.post("bbbb", &target, "").status, 200);
    read_reply(&mut stream, false).error(499, "canceled");
}

#[test]
fn a_tenant_that_floods_leaves_the_other_room() {
    let shared = Shared::without_background(&[("memory", "64MiB")]);
    let lines =
        |round: usize| (0..2_000).map(|i| format!("m,i={} v=1\n", 2_000 * round + i)).collect::<String>();
    let refused = (0..)
        .map(|round| shared.post("aaaa", "/write", &lines(round)))
        .find(|reply| reply.status != 204)
        .unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.headers.contains_key("retry-after"));
    shared.write("bbbb", &(0..100).map(|i| format!("good,i={i} v=1\n")).collect::<String>());
    shared.write("bbbb", "good,i=0 v=2\n");
    let refused = shared.post("aaaa", "/write", "one_more v=1");
    assert!(
        refused.status == 503 && refused.text().contains("fair share"),
        "{} {}",
        refused.status,
        refused.text()
    );
    let metrics = shared.get("root", "/metrics").text();
    assert!(metrics.contains("barograph_tenant_series{tenant=\"bbbb\"} 100"), "{metrics}");
    assert!(metrics.contains("barograph_tenants 2"), "{metrics}");
    let refusals = metrics
        .lines()
        .find(|line| line.starts_with("barograph_tenant_refused_series_total{tenant=\"aaaa\"}"));
    assert!(refusals.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

#[test]
fn limits_of_tenants_say_whether_they_pass() {
    let mut shared = Shared::new(&[("max_series_per_tenant", "2")]);
    let reply = shared.post("aaaa", "/write", "m,i=1 v=1\nm,i=2 v=1\nm,i=3 v=1");
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("1 of 3 lines refused, 2 stored"), "{}", reply.text());
    assert!(reply.text().contains("(max_series_per_tenant)"), "{}", reply.text());
    shared.write("bbbb", "m,i=1 v=1\nm,i=2 v=1");
    shared.server.reload(&[("max_series_per_tenant", "0"), ("max_new_series_per_tenant", "1")]);
    let body = "m,i=4 v=1\nm,i=5 v=1\nm,i=6 v=1";
    let reply = shared.post("aaaa", "/api/v2/write", body);
    assert_eq!((reply.status, reply.headers.contains_key("retry-after")), (429, true), "{}", reply.text());
    assert!(reply.text().contains("(max_new_series_per_tenant)"), "{}", reply.text());
    assert_eq!(shared.post("bbbb", "/write", body).status, 503, "on /write");
}

#[test]
fn a_token_file_and_the_label_fit_together() {
    let shared = Shared::new(&[]);
    let path = shared.file.path().to_str().unwrap().to_owned();
    let mut sources = barograph_server::config::Sources::default();
    sources.flags.insert("token_file", path);
    sources.flags.insert("tenant_label", String::new());
    let refused = app::state(sources.build().unwrap()).err().unwrap().to_string();
    assert!(refused.contains("tenant_label is empty") && refused.contains("tenant=aaaa"), "{refused}");
}
