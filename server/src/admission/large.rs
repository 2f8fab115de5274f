//! Turns of large writes.
//!
//! Few large bodies are parsed and stored at once, about one per core. Running more of them would not finish them
//! sooner, and small writes, which need no turn, would have to share the cores with all of them. Large writes get turns
//! in the order in which their bodies have arrived. The memory for bodies is granted to tenants in rotation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::values::show_size;
use crate::error::ApiError;

/// Maximum size of a modest body in bytes: a batch of an agent. Larger bodies cannot take all memory from these.
pub const MODEST: u64 = 512 << 10;

/// Gives large writes their turns.
#[derive(Debug)]
pub struct LargeWrites {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The turn of a large write.
#[derive(Debug)]
pub struct LargeWrite {
    _turn: OwnedSemaphorePermit,
}

/// A waiting write, which is counted until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl LargeWrites {
    /// One turn per core, and one for a write that waits for the disk.
    pub fn on(cores: usize) -> Self {
        LargeWrites { turns: Arc::new(Semaphore::new(cores + 1)), waiting: AtomicUsize::new(0) }
    }

    /// Waits for the turn of a write of `bytes`, at most for `patience`. A write of up to [`MODEST`] bytes needs no
    /// turn.
    ///
    /// # Errors
    /// 429 if the wait was too long.
    pub async fn enter(&self, bytes: u64, patience: Duration) -> Result<Option<LargeWrite>, ApiError> {
        if bytes <= MODEST {
            return Ok(None);
        }
        self.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiting(&self.waiting);
        match tokio::time::timeout(patience, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Some(LargeWrite { _turn: turn })),
            _ => {
                let message = format!(
                    "it waited {} s for other large writes (body_timeout); retry later, or send smaller bodies: up to {} \
                     they do not wait",
                    patience.as_secs_f64(),
                    show_size(MODEST)
                );
                Err(ApiError::too_many(message, 1))
            }
        }
    }

    /// The number of writes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// The number of free turns.
    pub fn free(&self) -> usize {
        self.turns.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn small_writes_need_no_turn() {
        let writes = LargeWrites::on(1);
        let mut turns = Vec::new();
        for _ in 0..2 {
            turns.push(writes.enter(MODEST + 1, LONG).await.unwrap().unwrap());
        }
        assert_eq!(writes.free(), 0);
        for _ in 0..100 {
            assert!(writes.enter(MODEST, Duration::ZERO).await.unwrap().is_none());
        }
        let late = writes.enter(MODEST + 1, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!((late.status.as_u16(), late.retry_after), (429, Some(1)));
        assert!(late.message.contains("body_timeout"), "{}", late.message);
        drop(turns.pop());
        drop(writes.enter(MODEST + 1, LONG).await.unwrap().unwrap());
        drop(turns);
        assert_eq!(writes.free(), 2);
    }
}
