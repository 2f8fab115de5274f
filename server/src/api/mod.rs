//! The HTTP API: from a request to an answer, no sockets.
//!
//! [`dispatch`] finds the route, asks for a token, reads parameters and hands a [`call::Call`]
//! to one handler, which goes through [`admission`] if it reads. Handlers live by client: [`prometheus`] and [`labels`] for queries,
//! [`influx`] and [`remote_write`] for writes, [`remote_read`], [`federate`] and [`notes`]
//! for what other Prometheus servers ask, [`status`] for what describes the server, [`export`] and
//! [`admin`] for the rest.

pub mod admin;
pub mod admission;
pub mod auth;
pub mod body;
pub mod call;
pub mod cardinality;
pub mod cors;
pub mod dispatch;
pub mod encoding;
pub mod explain;
pub mod export;
pub mod features;
pub mod federate;
pub mod influx;
pub mod json;
pub mod labels;
pub mod lines;
pub mod multipart;
pub mod notes;
pub mod origin;
pub mod params;
pub mod prometheus;
pub mod remote_read;
pub mod remote_write;
pub mod reply;
pub mod routes;
pub mod selectors;
pub mod status;
pub mod times;
