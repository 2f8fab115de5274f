//! The table of routes: one entry for each endpoint, with its description and its handler. A new endpoint needs a
//! handler and an entry here.
//!
//! Only methods and paths that name a route become labels of our own metrics. Input from a client never does, so
//! unusual methods and paths cannot create series.

use std::pin::Pin;

use hyper::Method;

use crate::admission::Kind;
use crate::api::call::Call;
use crate::api::endpoint::{Admission, BodyRule, Endpoint, Tenancy};
use crate::api::prometheus::{
    describe, features, federate, labels, notes, query, remote_read, remote_write, scraping,
};
use crate::api::status::active;
use crate::api::{admin, export, hdr, influx, ladders, status};
use crate::error::{ApiError, Dialect};
use crate::http::auth::Access;
use crate::http::reply::Reply;
use crate::telemetry::LatencyClass;

/// The function that answers a request.
pub type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send>>;

/// One route.
pub struct Route {
    /// The description of the endpoint.
    pub endpoint: Endpoint,
    /// The function that answers its requests.
    pub handler: Handler,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const BOTH: &[Method] = &[Method::GET, Method::POST];
const CHANGE: &[Method] = &[Method::POST, Method::PUT];

const MANAGE: &[Method] = &[Method::GET, Method::POST, Method::PUT];

const ALWAYS: Admission = Admission::Always;
const INSTANT: Admission = Admission::Instant;
const WRITE: Admission = Admission::Write;
const QUERY: Admission = Admission::Turn(Kind::Query);
const LIST: Admission = Admission::Turn(Kind::List);
const REMOTE: Admission = Admission::Turn(Kind::RemoteRead);
const FEDERATE: Admission = Admission::Turn(Kind::Federate);
const EXPORT: Admission = Admission::Turn(Kind::Export);
const ADMIN: Admission = Admission::Turn(Kind::Admin);

macro_rules! routes {
    ($($path:literal $methods:ident $access:ident $tenancy:ident $dialect:ident $admission:ident $body:ident
       $latency:ident $($handler:ident)::+;)*) => {
        &[$(Route {
            endpoint: Endpoint {
                path: $path,
                methods: $methods,
                access: Access::$access,
                tenancy: Tenancy::$tenancy,
                dialect: Dialect::$dialect,
                admission: $admission,
                body: BodyRule::$body,
                latency: LatencyClass::$latency,
            },
            handler: |call| Box::pin($($handler)::+(call)),
        },)*]
    };
}

/// Every route. The most frequent ones come first.
pub static ROUTES: &[Route] = routes! {
    "/write"                                      POST   Write       Own   Influx1    WRITE    Own  Write influx::write_v1;
    "/api/v2/write"                               POST   Write       Own   Influx2    WRITE    Own  Write influx::write_v2;
    "/api/v3/write_lp"                            POST   Write       Own   Influx1    WRITE    Own  Write influx::v3::write;
    "/api/v1/write"                               POST   Write       Own   Text       WRITE    Own  Write remote_write::write;
    "/api/v1/read"                                POST   Read        Own   Text       REMOTE   Own  Query remote_read::read;
    "/api/v1/query"                               BOTH   Read        Own   Prometheus QUERY    Form Query query::query;
    "/api/v1/query_range"                         BOTH   Read        Own   Prometheus QUERY    Form Query query::query_range;
    "/api/v1/series"                              BOTH   Read        Own   Prometheus LIST     Form None  labels::series;
    "/api/v1/labels"                              BOTH   Read        Own   Prometheus LIST     Form None  labels::names;
    "/api/v1/label/{name}/values"                 BOTH   Read        Own   Prometheus LIST     Form None  labels::values;
    "/api/v1/metadata"                            GET    Read        Own   Prometheus LIST     Form None  notes::metadata;
    "/api/v1/format_query"                        BOTH   Read        Same  Prometheus QUERY    Form None  query::format_query;
    "/api/v1/parse_query"                         BOTH   Read        Same  Prometheus QUERY    Form None  query::parse_query;
    "/api/v1/query_exemplars"                     BOTH   Read        Own   Prometheus LIST     Form None  notes::exemplars;
    "/api/v1/status/buildinfo"                    GET    Read        Same  Prometheus INSTANT  Form None  describe::build_info;
    "/api/v1/status/runtimeinfo"                  GET    Read        Same  Prometheus INSTANT  Form None  describe::runtime_info;
    "/api/v1/status/flags"                        GET    Read        Whole Prometheus INSTANT  Form None  describe::flags;
    "/api/v1/status/config"                       GET    Read        Whole Prometheus INSTANT  Form None  describe::config;
    "/api/v1/status/tsdb"                         GET    Read        Own   Prometheus LIST     Form None  describe::tsdb;
    "/api/v1/status/walreplay"                    GET    Read        Same  Prometheus INSTANT  Form None  describe::wal_replay;
    "/api/v1/status/memory"                       GET    Read        Whole Prometheus INSTANT  Form None  status::memory;
    "/api/v1/status/compaction"                   GET    Read        Whole Prometheus INSTANT  Form None  status::compaction;
    "/api/v1/status/active_queries"               GET    Read        Own   Prometheus INSTANT  Form None  active::list;
    "/api/v1/status/active_queries/{name}/cancel" POST   Queries     Own   Prometheus INSTANT  Form None  active::cancel;
    "/api/v1/features"                            GET    Read        Same  Prometheus INSTANT  Form None  features::features;
    "/api/v1/rules"                               GET    Read        Same  Prometheus INSTANT  Form None  scraping::rules;
    "/api/v1/alerts"                              GET    Read        Same  Prometheus INSTANT  Form None  scraping::alerts;
    "/api/v1/targets"                             GET    Read        Same  Prometheus INSTANT  Form None  scraping::targets;
    "/api/v1/targets/metadata"                    GET    Read        Same  Prometheus INSTANT  Form None  scraping::targets_metadata;
    "/api/v1/scrape_pools"                        GET    Read        Same  Prometheus INSTANT  Form None  scraping::scrape_pools;
    "/api/v1/alertmanagers"                       GET    Read        Same  Prometheus INSTANT  Form None  scraping::alertmanagers;
    "/api/v1/events"                              GET    Read        Own   Prometheus LIST     Form None  export::events;
    "/api/v1/export"                              BOTH   Read        Own   Prometheus EXPORT   Form None  export::export;
    "/api/v1/export/hdr"                          BOTH   Read        Own   Prometheus QUERY    Form Query hdr::export;
    "/api/v1/import/hdr"                          POST   Write       Own   Prometheus WRITE    Own  Write hdr::import;
    "/api/v1/admin/tsdb/delete_series"            CHANGE Admin       Own   Prometheus ADMIN    Form None  admin::delete_series;
    "/api/v1/admin/tsdb/clean_tombstones"         CHANGE Admin       Whole Prometheus ADMIN    Form None  admin::clean_tombstones;
    "/api/v1/admin/tsdb/snapshot"                 CHANGE Admin       Whole Prometheus ADMIN    Form None  admin::snapshot;
    "/api/v1/admin/tsdb/flush"                    CHANGE Admin       Whole Prometheus ADMIN    Form None  admin::flush;
    "/api/v1/admin/tsdb/drop_tier"                CHANGE Admin       Whole Prometheus ADMIN    Form None  admin::drop_tier;
    "/api/v1/admin/ladders"                       MANAGE Admin       Whole Prometheus ADMIN    Form None  ladders::ladders;
    "/query"                                      BOTH   ReadOrWrite Own   Influx1    LIST     Form None  influx::statements::query;
    "/ping"                                       GET    Public      Same  Influx1    INSTANT  Form None  influx::ping;
    "/health"                                     GET    Public      Same  Influx2    INSTANT  Form None  influx::health;
    "/ready"                                      GET    Public      Same  Influx2    INSTANT  Form None  influx::v2::ready;
    "/api/v2/buckets"                             BOTH   ReadOrWrite Own   Influx2    LIST     Own  None  influx::v2::buckets;
    "/api/v2/orgs"                                GET    ReadOrWrite Same  Influx2    INSTANT  Form None  influx::v2::orgs;
    "/settings"                                   GET    Public      Same  Influx1    INSTANT  Form None  influx::settings;
    "/"                                           GET    Public      Same  Prometheus INSTANT  Form None  status::root;
    "/-/healthy"                                  GET    Public      Same  Prometheus ALWAYS   Form None  status::healthy;
    "/-/ready"                                    GET    Public      Same  Prometheus INSTANT  Form None  status::ready;
    "/metrics"                                    GET    Read        Whole Prometheus INSTANT  Form None  status::metrics;
    "/federate"                                   GET    Read        Own   Text       FEDERATE Form None  federate::federate;
};

/// The paths of all routes, in their order.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().map(|route| route.endpoint.path)
}

