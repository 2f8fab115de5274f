//! Which pages of other origins may read the API: none, unless the setting `cors_origin` matches their origin.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};

use crate::config::Config;
use crate::http::reply::Reply;

/// The paths that CORS applies to.
const API: &str = "/api/v1/";

/// The CORS headers for a request's origin.
pub struct Cors {
    /// The origin, if it may read the API.
    allowed: Option<HeaderValue>,
    preflight: bool,
}

impl Cors {
    /// The headers for a request; `None` if origins do not matter for it.
    pub fn of(config: &Config, method: &Method, path: &str, headers: &HeaderMap) -> Option<Cors> {
        let wanted = config.cors_origin.as_ref().filter(|_| path.starts_with(API))?;
        let origin = headers.get(header::ORIGIN);
        let allowed = origin.filter(|o| o.to_str().is_ok_and(|o| wanted.matches(o))).cloned();
        Some(Cors { preflight: method == Method::OPTIONS && allowed.is_some(), allowed })
    }

    /// The answer to a preflight request.
    pub fn preflight(&self) -> Option<Reply> {
        self.preflight.then(|| Reply::no_content().status(StatusCode::NO_CONTENT))
    }

    /// Adds the headers that state who may read the answer.
    pub fn apply(self, reply: Reply) -> Reply {
        let reply = reply.header(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.allowed else { return reply };
        let text = HeaderValue::from_static;
        reply
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, text("GET, POST, OPTIONS"))
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, text("Accept, Authorization, Content-Type, Origin"))
            .header(header::ACCESS_CONTROL_EXPOSE_HEADERS, text("Date"))
    }
}
