//! The socket for datagrams, with as large a receive buffer as the kernel grants.
//!
//! A burst waits there while the receiver's thread is waiting for a processor. The kernel's default holds a few hundred
//! datagrams, each counted with some 800 bytes of its own.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use rustix::net::sockopt;

/// A bound socket that does not block.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    granted: u64,
}

impl DatagramSocket {
    /// Requests a receive buffer of `wanted` bytes for a non-blocking socket, and logs when the kernel grants less.
    ///
    /// # Errors
    /// The size of the buffer cannot be read.
    pub fn new(socket: UdpSocket, wanted: u64) -> io::Result<Self> {
        let size = usize::try_from(wanted).unwrap_or(usize::MAX);
        // With CAP_NET_ADMIN beyond the system's limit, otherwise up to it.
        if sockopt::set_socket_recv_buffer_size_force(&socket, size).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, size)?;
        }
        // The kernel keeps twice what it was asked for, to have room for its own.
        let granted = sockopt::socket_recv_buffer_size(&socket)? as u64 / 2;
        if granted < wanted {
            tracing::warn!(
                "udp_buffer: asked for {wanted} bytes, the kernel granted {granted}; raise net.core.rmem_max, or give \
                 the process CAP_NET_ADMIN, so that bursts of datagrams are not lost"
            );
        }
        Ok(DatagramSocket { socket, granted })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The socket, and the bytes of its receive buffer in the sense of the setting `udp_buffer`.
    pub fn into_parts(self) -> (UdpSocket, u64) {
        (self.socket, self.granted)
    }
}