/// The result of looking up a method and a path.
pub enum Lookup<'a> {
    /// A route, and the raw text of its `{name}` segment (empty if it has none).
    Found(&'static Route, &'a str),
    /// The path exists, and the method asks which methods it has.
    Options(&'static Route, String),
    /// The path exists, but not with this method.
    WrongMethod(&'static Route, String),
    /// The path does not exist.
    Unknown,
}

/// Finds the route.
pub fn find<'a>(method: &Method, path: &'a str) -> Lookup<'a> {
    for route in ROUTES {
        let Some(segment) = match_path(route.endpoint.path, path) else { continue };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        if route.endpoint.methods.contains(wanted) {
            return Lookup::Found(route, segment);
        }
        return match *method == Method::OPTIONS {
            true => Lookup::Options(route, allow(&route.endpoint)),
            false => Lookup::WrongMethod(route, allow(&route.endpoint)),
        };
    }
    Lookup::Unknown
}

fn match_path<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let (_, after) = rest.split_once('}')?;
    let segment = path.strip_prefix(before)?.strip_suffix(after)?;
    (!segment.is_empty() && !segment.contains('/')).then_some(segment)
}

fn allow(endpoint: &Endpoint) -> String {
    let mut names: Vec<&str> = endpoint.methods.iter().map(Method::as_str).collect();
    if endpoint.methods.contains(&Method::GET) {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: Method, path: &str) -> Option<(&'static str, String)> {
        match find(&method, path) {
            Lookup::Found(route, segment) => Some((route.endpoint.path, segment.to_owned())),
            _ => None,
        }
    }

    #[test]
    fn paths_match_whole() {
        assert_eq!(found(Method::POST, "/write"), Some(("/write", String::new())));
        assert_eq!(found(Method::HEAD, "/ping"), Some(("/ping", String::new())));
        assert_eq!(
            found(Method::GET, "/api/v1/label/job/values"),
            Some(("/api/v1/label/{name}/values", "job".into()))
        );
        for path in [
            "/write/",
            "//write",
            "/WRITE",
            "",
            "/api/v1/label//values",
            "/api/v1/label/a/b/values",
            "/..",
            "/api/v1/../write",
            "*",
        ] {
            assert_eq!(found(Method::POST, path), None, "{path}");
        }
    }

    #[test]
    fn other_methods_get_the_list_of_existing_ones() {
        let allow = |method, path| match find(&method, path) {
            Lookup::WrongMethod(_, allow) => allow,
            _ => panic!("found"),
        };
        assert_eq!(allow(Method::TRACE, "/api/v1/query"), "GET, POST, HEAD, OPTIONS");
        assert_eq!(allow(Method::GET, "/write"), "POST, OPTIONS");
        assert_eq!(allow(Method::CONNECT, "/metrics"), "GET, HEAD, OPTIONS");
        assert!(
            matches!(find(&Method::OPTIONS, "/write"), Lookup::Options(_, allow) if allow == "POST, OPTIONS")
        );
    }

    #[test]
    fn each_path_has_one_route() {
        for (i, path) in paths().enumerate() {
            assert!(paths().take(i).all(|other| other != path), "{path} twice");
        }
    }
}
