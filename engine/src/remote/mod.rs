//! Prometheus remote write: from the bytes of a request to series, samples, histograms,
//! exemplars and metadata.
//!
//! A request is not converted to structs: nothing is allocated for a sample, and nothing at all for a series whose
//! bytes are known ([`Series::key`] returns them). The caller decompresses; `engine/write/remote.rs` stores.
//!
//! # Format
//! ```text
//! version 1                                     version 2
//! WriteRequest  1 series  3 metadata            Request  4 symbols ("" first)  5 series
//! series        1 labels  2 samples             series   1 label refs, packed pairs  2 samples
//!               3 exemplars  4 histograms                3 histograms  4 exemplars  5 metadata
//! label         1 name  2 value
//! sample        1 value (double)  2 time, ms    sample   … 3 start time, ms
//! exemplar      1 labels  2 value  3 time, ms   exemplar 1 label refs  2 value  3 time, ms
//! metadata      1 type  2 family  4 help        metadata 1 type  3 help ref  4 unit ref
//!               5 unit
//! ```
//! Histograms are specified in `histogram`.
//!
//! Next: `engine/write/remote.rs`.

pub mod error;
pub mod histogram;
mod labels;
pub mod request;
pub mod wire;

pub use error::{LabelFault, RemoteReason};
pub use histogram::WireHistogram;
pub use request::{Item, Point, Request, Series};
pub use wire::{WireError, WireFault};

/// Which message a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemoteVersion {
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`
    Two,
}

/// The maximum number of symbols in a version 2 request.
pub const SYMBOLS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests;
