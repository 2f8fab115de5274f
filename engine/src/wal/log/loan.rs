//! The reserve in other hands: what frees space on a full disk uses its blocks for a while.

use super::Wal;

/// The reserve's blocks while others use them.
pub struct Loan<'w>(&'w Wal);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        let mut state = shared.idle(shared.state.lock());
        state.disk_full = !shared.writer.lock().end_loan();
    }
}

impl Wal {
    /// Gives the blocks of the reserve to what frees space, until the loan is dropped. Appends are refused meanwhile as on
    /// a full disk.
    pub fn lend_reserve(&self) -> Loan<'_> {
        let mut state = self.shared.idle(self.shared.state.lock());
        self.shared.writer.lock().lend_reserve();
        state.disk_full = true;
        Loan(self)
    }
}
