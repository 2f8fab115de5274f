//! A tenant: a label and the value that all its series have.
//!
//! Data written for a tenant gets the label. A label set with another value of the label is refused and not changed:
//! otherwise series that differ in that label alone would become one, and samples of one would replace samples of the
//! other.

use std::borrow::Cow;

use crate::model::{Labels, Matcher};

/// A tenant, defined by one value of a label. Its writes get the label, and its reads are restricted to series that
/// have it.
///
/// ```
/// use barograph_engine::model::{Labels, Tenant};
/// let tenant = Tenant::new("db", "a").unwrap();
/// let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
/// let owned = tenant.claim(&labels).unwrap();
/// assert_eq!(owned.get("db"), Some("a"));
/// assert!(Tenant::new("db", "b").unwrap().claim(&owned).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant {
    label: Box<str>,
    name: Box<str>,
}

/// The label set belongs to another tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its label {label} is {found:?}, but the writer is the tenant {name:?}: send that value or leave the label out"
)]
pub struct ForeignTenant {
    label: String,
    name: String,
    found: String,
}

impl Tenant {
    /// The tenant `name`, the value of `label`; `None` if either is empty or contains a NUL.
    pub fn new(label: &str, name: &str) -> Option<Self> {
        let is_usable = |text: &str| !text.is_empty() && !text.contains('\0');
        (is_usable(label) && is_usable(name)).then(|| Tenant { label: label.into(), name: name.into() })
    }

    /// The label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its value.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The matcher that selects its series and no others.
    pub fn matcher(&self) -> Matcher {
        Matcher::equal(&self.label, &self.name)
    }

    /// `selectors`, each restricted to this tenant.
    pub fn restrict(&self, selectors: &[Vec<Matcher>]) -> Vec<Vec<Matcher>> {
        let restricted = |matchers: &Vec<Matcher>| matchers.iter().cloned().chain([self.matcher()]).collect();
        selectors.iter().map(restricted).collect()
    }

    /// Checks that a label set belongs to this tenant.
    ///
    /// # Errors
    /// It belongs to another tenant.
    pub fn check(&self, labels: &Labels) -> Result<(), ForeignTenant> {
        let found = labels.get(&self.label).unwrap_or_default();
        if found == &*self.name { Ok(()) } else { Err(self.foreign(found)) }
    }

    /// `labels` with the tenant's label added; an empty set stays empty.
    ///
    /// # Errors
    /// The label has another value.
    pub fn claim<'l>(&self, labels: &'l Labels) -> Result<Cow<'l, Labels>, ForeignTenant> {
        match labels.get(&self.label) {
            Some(found) if found == &*self.name => Ok(Cow::Borrowed(labels)),
            Some(found) => Err(self.foreign(found)),
            None if labels.is_empty() => Ok(Cow::Borrowed(labels)),
            None => Ok(Cow::Owned(labels.to_builder().set(&self.label, &self.name).build())),
        }
    }

    /// The key under which this tenant's descriptions of a metric family are stored: the name of the family, a NUL,
    /// label and name. Family names contain no NUL, so these keys sort after the family's own.
    pub(crate) fn family_key(&self, family: &str) -> String {
        format!("{family}\0{}\0{}", self.label, self.name)
    }

    fn foreign(&self, found: &str) -> ForeignTenant {
        const CHARS_MAX: usize = 100;
        let found = found.chars().take(CHARS_MAX).collect();
        ForeignTenant { label: self.label.to_string(), name: self.name.to_string(), found }
    }
}
