//! Limits on series: the size of one, and the number in total, of one metric, of one tenant, and with different values
//! of one label.
//!
//! The message of a refusal names the setting and the remedy; the same write is refused again until something changes,
//! so the error is [`Error::Limit`].
//!
//! Series in the head count: those with unflushed or recent samples. Its postings have the counts of metrics and
//! labels. Two concurrent writers at one of these limits may each add a series, since no lock is held between check and
//! registration. Tenants are counted before the registration, by `head/tenants.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::engine::Engine;
use crate::engine::admit::Admission;
use crate::engine::admit::newcomers::Newcomers;
use crate::engine::shortened::{cut, shown};
use crate::head::tenants::{Bounds, Full};
use crate::model::{Labels, METRIC_NAME};
use crate::{Error, Options, Result};

/// The limits. They can be changed while the database is open; zero means no limit.
#[derive(Debug)]
pub(in crate::engine) struct CardinalityLimits {
    series_per_metric: AtomicU64,
    values_per_label: AtomicU64,
    series_per_tenant: AtomicU64,
    new_series_per_tenant: AtomicU64,
}

impl CardinalityLimits {
    pub(crate) fn new(options: &Options) -> Self {
        CardinalityLimits {
            series_per_metric: AtomicU64::new(options.max_series_per_metric),
            values_per_label: AtomicU64::new(options.max_values_per_label),
            series_per_tenant: AtomicU64::new(options.max_series_per_tenant),
            new_series_per_tenant: AtomicU64::new(options.max_new_series_per_tenant),
        }
    }
}

impl Engine {
    /// Changes the limit of new series in one second. Zero is no limit.
    pub fn set_new_series_per_second(&self, limit: u64) {
        self.shared.admission.limiter.set(limit);
    }

    /// Changes the limits [`Options::max_series_per_metric`] and
    /// [`Options::max_values_per_label`] of the running database. Existing series stay.
    pub fn set_cardinality_limits(&self, series_per_metric: u64, values_per_label: u64) {
        let limits = &self.shared.admission.cardinality;
        limits.series_per_metric.store(series_per_metric, Ordering::Relaxed);
        limits.values_per_label.store(values_per_label, Ordering::Relaxed);
    }

    /// Changes the limits [`Options::max_series_per_tenant`] and [`Options::max_new_series_per_tenant`] of the running
    /// database. Existing series stay.
    pub fn set_tenant_limits(&self, series: u64, new_series_per_second: u64) {
        let limits = &self.shared.admission.cardinality;
        limits.series_per_tenant.store(series, Ordering::Relaxed);
        limits.new_series_per_tenant.store(new_series_per_second, Ordering::Relaxed);
    }
}

