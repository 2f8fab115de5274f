//! Barograph's storage engine: stores samples of time series and hands them back.

pub mod chunk;
pub mod codec;
pub mod error;
pub mod line;
pub mod model;
pub mod wal;

pub use error::{Error, ErrorKind, Result};
