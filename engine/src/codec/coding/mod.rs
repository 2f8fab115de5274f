//! Numbers as bits and bytes: the building blocks of the codecs.

pub mod bitpack;
pub mod bits;
pub mod blocks;
pub mod exceptions;
pub mod prefix;
pub mod varint;
