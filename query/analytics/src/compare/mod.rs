//! Series beside each other: put on the same steps, compared with a target, and ranked as its possible cause.

pub mod association;
pub mod correlate;
pub mod incident;
pub mod resample;
