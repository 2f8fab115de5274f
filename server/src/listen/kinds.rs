//! The kind of a request, according to its head. Requests wait for memory only behind others of the same kind.

use hyper::{Method, Uri};

use crate::admission::MODEST;
use crate::api::endpoint::Admission;
use crate::api::routes::{self, Lookup};
use crate::http::body::SMALL;
use crate::listen::head::Framing;
use crate::memory::connections::Purpose;

/// The purpose of a request's memory. `head` is the head that the HTTP library will get: the route found here must be
/// the one that answers, or memory reserved for health checks would go to other requests.
pub fn purpose(head: &[u8], framing: Framing) -> Purpose {
    let mut words = head.split(|&byte| byte == b' ');
    let method = words.next().and_then(|name| Method::from_bytes(name).ok());
    let uri = words.next().and_then(|target| Uri::try_from(target).ok());
    let (Some(method), Some(uri)) = (method, uri) else { return Purpose::Read };
    match routes::find(&method, uri.path()) {
        Lookup::Found(route, _) => match (route.endpoint.admission, framing) {
            (Admission::Always | Admission::Instant, _) => Purpose::Instant,
            (Admission::Turn(_), _) => Purpose::Read,
            (Admission::Write, Framing::Length(..=SMALL)) => Purpose::SmallWrite,
            (Admission::Write, Framing::Length(..=MODEST)) => Purpose::Write,
            (Admission::Write, _) => Purpose::LargeWrite,
        },
        // Answered without reading the body.
        Lookup::Options(..) | Lookup::WrongMethod(..) | Lookup::Unknown => Purpose::Instant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_names_its_kind() {
        for (head, length, expected) in [
            ("GET /-/healthy HTTP/1.1\r\n\r\n", 0, Purpose::Instant),
            ("HEAD /ping?x=/write HTTP/1.1\r\n\r\n", 0, Purpose::Instant),
            ("GET /nothing HTTP/1.1\r\n\r\n", 0, Purpose::Instant),
            ("GET /api/v1/label/job/values HTTP/1.1\r\n\r\n", 0, Purpose::Read),
            ("POST /api/v1/query HTTP/1.1\r\n\r\n", 1 << 20, Purpose::Read),
            ("GET /api/v1/label/%7Bjob/values?x HTTP/1.1\r\n\r\n", 0, Purpose::Read),
            ("GET http://host/api/v1/query?query=/-/healthy HTTP/1.1\r\n\r\n", 0, Purpose::Read),
            ("POST http://host:1/write HTTP/1.1\r\n\r\n", 1, Purpose::SmallWrite),
            ("GET http://host/-/healthy HTTP/1.1\r\n\r\n", 0, Purpose::Instant),
            ("POST /write?db=x HTTP/1.1\r\n\r\n", SMALL, Purpose::SmallWrite),
            ("POST /api/v1/write HTTP/1.1\r\n\r\n", MODEST, Purpose::Write),
            ("POST /api/v2/write HTTP/1.1\r\n\r\n", MODEST + 1, Purpose::LargeWrite),
        ] {
            assert_eq!(purpose(head.as_bytes(), Framing::Length(length)), expected, "{head}");
        }
        assert_eq!(purpose(b"POST /write HTTP/1.1\r\n\r\n", Framing::Chunked), Purpose::LargeWrite);
        let long = format!("GET /api/v1/label/{}/values HTTP/1.1\r\n\r\n", "x".repeat(1000));
        assert_eq!(purpose(long.as_bytes(), Framing::Length(0)), Purpose::Read);
    }
}
