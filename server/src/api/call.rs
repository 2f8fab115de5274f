//! One request as its handler sees it, and the envelope its answer travels in.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};

use crate::api::body::{self, BodyLimits, Held};
use crate::api::encoding::{self, Encoding};
use crate::api::gate::Turn;
use crate::api::params::Params;
use crate::api::reply::{JSON, Reply, gzip};
use crate::api::routes::Access;
use crate::api::{json, multipart};
use crate::app::App;
use crate::config::Config;
use crate::error::ApiError;
use barograph::Database;
use barograph_query::Usage;

/// Answers below this are not worth compressing.
const GZIP_MIN: usize = 1024;
/// Annotations of each kind that an answer lists.
const ANNOTATIONS_MAX: usize = 10;

/// One request.
pub struct Call {
    /// The server.
    pub app: Arc<App>,
    /// The settings when the request came in.
    pub config: Arc<Config>,
    /// Parameters of the URL, and of the form once read.
    pub params: Params,
    /// The password of the URL, on routes whose clients send one there.
    pub password: Option<String>,
    /// Who calls.
    pub client: Option<SocketAddr>,
    /// The header.
    pub headers: HeaderMap,
    /// The decoded `{name}` segment of the path.
    pub segment: String,
    /// The body, until it is read.
    pub body: Option<Incoming>,
}

impl Call {
    /// The database.
    ///
    /// # Errors
    /// 503 while there is none.
    pub fn database(&self) -> Result<Database, ApiError> {
        self.app.database().cloned()
    }

    /// Asks for a right that this request needs beside that of its route.
    ///
    /// # Errors
    /// 403 where the token does not have it.
    pub fn require(&self, need: Access) -> Result<(), ApiError> {
        match self.app.tokens().as_ref() {
            Some(tokens) => tokens.check(&self.headers, self.password.as_deref(), need),
            None => Ok(()),
        }
    }

    /// Reads the body as sent.
    ///
    /// # Errors
    /// As [`body::read`] and [`encoding::encoding`].
    pub async fn read_body(&mut self, limits: BodyLimits) -> Result<Held, ApiError> {
        let encoding = encoding::encoding(&self.headers)?;
        self.read_encoded(encoding, limits).await
    }

    /// Reads a body that must be a snappy block, as sent.
    ///
    /// # Errors
    /// As [`body::read`] and [`encoding::snappy`].
    pub async fn read_snappy(&mut self, limits: BodyLimits) -> Result<Held, ApiError> {
        let encoding = encoding::snappy(&self.headers)?;
        self.read_encoded(encoding, limits).await
    }

    async fn read_encoded(&mut self, encoding: Encoding, limits: BodyLimits) -> Result<Held, ApiError> {
        let incoming = self.body.take().ok_or_else(|| ApiError::internal("the body was read twice"))?;
        body::read(incoming, encoding, limits, &self.app.bodies).await
    }

    /// Adds the parameters of a form: those of a urlencoded one before those of the URL, those
    /// of a multipart one after them.
    ///
    /// # Errors
    /// As [`Call::read_body`], and 400 for a malformed form.
    pub async fn read_form(&mut self, method: &Method) -> Result<(), ApiError> {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Some(content_type) = content_type.filter(|_| *method == Method::POST || *method == Method::PUT)
        else {
            return Ok(());
        };
        let boundary = multipart::boundary(content_type).map_err(ApiError::bad_data)?;
        let kind = content_type.split(';').next().unwrap_or("").trim();
        if boundary.is_none() && !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(());
        }
        let held = self.read_body(BodyLimits::question(&self.config)).await?;
        let held = held.decoded().await?;
        match boundary {
            Some(boundary) => self.params.add_multipart(&held.bytes, &boundary),
            None => {
                let url = std::mem::take(&mut self.params);
                self.params.add(&held.bytes)?;
                self.params.append(url)
            }
        }
    }

    /// Waits for the turn of a question that is no query. What it says counts as memory of
    /// queries until the turn ends.
    ///
    /// # Errors
    /// As [`QueryGate::enter`](crate::api::gate::QueryGate::enter), and 503 when queries hold all
    /// the memory that they may.
    pub async fn turn(&self) -> Result<Turn, ApiError> {
        let usage = Usage::of(self.app.memory.queries.clone());
        usage.take_bytes(self.params.bytes(), self.app.memory.one_query(&self.config))?;
        let permit = self.app.queries.enter(self.config.query_wait).await?;
        Ok(Turn::new(permit, usage))
    }

    /// Whether the client takes gzip.
    pub fn accepts_gzip(&self) -> bool {
        accepts_gzip(&self.headers)
    }
}

/// Whether the client of a request takes gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING);
    values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// A finished body, compressed where that helps. Made on a blocking thread.
pub struct Encoded {
    bytes: Vec<u8>,
    gzip: bool,
}

impl Encoded {
    /// Compresses `bytes` if the client takes it and it is worth it.
    pub fn new(bytes: Vec<u8>, accepts_gzip: bool) -> Self {
        if accepts_gzip
            && bytes.len() >= GZIP_MIN
            && let Some(compressed) = gzip(&bytes)
        {
            return Encoded { bytes: compressed, gzip: true };
        }
        Encoded { bytes, gzip: false }
    }

    /// Bytes it takes.
    pub fn memory_bytes(&self) -> u64 {
        self.bytes.capacity() as u64
    }

    /// The answer.
    pub fn into_reply(self) -> Reply {
        let reply = Reply::ok(JSON, Bytes::from(self.bytes));
        if self.gzip { reply.gzipped() } else { reply }
    }
}

/// Writes `{"status":"success","data":…,"warnings":…,"infos":…}`.
pub fn success(warnings: &[String], infos: &[String], data: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    data(&mut out);
    annotations(&mut out, "warnings", "warning", warnings);
    annotations(&mut out, "infos", "info", infos);
    out.extend_from_slice(b"}\n");
    out
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

/// A success whose data is a JSON value; for small answers.
pub fn success_value(data: &serde_json::Value) -> Reply {
    let body = success(&[], &[], |out| out.extend_from_slice(data.to_string().as_bytes()));
    Reply::ok(JSON, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_at_most_ten_and_a_remainder() {
        let texts: Vec<String> = (0..12).map(|i| format!("w{i}")).collect();
        let body = String::from_utf8(success(&texts, &[], |out| out.extend_from_slice(b"[]"))).unwrap();
        assert!(body.starts_with(r#"{"status":"success","data":[],"warnings":["w0","#), "{body}");
        assert!(body.ends_with("\"w9\",\"2 more warning annotations omitted\"]}\n"), "{body}");
        let plain = success(&[], &["i".into()], |out| out.push(b'1'));
        assert_eq!(plain, b"{\"status\":\"success\",\"data\":1,\"infos\":[\"i\"]}\n");
    }

    #[test]
    fn large_answers_are_compressed_small_ones_not() {
        assert!(!Encoded::new(vec![b'x'; 10], true).gzip);
        assert!(!Encoded::new(vec![b'x'; 10_000], false).gzip);
        let encoded = Encoded::new(vec![b'x'; 10_000], true);
        assert!(encoded.gzip && encoded.bytes.len() < 200);
    }
}