/// The size of all names and values, bytes.
pub(in crate::engine) fn label_bytes(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl Admission {
    /// Whether a label set may be a series, regardless of the number of others.
    pub fn check_labels(&self, labels: &Labels) -> Result<()> {
        let limit = self.options.labels_per_series;
        // A label takes at least four bytes, so short sets need not be counted.
        let count = if labels.as_bytes().len() / 4 > limit { labels.len() } else { 0 };
        if count > limit {
            return Err(Error::Limit(format!(
                "series {}: {count} labels, the limit is {limit} (max_labels, Options::labels_per_series); raise it or \
                 send fewer",
                shown(labels)
            )));
        }
        let limit = self.options.label_bytes_per_series;
        // The encoded labels are longer, and their length is known.
        let bytes = if labels.as_bytes().len() > limit { label_bytes(labels) } else { 0 };
        if bytes > limit {
            return Err(Error::Limit(format!(
                "series {}: labels of {bytes} bytes, the limit is {limit} (max_label_bytes, \
                 Options::label_bytes_per_series); raise it or shorten them",
                shown(labels)
            )));
        }
        Ok(())
    }

    /// Whether one more series may be added to the `count` in the head.
    pub fn admit_count(&self, labels: &Labels, count: usize) -> Result<()> {
        let limit = self.options.active_series;
        if count as u64 >= limit {
            return Err(Error::Limit(format!(
                "{limit} active series, the limit (max_series, Options::active_series); series {} is new: raise the \
                 limit, or drop a label that has too many values",
                shown(labels)
            )));
        }
        Ok(())
    }

    /// Whether a new series leaves its metric and its labels within their limits.
    pub fn admit_cardinality(&self, labels: &Labels) -> Result<()> {
        let series_max = self.cardinality.series_per_metric.load(Ordering::Relaxed);
        let values_max = self.cardinality.values_per_label.load(Ordering::Relaxed);
        if series_max > 0
            && let Some(metric) = labels.get(METRIC_NAME)
            && self.head.series_count_of(METRIC_NAME, metric) >= series_max
        {
            self.counts.refused_metric.add(1);
            return Err(Error::Limit(format!(
                "metric {metric:?} has {series_max} active series, the limit (max_series_per_metric); series {} is new: \
                 raise the limit, or drop a label that has too many values",
                shown(labels)
            )));
        }
        if values_max > 0
            && let Some((name, value)) = self.head.first_new_value(labels, values_max)
        {
            self.counts.refused_label.add(1);
            return Err(Error::Limit(format!(
                "label {name:?} has {values_max} values among active series, the limit (max_values_per_label); value \
                 {} of series {} is new: raise the limit, or drop the label",
                cut(format!("{value:?}")),
                shown(labels)
            )));
        }
        Ok(())
    }

    /// Counts a new series if it fits the limits of all tenants together and of its own tenant.
    pub fn count_series(&self, labels: &Labels) -> Result<()> {
        let bounds = Bounds {
            series_max: self.options.active_series,
            bytes_max: self.options.series_bytes_max(),
            per_tenant_max: self.cardinality.series_per_tenant.load(Ordering::Relaxed),
        };
        let Err(full) = self.head.tenants.take(labels, bounds) else { return Ok(()) };
        if full != Full::Memory {
            self.counts.refused_tenant.add(1);
        }
        if full != Full::Tenant {
            self.idle.want_room(true);
        }
        let (tenant, new) = (self.tenant_of(labels), shown(labels));
        let Bounds { series_max, bytes_max, per_tenant_max } = bounds;
        Err(match full {
            Full::Tenant => Error::Limit(format!(
                "{tenant} has {per_tenant_max} active series, the limit (max_series_per_tenant); series {new} is new: \
                 raise the limit, or drop a label that has too many values"
            )),
            Full::Series { series, free } => Error::Limit(format!(
                "{tenant} has {series} active series, its fair share: of {series_max} (max_series, \
                 Options::active_series) {free} are free for all tenants; series {new} is new: raise max_series, or drop \
                 a label that has too many values"
            )),
            Full::Bytes { bytes, free } => Error::Throttled(format!(
                "active series of {tenant} take {bytes} bytes, its fair share: of the {bytes_max} bytes for series and \
                 their reserve {free} are free for all tenants; series {new} is new: retry once idle series have left, or \
                 raise memory (Options::memory_bytes)"
            )),
            Full::Memory => Error::Throttled(format!(
                "active series take {} bytes, their share of memory is {bytes_max}; series {new} is new: retry once idle \
                 series have left, or raise memory (Options::memory_bytes)",
                self.head.series_bytes()
            )),
        })
    }

    /// Counts a new series against the limits per second of its tenant and of all tenants.
    pub fn admit_in_second(&self, labels: &Labels, newcomers: &Newcomers) -> Result<()> {
        let limit = self.cardinality.new_series_per_tenant.load(Ordering::Relaxed);
        let tenants = &self.head.tenants;
        if limit > 0 && !tenants.admit_in_second(labels, limit, Instant::now()) {
            self.counts.refused_tenant.add(1);
            let tenant = self.tenant_of(labels);
            if newcomers.of_whole_tenant(tenants, tenants.of(labels)) >= limit {
                return Err(Error::Limit(format!(
                    "one batch creates more than {limit} new series of {tenant}, the limit for one second \
                     (max_new_series_per_tenant): append it in smaller batches, or raise the limit"
                )));
            }
            return Err(Error::Throttled(format!(
                "more than {limit} new series of {tenant} in one second, the limit (max_new_series_per_tenant); retry later"
            )));
        }
        let brought = newcomers.of_whole_request();
        self.limiter.admit(brought).inspect_err(|_| {
            if limit > 0 {
                tenants.withdraw_from_second(labels);
            }
        })
    }

    /// Describes the tenant of a label set for a message.
    fn tenant_of(&self, labels: &Labels) -> String {
        let tenants = &self.head.tenants;
        match (tenants.label(), tenants.of(labels)) {
            ("", _) => "all tenants (tenant_label is empty)".to_owned(),
            (label, "") => format!("the tenant without a label {}", cut(format!("{label:?}"))),
            (label, name) => {
                format!("tenant {} (label {})", cut(format!("{name:?}")), cut(format!("{label:?}")))
            }
        }
    }
}
