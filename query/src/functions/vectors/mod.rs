//! Functions of instant vectors that look at labels, or at several series at once.

pub(crate) mod classic_histogram;
