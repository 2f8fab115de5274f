//! Barograph's query language: text to plan to values.
#![forbid(unsafe_code)]

pub mod error;
pub mod functions;
pub mod request;
pub mod source;
pub mod syntax;
pub mod value;

pub use error::QueryError;
pub use request::{Cancel, Limits, Request, Times};
pub use value::{MatrixSeries, QueryStats, QueryValue, Response, SampleValue, VectorSample};
