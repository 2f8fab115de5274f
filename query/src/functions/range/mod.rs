//! Functions of all steps of a query: `range_*`, `running_*`, and those that fill gaps. "All steps" are the steps at
//! which the call is evaluated: those of the query or, inside a subquery, those of the subquery. An instant query has
//! one step.
//!
//! The planner never treats such a call as step-invariant, whatever its argument is, because a sum over ten steps
//! differs from a sum over one.
//!
//! # Not here
//! The loop over series: `vectors/whole_range.rs`.

pub(crate) mod gap_filling;
pub(crate) mod statistics;

pub(crate) use statistics::Column;
