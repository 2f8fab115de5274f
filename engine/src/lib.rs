//! Barograph's storage engine: stores samples of time series and hands them back.

pub mod chunk;
pub mod codec;
pub mod error;
pub mod line;
pub mod model;

pub use error::{Error, ErrorKind, Result};
