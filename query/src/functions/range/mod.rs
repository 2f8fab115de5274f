//! Functions of all steps of a query: `range_*`, `running_*`, and those that fill gaps. All steps
//! are those that the call is evaluated for: the query's, or inside a subquery the subquery's. An
//! instant query has one.
//!
//! The planner never treats such a call as step-invariant, whatever its argument is: a sum over
//! ten steps differs from a sum over one.
//!
//! # Not here
//! The loop over series: `vectors/whole_range.rs`.

pub(crate) mod gap_filling;
pub(crate) mod statistics;

pub(crate) use statistics::Column;
