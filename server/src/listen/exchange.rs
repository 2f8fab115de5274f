//! What the stream of a connection and the service behind the HTTP library agree on.

use parking_lot::Mutex;

use crate::error::ApiError;

/// What the stream and the service of one connection tell each other.
#[derive(Debug, Default)]
pub struct Exchange {
    state: Mutex<ExchangeState>,
}

#[derive(Debug, Default)]
struct ExchangeState {
    /// The length of the body of the request that the service has got: `None` in it for chunks.
    begun: Option<Option<u64>>,
    refusal: Option<ApiError>,
    is_last: bool,
}

impl Exchange {
    /// The service has got a request; the refusal, if that is what it stands for.
    pub fn begin(&self, body_length: Option<u64>) -> Option<ApiError> {
        let mut state = self.state.lock();
        state.begun = Some(body_length);
        state.refusal.take()
    }

    /// Whether the connection ends with the answer to this request.
    pub fn is_last(&self) -> bool {
        self.state.lock().is_last
    }

    /// The connection must end with the answer to this request.
    pub fn end_with_this(&self) {
        self.state.lock().is_last = true;
    }

    /// The next request that the service gets stands for this refusal.
    pub fn refuse(&self, error: ApiError) {
        self.state.lock().refusal = Some(error);
    }

    /// What [`Exchange::begin`] was called with since the last call.
    pub fn take_begun(&self) -> Option<Option<u64>> {
        self.state.lock().begun.take()
    }
}
