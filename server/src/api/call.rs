//! One request as its handler sees it, and the envelope of its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};

use crate::admission::{Client, LargeWrite};
use crate::api::endpoint::Endpoint;
use crate::config::Config;
use crate::error::ApiError;
use crate::http::auth::Access;
use crate::http::body::{self, BodyLimits, Held};
use crate::http::encoding::{self, Encoding};
use crate::http::multipart;
use crate::http::origin;
use crate::http::params::Params;
use crate::http::reply::{JSON, Reply};
use crate::json::{self, Sink};
use crate::runtime;
use crate::state::State;
use barograph::Database;
use barograph::budget::Hold;

/// The label that the InfluxDB protocols set.
const DATABASE_LABEL: &str = "db";
/// The warning for an answer that `limit` truncated.
pub const TRUNCATED: &str = "results truncated due to limit";
/// Maximum number of annotations of each kind in an answer.
const ANNOTATIONS_MAX: usize = 10;

/// One request.
pub struct Call {
    /// The server.
    pub state: Arc<State>,
    /// The endpoint that path and method select.
    pub endpoint: &'static Endpoint,
    /// The method.
    pub method: Method,
    /// The settings at the time of the request.
    pub config: Arc<Config>,
    /// The parameters of the URL, and of the form once it has been read.
    pub params: Params,
    /// The hold on the memory of the parameters, if they include a form, and of a kept body.
    pub said: Option<Arc<Hold>>,
    /// The password from the URL, on routes whose clients send one there.
    pub password: Option<String>,
    /// The address of the client.
    pub client: Option<SocketAddr>,
    /// The tenant that the token is restricted to.
    pub tenant: Option<Arc<str>>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The decoded `{name}` segment of the path.
    pub segment: String,
    /// The body, until it has been read.
    pub body: Option<Incoming>,
}

impl Call {
    /// The database. With a tenant's token, this is the tenant's part of it: everything read, deleted or written
    /// through it is restricted to the tenant.
    ///
    /// # Errors
    /// 503 while it is not open.
    pub fn database(&self) -> Result<Database, ApiError> {
        let database = self.state.database()?;
        match &self.tenant {
            Some(tenant) => Ok(database.for_tenant(tenant)?),
            None => Ok(database.clone()),
        }
    }

