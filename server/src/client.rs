//! A small client of the HTTP API, for commands that use a running server.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::Target;

/// Maximum size of an answer that is read into memory, bytes.
const ANSWER_MAX: u64 = 1 << 30;

/// A client of one server.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

/// An answer of the server.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The counts of stored data in the answer to a write.
    pub counts: Option<Counts>,
    /// The body.
    pub body: Vec<u8>,
}

/// Counts of a body of lines that was stored completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Lines that contain data.
    pub lines: u64,
    /// Samples stored.
    pub samples: u64,
    /// String fields stored as events.
    pub events: u64,
}

/// Whether a request failed on the network, so that it may succeed when it is sent again, for example while a server
/// restarts.
pub fn is_connection_trouble(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, TimedOut,
        UnexpectedEof,
    };
    let passes = |error: &std::io::Error| {
        matches!(
            error.kind(),
            BrokenPipe
                | ConnectionAborted
                | ConnectionRefused
                | ConnectionReset
                | NotConnected
                | TimedOut
                | UnexpectedEof
        )
    };
    error.chain().any(|cause| match cause.downcast_ref::<ureq::Error>() {
        Some(ureq::Error::Io(error)) => passes(error),
        Some(ureq::Error::ConnectionFailed | ureq::Error::Timeout(_)) => true,
        Some(_) => false,
        None => cause.downcast_ref::<std::io::Error>().is_some_and(passes),
    })
}

impl Client {
    /// A client for the server of `target`.
    ///
    /// # Errors
    /// The URL is not plain `http://…`.
    pub fn new(target: &Target) -> anyhow::Result<Self> {
        let base = target.url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            bail!("--url: expected http://ADDRESS:PORT, found {base:?}");
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .build();
        let authorization = target.token.as_ref().map(|token| format!("Bearer {token}"));
        Ok(Client { agent: config.new_agent(), base, authorization })
    }

    /// POSTs a form.
    ///
    /// # Errors
    /// The server cannot be reached, or the connection breaks.
    pub fn post_form(&self, path: &str, form: &[(&str, String)]) -> anyhow::Result<Answer> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let sent =
            self.with_token(request).send_form(form.iter().map(|(name, value)| (*name, value.as_str())));
        self.answer(sent)
    }

    /// POSTs bytes.
    ///
    /// # Errors
    /// The server cannot be reached, or the connection breaks.
    pub fn post(&self, path: &str, query: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in query {
            request = request.query(name, value);
        }
        self.answer(self.with_token(request).send(body))
    }

    /// GETs a small answer.
    ///
    /// # Errors
    /// The server cannot be reached, or the connection breaks.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.answer(request.call())
    }

    /// POSTs a form and returns the body of the answer as a stream.
    ///
    /// # Errors
    /// The server cannot be reached, or the answer is an error.
    pub fn stream(&self, path: &str, form: &[(&str, String)]) -> anyhow::Result<impl Read> {
        let request = self.with_token(self.agent.post(format!("{}{path}", self.base)));
        let response = request
            .send_form(form.iter().map(|(name, value)| (*name, value.as_str())))
            .with_context(|| self.unreachable())?;
        if response.status() != 200 {
            let answer = self.answer(Ok(response))?;
            bail!("{}", answer.error());
        }
        Ok(response.into_body().into_reader())
    }

    fn with_token<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn unreachable(&self) -> String {
        format!("cannot ask {} (is `barograph serve` running there?)", self.base)
    }

    fn answer(
        &self,
        result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> anyhow::Result<Answer> {
        let mut response = result.with_context(|| self.unreachable())?;
        let number =
            |name: &str| -> Option<u64> { response.headers().get(name)?.to_str().ok()?.parse().ok() };
        let retry_after = number("retry-after");
        let counts = number("x-barograph-lines").map(|lines| Counts {
            lines,
            samples: number("x-barograph-samples").unwrap_or(0),
            events: number("x-barograph-events").unwrap_or(0),
        });
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_MAX)
            .read_to_vec()
            .with_context(|| format!("the answer of {} was interrupted", self.base))?;
        Ok(Answer { status: response.status().as_u16(), retry_after, counts, body })
    }
}

impl Answer {
    /// The error message of the answer, in any of the formats.
    pub fn error(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = value["error"].as_str().or(value["message"].as_str());
        match text {
            Some(text) => text.to_owned(),
            None => format!("the server answered {}", self.status),
        }
    }

    /// The JSON body of a success.
    ///
    /// # Errors
    /// The answer is not a success.
    pub fn json(&self) -> anyhow::Result<Value> {
        if self.status != 200 {
            bail!("{}", self.error());
        }
        serde_json::from_slice(&self.body).context("the server's answer is not JSON")
    }
}
