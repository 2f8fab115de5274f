//! The table of routes: path, methods, required right, error format, admission, access with a tenant's token.
//!
//! A path and a method either name an [`Endpoint`] or they do not: input from a client never becomes a label of our own
//! metrics, so unusual methods and paths cannot add series to them.

use hyper::Method;

use crate::admission::Kind;
use crate::error::Dialect;

/// What a request asks for. The name is the metric label `endpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below says which path each one is")]
pub enum Endpoint {
    Write1,
    Write2,
    Write3,
    Query1,
    Ping,
    Health,
    Buckets,
    Orgs,
    ReadyV2,
    Settings,
    Root,
    Healthy,
    Ready,
    Metrics,
    Query,
    QueryRange,
    Series,
    Labels,
    LabelValues,
    Metadata,
    FormatQuery,
    ParseQuery,
    QueryExemplars,
    RemoteWrite,
    RemoteRead,
    Federate,
    BuildInfo,
    RuntimeInfo,
    Flags,
    ConfigText,
    Tsdb,
    WalReplay,
    Memory,
    Rules,
    Alerts,
    Targets,
    TargetsMetadata,
    ScrapePools,
    Alertmanagers,
    Events,
    Export,
    ActiveQueries,
    CancelQuery,
    Features,
    DeleteSeries,
    CleanTombstones,
    Snapshot,
    Flush,
    /// A path or method of no route; only in metrics.
    Unknown,
}

impl Endpoint {
    /// How many there are.
    pub const COUNT: usize = Endpoint::Unknown as usize + 1;

    /// The value of the metric label `endpoint`.
    pub fn name(self) -> &'static str {
        ROUTES.iter().find(|route| route.endpoint == self).map_or("unknown", |route| route.path)
    }
}

/// What a token must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No right is needed.
    Public,
    /// Reading, or writing: what writers ask before they write. Handlers ask for more where they need it.
    ReadOrWrite,
    /// Reading samples and settings.
    Read,
    /// Writing samples.
    Write,
    /// Cancelling the queries of others.
    Queries,
    /// Deleting, snapshots. Also off unless `enable_admin`.
    Admin,
}

/// One route.
pub struct Route {
    /// The path; one segment may be `{name}`.
    pub path: &'static str,
    /// Its methods; `GET` includes `HEAD`.
    pub methods: &'static [Method],
    /// What it asks for.
    pub endpoint: Endpoint,
    /// What a token must allow.
    pub access: Access,
    /// The format of errors.
    pub dialect: Dialect,
    /// Its admission.
    pub admission: Admission,
    /// The access of a tenant's token.
    pub tenancy: Tenancy,
}

/// The access of a token that is restricted to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// The tenant's own data: reads, deletes and writes go through
    /// [`Call::database`](crate::api::call::Call::database), which is restricted to it.
    Own,
    /// The same for all clients: the answer contains nothing that was written.
    Same,
    /// 403: the answer concerns all tenants.
    Whole,
}

/// The admission of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// At once: it looks at no data of a size that others choose.
    Instant,
    /// It writes: memory for its body and the engine's limits bound it (`body.rs`, `ingest/`).
    Write,
    /// When it is its kind's turn (`admission/`).
    Turn(Kind),
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const BOTH: &[Method] = &[Method::GET, Method::POST];
const CHANGE: &[Method] = &[Method::POST, Method::PUT];

const INSTANT: Admission = Admission::Instant;
const WRITE: Admission = Admission::Write;
const QUERY: Admission = Admission::Turn(Kind::Query);
const LIST: Admission = Admission::Turn(Kind::List);
const REMOTE: Admission = Admission::Turn(Kind::RemoteRead);
const FEDERATE: Admission = Admission::Turn(Kind::Federate);
const EXPORT: Admission = Admission::Turn(Kind::Export);
const ADMIN: Admission = Admission::Turn(Kind::Admin);

macro_rules! routes {
    ($($path:literal $methods:ident $endpoint:ident $access:ident $dialect:ident $admission:ident $tenancy:ident;)*) => {
        &[$(Route {
            path: $path,
            methods: $methods,
            endpoint: Endpoint::$endpoint,
            access: Access::$access,
            dialect: Dialect::$dialect,
            admission: $admission,
            tenancy: Tenancy::$tenancy,
        },)*]
    };
}

