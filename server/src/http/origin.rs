//! Restricts what web pages in a browser can do to a server without tokens.
//!
//! Without tokens, every client that can reach the port is trusted, and a browser on the same machine can reach it for
//! every page that it displays. Two checks protect the server. A page whose own host name resolves to this machine (DNS
//! rebinding) sends that name in `Host`; a loopback listener answers only to names that cannot belong to such a page. A
//! page of another origin that submits a form or loads a URL is recognized by `Origin` or `Sec-Fetch-Site`; its
//! requests cannot change anything unless `cors_origin` allows it, and the browser does not let it read the answers.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use crate::config::Config;
use crate::error::ApiError;

/// Attached to a request that arrived through a loopback listener.
#[derive(Debug, Clone, Copy)]
pub struct OnLoopback;

/// Checks the host that a request names: `localhost`, an IP address, or a name in `host_allow`.
///
/// # Errors
/// 421.
pub fn check_host(uri: &hyper::Uri, headers: &HeaderMap, config: &Config) -> Result<(), ApiError> {
    let fields = headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or("?"));
    let named = uri.authority().map(|authority| authority.as_str());
    for host in fields.chain(named) {
        let name = without_port(host);
        if !is_local(name) && !config.host_allow.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
            let shown: String = name.chars().take(100).collect();
            let message = format!(
                "the host {shown:?} is not allowed: on a loopback address without tokens, Host must be localhost, an \
                 IP address or a name in host_allow; add it there, or set token_file"
            );
            return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "bad_data", message));
        }
    }
    Ok(())
}

/// Checks that a request that changes something does not come from a page of another origin.
///
/// # Errors
/// 403.
pub fn check_change(headers: &HeaderMap, config: &Config) -> Result<(), ApiError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or("");
    let foreign = match (text(header::ORIGIN), text(header::HeaderName::from_static("sec-fetch-site"))) {
        (Some(origin), _) => {
            let own = origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host));
            let allowed = config.cors_origin.as_ref().is_some_and(|wanted| wanted.matches(origin));
            (!own && !allowed).then_some(origin)
        }
        (None, Some(site @ ("cross-site" | "same-site"))) => Some(site),
        (None, _) => None,
    };
    let Some(foreign) = foreign else { return Ok(()) };
    let shown: String = foreign.chars().take(100).collect();
    let message = format!(
        "a page of another origin ({shown:?}) may not write or change anything on a server without tokens; allow its \
         origin with cors_origin, or set token_file"
    );
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether no web page can have this name. Browsers never send an empty name.
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.is_empty() || name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
        });
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    #[test]
    fn hosts_that_cannot_be_another_pages() {
        let config = Config { host_allow: vec!["metrics.lan".to_owned()], ..Config::default() };
        let check = |uri: &str, hosts: &[&str]| {
            let pairs: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            check_host(&uri.parse().unwrap(), &headers(&pairs), &config).map_err(|e| e.status.as_u16())
        };
        for host in [
            "localhost",
            "LOCALHOST:10130",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:10130",
            "[::1]",
            "192.168.1.2",
            "",
            "metrics.lan",
            "Metrics.LAN:10130",
        ] {
            assert_eq!(check("/", &[host]), Ok(()), "{host}");
        }
        assert_eq!(check("/", &[]), Ok(()), "no browser");
        for host in [
            "evil.example",
            "evil.example:10130",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "x.metrics.lan",
            "1",
        ] {
            assert_eq!(check("/", &[host]), Err(421), "{host}");
        }
        assert_eq!(check("/", &["localhost", "evil.example"]), Err(421));
        assert_eq!(check("http://evil.example/", &["localhost"]), Err(421));
        assert_eq!(check("http://localhost:1/", &["localhost"]), Ok(()));
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let mut config = Config::default();
        let check = |config: &Config, pairs: &[(&'static str, &str)]| {
            let pairs = [&[("host", "localhost:10130")], pairs].concat();
            check_change(&headers(&pairs), config).map_err(|e| e.status.as_u16())
        };
        assert_eq!(check(&config, &[]), Ok(()), "no browser");
        assert_eq!(check(&config, &[("origin", "http://localhost:10130")]), Ok(()));
        for site in ["same-origin", "none"] {
            assert_eq!(check(&config, &[("sec-fetch-site", site)]), Ok(()));
        }
        for pairs in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:3000")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(check(&config, pairs), Err(403), "{pairs:?}");
        }
        config.cors_origin = crate::config::values::pattern("https://.*\\.example").unwrap();
        assert_eq!(check(&config, &[("origin", "https://evil.example")]), Ok(()));
    }
}
