//! The description of an endpoint in the table of routes: its path and methods, who may call it, how its body is read,
//! how its errors are written, how it is admitted, and which latency it counts toward.

use hyper::Method;

use crate::admission::Kind;
use crate::error::Dialect;
use crate::http::auth::Access;
use crate::telemetry::LatencyClass;

/// One endpoint, without its handler.
pub struct Endpoint {
    /// The path, which is also the metric label `endpoint`; one segment may be `{name}`.
    pub path: &'static str,
    /// Its methods; `GET` includes `HEAD`.
    pub methods: &'static [Method],
    /// The right that a token must have.
    pub access: Access,
    /// The access of a tenant's token.
    pub tenancy: Tenancy,
    /// The format of its errors.
    pub dialect: Dialect,
    /// How it is admitted.
    pub admission: Admission,
    /// How its body is read.
    pub body: BodyRule,
    /// The latency that its requests count toward.
    pub latency: LatencyClass,
}

/// The access of a token that is restricted to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// The tenant's own data: reads, deletes and writes go through
    /// [`Call::database`](crate::api::call::Call::database), which is restricted to it.
    Own,
    /// The same for all clients: the answer contains no written data.
    Same,
    /// 403: the answer concerns all tenants.
    Whole,
}

/// How a request is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// At once, even while the database is not open.
    Always,
    /// At once, because the size of the data that it reads is bounded.
    Instant,
    /// As a write: the memory for its body and the limits of the engine bound it (`http/body.rs`, `ingest/`).
    Write,
    /// When its kind has a free turn (`admission/`).
    Turn(Kind),
}

/// How the body of a request is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// As a form, if there is one. Its parameters are added to those of the URL before the handler is called.
    Form,
    /// By the handler.
    Own,
}
