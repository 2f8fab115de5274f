//! How lines are parsed.

use std::borrow::Cow;

use crate::line::{LineLimits, Naming, Precision};
use crate::model::Tenant;

/// Default for [`LineOptions::errors_max`].
pub(super) const ERRORS_MAX: usize = 10;

/// How to parse lines.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LineOptions {
    /// Unit of the timestamps. Default: nanoseconds.
    pub precision: Precision,
    /// Time of lines that give none. Default: the clock's, once for a call. For a retention such lines count
    /// as stamped by the clock, whatever is given here.
    pub default_timestamp: Option<crate::Timestamp>,
    /// Labels added to every series, unless a line has a tag of that name. Default none.
    pub extra_labels: Vec<(String, String)>,
    /// The tenant of the lines: every series gets its label, and a line of another tenant is refused. Default: none.
    pub tenant: Option<Tenant>,
    /// How measurement and field form a metric name. Default: `measurement_field`.
    pub naming: Naming,
    /// The limits of one line.
    pub limits: LineLimits,
    /// Maximum number of refused lines that the report lists. Default:
    /// [`LineReport::ERRORS_MAX`](crate::LineReport::ERRORS_MAX).
    pub errors_max: usize,
}

impl LineOptions {
    /// Sets [`LineOptions::precision`].
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`LineOptions::default_timestamp`].
    #[must_use]
    pub fn with_default_timestamp(mut self, timestamp: impl Into<crate::Timestamp>) -> Self {
        self.default_timestamp = Some(timestamp.into());
        self
    }

    /// Sets [`LineOptions::extra_labels`].
    #[must_use]
    pub fn with_extra_labels(mut self, labels: Vec<(String, String)>) -> Self {
        self.extra_labels = labels;
        self
    }

    /// Sets [`LineOptions::tenant`].
    #[must_use]
    pub fn with_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Sets [`LineOptions::naming`].
    #[must_use]
    pub fn with_naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    /// Sets [`LineOptions::limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: LineLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`LineOptions::errors_max`].
    #[must_use]
    pub fn with_errors_max(mut self, errors_max: usize) -> Self {
        self.errors_max = errors_max;
        self
    }
}

impl Default for LineOptions {
    fn default() -> Self {
        LineOptions {
            precision: Precision::Nanosecond,
            default_timestamp: None,
            extra_labels: Vec::new(),
            tenant: None,
            naming: Naming::MeasurementField,
            limits: LineLimits::default(),
            errors_max: ERRORS_MAX,
        }
    }
}

impl LineOptions {
    /// The extra labels, with the tenant's label added unless they already contain it with any value.
    pub(super) fn all_extra_labels(&self) -> Cow<'_, [(String, String)]> {
        match &self.tenant {
            Some(tenant) if !self.extra_labels.iter().any(|(name, _)| name == tenant.label()) => {
                let own = (tenant.label().to_owned(), tenant.name().to_owned());
                self.extra_labels.iter().cloned().chain([own]).collect()
            }
            _ => Cow::Borrowed(&self.extra_labels),
        }
    }
}
