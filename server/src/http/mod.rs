//! What every HTTP API needs, whatever its protocol: who may ask, what was sent, how it is answered. It knows no route
//! and no handler.

pub mod auth;
pub mod body;
pub mod cors;
pub mod encoding;
pub mod multipart;
pub mod origin;
pub mod params;
pub mod reply;
pub mod times;
