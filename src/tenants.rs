//! Handles restricted to one tenant.
//!
//! Reads are restricted in one place, the view of the engine ([`View::of_tenant`](barograph_engine::View::of_tenant)),
//! so that no kind of read can omit the restriction.

use std::borrow::Cow;
use std::sync::Arc;

use barograph_engine::model::{Labels, Matcher, Tenant};
use barograph_engine::{Error, LineOptions};

use crate::reader::DATABASE_LABEL;
use crate::{Database, Result};

impl Database {
    /// A handle of one tenant, the value of the label [`Options::tenant_label`](crate::Options::tenant_label).
    /// Everything read and deleted through it is restricted to the series with that value, and everything written gets
    /// the label. Data written for another tenant is refused and not changed. Descriptions of metrics are visible to
    /// the tenant that wrote them; those written without a tenant are visible to every tenant that has series of the
    /// metric. Calls that concern the whole database are the same for every handle: statistics, limits, flushing,
    /// merging, snapshots, closing.
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Options, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// let (a, b) = (db.for_tenant("a")?, db.for_tenant("b")?);
    /// a.write_lines(b"cpu,host=x usage=1 1700000000000000000", &LineOptions::default())?;
    /// b.write_lines(b"cpu,host=x usage=2 1700000000000000000", &LineOptions::default())?;
    /// let time = Timestamp::from_secs(1_700_000_000);
    /// assert_ne!(a.query("sum(cpu_usage)", time)?.value, b.query("sum(cpu_usage)", time)?.value);
    /// assert_eq!(a.write_lines(b"cpu,host=x,db=b usage=1", &LineOptions::default())?.lines_bad, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The name is empty or contains a NUL, no tenant label is set, or this handle belongs to another tenant.
    pub fn for_tenant(&self, name: &str) -> Result<Database> {
        let label = &self.engine.options().tenant_label;
        let invalid = |why: String| crate::Error::from(Error::Invalid(format!("tenant {name:?}: {why}")));
        if label.is_empty() {
            return Err(invalid("there are no tenants (tenant_label is empty)".to_owned()));
        }
        let tenant =
            Tenant::new(label, name).ok_or_else(|| invalid("it is empty or has a NUL".to_owned()))?;
        if self.tenant.as_ref().is_some_and(|own| **own != tenant) {
            return Err(invalid("the handle belongs to another tenant".to_owned()));
        }
        Ok(Database { engine: self.engine.clone(), tenant: Some(Arc::new(tenant)) })
    }

    /// The tenant of this handle.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.for_tenant("a")?.tenant().map(|tenant| tenant.name()), Some("a"));
    /// assert_eq!(db.tenant(), None);
    /// # Ok(()) }
    /// ```
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_deref()
    }

    /// Labels with the tenant's label added.
    pub(crate) fn claimed<'l>(&self, labels: &'l Labels) -> Result<Cow<'l, Labels>> {
        match self.tenant() {
            Some(tenant) => {
                let claimed = tenant.claim(labels);
                Ok(claimed.map_err(|foreign| Error::Invalid(format!("series {labels}: {foreign}")))?)
            }
            None => Ok(Cow::Borrowed(labels)),
        }
    }

    /// The line options of the tenant.
    pub(crate) fn own_lines<'o>(&self, options: &'o LineOptions) -> Cow<'o, LineOptions> {
        match self.tenant() {
            Some(tenant) => Cow::Owned(options.clone().with_tenant(tenant.clone())),
            None => Cow::Borrowed(options),
        }
    }

    /// Matchers with the tenant's added. An empty list stays empty, which a delete refuses.
    pub(crate) fn own_matchers<'m>(&self, matchers: &'m [Matcher]) -> Cow<'m, [Matcher]> {
        match self.tenant() {
            Some(tenant) if !matchers.is_empty() => {
                matchers.iter().cloned().chain([tenant.matcher()]).collect()
            }
            _ => Cow::Borrowed(matchers),
        }
    }

    /// Checks that a tenant creates and drops only its own database.
    pub(crate) fn check_database(&self, name: &str) -> Result<()> {
        match self.tenant() {
            Some(tenant) if tenant.label() != DATABASE_LABEL || tenant.name() != name => {
                let shown: String = name.chars().take(100).collect();
                Err(Error::Invalid(format!(
                    "database {shown:?} does not belong to the tenant {:?} (label {:?}); writing does not require creating it",
                    tenant.name(),
                    tenant.label()
                ))
                .into())
            }
            _ => Ok(()),
        }
    }
}
