//! Numbers as bits and bytes: what the codecs are made of.

pub mod bitpack;
pub mod bits;
pub mod blocks;
pub mod patches;
pub mod prefix;
pub mod varint;
