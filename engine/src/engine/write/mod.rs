//! The way in: from decoded lines, requests and batches to the log and the head.

pub(in crate::engine) mod append;
pub(in crate::engine) mod deferred;
pub(in crate::engine) mod delete;
pub(in crate::engine) mod handle;
pub(in crate::engine) mod lines;
pub(in crate::engine) mod pending;
pub(in crate::engine) mod record_log;
pub(in crate::engine) mod remote;
