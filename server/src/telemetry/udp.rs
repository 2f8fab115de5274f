//! Counters of datagrams, which account for every datagram that reached the socket.
//!
//! ```text
//! sent     = received + dropped by the kernel
//! received = stored + dropped at the queue + dropped by storage, once nothing waits
//! ```
//! The kernel reports its drops with the next datagram (`SO_RXQ_OVFL`). After the end of a burst there is no next
//! datagram, so the same counter is also read from `/proc/net/udp`.

use std::fs;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use barograph::budget::Share;
use parking_lot::Mutex;

use crate::telemetry::Counter;
use crate::telemetry::exposition::{Kind, Metric};

/// Counters of the UDP listener.
#[derive(Debug, Default)]
pub struct UdpCounters {
    /// Datagrams received from the kernel.
    pub received: Counter,
    /// Datagrams that were stored, including those with refused lines.
    pub stored: Counter,
    /// Datagrams dropped because too many bytes waited to be stored.
    pub dropped_queue: Counter,
    /// Datagrams dropped because storage failed.
    pub dropped_storage: Counter,
    /// Datagrams that wait to be stored or are being stored.
    queue: OnceLock<Arc<Share>>,
    dropped_kernel: Counter,
    socket: Mutex<Option<Watched>>,
    buffer_bytes: AtomicU64,
}

/// A socket whose drops are counted.
#[derive(Debug)]
struct Watched {
    table: &'static str,
    inode: u64,
    /// The kernel's counter at the last reading; it wraps around.
    seen: u32,
}

impl UdpCounters {
    /// Registers `socket`, whose receive buffer has `buffer_bytes`, and `queue`, to report their drops and contents.
    pub fn watch(&self, socket: &UdpSocket, buffer_bytes: u64, queue: Arc<Share>) {
        let _ = self.queue.set(queue);
        let is_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let table = if is_v6 { "/proc/net/udp6" } else { "/proc/net/udp" };
        self.buffer_bytes.store(buffer_bytes, Ordering::Relaxed);
        *self.socket.lock() =
            rustix::fs::fstat(socket).ok().map(|stat| Watched { table, inode: stat.st_ino, seen: 0 });
    }

    /// Reads the kernel's counter for the last time, before the socket is closed.
    pub fn unwatch(&self) {
        self.kernel_drops();
        *self.socket.lock() = None;
    }

    /// Datagrams that the kernel has dropped so far because the receive buffer was full.
    pub fn kernel_drops(&self) -> u64 {
        if let Some(watched) = &mut *self.socket.lock()
            && let Ok(table) = fs::read_to_string(watched.table)
            && let Some(now) = drops_of(&table, watched.inode)
        {
            self.dropped_kernel.add(u64::from(now.wrapping_sub(watched.seen)));
            watched.seen = now;
        }
        self.dropped_kernel.get()
    }

    /// The receive buffer that the kernel granted, bytes; 0 without a listener.
    pub fn buffer_bytes(&self) -> u64 {
        self.buffer_bytes.load(Ordering::Relaxed)
    }

    /// All metrics, if a socket is or was watched.
    pub fn metrics(&self) -> Vec<Metric> {
        if self.buffer_bytes() == 0 {
            return Vec::new();
        }
        let mut dropped = Metric::new(
            Kind::Counter,
            "barograph_udp_datagrams_dropped_total",
            "Datagrams lost in the kernel (udp_buffer was full), at the queue (udp_queue was full), or because storage failed.",
        );
        for (reason, count) in [
            ("kernel", self.kernel_drops()),
            ("queue", self.dropped_queue.get()),
            ("storage", self.dropped_storage.get()),
        ] {
            dropped.push(&[("reason", reason)], count as f64);
        }
        let plain = |kind, name, help, value: u64| Metric::plain(kind, name, help, value as f64);
        vec![
            plain(
                Kind::Counter,
                "barograph_udp_datagrams_total",
                "Datagrams received from the kernel.",
                self.received.get(),
            ),
            plain(
                Kind::Counter,
                "barograph_udp_datagrams_stored_total",
                "Datagrams stored; barograph_ingest_lines_bad_total counts their bad lines.",
                self.stored.get(),
            ),
            dropped,
            plain(
                Kind::Gauge,
                "barograph_udp_queue_bytes",
                "Bytes of datagrams waiting to be stored.",
                self.queue.get().map_or(0, |queue| queue.used()),
            ),
            plain(
                Kind::Gauge,
                "barograph_udp_buffer_bytes",
                "Receive buffer that the kernel granted, at most udp_buffer.",
                self.buffer_bytes(),
            ),
        ]
    }
}

/// The drops of the socket with this inode, according to a table of `/proc/net`.
fn drops_of(table: &str, inode: u64) -> Option<u32> {
    /// Column indexes of inode and drops. The heading has more names, because it names both halves of two columns.
    const INODE: usize = 9;
    const DROPS: usize = 12;
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let is_it = columns.nth(INODE)?.parse() == Ok(inode);
        is_it.then(|| columns.nth(DROPS - INODE - 1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_found_by_inode() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  \
            411: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2301 2 00000000d3b0c5f1 17\n \
            9123: 00000000:14E9 00000000:0000 07 00000000:00012C00 00:00000000 00000000   101        0 23 2 0000000000000000 4294967295\n";
        assert_eq!(drops_of(table, 2301), Some(17));
        assert_eq!(drops_of(table, 23), Some(u32::MAX));
        assert_eq!(drops_of(table, 230), None);
        assert_eq!(drops_of("", 1), None);
        assert_eq!(drops_of("heading\n1: 2 3\n", 1), None);
    }

    /// The kernel's counter for a socket whose buffer is too small.
    #[test]
    fn what_the_kernel_drops_is_counted() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(address) else {
                println!("SKIPPED: no {address} on this machine");
                continue;
            };
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
            let counters = UdpCounters::default();
            counters.watch(&socket, 4096, Share::new("datagrams", 1));
            assert_eq!(counters.kernel_drops(), 0);
            let sender = UdpSocket::bind(address).unwrap();
            for _ in 0..200 {
                sender.send_to(&[b'x'; 100], socket.local_addr().unwrap()).unwrap();
            }
            socket.set_nonblocking(true).unwrap();
            let mut waiting = 0;
            while socket.recv(&mut [0; 200]).is_ok() {
                waiting += 1;
            }
            assert!(waiting < 200, "the buffer held all");
            assert_eq!(waiting + counters.kernel_drops(), 200, "{address}");
            counters.unwatch();
            drop(socket);
            assert_eq!(waiting + counters.kernel_drops(), 200, "the count stays");
        }
    }
}
