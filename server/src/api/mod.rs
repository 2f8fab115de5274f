//! The HTTP API: from a request to an answer, no sockets.

pub mod auth;
pub mod body;
pub mod gate;
pub mod json;
pub mod params;
pub mod reply;
pub mod routes;
pub mod times;
