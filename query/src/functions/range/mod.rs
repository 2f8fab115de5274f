//! Functions of all steps of a query: one column in, one column out.

pub(crate) mod gap_filling;
pub(crate) mod statistics;
