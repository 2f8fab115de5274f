//! What is kept, and the locks of those who change it, store it, and drop the rest.

use std::sync::Arc;

use crate::Result;
use crate::engine::base::Base;
use crate::engine::retention::Retention;
use crate::head::Head;
use crate::options::{Kept, Options};
use crate::sync::{Mutex, RwLock};

/// What is kept now.
pub(super) struct Keeping {
    options: Arc<Options>,
    retention: Arc<Retention>,
    head: Arc<Head>,
    kept: Mutex<Kept>,
    /// Held while what is kept is stored.
    storing: Mutex<()>,
    /// Written while data is dropped, read to keep all data.
    expiry: RwLock<()>,
}

impl Keeping {
    pub fn new(base: &Base) -> Self {
        Keeping {
            options: base.options.clone(),
            retention: base.retention.clone(),
            head: base.head.clone(),
            kept: Mutex::new(Kept::of(&base.options)),
            storing: Mutex::default(),
            expiry: RwLock::default(),
        }
    }

    pub fn kept(&self) -> Kept {
        self.kept.lock().clone()
    }

    /// Changes what is kept. Waits until what is being dropped has been dropped.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is refused; nothing is changed.
    pub fn change(&self, change: impl FnOnce(&mut Kept)) -> Result<()> {
        let _none_expire = self.without_expiry();
        let mut kept = self.kept.lock();
        let mut changed = kept.clone();
        change(&mut changed);
        changed.validate(&self.options)?;
        self.retention.set(&changed);
        self.head.set_rules(changed.series_rules(self.options.duplicates));
        *kept = changed;
        Ok(())
    }

    /// Stores what is kept from now on with `store`, and applies it. One call at a time.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is refused, or that of `store`; nothing is changed.
    pub fn store(&self, kept: Kept, store: impl FnOnce(&Kept) -> Result<()>) -> Result<()> {
        let _storing = self.storing.lock();
        kept.validate(&self.options)?;
        store(&kept)?;
        self.change(|current| *current = kept)
    }

    /// Keeps everything as long as the result lives. Several calls may do so at once.
    pub fn without_expiry(&self) -> impl Sized + '_ {
        self.expiry.read()
    }

    /// The right to drop data, as long as the result lives: what is kept does not change, and no delete cuts a bucket.
    pub fn expiring(&self) -> impl Sized + '_ {
        self.expiry.write()
    }

    /// The same, if `kept` is still what is kept.
    pub fn expiring_if(&self, kept: &Kept) -> Option<impl Sized + '_> {
        let expiring = self.expiring();
        (*self.kept.lock() == *kept).then_some(expiring)
    }

    /// Keeps the lock held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        self.kept.lock()
    }
}
