//! The HTTP API: from a request to an answer, without sockets.
//!
//! [`dispatch`] finds the route, checks the token, reads parameters and passes a [`call::Call`] to a handler. Reads go
//! through [`gate`]. Handlers are grouped by protocol: [`prometheus`], [`influx`], [`export`] for Barograph's own
//! formats, [`status`] for the state of the server, [`admin`] for calls that change or copy the whole database, and [`ladders`] for
//! what it keeps.

pub mod admin;
pub mod call;
pub mod dispatch;
pub mod endpoint;
pub mod export;
pub mod gate;
pub mod hdr;
pub mod influx;
pub mod ladders;
pub mod prometheus;
pub mod routes;
pub mod selectors;
pub mod status;
