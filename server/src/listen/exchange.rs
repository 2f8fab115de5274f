//! State shared by the stream of a connection and the service behind the HTTP library.

use parking_lot::Mutex;

use crate::error::ApiError;

/// What the stream and the service of one connection communicate.
#[derive(Debug, Default)]
pub struct Exchange {
    state: Mutex<ExchangeState>,
}

#[derive(Debug, Default)]
struct ExchangeState {
    /// The length of the body of the request that the service has received; the inner `None` means chunks.
    begun: Option<Option<u64>>,
    refusal: Option<ApiError>,
    is_last: bool,
}

impl Exchange {
    /// Called when the service has received a request. Returns the refusal, if the request stands for one.
    pub fn begin(&self, body_length: Option<u64>) -> Option<ApiError> {
        let mut state = self.state.lock();
        state.begun = Some(body_length);
        state.refusal.take()
    }

    /// Whether the connection ends after the answer to this request.
    pub fn is_last(&self) -> bool {
        self.state.lock().is_last
    }

    /// Ends the connection after the answer to this request.
    pub fn end_with_this(&self) {
        self.state.lock().is_last = true;
    }

    /// The next request that the service receives stands for this refusal.
    pub fn refuse(&self, error: ApiError) {
        self.state.lock().refusal = Some(error);
    }

    /// The argument of [`Exchange::begin`] since the last call.
    pub fn take_begun(&self) -> Option<Option<u64>> {
        self.state.lock().begun.take()
    }
}
