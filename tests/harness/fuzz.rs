//! The checks of the fuzzers: for each reader of foreign bytes, one function that takes any bytes.
//!
//! The targets under `fuzz/` pass libFuzzer's bytes to these functions; `tests/scenarios/fuzz.rs` passes the seeds and
//! every input that ever failed. A function panics if the code under test panics or returns a wrong result.

mod buckets;
mod choices;
mod evaluate;
mod expression;
mod hdr;
mod language;
mod patterns;
mod rewrites;
mod segment;

use std::sync::Arc;
use std::{env, fs, process};

use barograph_engine::chunk::{Chunk, ChunkKind, ChunkValues, OpenChunk, Scratch, encode, encode_started};
use barograph_engine::codec::histogram::columns::DECODED_BYTES_MAX;
use barograph_engine::codec::timestamps::Frame;
use barograph_engine::codec::{CodecId, CompressionLevel, adaptive, varint};
use barograph_engine::head::record::RecordReader;
use barograph_engine::index::encoding;
use barograph_engine::line::{LineLimits, Lines, Naming, Precision, labels};
use barograph_engine::model::{Histogram, Labels};
use barograph_engine::remote::wire::Fields;
use barograph_engine::remote::{Item, Point, RemoteVersion, Request, Series, histogram};
use barograph_engine::wal;
use barograph_query::{QueryError, syntax};

pub use buckets::buckets;
pub use evaluate::evaluate;
pub use hdr::hdr;
pub use language::{pattern, script};
pub use rewrites::{generated, rewrites};

/// A target: its name, which is also the name of its folder of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("chunk", chunk),
    ("buckets", buckets),
    ("codecs", codecs),
    ("round_trip", round_trip),
    ("labels", label_set),
    ("hdr", hdr),
    ("line", line),
    ("query", query),
    ("pattern", pattern),
    ("rewrites", rewrites),
    ("evaluate", evaluate),
    ("script", script),
    ("record", record),
    ("log", log),
    ("remote_write", remote_write),
];

const KEY: &[u8] = b"key";
const CHECKSUM_LEN: usize = 4;
/// Maximum number of samples that a codec has to decode, since inputs are short.
const COUNT_MAX: usize = 5000;