    /// Checks that the token may use the database `name`. If databases are tenants, a tenant's token may use only its
    /// own.
    ///
    /// # Errors
    /// 403.
    pub fn check_database(&self, name: &str) -> Result<(), ApiError> {
        match &self.tenant {
            Some(tenant) if self.config.tenant_label == DATABASE_LABEL && **tenant != *name => {
                let shown: String = name.chars().take(100).collect();
                Err(ApiError::forbidden(format!(
                    "the token belongs to the tenant {tenant:?} and may not use the database {shown:?}; name {tenant:?}, or none"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the token may create and drop the database `name`. A tenant's token may do so only for its own.
    ///
    /// # Errors
    /// 403.
    pub fn check_change_of_database(&self, name: &str) -> Result<(), ApiError> {
        if self.tenant.is_some() && self.config.tenant_label != DATABASE_LABEL {
            return Err(ApiError::forbidden(
                "databases are shared by all tenants: creating and dropping one needs a token without a tenant; writing \
                 does not require creating it",
            ));
        }
        self.check_database(name)
    }

    /// Requires a right in addition to that of the route.
    ///
    /// # Errors
    /// 403 if the token does not have it.
    pub fn require(&self, need: Access) -> Result<(), ApiError> {
        match self.state.tokens().as_ref() {
            Some(tokens) => tokens.check(&self.headers, self.password.as_deref(), need).map(drop),
            None if need == Access::Read => Ok(()),
            None => origin::check_change(&self.headers, &self.config),
        }
    }

    /// Reads the body as sent.
    ///
    /// # Errors
    /// Same as [`body::read`] and [`encoding::encoding`].
    pub async fn read_body(&mut self, limits: BodyLimits) -> Result<Held, ApiError> {
        let encoding = encoding::encoding(&self.headers)?;
        self.read_encoded(encoding, limits).await
    }

    /// Reads a body that must be a snappy block, as sent.
    ///
    /// # Errors
    /// Same as [`body::read`] and [`encoding::snappy`].
    pub async fn read_snappy(&mut self, limits: BodyLimits) -> Result<Held, ApiError> {
        let encoding = encoding::snappy(&self.headers)?;
        self.read_encoded(encoding, limits).await
    }

    /// Waits for the turn of a write of this body, if it needs one.
    ///
    /// # Errors
    /// 429 if the wait was too long.
    pub async fn turn_to_write(&self, body: &Held) -> Result<Option<LargeWrite>, ApiError> {
        self.state.gates.large_writes.enter(body.size(), self.config.body_timeout).await
    }

    async fn read_encoded(&mut self, encoding: Encoding, limits: BodyLimits) -> Result<Held, ApiError> {
        let incoming = self.body.take().ok_or_else(|| ApiError::internal("the body was read twice"))?;
        body::read(incoming, encoding, limits, &self.state.bodies, self.who()).await
    }

    /// Adds the parameters of a form. Those of a urlencoded form come before those of the URL, those of a multipart
    /// form after them.
    ///
    /// # Errors
    /// Same as [`Call::read_body`]; 400 for a malformed form; 429 if the share of queries has no memory for it.
    pub async fn read_form(&mut self) -> Result<(), ApiError> {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Some(content_type) =
            content_type.filter(|_| self.method == Method::POST || self.method == Method::PUT)
        else {
            return Ok(());
        };
        let boundary = multipart::boundary(content_type).map_err(ApiError::bad_data)?;
        let kind = content_type.split(';').next().unwrap_or("").trim();
        if boundary.is_none() && !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(());
        }
        let held = self.read_body(BodyLimits::question(&self.config)).await?.decoded().await?;
        let is_multipart = boundary.is_some();
        let (form, held) = parse_form(held, boundary).await?;
        let url = std::mem::take(&mut self.params);
        let (first, second) = if is_multipart { (url, form) } else { (form, url) };
        self.params = first;
        self.params.append(second)?;
        self.keep(0)?;
        drop(held);
        Ok(())
    }

    /// Takes the memory of the parameters, and `more` bytes, from the share of queries. It is held until the work is
    /// done.
    fn keep(&mut self, more: u64) -> Result<(), ApiError> {
        let (queries, bytes) = (&self.state.memory.queries, self.params.bytes() + more);
        let said = if more == 0 { queries.take_to_begin(bytes) } else { queries.take(bytes) };
        self.said = Some(Arc::new(said?));
        Ok(())
    }

    /// Returns the bytes of a body and moves their memory to the share of queries, as for a form.
    ///
    /// # Errors
    /// 429 if the share of queries has no room for it.
    pub fn keep_body(&mut self, mut held: Held) -> Result<Vec<u8>, ApiError> {
        self.keep(held.bytes.capacity() as u64)?;
        Ok(std::mem::take(&mut held.bytes))
    }

    /// How long the call may run: `query_timeout`, or the parameter `timeout` if it is shorter.
    ///
    /// # Errors
    /// 400 for a bad `timeout`.
    pub fn timeout(&self) -> Result<Duration, ApiError> {
        let most = self.config.query_timeout;
        let asked = self.params.positive_duration("timeout")?;
        Ok(asked.map_or(most, |ms| most.min(Duration::from_millis(ms as u64))))
    }

    /// The client for the purpose of turns.
    pub fn who(&self) -> Client {
        let token = self.headers.get(header::AUTHORIZATION).filter(|_| self.state.tokens().is_some());
        let client = match (token, self.client) {
            (Some(token), _) => Client::with_token(token.as_bytes()),
            (None, Some(address)) => Client::at(address.ip()),
            (None, None) => Client::default(),
        };
        match &self.tenant {
            Some(tenant) => client.of_tenant(tenant),
            None => client,
        }
    }

    /// Whether the client accepts gzip.
    pub fn accepts_gzip(&self) -> bool {
        accepts_gzip(&self.headers)
    }
}

/// Decodes the parameters of a form in place and returns them with the hold on their memory. Decoding a large form
/// would block a thread that drives sockets for too long.
async fn parse_form(held: Held, boundary: Option<String>) -> Result<(Params, Held), ApiError> {
    let parse = move |mut held: Held| {
        let text = std::mem::take(&mut held.bytes);
        let params = match boundary {
            Some(boundary) => Params::multipart(text, &boundary),
            None => Params::urlencoded(text),
        };
        params.map(|params| (params, held))
    };
    match held.bytes.len() as u64 > body::SMALL {
        true => runtime::blocking(move || parse(held)).await?,
        false => parse(held),
    }
}

/// Whether the client of a request accepts gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING);
    values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Writes `{"status":"success","data":…,"warnings":…,"infos":…}`.
///
/// # Errors
/// The errors of the sink.
pub fn success<S: Sink>(
    sink: &mut S,
    warnings: &[String],
    infos: &[String],
    data: impl FnOnce(&mut S) -> Result<(), S::Error>,
) -> Result<(), S::Error> {
    const BEGIN: &[u8] = b"{\"status\":\"success\",\"data\":";
    sink.put(BEGIN.len(), |out| out.extend_from_slice(BEGIN))?;
    data(sink)?;
    let room =
        warnings.iter().chain(infos).take(2 * ANNOTATIONS_MAX).map(|text| text.len() + 4).sum::<usize>();
    sink.put(room + 100, |out| {
        annotations(out, "warnings", "warning", warnings);
        annotations(out, "infos", "info", infos);
        out.extend_from_slice(b"}\n");
    })
}

fn annotations(out: &mut Vec<u8>, key: &str, kind: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    let untold = texts.len().saturating_sub(ANNOTATIONS_MAX);
    let rest = (untold > 0).then(|| format!("{untold} more {kind} annotations omitted"));
    out.push(b',');
    json::string(out, key);
    out.push(b':');
    let listed = texts.iter().take(ANNOTATIONS_MAX).chain(rest.iter());
    json::list(out, listed, |out, text| json::string(out, text));
}

/// A success whose data is a JSON value, for small answers.
pub fn success_value(data: &serde_json::Value) -> Reply {
    let mut body = Vec::new();
    let Ok(()) = success(&mut body, &[], &[], |out: &mut Vec<u8>| {
        out.extend_from_slice(data.to_string().as_bytes());
        Ok(())
    });
    Reply::ok(JSON, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(warnings: &[String], infos: &[String], data: &[u8]) -> String {
        let mut out = Vec::new();
        let Ok(()) = success(&mut out, warnings, infos, |out: &mut Vec<u8>| {
            out.extend_from_slice(data);
            Ok(())
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn annotations_are_at_most_ten_and_a_remainder() {
        let texts: Vec<String> = (0..12).map(|i| format!("w{i}")).collect();
        let long = body(&texts, &[], b"[]");
        assert!(long.starts_with(r#"{"status":"success","data":[],"warnings":["w0","#), "{long}");
        assert!(long.ends_with("\"w9\",\"2 more warning annotations omitted\"]}\n"), "{long}");
        assert_eq!(body(&[], &["i".into()], b"1"), "{\"status\":\"success\",\"data\":1,\"infos\":[\"i\"]}\n");
    }
}
