//! The HTTP API: from a request to an answer, no sockets.
//!
//! [`dispatch`] finds the route, asks for a token, reads parameters and hands a [`call::Call`]
//! to one handler. Handlers live by client: [`prometheus`] and [`labels`] for queries,
//! [`influx`] for writes, [`status`] for what describes the server, [`export`] and
//! [`admin`] for the rest.

pub mod admin;
pub mod auth;
pub mod body;
pub mod call;
pub mod dispatch;
pub mod export;
pub mod gate;
pub mod influx;
pub mod json;
pub mod labels;
pub mod lines;
pub mod params;
pub mod prometheus;
pub mod reply;
pub mod routes;
pub mod selectors;
pub mod status;
pub mod times;
