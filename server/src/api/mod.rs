//! The HTTP API: from a request to an answer, no sockets.
//!
//! [`dispatch`] finds the route, asks for a token, reads parameters and hands a [`call::Call`] to one handler, which goes
//! through [`gate`] if it reads. Handlers live by protocol: [`prometheus`], [`influx`], [`export`] for what is
//! Barograph's own, [`status`] for what describes the server, [`admin`] for calls that change or copy the whole.

pub mod admin;
pub mod call;
pub mod dispatch;
pub mod endpoint;
pub mod export;
pub mod gate;
pub mod influx;
pub mod prometheus;
pub mod routes;
pub mod selectors;
pub mod status;
