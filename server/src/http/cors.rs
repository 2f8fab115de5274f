//! Which pages of other origins a browser lets read the API: none, unless the setting
//! `cors_origin` names them.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};

use crate::config::Config;
use crate::http::reply::Reply;

/// The paths that this is about.
const API: &str = "/api/v1/";

/// What a request's origin gets.
pub struct Cors {
    /// The origin, if it may read.
    allowed: Option<HeaderValue>,
    preflight: bool,
}

impl Cors {
    /// Looks at a request; `None` where origins play no part.
    pub fn of(config: &Config, method: &Method, path: &str, headers: &HeaderMap) -> Option<Cors> {
        let wanted = config.cors_origin.as_ref().filter(|_| path.starts_with(API))?;
        let origin = headers.get(header::ORIGIN);
        let allowed = origin.filter(|o| o.to_str().is_ok_and(|o| wanted.matches(o))).cloned();
        Some(Cors { preflight: method == Method::OPTIONS && allowed.is_some(), allowed })
    }

    /// The answer to a browser that asks before it asks.
    pub fn preflight(&self) -> Option<Reply> {
        self.preflight.then(|| Reply::no_content().status(StatusCode::NO_CONTENT))
    }

    /// Says to whom the answer may be shown.
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
