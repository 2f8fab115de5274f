//! Tenants: the owners of the series in memory, and the share that each may use.
//!
//! The tenant of a series is the value of one label; a series without the label belongs to the empty tenant. Each
//! series is counted from before its registration until it leaves memory, so the counts are exact under concurrent
//! writers.
//!
//! # Fair shares
//! The only tenant may use everything. With several tenants, one may grow while it has at most [`FREE_TIMES`] times
//! what is still free. So a tenant that floods gets at most four fifths and leaves a fifth free, the next one gets four
//! fifths of that, and two that flood at the same time get equal amounts. A fixed fraction for each would limit a large
//! tenant next to small ones although there is room, or leave nothing for the last of many. These are the dynamic
//! thresholds of shared packet buffers (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
//!
//! A single tenant may have filled everything before the second one arrives. So memory has a reserve of one sixteenth
//! beyond its bound, which a single tenant cannot use. The estimated size of a series exceeds the measured size by more
//! than that (`SERIES_BYTES`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahash::RandomState;

use crate::head::bytes_of;
use crate::model::Labels;
use crate::sync::Mutex;

/// With several tenants, one may grow while it has at most this many times what is free.
const FREE_TIMES: u64 = 4;
/// The reserve for later tenants is the memory for series divided by this.
const RESERVE_PART: u64 = 16;
/// Memory of a tenant's account, without its name.
const ACCOUNT_BYTES: u64 = 128;
/// Maximum number of tenants whose refused series are counted separately.
const REFUSED_TENANTS_MAX: usize = 50;
/// Longest tenant name that is reported, bytes.
const REPORTED_NAME_MAX: usize = 200;

/// The tenants of the series in memory.
#[derive(Debug, Default)]
pub struct Tenants {
    label: Box<str>,
    inner: Mutex<Inner>,
    /// Bytes of all series, for readers that must not wait.
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    /// Series without the label, or all series if no label is set.
    unnamed: Account,
    named: HashMap<Box<str>, Account, RandomState>,
    series: u64,
    bytes: u64,
    refused: Refused,
}

/// The series of a tenant.
#[derive(Debug, Default, Clone, Copy)]
struct Account {
    series: u64,
    bytes: u64,
    /// When the current second began, and the number of new series since.
    second: Option<(Instant, u64)>,
}

/// Refused new series by tenant. A name is never removed, so a count never decreases.
#[derive(Debug, Default)]
struct Refused {
    named: HashMap<Box<str>, u64, RandomState>,
    others: u64,
}

/// The limits that a new series must fit.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Series of all tenants.
    pub series_max: u64,
    /// Bytes of the series of all tenants.
    pub bytes_max: u64,
    /// Series of one tenant; 0 for no limit.
    pub per_tenant_max: u64,
}

/// Why there is no room for a new series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The tenant has reached the limit of series for one tenant.
    Tenant,
    /// The tenant has `series` series, more than its fair share while `free` are left.
    Series {
        /// Series of the tenant.
        series: u64,
        /// Series that all tenants may still create.
        free: u64,
    },
    /// The tenant's series take `bytes`, more than its fair share while `free` are left.
    Bytes {
        /// Bytes of the tenant's series.
        bytes: u64,
        /// Bytes that all tenants may still take.
        free: u64,
    },
    /// The only tenant has used all memory for series.
    Memory,
}

/// The series of one tenant in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantUse {
    /// The value of the label; empty for series without it.
    pub name: String,
    /// Series.
    pub series: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The series of all tenants in memory, and their refused series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantsReport {
    /// Number of tenants with series in memory.
    pub count: u64,
    /// The tenants with most series, in descending order. Names longer than 200 bytes are counted in `others`.
    pub largest: Vec<TenantUse>,
    /// All other tenants together, without a name.
    pub others: TenantUse,
    /// New series refused since the database was opened, for the first 50 tenants that had any, by name.
    pub refused: Vec<(String, u64)>,
    /// The same for all other tenants.
    pub refused_others: u64,
}

impl Tenants {
    /// No series yet; the tenant is the value of `label`. With an empty label all series belong to one tenant.
    pub fn new(label: &str) -> Self {
        Tenants { label: label.into(), ..Tenants::default() }
    }

