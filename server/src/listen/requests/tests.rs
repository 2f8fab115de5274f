//! The stream of checked heads: bodies pass unchanged, and hyper behind it sees the same requests as hyper alone.

use std::time::Duration;

use super::*;
use crate::memory::connections::Connections;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, duplex};

const LIMITS: HeadLimits = HeadLimits { target: 20_000, fields: 2_000 };

/// Unlimited memory of connections.
pub(super) fn memory() -> Arc<Connections> {
    Connections::new(barograph::budget::Share::new("connections", u64::MAX))
}

/// Waits for the next head and provides the memory of its request. Returns false at the end of the stream.
pub(super) async fn begin<S: AsyncRead + Unpin>(stream: &mut Requests<S>, memory: &Arc<Connections>) -> bool {
    let Ok(Some(asked)) = stream.next().await else { return false };
    stream.begin(memory.take(asked.purpose, asked.bytes, Duration::ZERO).await.unwrap());
    true
}

/// A reader that plays the HTTP library and its service: it reports the length of each body when a head has arrived,
/// and returns everything that it read.
async fn read_all(sent: Vec<u8>, piece: usize, lengths: &[Option<u64>]) -> (Vec<u8>, Vec<Option<ApiError>>) {
    let (near, mut far) = duplex(piece);
    let exchange = Arc::new(Exchange::default());
    let memory = memory();
    let mut stream = Requests::new(near, exchange.clone(), Arc::default(), LIMITS, memory.rest().unwrap());
    let writing = tokio::spawn(async move {
        let _ = far.write_all(&sent).await;
        let _ = far.shutdown().await;
        // Kept open until the reader is done.
        far
    });
    let (mut read, mut refusals, mut buffer) = (Vec::new(), Vec::new(), vec![0; piece]);
    let mut lengths = lengths.iter();
    let mut head_at = 0;
    let mut body_left = Some(0);
    let mut goes_on = begin(&mut stream, &memory).await;
    while goes_on {
        let count = match stream.read(&mut buffer).await {
            Ok(0) if stream.is_parked() => {
                goes_on = begin(&mut stream, &memory).await;
                continue;
            }
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        read.extend_from_slice(&buffer[..count]);
        // In these tests, only the length determines where a body ends.
        while let Some(left) = body_left {
            let Some(rest) = read.get(head_at + left..) else { break };
            let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") else { break };
            head_at += left + end + 4;
            let length = lengths.next().copied().unwrap_or(Some(0));
            refusals.push(exchange.begin(length));
            body_left = length.map(|length| length as usize);
        }
    }
    drop(stream);
    drop(writing.await);
    (read, refusals)
}

fn request(target: &str, fields: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn heads_are_escaped_and_bodies_pass_untouched() {
    let body = "GET /\"{é} HTTP/1.1\r\n\r\n";
    let length = body.len() as u64;
    let fields = format!("content-length: {length}\r\n");
    let long = "\"".repeat(6_000);
    let sent = [
        request("/a?\"", "", ""),
        request("/b?{", &fields, body),
        format!("\r\n\n{}", request(&format!("/c?{long}"), &fields, body)),
        request("/d", "", ""),
    ]
    .concat();
    let expected = [
        request("/a?%22", "", ""),
        request("/b?%7B", &fields, body),
        request(&format!("/c?{}", "%22".repeat(6_000)), &fields, body),
        request("/d", "", ""),
    ]
    .concat();
    let lengths = [Some(0), Some(length), Some(length), Some(0)];
    for piece in [1, 7, 100, 8192, 100_000] {
        let (read, refusals) = read_all(sent.clone().into_bytes(), piece, &lengths).await;
        assert_eq!(String::from_utf8(read).unwrap(), expected, "{piece}");
        assert_eq!(refusals.len(), 4);
        assert!(refusals.iter().all(Option::is_none));
    }
}

/// After chunks the next head is found; after chunks in an unusual form nothing is changed.
#[tokio::test]
async fn chunks_are_followed_or_left_alone() {
    for (chunks, after) in [("3\r\n\"{}\r\n0\r\n\r\n", "%22"), ("3;x\r\n\"{}\r\n0\r\n\r\n", "\"")] {
        let head = request("/a?\"", "transfer-encoding: chunked\r\n", chunks);
        let sent = head.clone() + &request("/b?\"", "", "");
        let expected = head.replace("/a?\"", "/a?%22") + &request(&format!("/b?{after}"), "", "");
        for piece in [1, 5, 1000] {
            let (read, _) = read_all(sent.clone().into_bytes(), piece, &[None]).await;
            // The reader of this test does not follow chunks, so the second head is the last one.
            assert_eq!(String::from_utf8(read).unwrap(), expected, "{chunks:?} in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn a_refused_head_is_replaced_and_the_rest_is_dropped() {
    let sent = request("/a", "", "") + &request("/api/v2/write?a b", "", "") + &request("/evil", "", "");
    for piece in [1, 9, 1000] {
        let (read, refusals) = read_all(sent.clone().into_bytes(), piece, &[Some(0), Some(0)]).await;
        let text = String::from_utf8(read).unwrap();
        let replaced = "GET /api/v2/write HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
        assert_eq!(text, request("/a", "", "") + replaced, "{piece}");
        assert!(refusals[0].is_none());
        assert!(refusals[1].as_ref().unwrap().message.contains("escape it as %20"));
    }
}

/// R1: a reader that understands a different length gets nothing more.
#[tokio::test]
async fn readers_that_disagree_end_the_connection() {
    let first = request("/a", "content-length: 3\r\n", "");
    for seen in [None, Some(0), Some(4)] {
        let sent = first.clone() + "abc" + &request("/b", "", "");
        let (read, _) = read_all(sent.into_bytes(), 1000, &[seen]).await;
        assert_eq!(String::from_utf8(read).unwrap(), first, "{seen:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However the input is split, the output is a prefix of it, apart from escapes.
    #[test]
    fn nothing_panics_or_hangs(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("GET /\" HTTP/1.1\r\n\r\n".to_owned()),
                Just("POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n".to_owned()),
                Just("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()),
                Just("2\r\nab\r\n".to_owned()),
                Just("0\r\n\r\n".to_owned()),
                "[ -~\r\n]{0,5}",
            ],
            0..8,
        ),
        lengths in proptest::collection::vec(prop_oneof![Just(Some(0)), Just(Some(2)), Just(None)], 0..4),
        piece in 1usize..50,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sent = parts.concat().into_bytes();
        let count = sent.len();
        let (read, _) = runtime.block_on(read_all(sent, piece, &lengths));
        prop_assert!(read.len() <= 3 * count + 100);
    }
}

/// A request that a peer sends ahead waits for its turn, and does not hide that the peer has left.
#[tokio::test]
async fn the_end_is_seen_behind_requests_that_were_sent_ahead() {
    let (near, mut far) = duplex(1 << 16);
    let (exchange, activity) = (Arc::new(Exchange::default()), Arc::new(Activity::default()));
    let memory = memory();
    let mut stream = Requests::new(near, exchange.clone(), activity.clone(), LIMITS, memory.rest().unwrap());
    let [first, second, third] = ["/a", "/b", "/c"].map(|target| request(target, "", ""));
    far.write_all(format!("{first}{second}{third}").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 1 << 16];
    for head in [first, second] {
        assert!(begin(&mut stream, &memory).await);
        let count = stream.read(&mut buffer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..count]), head);
        assert!(exchange.begin(Some(0)).is_none());
        let running = activity.begin();
        // Polled once: nothing is passed on while the request is answered.
        let next = std::future::poll_fn(|cx| {
            Poll::Ready(Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut buffer)).is_pending())
        });
        assert!(next.await, "the next head is kept");
        drop(running);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
        assert!(stream.is_parked(), "the connection stays open");
    }
    assert!(begin(&mut stream, &memory).await);
    let count = stream.read(&mut buffer).await.unwrap();
    assert!(String::from_utf8_lossy(&buffer[..count]).starts_with("POST /c "));
    assert!(exchange.begin(Some(0)).is_none());
    let _running = activity.begin();
    far.write_all(b"GET /d HTTP/1.1\r\n\r\n").await.unwrap();
    drop(far);
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "the end of the stream");
    assert!(!stream.is_parked());
}

/// The HTTP library does not lose any part of an answer when it sees the end of the stream.
#[tokio::test]
async fn a_connection_parks_only_when_its_answer_is_written() {
    let (near, mut far) = duplex(1 << 16);
    let (exchange, memory) = (Arc::new(Exchange::default()), memory());
    let mut stream = Requests::new(near, exchange.clone(), Arc::default(), LIMITS, memory.rest().unwrap());
    far.write_all(request("/a", "", "").as_bytes()).await.unwrap();
    assert!(begin(&mut stream, &memory).await);
    let mut buffer = vec![0; 1000];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    assert!(exchange.begin(Some(0)).is_none());
    stream.write_all(b"HTTP/1.1 200 OK").await.unwrap();
    let waits = std::future::poll_fn(|cx| {
        Poll::Ready(Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut buffer)).is_pending())
    });
    assert!(waits.await, "the answer may be in a buffer");
    stream.flush().await.unwrap();
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    assert!(stream.is_parked());
    // The connection is not closed: the next request arrives on it.
    stream.shutdown().await.unwrap();
    far.write_all(request("/b", "", "").as_bytes()).await.unwrap();
    assert!(begin(&mut stream, &memory).await);
}

