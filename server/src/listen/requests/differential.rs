//! Feeds the same bytes to hyper behind [`Requests`] and to hyper alone. As far as both continue, they see the same
//! requests. Either may stop before the other, if it refuses what the other accepts.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, duplex};

use super::tests::{begin, memory};
use super::*;

const LIMITS: HeadLimits = HeadLimits { target: 1_000, fields: 1_000 };

/// Method, address and body of a request; the body only if it arrived completely.
type Seen = (String, String, Option<Vec<u8>>);

/// The requests that a service sees in `sent`, which arrives in pieces.
async fn seen(sent: &[u8], piece: usize, is_checked: bool) -> Vec<Seen> {
    let (near, far) = duplex(64 * 1024);
    let (exchange, activity) = (Arc::new(Exchange::default()), Arc::new(Activity::default()));
    let found = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let refused = exchange.begin(request.body().size_hint().exact());
        let (found, running) = (found.clone(), activity.begin());
        async move {
            let _running = running;
            let (method, target) = (request.method().to_string(), request.uri().to_string());
            let body = request.into_body().collect().await.ok().map(|body| body.to_bytes().to_vec());
            if refused.is_none() {
                found.lock().push((method, target, body));
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        }
    });
    let (mut reader, mut writer) = tokio::io::split(far);
    let write = async {
        for bytes in sent.chunks(piece) {
            if writer.write_all(bytes).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let serve = async {
        let builder = http1::Builder::new();
        let _ = match is_checked {
            true => {
                let memory = memory();
                let mut stream =
                    Requests::new(near, exchange.clone(), activity.clone(), LIMITS, memory.rest().unwrap());
                while begin(&mut stream, &memory).await {
                    let mut answering = builder.serve_connection(TokioIo::new(stream), &service);
                    let ended = (&mut answering).await;
                    let parts = answering.into_parts();
                    stream = parts.io.into_inner();
                    if ended.is_err() || !stream.is_parked() {
                        break;
                    }
                    assert!(parts.read_buf.is_empty());
                }
                Ok(())
            }
            false => builder.serve_connection(TokioIo::new(near), service).await,
        };
    };
    let mut answers = Vec::new();
    let _ = tokio::join!(write, serve, reader.read_to_end(&mut answers));
    found.lock().clone()
}

fn fragment() -> impl Strategy<Value = String> {
    let plain = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET /\"{é}# HTTP/1.1\r\n\r\n",
        "HEAD /a?b HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        "POST /a HTTP/1.1\r\ncontent-length: 5\r\n\r\n",
        "POST /\"a HTTP/1.1\nContent-Length: 20\n\n",
        "POST /b HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n",
        "POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST /{c HTTP/1.1\r\nTransfer-Encoding: \tChunked \r\n\r\n",
        "POST /d HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST /e HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "POST /f HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        "POST /g HTTP/1.1\r\nupgrade: h2c\r\ncontent-length: 5\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\n\r\n",
        "GET http://h/{x} HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\na: b\n\r\n",
        "GET / HTTP/1.1\r\n\n",
        "hello",
        "5\r\nhello\r\n",
        "14\r\nGET /\" HTTP/1.1\r\n\r\n\r\n",
        "00\r\n\r\n",
        "0\r\n\r\n",
        "0\r\nt: x\r\n\r\n",
        "3;a=b\r\nabc\r\n",
        "3 \r\nabc\r\n",
        "2\nab\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
    ];
    prop_oneof![9 => proptest::sample::select(plain.to_vec()).prop_map(str::to_owned), 1 => "[ -~\r\n]{0,4}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_see_the_same_requests(
        fragments in proptest::collection::vec(fragment(), 0..10),
        piece in prop_oneof![1usize..40, Just(10_000)],
    ) {
        let sent = fragments.concat().into_bytes();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let checked = runtime.block_on(seen(&sent, piece, true));
        let plain = runtime.block_on(seen(&sent, piece, false));
        for (checked, plain) in checked.iter().zip(&plain) {
            prop_assert_eq!(&checked.0, &plain.0);
            // hyper alone accepts bytes that are escaped here, and drops everything after a `#`.
            let unescaped = crate::http::params::decode(checked.1.as_bytes(), false).unwrap();
            prop_assert!(unescaped.starts_with(&plain.1), "{} {}", unescaped, plain.1);
            if let (Some(checked), Some(plain)) = (&checked.2, &plain.2) {
                prop_assert_eq!(checked, plain);
            }
        }
    }
}
