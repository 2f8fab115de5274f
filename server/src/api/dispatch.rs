//! From a request to its handler and back: route, token, parameters, errors in the format that the client expects, and
//! counters.
//!
//! Next: `api/influx/` for a write, `api/prometheus/query.rs` for a query.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::api::call::{Call, accepts_gzip};
use crate::api::endpoint::{Admission, BodyRule, Endpoint, Tenancy};
use crate::api::routes::{self, Lookup, Route};
use crate::error::{ApiError, Dialect};
use crate::http::auth::Access;
use crate::http::cors::Cors;
use crate::http::origin::{self, OnLoopback};
use crate::http::params::{Params, decode};
use crate::http::reply::{Guard, Reply, ReplyBody};
use crate::state::State;
use crate::telemetry::LatencyClass;
use crate::telemetry::requests::UNKNOWN;

/// The answer to a request that was refused before it could be parsed; attached to the request that replaces it.
#[derive(Clone)]
pub struct Refused(pub ApiError);

/// Answers one request. `guard` is dropped when the answer has been sent.
pub async fn dispatch(state: Arc<State>, request: Request<Incoming>, guard: Guard) -> Response<ReplyBody> {
    let started = Instant::now();
    // Dropped if the client disconnects before the answer is complete.
    let counted = state.telemetry.requests_running.guard();
    let config = state.config.load_full();
    let cors = Cors::of(&config, request.method(), request.uri().path(), request.headers());
    let gzip = accepts_gzip(request.headers());
    let (endpoint, dialect, result) = match cors.as_ref().and_then(Cors::preflight) {
        Some(reply) => (None, Dialect::Prometheus, Ok(reply)),
        None => route(&state, request).await,
    };
    let mut reply = result.unwrap_or_else(|error| Reply::error(&error, dialect));
    if gzip && matches!(dialect, Dialect::Prometheus | Dialect::Text) {
        reply = reply.compressed();
    }
    if let Some(cors) = cors {
        reply = cors.apply(reply);
    }
    drop(counted);
    let (path, latency) = endpoint.map_or((UNKNOWN, LatencyClass::None), |found| (found.path, found.latency));
    state.telemetry.observe_request(path, latency, reply.code().as_u16(), started.elapsed());
    reply.into_response(Some(guard))
}

/// Finds the route and answers. The endpoint is `None` if the request reached none.
async fn route(
    state: &Arc<State>,
    request: Request<Incoming>,
) -> (Option<&'static Endpoint>, Dialect, Result<Reply, ApiError>) {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let lookup = routes::find(&method, &path);
    if let Some(Refused(error)) = request.extensions().get() {
        let dialect = match lookup {
            Lookup::Found(route, _) | Lookup::Options(route, _) | Lookup::WrongMethod(route, _) => {
                route.endpoint.dialect
            }
            Lookup::Unknown => Dialect::Prometheus,
        };
        return (None, dialect, Err(error.clone()));
    }
    match lookup {
        Lookup::Found(route, segment) => {
            if let Err(error) = check_host(state, &request) {
                return (None, route.endpoint.dialect, Err(error));
            }
            (Some(&route.endpoint), route.endpoint.dialect, handle(state, route, segment, request).await)
        }
        Lookup::Options(route, allow) => {
            let reply = Reply::no_content();
            let reply = match HeaderValue::from_str(&allow) {
                Ok(allow) => reply.header(header::ALLOW, allow),
                Err(_) => reply,
            };
            (None, route.endpoint.dialect, Ok(reply))
        }
        Lookup::WrongMethod(route, allow) => {
            let message = format!("{} is not allowed here; allowed: {allow}", method.as_str());
            let mut error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "bad_data", message);
            error.allow = Some(allow);
            (None, route.endpoint.dialect, Err(error))
        }
        Lookup::Unknown => {
            // A client that sends OPTIONS to every path, as Grafana does, should not get an error.
            if method == Method::OPTIONS {
                return (None, Dialect::Prometheus, Ok(Reply::no_content()));
            }
            let shown: String = path.chars().take(200).collect();
            let error = ApiError::not_found(format!("no such path: {shown}"));
            let dialect = match path.starts_with("/api/v2/") {
                true => Dialect::Influx2,
                false if path.starts_with("/api/v3/") => Dialect::Influx1,
                false => Dialect::Prometheus,
            };
            (None, dialect, Err(error))
        }
    }
}

/// Without tokens, a loopback listener answers only requests for hosts that no web page can have.
fn check_host(state: &State, request: &Request<Incoming>) -> Result<(), ApiError> {
    if request.extensions().get::<OnLoopback>().is_none() || state.tokens().is_some() {
        return Ok(());
    }
    origin::check_host(request.uri(), request.headers(), &state.config.load())
}

async fn handle(
    state: &Arc<State>,
    route: &'static Route,
    segment: &str,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let segment = decode(segment.as_bytes(), false)
        .map_err(|reason| ApiError::bad_data(format!("path segment: {reason}")))?;
    let params = Params::urlencoded(request.uri().query().unwrap_or("").into())?;
    let (parts, body) = request.into_parts();
    let endpoint = &route.endpoint;
    // InfluxDB 1 clients may send their password as the parameter `p`.
    let password = params.get("p").filter(|_| endpoint.dialect == Dialect::Influx1).map(str::to_owned);
    let tenant = authorize(state, endpoint, &parts.headers, password.as_deref())?;
    let waits_for_database =
        endpoint.admission != Admission::Always && endpoint.dialect == Dialect::Prometheus;
    if waits_for_database && state.database().is_err() {
        return Ok(Reply::not_ready());
    }
    let mut call = Call {
        state: state.clone(),
        endpoint,
        method: parts.method,
        config: state.config.load_full(),
        params,
        said: None,
        password,
        client: parts.extensions.get::<SocketAddr>().copied(),
        tenant,
        headers: parts.headers,
        segment,
        body: Some(body),
    };
    match endpoint.body {
        BodyRule::Form => call.read_form().await?,
        BodyRule::Own => {}
    }
    (route.handler)(call).await
}

/// Checks the token if tokens are required. Returns the tenant that the token is restricted to.
fn authorize(
    state: &State,
    endpoint: &Endpoint,
    headers: &hyper::HeaderMap,
    password: Option<&str>,
) -> Result<Option<Arc<str>>, ApiError> {
    let mut tenant = None;
    if endpoint.access == Access::Public {
        return Ok(tenant);
    }
    if let Some(tokens) = state.tokens().as_ref() {
        tenant = tokens.check(headers, password, endpoint.access)?;
        if let Some(tenant) = tenant.as_ref().filter(|_| endpoint.tenancy == Tenancy::Whole) {
            return Err(ApiError::forbidden(format!(
                "{} concerns all tenants, but the token belongs to the tenant {tenant:?}: use a token without a tenant",
                endpoint.path
            )));
        }
    } else if matches!(endpoint.access, Access::Write | Access::Queries | Access::Admin) {
        origin::check_change(headers, &state.config.load())?;
    }
    if endpoint.access == Access::Admin && !state.config.load().enable_admin {
        return Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unavailable",
            "admin calls are off; start the server with --enable-admin",
        ));
    }
    Ok(tenant)
}
