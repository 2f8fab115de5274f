//! What the table of routes states about an endpoint: its path and methods, who may call it, how its body is read and
//! its errors are written, when it is admitted, and which latency it counts toward.

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
    /// The format of errors.
    pub dialect: Dialect,
    /// Its admission.
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
    /// The same for all clients: the answer contains nothing that was written.
    Same,
    /// 403: the answer concerns all tenants.
    Whole,
}

/// The admission of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// At once, and also while there is no database.
    Always,
    /// At once: it looks at no data of a size that others choose.
    Instant,
    /// It writes: memory for its body and the engine's limits bound it (`http/body.rs`, `ingest/`).
    Write,
    /// When it is its kind's turn (`admission/`).
    Turn(Kind),
}

/// How the body of a request is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// A form, if there is one: its parameters join those of the URL before the handler is called.
    Form,
    /// By the handler.
    Own,
}
