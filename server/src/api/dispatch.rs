//! From a request to its handler and back: route, token, parameters, errors in the
//! client's words, counters.
//!
//! Next: `api/influx/` for a write, `api/prometheus.rs` for a query.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::admission;
use crate::api::call::{Call, accepts_gzip};
use crate::api::prometheus::{federate, labels, notes, query, remote_read, remote_write};
use crate::api::routes::{self, Access, Endpoint, Lookup, Route, Tenancy};
use crate::api::{admin, export, influx, status};
use crate::app::App;
use crate::error::{ApiError, Dialect};
use crate::http::cors::Cors;
use crate::http::origin::{self, OnLoopback};
use crate::http::params::{Params, decode};
use crate::http::reply::{Guard, Reply, ReplyBody};

/// The answer to a request that was refused before it could be parsed; attached to the request that replaces it.
#[derive(Clone)]
pub struct Refused(pub ApiError);

/// Answers one request. `guard` is dropped when the answer has left.
pub async fn dispatch(app: Arc<App>, request: Request<Incoming>, guard: Guard) -> Response<ReplyBody> {
    let started = Instant::now();
    // Dropped if the client disconnects before the answer is complete.
    let counted = app.telemetry.requests_running.guard();
    let config = app.config.load_full();
    let cors = Cors::of(&config, request.method(), request.uri().path(), request.headers());
    let gzip = accepts_gzip(request.headers());
    let (endpoint, dialect, result) = match cors.as_ref().and_then(Cors::preflight) {
        Some(reply) => (Endpoint::Unknown, Dialect::Prometheus, Ok(reply)),
        None => route(&app, request).await,
    };
    let mut reply = result.unwrap_or_else(|error| Reply::error(&error, dialect));
    if gzip && matches!(dialect, Dialect::Prometheus | Dialect::Text) {
        reply = reply.compressed();
    }
    if let Some(cors) = cors {
        reply = cors.apply(reply);
    }
    drop(counted);
    app.telemetry.observe_request(endpoint, reply.code().as_u16(), started.elapsed());
    reply.into_response(Some(guard))
}

async fn route(app: &Arc<App>, request: Request<Incoming>) -> (Endpoint, Dialect, Result<Reply, ApiError>) {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let lookup = routes::find(&method, &path);
    if let Some(Refused(error)) = request.extensions().get() {
        let dialect = match lookup {
            Lookup::Found(route, _) | Lookup::Options(route, _) | Lookup::WrongMethod(route, _) => {
                route.dialect
            }
            Lookup::Unknown => Dialect::Prometheus,
        };
        return (Endpoint::Unknown, dialect, Err(error.clone()));
    }
    match lookup {
        Lookup::Found(route, segment) => {
            if let Err(error) = check_host(app, &request) {
                return (Endpoint::Unknown, route.dialect, Err(error));
            }
            (route.endpoint, route.dialect, handle(app, route, segment, request).await)
        }
        Lookup::Options(route, allow) => {
            let reply = Reply::no_content();
            let reply = match HeaderValue::from_str(&allow) {
                Ok(allow) => reply.header(header::ALLOW, allow),
                Err(_) => reply,
            };
            (Endpoint::Unknown, route.dialect, Ok(reply))
        }
        Lookup::WrongMethod(route, allow) => {
            let message = format!("{} is not allowed here; allowed: {allow}", method.as_str());
            let mut error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "bad_data", message);
            error.allow = Some(allow);
            (Endpoint::Unknown, route.dialect, Err(error))
        }
        Lookup::Unknown => {
            // A client that sends OPTIONS to every path, as Grafana does, gets no error.
            if method == Method::OPTIONS {
                return (Endpoint::Unknown, Dialect::Prometheus, Ok(Reply::no_content()));
            }
            let shown: String = path.chars().take(200).collect();
            let error = ApiError::not_found(format!("no such path: {shown}"));
            let dialect = match path.starts_with("/api/v2/") {
                true => Dialect::Influx2,
                false if path.starts_with("/api/v3/") => Dialect::Influx1,
                false => Dialect::Prometheus,
            };
            (Endpoint::Unknown, dialect, Err(error))
        }
    }
}

/// Without tokens a loopback listener answers only hosts that no web page can have.
fn check_host(app: &App, request: &Request<Incoming>) -> Result<(), ApiError> {
    if request.extensions().get::<OnLoopback>().is_none() || app.tokens().is_some() {
        return Ok(());
    }
    origin::check_host(request.uri(), request.headers(), &app.config.load())
}