    /// The label whose value is the tenant; empty if there is none.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The tenant of a label set.
    pub fn of<'l>(&self, labels: &'l Labels) -> &'l str {
        if self.label.is_empty() { "" } else { labels.get(&self.label).unwrap_or("") }
    }

    /// Counts a series that is about to be created, if it fits.
    ///
    /// # Errors
    /// The reason why it does not fit.
    pub fn take(&self, labels: &Labels, bounds: Bounds) -> Result<(), Full> {
        let name = self.of(labels);
        let mut inner = self.inner.lock();
        let account = inner.account(name);
        let bytes = bytes_of(labels) + account.map_or(account_bytes(name), |_| 0);
        let own = account.copied().unwrap_or_default();
        if bounds.per_tenant_max > 0 && own.series >= bounds.per_tenant_max {
            return Err(Full::Tenant);
        }
        let is_alone = inner.series == own.series;
        if is_alone {
            if inner.bytes + bytes > bounds.bytes_max {
                return Err(Full::Memory);
            }
        } else {
            let free = bounds.series_max.saturating_sub(inner.series);
            if !is_fair(own.series, 1, free) {
                return Err(Full::Series { series: own.series, free });
            }
            let reserve = bounds.bytes_max / RESERVE_PART;
            let free = bounds.bytes_max.saturating_add(reserve).saturating_sub(inner.bytes);
            if !is_fair(own.bytes, bytes, free) {
                return Err(Full::Bytes { bytes: own.bytes, free });
            }
        }
        inner.add(name, labels);
        self.bytes.store(inner.bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Counts a series even if it does not fit, because it existed before.
    pub fn add(&self, labels: &Labels) {
        let mut inner = self.inner.lock();
        inner.add(self.of(labels), labels);
        self.bytes.store(inner.bytes, Ordering::Relaxed);
    }

    /// Subtracts removed series.
    pub fn give<'l>(&self, sets: impl IntoIterator<Item = &'l Labels>) {
        let mut inner = self.inner.lock();
        for labels in sets {
            inner.sub(self.of(labels), labels);
        }
        self.bytes.store(inner.bytes, Ordering::Relaxed);
    }

    /// Counts a new series of this second, already counted by [`Tenants::take`], unless its tenant has reached `limit`;
    /// returns whether it was counted.
    pub fn admit_in_second(&self, labels: &Labels, limit: u64, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        let Some(account) = inner.account_mut(self.of(labels)) else { return true };
        let current = account.second.filter(|(start, _)| now.duration_since(*start) < Duration::from_secs(1));
        let (start, count) = current.unwrap_or((now, 0));
        let fits = count < limit;
        account.second = Some((start, count + u64::from(fits)));
        fits
    }

    /// Undoes the count of a new series of this second that was not created.
    pub fn withdraw_from_second(&self, labels: &Labels) {
        let mut inner = self.inner.lock();
        if let Some((_, count)) =
            inner.account_mut(self.of(labels)).and_then(|account| account.second.as_mut())
        {
            *count = count.saturating_sub(1);
        }
    }

    /// Counts a refused new series.
    pub fn note_refused(&self, labels: &Labels) {
        let name = self.of(labels);
        let refused = &mut self.inner.lock().refused;
        if let Some(count) = refused.named.get_mut(name) {
            *count += 1;
        } else if refused.named.len() < REFUSED_TENANTS_MAX && name.len() <= REPORTED_NAME_MAX {
            refused.named.insert(name.into(), 1);
        } else {
            refused.others += 1;
        }
    }

    /// Bytes of the series of all tenants.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The series of the `top` tenants with most series, and of all others together.
    pub fn report(&self, top: usize) -> TenantsReport {
        let inner = self.inner.lock();
        let mut all: Vec<(&str, &Account)> =
            inner.named.iter().map(|(name, account)| (&**name, account)).collect();
        if inner.unnamed.series > 0 {
            all.push(("", &inner.unnamed));
        }
        let count = all.len() as u64;
        let by_size = |a: &(&str, &Account), b: &(&str, &Account)| (b.1.series, a.0).cmp(&(a.1.series, b.0));
        let mut named: Vec<_> = all.into_iter().filter(|(name, _)| name.len() <= REPORTED_NAME_MAX).collect();
        if named.len() > top {
            named.select_nth_unstable_by(top, by_size);
            named.truncate(top);
        }
        named.sort_unstable_by(by_size);
        let largest: Vec<TenantUse> = named
            .into_iter()
            .map(|(name, account)| TenantUse {
                name: name.to_owned(),
                series: account.series,
                bytes: account.bytes,
            })
            .collect();
        let others = TenantUse {
            name: String::new(),
            series: inner.series - largest.iter().map(|tenant| tenant.series).sum::<u64>(),
            bytes: inner.bytes - largest.iter().map(|tenant| tenant.bytes).sum::<u64>(),
        };
        let mut refused: Vec<(String, u64)> =
            inner.refused.named.iter().map(|(name, count)| (name.to_string(), *count)).collect();
        refused.sort_unstable();
        TenantsReport { count, largest, others, refused, refused_others: inner.refused.others }
    }
}

