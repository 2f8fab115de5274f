//! Tokens, and who may listen where.

use std::io::Write;

use barograph_server::app::{self, Sockets};
use barograph_server::config::Sources;
use barograph_server::http::auth::generate;

use crate::harness::{Server, server};

fn guarded() -> (Server, String, String, tempfile::NamedTempFile) {
    let (all, all_line) = generate().unwrap();
    let (agent, agent_line) = generate().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{all_line} all\n{agent_line} write agent").unwrap();
    let server = server(&[("token_file", file.path().to_str().unwrap())]);
    (server, all, agent, file)
}

fn status(server: &Server, method: &str, target: &str, authorization: &str, body: &str) -> u16 {
    let headers = [("authorization", authorization)];
    let headers = if authorization.is_empty() { &[][..] } else { &headers[..] };
    server.send(method, target, headers, body.as_bytes()).status
}

#[test]
fn without_a_good_token_nothing_is_answered() {
    let (server, all, agent, _file) = guarded();
    let query = "/api/v1/query?query=1";
    let long = format!("Bearer {}", "x".repeat(15_000));
    for authorization in
        ["", "Bearer", "Bearer wrong", "Token wrong", "Basic eDp3cm9uZw==", "Digest x", &long]
    {
        assert_eq!(status(&server, "GET", query, authorization, ""), 401, "{authorization:.20}");
        assert_eq!(status(&server, "POST", "/write", authorization, "a value=1 1"), 401);
        assert_eq!(status(&server, "GET", "/metrics", authorization, ""), 401);
    }
    let reply = server.send("POST", "/api/v2/write", &[], b"a value=1 1");
    assert_eq!(reply.json()["code"], "unauthorized");
    assert_eq!(reply.headers["www-authenticate"], "Bearer");
    for scheme in ["Bearer", "Token", "bearer"] {
        assert_eq!(status(&server, "GET", query, &format!("{scheme} {all}"), ""), 200);
    }
    assert_eq!(status(&server, "POST", "/write", &format!("Token {agent}"), "a value=1 1"), 204);
    assert_eq!(status(&server, "GET", query, &format!("Token {agent}"), ""), 403);
    assert_eq!(status(&server, "POST", &format!("/write?u=x&p={all}"), "", "a value=1 1"), 204);
    // Only the address has a password, whatever a form says.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let created = server.send("POST", &format!("/query?p={agent}"), &form, b"p=wrong&q=CREATE+DATABASE+y");
    assert_eq!(created.status, 200, "{}", created.text());
    let writer = format!("Token user:{agent}");
    for question in ["CREATE+DATABASE+x", "SHOW+DATABASES"] {
        assert_eq!(status(&server, "GET", &format!("/query?q={question}"), &writer, ""), 200, "{question}");
        assert_eq!(status(&server, "GET", &format!("/query?q={question}"), "", ""), 401);
    }
    assert_eq!(status(&server, "GET", "/api/v2/buckets?name=x", &writer, ""), 200);
    assert_eq!(status(&server, "GET", "/api/v2/orgs", &writer, ""), 200);
    for open in ["/ready", "/settings", "/ping", "/health", "/-/healthy", "/-/ready"] {
        assert!(status(&server, "GET", open, "", "") < 300, "{open}");
    }
}

#[test]
fn a_reload_changes_tokens_but_never_drops_them() {
    let (server, all, agent, file) = guarded();
    let (fresh, line) = generate().unwrap();
    std::fs::write(file.path(), line).unwrap();
    let mut sources = Sources::default();
    for key in ["listen", "self_interval", "shutdown_timeout", "token_file"] {
        sources.flags.insert(key, server.state.config.load().texts[key].clone());
    }
    app::reload(&server.state, &sources);
    let ask = |token: &str| status(&server, "GET", "/api/v1/query?query=1", &format!("Bearer {token}"), "");
    assert_eq!((ask(&all), ask(&agent), ask(&fresh)), (401, 401, 200));
    sources.flags.insert("token_file", String::new());
    app::reload(&server.state, &sources);
    std::fs::write(file.path(), "nonsense").unwrap();
    app::reload(&server.state, &sources);
    assert_eq!((status(&server, "GET", "/metrics", "", ""), ask(&fresh)), (401, 200));
}

#[test]
fn strangers_are_not_let_in_by_accident() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bind = |settings: &[(&'static str, &str)]| {
        let mut sources = Sources::default();
        sources.flags.insert("listen", "127.0.0.1:0".into());
        for (key, text) in settings {
            sources.flags.insert(key, (*text).to_owned());
        }
        runtime.block_on(Sockets::bind(&sources.build().unwrap())).map(drop).map_err(|e| e.to_string())
    };
    let everywhere = ("listen", "0.0.0.0:0");
    let message = bind(&[everywhere]).unwrap_err();
    assert!(message.contains("not a loopback address") && message.contains("token_file"), "{message}");
    assert!(bind(&[everywhere, ("insecure", "true")]).is_ok());
    assert!(bind(&[everywhere, ("token_file", "/some/file")]).is_ok());
    assert!(bind(&[("tcp_listen", "0.0.0.0:0"), ("token_file", "/some/file")]).is_err());
    assert!(bind(&[("udp_listen", "0.0.0.0:0")]).is_err());
    assert!(bind(&[("udp_listen", "0.0.0.0:0"), ("insecure", "true")]).is_ok());
}

#[test]
fn an_empty_token_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut sources = Sources::default();
    sources.flags.insert("token_file", file.path().to_str().unwrap().into());
    assert!(app::state(sources.build().unwrap()).is_err());
}
