//! Line protocol over UDP: a datagram holds whole lines. Nobody is told anything; what is
//! wrong is counted and logged.
//!
//! Datagrams that wait already are stored together, since each batch costs an fsync.
//!
//! Next: `ingest/mod.rs`.

use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::app::App;
use crate::telemetry::Origin;
use crate::telemetry::log::Throttle;

/// Largest datagram IP carries.
const DATAGRAM_MAX: usize = 65_536;
/// Lines are stored when this many bytes are waiting, at the latest.
const BATCH_BYTES: usize = 1 << 20;

static FAILED: Throttle = Throttle::new();

/// Receives until `stop` turns true.
pub async fn serve(app: Arc<App>, socket: UdpSocket, mut stop: watch::Receiver<bool>) {
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut datagram) => received,
            _ = super::stopped(&mut stop) => return,
        };
        let mut lines = Vec::new();
        if let Ok((length, _)) = received {
            push(&mut lines, &datagram[..length]);
        }
        while lines.len() < BATCH_BYTES {
            let Ok((length, _)) = socket.try_recv_from(&mut datagram) else { break };
            push(&mut lines, &datagram[..length]);
        }
        if lines.is_empty() {
            continue;
        }
        if let Err(e) = super::tcp::store(&app, lines, Origin::Udp).await
            && let Some(held_back) = FAILED.pass()
        {
            tracing::warn!(held_back, "datagrams were lost: {e}");
        }
    }
}

/// Adds a datagram; its last line ends with it.
fn push(lines: &mut Vec<u8>, datagram: &[u8]) {
    lines.extend_from_slice(datagram);
    if !datagram.ends_with(b"\n") {
        lines.push(b'\n');
    }
}
