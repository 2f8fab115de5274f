//! Sockets, and nothing of what travels over them.

pub mod chunks;
pub mod connection;
pub mod exchange;
pub mod head;
pub mod http;
pub mod kinds;
pub mod lines;
pub mod pace;
pub mod requests;
pub mod stream;
pub mod tcp;
pub mod udp;

/// Waits until the server is told to stop.
pub async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // An error means that nobody is left who could tell: the same as being told.
    let _ = stop.wait_for(|stopping| *stopping).await;
}
