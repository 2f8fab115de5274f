//! A small client of the HTTP API, for the commands that speak to a running server.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::Target;

/// Largest answer that is read into memory.
const ANSWER_MAX: u64 = 1 << 30;

/// Speaks to one server.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

/// What a server answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
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
    /// No server, or a broken connection.
    pub fn post_form(&self, path: &str, form: &[(&str, String)]) -> anyhow::Result<Answer> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let sent =
            self.with_token(request).send_form(form.iter().map(|(name, value)| (*name, value.as_str())));
        self.answer(sent)
    }

    /// POSTs bytes.
    ///
    /// # Errors
    /// No server, or a broken connection.
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
    /// No server, or a broken connection.
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

    /// POSTs a form and gives the answer's body as a stream.
    ///
    /// # Errors
    /// No server, or an answer that is an error.
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
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_MAX)
            .read_to_vec()
            .with_context(|| format!("the answer of {} broke off", self.base))?;
        Ok(Answer { status: response.status().as_u16(), retry_after, body })
    }
}

impl Answer {
    /// The error it tells, in whichever dialect.
    pub fn error(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = value["error"].as_str().or(value["message"].as_str());
        match text {
            Some(text) => text.to_owned(),
            None => format!("the server answered {}", self.status),
        }
    }

    /// The JSON of a success.
    ///
    /// # Errors
    /// It is not one.
    pub fn json(&self) -> anyhow::Result<Value> {
        if self.status != 200 {
            bail!("{}", self.error());
        }
        serde_json::from_slice(&self.body).context("the server's answer is not JSON")
    }
}
