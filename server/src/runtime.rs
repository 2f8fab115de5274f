//! What the server asks of its runtime: calls that block run apart from the threads that drive sockets, and tasks hear
//! that the server stops.
//!
//! Every call of `barograph::Database` blocks, a write until its fsync. [`blocking`] moves it to a thread that may.

use tokio::sync::watch;

use crate::error::ApiError;

/// Runs a blocking call elsewhere and waits for it.
///
/// # Errors
/// 500 when the call panicked, which is a defect of ours.
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
