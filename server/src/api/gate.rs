//! The gate before queries: a fixed number run, a bounded number wait, the rest are told
//! when to come back.
//!
//! What waits is bounded three times: in number by the queue, in time by the patience of
//! each, and in memory by the pool of all queries, against which a [`Turn`] counts what its
//! request says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use barograph_query::Usage;

/// Admits queries.
#[derive(Debug)]
pub struct QueryGate {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue_max: usize,
    concurrency: usize,
}

/// The turn of a question, which ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _usage: Usage,
}

impl Turn {
    /// A turn that holds what `usage` has taken until it ends.
    pub fn new(permit: OwnedSemaphorePermit, usage: Usage) -> Self {
        Turn { _permit: permit, _usage: usage }
    }
}

/// Counts a waiter, also when the waiter gives up half-way.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl QueryGate {
    /// `concurrency` run at once, `queue_max` may wait.
    pub fn new(concurrency: usize, queue_max: usize) -> Self {
        QueryGate {
            running: Arc::new(Semaphore::new(concurrency)),
            waiting: AtomicUsize::new(0),
            queue_max,
            concurrency,
        }
    }

    /// Waits for a turn, which ends when the permit is dropped.
    ///
    /// # Errors
    /// 429 when the queue is full, 503 when the wait was too long.
    pub async fn enter(&self, patience: Duration) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.queue_max {
            let message = format!(
                "{} queries are waiting already (query_queue) for {} that run (query_concurrency); retry later, or \
                 raise one of these",
                self.queue_max, self.concurrency
            );
            return Err(ApiError::too_many(message, 1));
        }
        match tokio::time::timeout(patience, self.running.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                let seconds = patience.as_secs_f64();
                let message = format!(
                    "the query waited {seconds} s for its turn (query_wait) while {} ran (query_concurrency); retry \
                     later, or raise one of these",
                    self.concurrency
                );
                Err(ApiError::busy(message, 5))
            }
        }
    }

    /// Queries that run now.
    pub fn running(&self) -> usize {
        self.concurrency.saturating_sub(self.running.available_permits())
    }

    /// Queries that wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_is_bounded_in_length_and_time() {
        let gate = Arc::new(QueryGate::new(1, 1));
        let running = gate.enter(Duration::ZERO).await.unwrap();
        let late = gate.enter(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!((late.status.as_u16(), late.retry_after), (503, Some(5)));

        let other = gate.clone();
        let waiter = tokio::spawn(async move { other.enter(Duration::from_secs(60)).await.is_ok() });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter(Duration::from_secs(60)).await.unwrap_err().status, 429);
        drop(running);
        assert!(waiter.await.unwrap());
        assert_eq!(gate.waiting(), 0);
    }
}
