//! Numbers as bits and bytes: what the codecs are made of.

pub mod bitpack;
pub mod bits;
pub mod blocks;
pub mod exceptions;
pub mod prefix;
pub mod varint;
