//! Functions of plain numbers, independent of series and windows: maths, dates, sums, quantiles.

pub(crate) mod compensated;
pub(crate) mod dates;
pub(crate) mod go;
pub(crate) mod hyperbolic;
pub(crate) mod one_float;
pub(crate) mod quantile;
