//! The socket for datagrams, with as large a receive buffer as the kernel grants.
//!
//! A burst waits in this buffer while the receiver's thread waits for a CPU. The kernel's default buffer holds a few
//! hundred datagrams, each counted with about 800 bytes of overhead.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use rustix::net::sockopt;

/// A bound, non-blocking socket.
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
        // With CAP_NET_ADMIN, the buffer may exceed the system's limit; otherwise it may not.
        if sockopt::set_socket_recv_buffer_size_force(&socket, size).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, size)?;
        }
        // The kernel doubles the requested size to account for its overhead.
        let granted = sockopt::socket_recv_buffer_size(&socket)? as u64 / 2;
        if granted < wanted {
            tracing::warn!(
                "udp_buffer: asked for {wanted} bytes, the kernel granted {granted}; raise net.core.rmem_max, or give \
                 the process CAP_NET_ADMIN, so that bursts of datagrams are not lost"
            );
        }
        Ok(DatagramSocket { socket, granted })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// The errors of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The socket, and the bytes of its receive buffer in the sense of the setting `udp_buffer`.
    pub fn into_parts(self) -> (UdpSocket, u64) {
        (self.socket, self.granted)
    }
}
