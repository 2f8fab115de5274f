//! Barograph's server: sockets, formats and people around the `barograph` library.
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod error;
pub mod ingest;
pub mod listen;
pub mod memory;
pub mod remote_read;
pub mod storage;
pub mod telemetry;
