//! Counters of requests, by endpoint and status class.

use crate::telemetry::Counter;
use crate::telemetry::exposition::{Kind, Metric};

/// The endpoint label of requests that reach no endpoint.
pub const UNKNOWN: &str = "unknown";

/// Status classes: 2xx, 3xx, 4xx, 5xx.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The counters of all endpoints.
#[derive(Debug)]
pub struct Requests {
    /// The counters in the order in which they are printed; the last one is [`UNKNOWN`].
    endpoints: Vec<(&'static str, [Counter; CLASSES.len()])>,
}

impl Requests {
    /// Counters of these endpoints and of [`UNKNOWN`]. The most frequent ones come first.
    pub fn new(endpoints: impl Iterator<Item = &'static str>) -> Self {
        Requests { endpoints: endpoints.chain([UNKNOWN]).map(|name| (name, Default::default())).collect() }
    }

    /// Counts a finished request. Any other endpoint counts as [`UNKNOWN`].
    pub fn count(&self, endpoint: &str, status: u16) {
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        let found = self.endpoints.iter().find(|(name, _)| *name == endpoint).or(self.endpoints.last());
        if let Some((_, counters)) = found {
            counters[class].add(1);
        }
    }

    /// Converts to a metric.
    pub fn metric(&self) -> Metric {
        let mut metric =
            Metric::new(Kind::Counter, "barograph_http_requests_total", "Requests by endpoint and status.");
        for (endpoint, counters) in &self.endpoints {
            for (class, counter) in CLASSES.iter().zip(counters) {
                // A class that never occurred is omitted; once it has occurred, it stays.
                if counter.get() > 0 {
                    metric.push(&[("code", class), ("endpoint", endpoint)], counter.get() as f64);
                }
            }
        }
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_fixed_labels() {
        let requests = Requests::new(["/write", "/api/v1/query"].into_iter());
        for status in [200, 204, 400, 499, 503, 999, 0] {
            requests.count("/api/v1/query", status);
        }
        requests.count(UNKNOWN, 404);
        requests.count("/whatever/a/client/sends", 404);
        let metric = requests.metric();
        let find = |code: &str, endpoint: &str| {
            let labels = vec![("code", code.to_owned()), ("endpoint", endpoint.to_owned())];
            metric.points.iter().find(|p| p.labels == labels).map(|p| p.value)
        };
        assert_eq!(find("2xx", "/api/v1/query"), Some(3.0));
        assert_eq!(find("4xx", "/api/v1/query"), Some(2.0));
        assert_eq!(find("5xx", "/api/v1/query"), Some(2.0));
        assert_eq!(find("4xx", "unknown"), Some(2.0));
        assert_eq!(metric.points.len(), 4);
    }
}
