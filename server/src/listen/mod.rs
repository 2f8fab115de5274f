//! Sockets, independent of the formats of the data.

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
