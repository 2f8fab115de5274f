//! Kinds of requests, as their heads say: requests wait for memory behind others of their kind only.

use hyper::Method;

use crate::api::body::{MODEST, SMALL};
use crate::api::routes::{self, Admission, Lookup};
use crate::listen::head::{self, Framing};
use crate::memory::connections::Purpose;

/// What the memory of a request with this head is taken for.
pub fn purpose(head: &[u8], framing: Framing) -> Purpose {
    let Some(method) = head.split(|&byte| byte == b' ').next().and_then(|name| Method::from_bytes(name).ok())
    else {
        return Purpose::Read;
    };
    match routes::find(&method, &head::path(head)) {
        Lookup::Found(route, _) => match (route.admission, framing) {
            (Admission::Instant, _) => Purpose::Instant,
            (Admission::Turn(_), _) => Purpose::Read,
            (Admission::Write, Framing::Length(..=SMALL)) => Purpose::SmallWrite,
            (Admission::Write, Framing::Length(..=MODEST)) => Purpose::Write,
            (Admission::Write, _) => Purpose::LargeWrite,
        },
        // Answered without a look at the body.
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
            ("POST /write?db=x HTTP/1.1\r\n\r\n", SMALL, Purpose::SmallWrite),
            ("POST /api/v1/write HTTP/1.1\r\n\r\n", MODEST, Purpose::Write),
            ("POST /api/v2/write HTTP/1.1\r\n\r\n", MODEST + 1, Purpose::LargeWrite),
        ] {
            assert_eq!(purpose(head.as_bytes(), Framing::Length(length)), expected, "{head}");
        }
        assert_eq!(purpose(b"POST /write HTTP/1.1\r\n\r\n", Framing::Chunked), Purpose::LargeWrite);
    }
}
