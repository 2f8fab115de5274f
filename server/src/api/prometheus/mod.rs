//! The API of Prometheus: queries, series and labels, remote write and read, federation, metadata.

pub mod cardinality;
pub mod describe;
pub mod explain;
pub mod features;
pub mod federate;
pub mod labels;
pub mod notes;
pub mod query;
pub mod remote_read;
pub mod remote_write;
pub mod scraping;