/// Arbitrary bytes with the checksum of a chunk in place of their last ones.
fn with_checksum(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if let Some(body) = bytes.len().checked_sub(CHECKSUM_LEN) {
        bytes.truncate(body);
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(KEY);
    hasher.update(&bytes);
    bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

/// A chunk with a correct checksum over arbitrary bytes, to test the reader behind the checksum.
pub fn chunk(data: &[u8]) {
    let bytes = with_checksum(data);
    let Ok(chunk) = Chunk::open(KEY, &bytes) else { return };
    let (mut timestamps, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
    let decoded = match chunk.kind() {
        ChunkKind::Histogram => chunk.decode_histograms(&mut timestamps, &mut histograms),
        _ => chunk.decode(&mut Scratch::default(), &mut timestamps, &mut values),
    };
    if decoded.is_err() {
        let is_empty = timestamps.is_empty() && values.is_empty() && histograms.is_empty();
        assert!(is_empty, "a failed decode left samples");
        return;
    }
    assert_eq!((timestamps.len(), values.len() + histograms.len()), (chunk.count(), chunk.count()));
    assert_eq!((timestamps.first(), timestamps.last()), (Some(&chunk.first()), Some(&chunk.last())));
    assert!(timestamps.windows(2).all(|pair| pair[0] < pair[1]), "timestamps do not ascend");
    let bytes: usize = histograms.iter().map(|histogram| histogram.memory_bytes()).sum();
    assert!(bytes <= DECODED_BYTES_MAX, "{bytes} bytes of histograms");
    let mut starts = Vec::new();
    let decoded = chunk.decode_starts(&timestamps, &mut starts);
    assert_eq!(starts.len(), if decoded.is_ok() { chunk.count() } else { 0 });
    check_again(&chunk, &timestamps, &starts, &histograms);
    let mut ints = Vec::new();
    timestamps.clear();
    let read_as_ints = chunk.decode_ints(&mut timestamps, &mut ints);
    assert_eq!(read_as_ints.is_ok(), chunk.kind() == ChunkKind::Int);
}

/// Histograms decoded from a chunk are encoded into another chunk and decoded again. (Damage can produce counts that no
/// writer sends, below zero or beyond 2^53; they must survive too.)
fn check_again(chunk: &Chunk<'_>, timestamps: &[i64], starts: &[i64], histograms: &[Arc<Histogram>]) {
    if chunk.kind() != ChunkKind::Histogram || starts.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    encode_started(
        KEY,
        timestamps,
        starts,
        ChunkValues::Histogram(histograms),
        CompressionLevel::Best,
        &mut bytes,
    );
    let again = Chunk::open(KEY, &bytes).expect("a chunk just encoded");
    let (mut found, mut found_histograms, mut found_starts) = (Vec::new(), Vec::new(), Vec::new());
    again.decode_histograms(&mut found, &mut found_histograms).expect("a chunk just encoded");
    again.decode_starts(&found, &mut found_starts).expect("a chunk just encoded");
    assert_eq!((&found[..], &found_starts[..]), (timestamps, starts));
    // Compared as text, since NaN is not equal to itself.
    assert_eq!(format!("{found_histograms:?}"), format!("{histograms:?}"));
}

/// Sections of arbitrary bytes for every codec: byte 0 selects the codec, two bytes are the count, the rest is data.
pub fn codecs(data: &[u8]) {
    let [codec, low, high, section @ ..] = data else { return };
    let Ok(codec) = CodecId::from_byte(*codec) else { return };
    let count = 1 + usize::from(u16::from_le_bytes([*low, *high])) % COUNT_MAX;
    let (mut ints, mut floats, mut scratch) = (Vec::new(), Vec::new(), Vec::new());

    let mut at = 0;
    let ends = varint::read(section, &mut at).and_then(|first| Ok((first, varint::read(section, &mut at)?)));
    if let Ok((first, last)) = ends {
        let frame = Frame { first: varint::unzigzag(first), last: varint::unzigzag(last), count };
        let _ = adaptive::decode_times(codec, &section[at..], frame, 1000, &mut ints);
        assert!(ints.len() <= count, "{} timestamps of {count}", ints.len());
        ints.clear();
    }
    let decoded = adaptive::decode_ints(codec, section, count, &mut ints);
    assert!(ints.len() <= count && (decoded.is_err() || ints.len() == count));
    let decoded = adaptive::decode_floats(codec, section, count, &mut scratch, &mut floats);
    assert!(floats.len() <= count && (decoded.is_err() || floats.len() == count));
}

/// Samples made of the bytes pass through an open chunk and a stored one, and must come back unchanged.
pub fn round_trip(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else { return };
    let (timestamps, raw) = columns(how, data);
    if timestamps.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    let effort = if how & 0x80 == 0 { CompressionLevel::Fast } else { CompressionLevel::Best };
    if how & 1 == 0 {
        let values: Vec<f64> = raw.iter().map(|&raw| float(how, raw)).collect();
        let mut open = OpenChunk::new(ChunkKind::Float);
        timestamps.iter().zip(&values).for_each(|(&timestamp, &value)| open.push_float(timestamp, value));
        encode(KEY, &timestamps, ChunkValues::Float(&values), effort, &mut bytes);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let (mut found, mut found_values) = (Vec::new(), Vec::new());
        open.decode(&mut found, &mut found_values);
        assert_eq!((&found, bits(&found_values)), (&timestamps, bits(&values)));
        let (mut found, mut found_values) = (Vec::new(), Vec::new());
        let chunk = Chunk::open(KEY, &bytes).expect("a chunk just encoded");
        chunk.decode(&mut Scratch::default(), &mut found, &mut found_values).expect("a chunk just encoded");
        assert_eq!((&found, bits(&found_values)), (&timestamps, bits(&values)));
    } else {
        let mut open = OpenChunk::new(ChunkKind::Int);
        timestamps.iter().zip(&raw).for_each(|(&timestamp, &value)| open.push_int(timestamp, value));
        encode(KEY, &timestamps, ChunkValues::Int(&raw), effort, &mut bytes);
        let (mut found, mut found_values) = (Vec::new(), Vec::new());
        open.decode_ints(&mut found, &mut found_values);
        assert_eq!((&found, &found_values), (&timestamps, &raw));
        let (mut found, mut found_values) = (Vec::new(), Vec::new());
        let chunk = Chunk::open(KEY, &bytes).expect("a chunk just encoded");
        chunk.decode_ints(&mut found, &mut found_values).expect("a chunk just encoded");
        assert_eq!((&found, &found_values), (&timestamps, &raw));
    }
}

/// Bit 1 of `how`: values of 8 bytes, else steps of one. Bits 2 and 3: the unit of time. Bit 4: time steps of 8 bytes,
/// else of two.
fn columns(how: u8, data: &[u8]) -> (Vec<i64>, Vec<i64>) {
    let unit = [1, 1_000, 1_000_000, 1_000_000_000][usize::from(how >> 2 & 3)];
    let (time_len, value_len) = (if how & 16 == 0 { 2 } else { 8 }, if how & 2 == 0 { 1 } else { 8 });
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let (mut timestamp, mut value) = (if how & 32 == 0 { 0 } else { i64::MIN }, 0i64);
    for sample in data.chunks_exact(time_len + value_len) {
        let (time, raw) = sample.split_at(time_len);
        let step = little_endian(time).unsigned_abs().max(1);
        let step = step.saturating_mul(if time_len == 2 { unit } else { 1 });
        let Some(next) = timestamp.checked_add_unsigned(step) else { break };
        timestamp = next;
        value = if value_len == 1 { value.wrapping_add(i64::from(raw[0] as i8)) } else { little_endian(raw) };
        timestamps.push(timestamp);
        values.push(value);
    }
    (timestamps, values)
}

fn little_endian(bytes: &[u8]) -> i64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(word)
}

/// Bits 6 and 7 of `how` select arbitrary bits, whole numbers, one decimal, or thirds.
fn float(how: u8, raw: i64) -> f64 {
    match how >> 6 {
        0 => f64::from_bits(raw as u64),
        1 => raw as f64,
        2 => raw as f64 / 10.0,
        _ => raw as f64 / 3.0,
    }
}

/// A label set as read from the store: either refused, or encoded to the same bytes again.
pub fn label_set(data: &[u8]) {
    let Ok(set) = Labels::from_bytes(data) else { return };
    assert_eq!(set.as_bytes(), data);
    let again = Labels::from_pairs(set.iter()).expect("labels that were accepted");
    assert_eq!(again, set);
    assert_eq!(set.iter().count(), set.len());
    for (name, value) in set.iter() {
        assert_eq!(set.get(name), Some(value));
    }
    let _ = set.to_string();
}

/// Payloads of log records and a posting list, of arbitrary bytes.
pub fn record(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else { return };
    match kind % 5 {
        3 => {
            let limit = payload.len();
            let check = |family: String, metadata: barograph_engine::model::Metadata| {
                assert!(family.len() + metadata.help.len() + metadata.unit.len() <= limit);
            };
            let _ = RecordReader::new(payload).metadata(check);
        }
        4 => {
            let check = |series: Labels, exemplar: barograph_engine::model::Exemplar| {
                assert!(series.as_bytes().len() + exemplar.labels.as_bytes().len() <= payload.len());
            };
            let _ = RecordReader::new(payload).exemplars(check);
        }
        0 => {
            let mut samples = 0;
            let count = |_, _, _, _| {
                samples += 1;
                Some(())
            };
            let _ = RecordReader::new(payload).samples(|_, _| {}, count);
            assert!(samples <= payload.len(), "{samples} samples out of {} bytes", payload.len());
        }
        1 => {
            let _ = RecordReader::new(payload).events(|event| assert!(event.text.len() <= payload.len()));
        }
        _ => {
            let Some(ids) = encoding::decode(payload) else { return };
            let ids: Vec<u64> = ids.iter().take(COUNT_MAX).collect();
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "ids do not ascend");
        }
    }
}

/// A log segment, intact or damaged: replay returns only what was written, and reports everything that is lost.
pub fn log(data: &[u8]) {
    let segment = segment::Segment::new(data);
    let dir = env::temp_dir().join(format!("barograph-fuzz-{}", process::id()));
    fs::create_dir_all(&dir).expect("a directory for temporary files");
    fs::write(dir.join("00000001.wal"), &segment.bytes).expect("a temporary file");
    fs::write(dir.join("durable"), &segment.mark_file).expect("a temporary file");

    let mut replayed = Vec::new();
    let report = wal::read(&dir, wal::Recovery::Skip, 0, &mut |record| {
        replayed.push((record.seq, record.kind, record.payload.to_vec()));
        Ok(())
    });
    fs::remove_dir_all(&dir).expect("the directory made above");
    assert!(replayed.windows(2).all(|pair| pair[0].0 < pair[1].0), "sequence numbers do not ascend");
    for record in &replayed {
        assert_eq!(segment.records.get(record.0 as usize - 1), Some(record), "a record that nobody wrote");
    }
    let is_silent = report.is_ok_and(|report| report.damage.is_empty() && report.torn_tail.is_none());
    if !segment.is_damaged {
        assert!(is_silent, "damage in an undamaged log");
        assert_eq!(replayed, segment.records);
    } else if is_silent {
        assert_eq!(replayed[..], segment.records[..replayed.len()], "a record is lost and nothing is said");
    }
}

/// Line protocol of arbitrary bytes: a good line means the same on its own, and the error of a bad line gives its
/// position.
pub fn line(data: &[u8]) {
    let limits = LineLimits::default();
    for parsed in Lines::new(data, Precision::Nanosecond, limits) {
        let line = match parsed {
            Ok(line) => line,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let mut alone = Lines::new(line.bytes(), Precision::Nanosecond, limits);
        let again = alone.next().expect("a line").expect("a line that was good before");
        assert_eq!((again.series_key, again.timestamp), (line.series_key, line.timestamp));
        assert!(again.fields().eq(line.fields()), "the same line, other fields");
        assert!(alone.next().is_none(), "one line became two");
        for (key, _) in line.fields() {
            if let Err(reason) = labels(line.series_key, key, &[], &Naming::MeasurementField) {
                assert!(!line.reject(reason).to_string().is_empty());
            }
        }
    }
}

/// A remote-write request of arbitrary bytes, byte 0 its version. A good request means the same after it is written
/// again.
pub fn remote_write(data: &[u8]) {
    let Some((version, body)) = data.split_first() else { return };
    let version = if version & 1 == 0 { RemoteVersion::One } else { RemoteVersion::Two };
    let Ok(request) = Request::open(version, body) else { return };
    let mut scratch = Vec::new();
    for item in request.items() {
        let series = match item {
            Ok(Item::Series(series)) => series,
            Ok(Item::Metadata(..)) => continue,
            Err(error) => {
                assert!(error.offset <= body.len(), "{error} of {} bytes", body.len());
                return;
            }
        };
        if let Ok(labels) = series.labels() {
            assert!(labels.metric_name().is_some() && !series.describe().is_empty());
            let key = series.key(&mut scratch, usize::MAX).expect("references that were good for labels");
            // The key keeps the order of the labels on the wire and labels without a value. If it is canonical all the
            // same, it equals the label set.
            let canonical = Labels::from_bytes(key).ok().filter(|_| version == RemoteVersion::Two);
            assert!(canonical.is_none_or(|canonical| canonical == labels));
        }
        points(&series, body.len());
    }
}

fn points(series: &Series<'_, '_>, length: usize) {
    let mut count = 0;
    let walked = series.for_each_point(|point| {
        count += 1;
        let Point::Histogram(wire) = point else { return };
        if wire.check().is_ok() {
            let mut again = Vec::new();
            histogram::encode(&mut again, &wire.histogram, wire.timestamp_ms);
            let again = histogram::decode(Fields::new(&again)).expect("a histogram just encoded");
            assert_eq!(
                format!("{:?}", again.histogram),
                format!("{:?}", wire.histogram),
                "NaN is equal here"
            );
            assert!(again.check().is_ok());
        }
    });
    assert!(2 * count <= length, "{count} points out of {length} bytes");
    assert!(walked.is_err() || series.counts.samples + series.counts.histograms <= count as u64);
}

/// A query of arbitrary text: an error whose position is inside the text, or a tree that prints and parses to itself.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let expr = match syntax::parse(text) {
        Ok(expr) => expr,
        Err(error) => {
            if let QueryError::Parse { start, end, .. } = &error {
                assert!(start <= end && *end as usize <= text.len(), "{error}: {start}..{end}");
            }
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    if let Some(again) = reparse(&syntax::print(&expr)) {
        assert_eq!(again, expr);
    }
    if let Some(again) = reparse(&syntax::pretty(&expr)) {
        // The printer puts a long operand of a sign in parentheses when it breaks it into lines.
        let bare = |expr| syntax::print(expr).replace(['(', ')'], "");
        assert_eq!(bare(&again), bare(&expr));
    }
    let _ = syntax::json(&expr);
}

/// Parses printed text; `None` if it is too long or nested too deeply, which the original query need not be.
fn reparse(printed: &str) -> Option<syntax::ast::Expr> {
    match syntax::parse(printed) {
        Ok(expr) => Some(expr),
        Err(error) => {
            let text = error.to_string();
            let is_limit =
                printed.len() > syntax::QUERY_BYTES_MAX || text.contains("deep") || text.contains("chains");
            assert!(is_limit, "{printed:?}: {error}");
            None
        }
    }
}