/// Whether one of several tenants that has `own` may take `more` while `free` is left for all.
fn is_fair(own: u64, more: u64, free: u64) -> bool {
    more <= free && own.saturating_add(more) <= free.saturating_mul(FREE_TIMES)
}

fn account_bytes(name: &str) -> u64 {
    if name.is_empty() { 0 } else { ACCOUNT_BYTES + name.len() as u64 }
}

impl Inner {
    fn account(&self, name: &str) -> Option<&Account> {
        if name.is_empty() { Some(&self.unnamed) } else { self.named.get(name) }
    }

    fn account_mut(&mut self, name: &str) -> Option<&mut Account> {
        if name.is_empty() { Some(&mut self.unnamed) } else { self.named.get_mut(name) }
    }

    fn add(&mut self, name: &str, labels: &Labels) {
        let bytes = bytes_of(labels);
        self.series += 1;
        self.bytes += bytes;
        if let Some(account) = self.account_mut(name) {
            account.series += 1;
            account.bytes += bytes;
            return;
        }
        let own = account_bytes(name);
        self.bytes += own;
        self.named.insert(name.into(), Account { series: 1, bytes: bytes + own, second: None });
    }

    fn sub(&mut self, name: &str, labels: &Labels) {
        let bytes = bytes_of(labels);
        self.series -= 1;
        self.bytes -= bytes;
        let Some(account) = self.account_mut(name) else { return };
        account.series -= 1;
        account.bytes -= bytes;
        if account.series == 0 && !name.is_empty() {
            self.bytes -= account_bytes(name);
            self.named.remove(name);
            if self.named.capacity() > 64 && self.named.capacity() / 4 > self.named.len() {
                self.named.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_LIMIT: Bounds = Bounds { series_max: u64::MAX, bytes_max: u64::MAX, per_tenant_max: 0 };

    fn labels(tenant: &str, number: usize) -> Labels {
        let number = number.to_string();
        let pairs = [("__name__", "m"), ("db", tenant), ("n", &number)];
        Labels::from_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty())).unwrap()
    }

    /// Takes series for a tenant until there is no room; returns their number, and the refusal.
    fn flood(tenants: &Tenants, tenant: &str, bounds: Bounds) -> (u64, Full) {
        for number in 0.. {
            if let Err(full) = tenants.take(&labels(tenant, number % 10), bounds) {
                return (number as u64, full);
            }
        }
        unreachable!("memory is limited")
    }

    #[test]
    fn a_tenant_alone_is_not_limited_and_leaves_room_for_the_next_ones() {
        let bounds = Bounds { bytes_max: 4 << 20, ..NO_LIMIT };
        let tenants = Tenants::new("db");
        let (first, full) = flood(&tenants, "a", bounds);
        assert_eq!(full, Full::Memory);
        assert!(tenants.bytes() <= bounds.bytes_max && tenants.bytes() + 300 > bounds.bytes_max);
        let mut before = first;
        for next in ["b", "", "d"] {
            let (count, full) = flood(&tenants, next, bounds);
            assert!(matches!(full, Full::Bytes { .. }), "{full:?}");
            assert!(count > 20 && count < before, "{next:?} got {count}, the one before {before}");
            before = count;
        }
        assert!(tenants.bytes() <= bounds.bytes_max + bounds.bytes_max / RESERVE_PART);
        assert!(
            matches!(tenants.take(&labels("a", 1), bounds), Err(Full::Bytes { .. })),
            "it must leave room for the others"
        );
    }

    #[test]
    fn one_of_several_gets_most_and_never_all() {
        for bounds in [Bounds { bytes_max: 4 << 20, ..NO_LIMIT }, Bounds { series_max: 10_000, ..NO_LIMIT }] {
            let tenants = Tenants::new("db");
            tenants.take(&labels("small", 0), bounds).unwrap();
            let (large, _) = flood(&tenants, "large", bounds);
            let (all, share) = match bounds.series_max {
                u64::MAX => (tenants.bytes(), tenants.bytes() as f64 / bounds.bytes_max as f64),
                _ => (large, large as f64 / 10_000.0),
            };
            assert!((0.79..0.86).contains(&share), "{all} is {share}");
            assert!(flood(&tenants, "small", bounds).0 > large / 10);
        }
    }

    #[test]
    fn two_that_flood_together_get_the_same() {
        let bounds = Bounds { bytes_max: 4 << 20, ..NO_LIMIT };
        let tenants = Tenants::new("db");
        let mut counts = [0, 0];
        for number in 0..40_000 {
            let at = number % 2;
            counts[at] += u64::from(tenants.take(&labels(["a", "b"][at], 1), bounds).is_ok());
        }
        assert!(counts[0].abs_diff(counts[1]) <= 1, "{counts:?}");
    }

    #[test]
    fn without_a_label_there_is_one_tenant() {
        let tenants = Tenants::new("");
        let bounds = Bounds { series_max: 100, ..NO_LIMIT };
        (0..100).for_each(|i| tenants.take(&labels(&format!("t{i}"), 0), bounds).unwrap());
        assert_eq!(tenants.report(5).count, 1);
    }

    #[test]
    fn names_in_the_report_are_few_and_short() {
        let tenants = Tenants::new("db");
        let long = "x".repeat(REPORTED_NAME_MAX + 1);
        for (tenant, count) in [("a", 3), ("b", 5), ("c", 1), (&*long, 9), ("", 2)] {
            (0..count).for_each(|i| tenants.add(&labels(tenant, i)));
        }
        let report = tenants.report(2);
        let largest: Vec<_> = report.largest.iter().map(|tenant| (&*tenant.name, tenant.series)).collect();
        assert_eq!((report.count, &largest[..]), (5, &[("b", 5), ("a", 3)][..]));
        assert_eq!(report.others.series, 12);
        for i in 0..2 * REFUSED_TENANTS_MAX {
            tenants.note_refused(&labels(&format!("t{i}"), 0));
        }
        tenants.note_refused(&labels("t0", 0));
        tenants.note_refused(&labels(&long, 0));
        let report = tenants.report(2);
        assert_eq!(
            (report.refused.len(), report.refused_others),
            (REFUSED_TENANTS_MAX, REFUSED_TENANTS_MAX as u64 + 1)
        );
        assert!(report.refused.contains(&("t0".to_owned(), 2)));
    }

    proptest! {
        #[test]
        fn counts_are_exact(steps in proptest::collection::vec((0usize..4, 0usize..3, any::<bool>()), 0..200)) {
            let tenants = Tenants::new("db");
            let mut model: Vec<(usize, usize)> = Vec::new();
            let names = ["", "a", "b", "c"];
            for (tenant, number, comes) in steps {
                let set = labels(names[tenant], number);
                if comes {
                    tenants.take(&set, NO_LIMIT).unwrap();
                    model.push((tenant, number));
                } else if let Some(at) = model.iter().position(|known| *known == (tenant, number)) {
                    model.swap_remove(at);
                    tenants.give([&set]);
                }
                let report = tenants.report(4);
                for (at, name) in names.into_iter().enumerate() {
                    let own: Vec<_> = model.iter().filter(|(tenant, _)| *tenant == at).collect();
                    let bytes: u64 = own.iter().map(|(_, number)| bytes_of(&labels(name, *number))).sum();
                    let found = report.largest.iter().find(|tenant| tenant.name == name);
                    let expected = (!own.is_empty()).then(|| TenantUse {
                        name: name.to_owned(), series: own.len() as u64, bytes: bytes + account_bytes(name),
                    });
                    prop_assert_eq!(found, expected.as_ref());
                }
                prop_assert_eq!(tenants.bytes(), report.largest.iter().map(|tenant| tenant.bytes).sum::<u64>());
            }
        }
    }
}
