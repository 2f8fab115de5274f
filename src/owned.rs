//! A view together with the engine that it borrows from.

#![expect(
    clippy::disallowed_methods,
    reason = "the macro forgets a guard that frees the engine if making the view panics"
)]

use std::sync::Arc;

use barograph_engine::{Engine, View};
use self_cell::self_cell;

self_cell!(
    /// A view, and the engine that it borrows from.
    pub(crate) struct OwnedView {
        owner: Arc<Engine>,

        #[not_covariant]
        dependent: View,
    }
);
