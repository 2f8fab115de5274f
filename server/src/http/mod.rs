//! Parts that every HTTP API needs, independent of the protocol: authorization, request bodies and parameters, replies.
//! This module depends on no route and no handler.

pub mod auth;
pub mod body;
pub mod cors;
pub mod encoding;
pub mod multipart;
pub mod origin;
pub mod params;
pub mod reply;
pub mod times;
