//! The mathematics of the analytic functions of the query language.
//!
//! The crate takes slices and returns numbers. It knows no storage, no query language and no labels, and has no
//! dependencies. A slice holds one value for each step of a regular grid; a step without a value is NaN, and infinities
//! count as missing too. Every function
//!
//! - gives the same result for the same input, in every run and on any number of cores;
//! - accepts any values, whatever their size: what a series lacks is an [`Unfit`] that states the reason, never a panic;
//! - calls a [`Check`] at least every few milliseconds where it can run longer than that, and stops when the check says
//!   so;
//! - has a companion that states the memory it needs, so that the caller can reserve it first.
//!
//! # Where to look
//! [`gaps`] fills missing values. [`mod@decompose`] splits a series into trend, seasons and residual ([`season`] finds
//! the lengths of the seasons). [`anomaly`], [`esd`], [`forest`] and [`outliers`] score what is unusual,
//! [`changepoint`] finds shifts. [`mod@forecast`] continues a series. [`compare`] puts series on the same steps,
//! compares them, and ranks what may have caused a disturbance. [`slo`] computes burn rates, [`cadence`] how often a
//! series reports. [`robust`] and [`order`] are the statistics below them.

pub mod anomaly;
pub mod cadence;
pub mod changepoint;
pub mod compare;
pub mod decompose;
pub mod esd;
pub mod forecast;
pub mod forest;
mod fourier;
pub mod gaps;
pub mod order;
pub mod outliers;
pub mod robust;
pub mod season;
mod size;
pub mod slo;
mod special;
mod stop;

pub(crate) use stop::Pace;
pub use stop::{Check, Error, Stop, Unfit};
