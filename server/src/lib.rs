//! Barograph's server: sockets, formats and people around the `barograph` library.
#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod error;
