//! Helpers for the runtime: blocking calls run on separate threads from those that drive sockets, and tasks learn that
//! the server stops.
//!
//! Every call of `barograph::Database` blocks, a write until its fsync. [`blocking`] moves it to a thread that may
//! block.

use tokio::sync::watch;

use crate::error::ApiError;

/// Runs a blocking call on another thread and waits for it.
///
/// # Errors
/// 500 if the call panicked, which is a bug of ours.
pub async fn blocking<T, F>(call: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(call).await.map_err(|e| {
        tracing::error!("a blocking call failed: {e}");
        ApiError::internal("an internal call failed; the log has details")
    })
}

/// Waits until the server stops: until `stop` is true, or its sender is gone.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}
