//! What may enter: limits on series, partitions and memory of a request.

pub(in crate::engine) mod batches;
pub(in crate::engine) mod limits;
pub(in crate::engine) mod newcomers;
pub(in crate::engine) mod spread;
