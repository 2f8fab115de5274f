//! Barograph's server: listeners, wire formats and commands around the `barograph` library.
#![forbid(unsafe_code)]

pub mod admission;
pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod config;
pub mod error;
pub mod http;
pub mod ingest;
pub mod json;
pub mod listen;
pub mod memory;
pub mod monitor;
pub mod open_files;
pub mod remote_read;
pub mod runtime;
pub mod state;
pub mod telemetry;