/// Every route. The most frequent ones come first.
pub static ROUTES: &[Route] = routes! {
    "/write"                                POST   Write1          Write  Influx1    WRITE    Own;
    "/api/v2/write"                         POST   Write2          Write  Influx2    WRITE    Own;
    "/api/v3/write_lp"                      POST   Write3          Write  Influx1    WRITE    Own;
    "/api/v1/write"                         POST   RemoteWrite     Write  Text       WRITE    Own;
    "/api/v1/read"                          POST   RemoteRead      Read   Text       REMOTE   Own;
    "/api/v1/query"                         BOTH   Query           Read   Prometheus QUERY    Own;
    "/api/v1/query_range"                   BOTH   QueryRange      Read   Prometheus QUERY    Own;
    "/api/v1/series"                        BOTH   Series          Read   Prometheus LIST     Own;
    "/api/v1/labels"                        BOTH   Labels          Read   Prometheus LIST     Own;
    "/api/v1/label/{name}/values"           BOTH   LabelValues     Read   Prometheus LIST     Own;
    "/api/v1/metadata"                      GET    Metadata        Read   Prometheus LIST     Own;
    "/api/v1/format_query"                  BOTH   FormatQuery     Read   Prometheus QUERY    Same;
    "/api/v1/parse_query"                   BOTH   ParseQuery      Read   Prometheus QUERY    Same;
    "/api/v1/query_exemplars"               BOTH   QueryExemplars  Read   Prometheus LIST     Own;
    "/api/v1/status/buildinfo"              GET    BuildInfo       Read   Prometheus INSTANT  Same;
    "/api/v1/status/runtimeinfo"            GET    RuntimeInfo     Read   Prometheus INSTANT  Same;
    "/api/v1/status/flags"                  GET    Flags           Read   Prometheus INSTANT  Whole;
    "/api/v1/status/config"                 GET    ConfigText      Read   Prometheus INSTANT  Whole;
    "/api/v1/status/tsdb"                   GET    Tsdb            Read   Prometheus LIST     Own;
    "/api/v1/status/walreplay"              GET    WalReplay       Read   Prometheus INSTANT  Same;
    "/api/v1/status/memory"                 GET    Memory          Read   Prometheus INSTANT  Whole;
    "/api/v1/status/active_queries"         GET    ActiveQueries   Read   Prometheus INSTANT  Own;
    "/api/v1/status/active_queries/{name}/cancel" POST CancelQuery Queries Prometheus INSTANT  Own;
    "/api/v1/features"                      GET    Features        Read   Prometheus INSTANT  Same;
    "/api/v1/rules"                         GET    Rules           Read   Prometheus INSTANT  Same;
    "/api/v1/alerts"                        GET    Alerts          Read   Prometheus INSTANT  Same;
    "/api/v1/targets"                       GET    Targets         Read   Prometheus INSTANT  Same;
    "/api/v1/targets/metadata"              GET    TargetsMetadata Read   Prometheus INSTANT  Same;
    "/api/v1/scrape_pools"                  GET    ScrapePools     Read   Prometheus INSTANT  Same;
    "/api/v1/alertmanagers"                 GET    Alertmanagers   Read   Prometheus INSTANT  Same;
    "/api/v1/events"                        GET    Events          Read   Prometheus LIST     Own;
    "/api/v1/export"                        BOTH   Export          Read   Prometheus EXPORT   Own;
    "/api/v1/admin/tsdb/delete_series"      CHANGE DeleteSeries    Admin  Prometheus ADMIN    Own;
    "/api/v1/admin/tsdb/clean_tombstones"   CHANGE CleanTombstones Admin  Prometheus ADMIN    Whole;
    "/api/v1/admin/tsdb/snapshot"           CHANGE Snapshot        Admin  Prometheus ADMIN    Whole;
    "/api/v1/admin/tsdb/flush"              CHANGE Flush           Admin  Prometheus ADMIN    Whole;
    "/query"                                BOTH   Query1     ReadOrWrite Influx1    LIST     Own;
    "/ping"                                 GET    Ping            Public Influx1    INSTANT  Same;
    "/health"                               GET    Health          Public Influx2    INSTANT  Same;
    "/ready"                                GET    ReadyV2         Public Influx2    INSTANT  Same;
    "/api/v2/buckets"                       BOTH   Buckets    ReadOrWrite Influx2    LIST     Own;
    "/api/v2/orgs"                          GET    Orgs       ReadOrWrite Influx2    INSTANT  Same;
    "/settings"                             GET    Settings        Public Influx1    INSTANT  Same;
    "/"                                     GET    Root            Public Prometheus INSTANT  Same;
    "/-/healthy"                            GET    Healthy         Public Prometheus INSTANT  Same;
    "/-/ready"                              GET    Ready           Public Prometheus INSTANT  Same;
    "/metrics"                              GET    Metrics         Read   Prometheus INSTANT  Whole;
    "/federate"                             GET    Federate        Read   Text       FEDERATE Own;
};

/// What a method and a path name.
pub enum Lookup<'a> {
    /// A route, and the raw text of its `{name}` segment (empty if it has none).
    Found(&'static Route, &'a str),
    /// The path is known, the method asks which ones it has.
    Options(&'static Route, String),
    /// The path is known, the method is not among those listed.
    WrongMethod(&'static Route, String),
    /// No such path.
    Unknown,
}

/// Finds the route.
pub fn find<'a>(method: &Method, path: &'a str) -> Lookup<'a> {
    for route in ROUTES {
        let Some(segment) = match_path(route.path, path) else { continue };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        if route.methods.contains(wanted) {
            return Lookup::Found(route, segment);
        }
        return match *method == Method::OPTIONS {
            true => Lookup::Options(route, allow(route)),
            false => Lookup::WrongMethod(route, allow(route)),
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

fn allow(route: &Route) -> String {
    let mut names: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    if route.methods.contains(&Method::GET) {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(method: Method, path: &str) -> Option<(Endpoint, String)> {
        match find(&method, path) {
            Lookup::Found(route, segment) => Some((route.endpoint, segment.to_owned())),
            _ => None,
        }
    }

    #[test]
    fn paths_match_whole() {
        assert_eq!(endpoint(Method::POST, "/write"), Some((Endpoint::Write1, String::new())));
        assert_eq!(endpoint(Method::HEAD, "/ping"), Some((Endpoint::Ping, String::new())));
        assert_eq!(
            endpoint(Method::GET, "/api/v1/label/job/values"),
            Some((Endpoint::LabelValues, "job".into()))
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
            assert_eq!(endpoint(Method::POST, path), None, "{path}");
        }
    }

    #[test]
    fn other_methods_are_told_which_exist() {
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
    fn each_endpoint_has_one_route() {
        for (i, route) in ROUTES.iter().enumerate() {
            assert!(ROUTES[..i].iter().all(|r| r.path != route.path && r.endpoint != route.endpoint));
        }
        assert_eq!(ROUTES.len(), Endpoint::COUNT - 1);
        assert_eq!(Endpoint::Unknown.name(), "unknown");
    }
}