/// Reads a request with a body of `length` bytes with a buffer that is larger than any piece. Returns the largest
/// piece, the largest of the last 48 KiB, and the memory of the request besides [`REQUEST_BYTES`].
async fn pieces_of(length: usize, share: u64) -> (usize, usize, u64) {
    let (near, mut far) = duplex(1 << 20);
    let exchange = Arc::new(Exchange::default());
    let memory = Connections::new(barograph::budget::Share::new("connections", share));
    let mut stream = Requests::new(near, exchange.clone(), Arc::default(), LIMITS, memory.rest().unwrap());
    let head = request("/", &format!("content-length: {length}\r\n"), "");
    let sent = [head.as_bytes(), &vec![b'x'; length]].concat();
    let writing = tokio::spawn(async move { far.write_all(&sent).await.map(|()| far) });
    let mut buffer = vec![0; 1 << 20];
    assert!(begin(&mut stream, &memory).await);
    let mut given = stream.read(&mut buffer).await.unwrap() - head.len();
    exchange.begin(Some(length as u64));
    let (mut largest, mut largest_at_end) = (0, 0);
    while given < length {
        let count = stream.read(&mut buffer).await.unwrap();
        largest = largest.max(count);
        if given + LARGE_BODY_END_BYTES as usize >= length {
            largest_at_end = largest_at_end.max(count);
        }
        given += count;
    }
    let held = memory.share().used() - REST_BYTES - REQUEST_BYTES;
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    drop(writing.await.unwrap().unwrap());
    assert!(!begin(&mut stream, &memory).await);
    assert_eq!(memory.share().used(), REST_BYTES);
    (largest, largest_at_end, held)
}

#[tokio::test]
async fn the_pieces_of_a_body_are_as_large_as_there_is_memory_for() {
    let small = PIECE_BYTES;
    assert_eq!(pieces_of(64 << 10, u64::MAX).await, (small, small, ARRIVAL_BYTES));
    assert_eq!(
        pieces_of(200 << 10, u64::MAX).await,
        (small, small, 0),
        "its pieces count as a part of the body"
    );
    let (largest, at_end, held) = pieces_of(1 << 20, u64::MAX).await;
    assert!((small + 1..=LARGE_PIECE_BYTES).contains(&largest), "{largest}");
    assert_eq!((at_end, held), (small, LARGE_BYTES));
    let most = 8 * (LARGE_BYTES + REST_BYTES + REQUEST_BYTES) - 8;
    assert_eq!(pieces_of(1 << 20, most).await, (small, small, 0), "most of it is for others");
}