async fn handle(
    app: &Arc<App>,
    route: &'static Route,
    segment: &str,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let segment = decode(segment.as_bytes(), false)
        .map_err(|reason| ApiError::bad_data(format!("path segment: {reason}")))?;
    let params = Params::urlencoded(request.uri().query().unwrap_or("").into())?;
    let (parts, body) = request.into_parts();
    // InfluxDB 1 clients may send their password as the parameter `p`.
    let password = params.get("p").filter(|_| route.dialect == Dialect::Influx1).map(str::to_owned);
    let tenant = authorize(app, route, &parts.headers, password.as_deref())?;
    if route.endpoint != Endpoint::Healthy && route.dialect == Dialect::Prometheus && app.database().is_err()
    {
        return Ok(Reply::not_ready());
    }
    let config = app.config.load_full();
    let client = parts.extensions.get::<SocketAddr>().copied();
    let (app, headers, body) = (app.clone(), parts.headers, Some(body));
    let mut call =
        Call { app, route, config, params, said: None, password, client, tenant, headers, segment, body };
    let has_own_body = matches!(
        route.endpoint,
        Endpoint::Write1
            | Endpoint::Write2
            | Endpoint::Write3
            | Endpoint::Buckets
            | Endpoint::RemoteWrite
            | Endpoint::RemoteRead
    );
    if !has_own_body {
        call.read_form(&parts.method).await?;
    }
    answer(route.endpoint, &parts.method, call).await
}

/// Checks the token, if tokens are required; returns the tenant that it is restricted to.
fn authorize(
    app: &App,
    route: &Route,
    headers: &hyper::HeaderMap,
    password: Option<&str>,
) -> Result<Option<Arc<str>>, ApiError> {
    let mut tenant = None;
    if route.access == Access::Public {
        return Ok(tenant);
    }
    if let Some(tokens) = app.tokens().as_ref() {
        tenant = tokens.check(headers, password, route.access)?;
        if let Some(tenant) = tenant.as_ref().filter(|_| route.tenancy == Tenancy::Whole) {
            return Err(ApiError::forbidden(format!(
                "{} concerns all tenants, but the token belongs to the tenant {tenant:?}: use a token without a tenant",
                route.path
            )));
        }
    } else if matches!(route.access, Access::Write | Access::Queries | Access::Admin) {
        origin::check_change(headers, &app.config.load())?;
    }
    if route.access == Access::Admin && !app.config.load().enable_admin {
        return Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unavailable",
            "admin calls are off; start the server with --enable-admin",
        ));
    }
    Ok(tenant)
}

async fn answer(endpoint: Endpoint, method: &Method, call: Call) -> Result<Reply, ApiError> {
    match endpoint {
        Endpoint::Write1 => influx::write(call, influx::Version::One).await,
        Endpoint::Write2 => influx::write(call, influx::Version::Two).await,
        Endpoint::Write3 => influx::v3::write(call).await,
        Endpoint::Query1 => influx::statements::query(call).await,
        Endpoint::Buckets => influx::v2::buckets(call, method).await,
        Endpoint::Orgs => Ok(influx::v2::orgs(&call)),
        Endpoint::ReadyV2 => influx::v2::ready(&call),
        Endpoint::Settings => Ok(influx::settings(&call)),
        Endpoint::Ping => Ok(influx::ping(&call)),
        Endpoint::Health => Ok(influx::health(&call)),
        Endpoint::Root => Ok(status::root()),
        Endpoint::Healthy => status::healthy(&call),
        Endpoint::Ready => status::ready(&call),
        Endpoint::Metrics => status::metrics(&call).await,
        Endpoint::Query => query::query(call).await,
        Endpoint::QueryRange => query::query_range(call).await,
        Endpoint::FormatQuery => query::format_query(call).await,
        Endpoint::ParseQuery => query::parse_query(call).await,
        Endpoint::QueryExemplars => notes::exemplars(call).await,
        Endpoint::Metadata => notes::metadata(call).await,
        Endpoint::RemoteWrite => remote_write::write(call).await,
        Endpoint::RemoteRead => remote_read::read(call).await,
        Endpoint::Federate => federate::federate(call).await,
        Endpoint::Series => labels::series(call).await,
        Endpoint::Labels => labels::names(call).await,
        Endpoint::LabelValues => labels::values(call).await,
        Endpoint::Events => export::events(call).await,
        Endpoint::Export => export::export(call).await,
        Endpoint::DeleteSeries => admin::delete_series(call).await,
        Endpoint::CleanTombstones => admin::clean_tombstones(call).await,
        Endpoint::Snapshot => admin::snapshot(call).await,
        Endpoint::Flush => admin::flush(call).await,
        Endpoint::Tsdb => status::tsdb(call).await,
        Endpoint::Memory => status::memory(call).await,
        Endpoint::ActiveQueries => Ok(admission::list(&call)),
        Endpoint::CancelQuery => admission::cancel(&call),
        Endpoint::BuildInfo
        | Endpoint::RuntimeInfo
        | Endpoint::Flags
        | Endpoint::ConfigText
        | Endpoint::WalReplay
        | Endpoint::Features
        | Endpoint::Rules
        | Endpoint::Alerts
        | Endpoint::Targets
        | Endpoint::TargetsMetadata
        | Endpoint::ScrapePools
        | Endpoint::Alertmanagers => status::describe(endpoint, &call),
        Endpoint::Unknown => Err(ApiError::not_found("no such path")),
    }
}
