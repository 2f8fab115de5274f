//! The calls of a view: while one is in progress, the store stays open.
//!
//! A view without a call keeps no cursor, so closing the database frees its files even if views remain.

use crate::Result;
use crate::store::gate::Call;
use crate::view::View;

/// The calls of one view that are in progress.
#[derive(Default)]
pub(super) struct Calls<'e> {
    count: usize,
    /// The call of the first of them; the others need none.
    call: Option<Call<'e>>,
}

/// A call of a view.
pub(super) struct Entered<'v, 'e>(&'v View<'e>);

impl<'e> View<'e> {
    /// Begins a call.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), unless another call of this view is in progress.
    pub(super) fn enter(&self) -> Result<Entered<'_, 'e>> {
        // In a forked child even this lock may never become free.
        self.gate.check_process()?;
        let mut calls = self.calls.lock();
        if calls.call.is_none() {
            calls.call = Some(self.gate.enter()?);
        }
        calls.count += 1;
        Ok(Entered(self))
    }

    /// Keeps one call open for the lifetime of the view, for a caller that reads several times and drops the view soon.
    /// Closing the database waits for it.
    #[must_use]
    pub fn as_one_call(self) -> Self {
        let mut calls = self.calls.lock();
        if calls.call.is_none() {
            // If the database is closed, every read returns that error.
            calls.call = self.gate.enter().ok();
        }
        calls.count += usize::from(calls.call.is_some());
        drop(calls);
        self
    }
}

impl Drop for Entered<'_, '_> {
    fn drop(&mut self) {
        let view = self.0;
        let mut calls = view.calls.lock();
        calls.count -= 1;
        if calls.count == 0 {
            // Cursors are dropped first.
            view.cursors.lock().clear();
            calls.call = None;
        }
    }
}

#[cfg(test)]
impl View<'_> {
    /// Keeps the lock held, as another thread may do at the moment of a fork.
    pub(crate) fn hold(&self) -> impl Sized + '_ {
        self.calls.lock()
    }
}
