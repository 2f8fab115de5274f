//! Functions of instant vectors: of each element, of labels, and of several series at once.

pub(crate) mod classic_histogram;
pub(crate) mod conversion;
pub(crate) mod elements;
pub(crate) mod histograms;
pub(crate) mod info;
pub(crate) mod labels;
pub(crate) mod objectives;
pub(crate) mod outliers;
pub(crate) mod presence;
pub(crate) mod relabel;
pub(crate) mod sort;
pub(crate) mod timestamps;
pub(crate) mod union;
pub(crate) mod whole_range;
