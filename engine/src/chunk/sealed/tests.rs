//! Chunks on the way to bytes and back, whole, damaged and hostile.

use proptest::prelude::*;

use super::*;
use crate::codec::test_data::{
    assert_same_bits, assert_same_histograms, floats, histograms, integers, times,
};
use crate::model::{ResetHint, Span};

const KEY: &[u8] = b"class tier partition series";
const EFFORTS: [CompressionLevel; 2] = [CompressionLevel::Fast, CompressionLevel::Best];

fn encoded(timestamps: &[i64], values: ChunkValues<'_>) -> Vec<u8> {
    encoded_with(timestamps, values, CompressionLevel::Fast)
}

fn encoded_with(timestamps: &[i64], values: ChunkValues<'_>, level: CompressionLevel) -> Vec<u8> {
    let mut out = vec![0xcc];
    encode(KEY, timestamps, values, level, &mut out);
    out.split_off(1)
}

fn decoded(bytes: &[u8]) -> Result<(Vec<i64>, Vec<f64>), ChunkError> {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    Chunk::open(KEY, bytes)?.decode(&mut Scratch::default(), &mut timestamps, &mut values)?;
    Ok((timestamps, values))
}

/// Makes the checksum of changed bytes right again, so that what follows it is tested.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(body) = bytes.len().checked_sub(CHECKSUM_LEN) {
        bytes.truncate(body);
        let sum = checksum(KEY, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Version 1, for ever: if this test breaks, the format has changed and needs a new version.
#[test]
fn golden_bytes_version_1() {
    const SECOND: i64 = 1_000_000_000;
    let regular = [10 * SECOND, 25 * SECOND, 40 * SECOND];
    let jittered = [1_700_000_000_000_000_000, 1_700_000_001_002_000_000, 1_700_000_001_999_000_000];
    let cases: [(&[i64], ChunkValues<'_>, &str); 4] = [
        (&regular, ChunkValues::Float(&[0.5; 3]), GOLDEN_REGULAR_CONSTANT),
        (&jittered, ChunkValues::Float(&[1.0, 2.0, -0.0]), GOLDEN_JITTERED_XOR),
        (&regular, ChunkValues::Int(&[-7; 3]), GOLDEN_INT_CONSTANT),
        (&[-1], ChunkValues::Int(&[i64::MIN]), GOLDEN_SINGLE),
    ];
    for (timestamps, values, golden) in cases {
        let bytes = encoded(timestamps, values);
        assert_eq!(hex(&bytes), golden);
        let (found, _) = decoded(&bytes).unwrap();
        assert_eq!(found, timestamps);
    }
    let ints = encoded(&regular, ChunkValues::Int(&[1, 2, 300]));
    assert_eq!(hex(&ints), GOLDEN_INT_PACKED);

    let times: Vec<i64> = (0..40).map(|i| (i * 1000 + i * i % 7) * 1_000_000).collect();
    let values: Vec<f64> = (0..40).map(|i| f64::from(i * i % 11) / 10.0).collect();
    let decimals = encoded(&times, ChunkValues::Float(&values));
    assert_eq!(hex(&decimals), GOLDEN_PACKED_DECIMAL);
    assert_eq!(decoded(&decimals).unwrap(), (times, values));
}

/// Histograms and start timestamps, version 1 as well: an older build refuses them by kind and flag.
#[test]
fn golden_bytes_of_histograms_and_starts() {
    const SECOND: i64 = 1_000_000_000;
    let times = [10 * SECOND, 25 * SECOND, 40 * SECOND];
    let histogram = |count: f64, buckets: [f64; 2]| {
        Arc::new(Histogram {
            schema: 1,
            zero_threshold: 0.5,
            count,
            sum: count / 4.0,
            positive_spans: vec![Span { offset: -1, length: 2 }],
            positive_buckets: buckets.to_vec(),
            ..Histogram::default()
        })
    };
    let gauge = Arc::new(Histogram { reset_hint: ResetHint::Gauge, ..Histogram::default() });
    let histograms = [histogram(3.0, [1.0, 2.0]), gauge, histogram(5.5, [1.0, 4.5])];
    let starts = [5 * SECOND, 0, 5 * SECOND];
    let mut bytes = Vec::new();
    encode_started(
        KEY,
        &times,
        &starts,
        ChunkValues::Histogram(&histograms),
        CompressionLevel::Fast,
        &mut bytes,
    );
    assert_eq!(hex(&bytes), GOLDEN_HISTOGRAMS);
    assert_eq!(started(&bytes).unwrap(), (times.to_vec(), starts.to_vec()));
    let (mut found, mut found_histograms) = (Vec::new(), Vec::new());
    Chunk::open(KEY, &bytes).unwrap().decode_histograms(&mut found, &mut found_histograms).unwrap();
    assert_same_histograms(&found_histograms, &histograms);

    let previous = [-5 * SECOND, 10 * SECOND, 25 * SECOND];
    let mut floats = Vec::new();
    encode_started(
        KEY,
        &times,
        &previous,
        ChunkValues::Float(&[0.5; 3]),
        CompressionLevel::Fast,
        &mut floats,
    );
    assert_eq!(hex(&floats), GOLDEN_STARTED_FLOATS);
    assert_eq!(started(&floats).unwrap(), (times.to_vec(), previous.to_vec()));
}

const GOLDEN_HISTOGRAMS: &str = "011202141ec100220f80c8afa0250680e497d0120104000030010d0402000000000000e03f010102030300002206000202030000120901003c06050b220000200100120a0300dc0b067d0b220000120a0100140605000401000228d53121";
const GOLDEN_STARTED_FLOATS: &str = "011002141ec1006005ffd78ee16f103fe02ce0a013";

/// Timestamps and start timestamps of any chunk.
fn started(bytes: &[u8]) -> Result<(Vec<i64>, Vec<i64>), ChunkError> {
    let chunk = Chunk::open(KEY, bytes)?;
    let (mut timestamps, mut starts) = (Vec::new(), Vec::new());
    match chunk.kind() {
        ChunkKind::Histogram => chunk.decode_histograms(&mut timestamps, &mut Vec::new())?,
        _ => chunk.decode(&mut Scratch::default(), &mut timestamps, &mut Vec::new())?,
    }
    chunk.decode_starts(&timestamps, &mut starts)?;
    Ok((timestamps, starts))
}

/// What the writer would not choose today is read all the same.
#[test]
fn golden_bytes_of_other_choices() {
    let ints = unhex("010102141ec100210100000000000000e5a604a5f4bab8");
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    Chunk::open(KEY, &ints).unwrap().decode_ints(&mut timestamps, &mut values).unwrap();
    assert_eq!(values, [1, 2, 300]);
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const GOLDEN_REGULAR_CONSTANT: &str = "010002141ec100103fe0cd5040cb";
const GOLDEN_JITTERED_XOR: &str = "01000280a0abfef962cf0f8202951011000000000000f03f07e5ff8360cb2abb88";
const GOLDEN_INT_CONSTANT: &str = "010102141ec100200d9b56b2f5";
const GOLDEN_INT_PACKED: &str = "010102141ec10022020202d20400005316757d";
const GOLDEN_PACKED_DECIMAL: &str = "01002700dab002831401ca0f0300745688ce0ad159213a2b446785e80c120100000202118016070215041505150415051504150515756e8c54";
const GOLDEN_SINGLE: &str = "0101000100010020ffffffffffffffffff0159b22bcc";

#[test]
fn a_chunk_under_a_wrong_key_is_noticed() {
    let bytes = encoded(&[1, 2], ChunkValues::Float(&[1.0, 2.0]));
    let error = Chunk::open(b"another key", &bytes).unwrap_err();
    assert!(matches!(error.what, ChunkFault::Checksum { .. }));
    assert_eq!(error.offset, bytes.len() - CHECKSUM_LEN);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = encoded(&[1, 3, 4], ChunkValues::Float(&[1.0, 2.0, 2.0]));
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Chunk::open(KEY, &damaged).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Chunk::open(KEY, &bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn headers_out_of_bounds_are_named() {
    let fault = |body: &[u8]| {
        let bytes = resealed([body, &[0; CHECKSUM_LEN]].concat());
        let error = decoded(&bytes).unwrap_err();
        (error.offset, error.what)
    };
    assert_eq!(fault(&[2]), (0, ChunkFault::FutureVersion(2)));
    assert_eq!(fault(&[1]), (1, Fault::Truncated.into()));
    assert_eq!(fault(&[1, 3]), (1, ChunkFault::Kind(3)));
    assert_eq!(fault(&[1, 0x20]), (1, ChunkFault::Kind(0x20)));
    assert_eq!(fault(&[1, 0, 0x80, 0x80, 0x04]), (2, ChunkFault::Count(65_537)));
    assert_eq!(fault(&[1, 0, 0x80, 0x00]), (2, Fault::Varint.into()));
    // One sample at 2^62 seconds.
    let far = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(fault(&[&[1, 0, 0], &far[..], &[0, 0xc1, 0]].concat()), (3, ChunkFault::TimeRange));
    // A timestamp section longer than the chunk, and one of a codec for values.
    assert_eq!(fault(&[1, 0, 1, 0, 9, 0x02, 200, 1, 0x10]), (8, Fault::Truncated.into()));
    assert_eq!(
        fault(&[1, 0, 0, 0, 0, 0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0]).1,
        Fault::UnknownCodec(0x10).into()
    );
    // Values of a codec for integers, too few bytes, too many.
    assert_eq!(fault(&[1, 0, 0, 0, 0, 0x01, 0, 0x20, 0]), (8, Fault::UnknownCodec(0x20).into()));
    assert_eq!(fault(&[1, 0, 0, 0, 0, 0x01, 0, 0x11, 0]), (8, Fault::Truncated.into()));
    assert_eq!(fault(&[1, 0, 0, 0, 0, 0x01, 0, 0x10, 0]), (8, Fault::Trailing.into()));
    assert_eq!(fault(&[1, 1, 0, 0, 0, 0x01, 0, 0x20, 0, 0]), (8, Fault::Trailing.into()));
    assert_eq!(fault(&[1, 1, 0, 0, 0, 0x01, 0, 0x3f, 0]), (7, Fault::UnknownCodec(0x3f).into()));
    // Histograms in a codec for floats, floats in that of histograms.
    assert_eq!(fault(&[1, 2, 0, 0, 0, 0x01, 0, 0x10, 0]), (7, Fault::UnknownCodec(0x10).into()));
    assert_eq!(fault(&[1, 0, 0, 0, 0, 0x01, 0, 0x30, 0]), (7, Fault::UnknownCodec(0x30).into()));
    // Start timestamps: a form that is none, a section that ends late.
    assert_eq!(fault(&[1, 0x10, 0, 0, 0, 0x01, 0, 0xe0, 1, 0, 0x10]), (7, Fault::Field.into()));
    assert_eq!(fault(&[1, 0x10, 0, 0, 0, 0x01, 0, 0x20, 9, 0, 0x10]), (9, Fault::Truncated.into()));
}

#[test]
fn each_kind_is_read_as_what_it_is() {
    let histogram = encoded(&[1], ChunkValues::Histogram(&[Arc::default()]));
    let chunk = Chunk::open(KEY, &histogram).unwrap();
    assert_eq!(decoded(&histogram).unwrap_err().what, ChunkFault::NotNumbers);
    assert_eq!(chunk.decode_ints(&mut vec![], &mut vec![]).unwrap_err().what, ChunkFault::NotInts);
    let float = encoded(&[1], ChunkValues::Float(&[1.0]));
    let error = Chunk::open(KEY, &float).unwrap().decode_histograms(&mut vec![], &mut vec![]).unwrap_err();
    assert_eq!(error.to_string(), "chunk byte 1: not a chunk of histograms");
}

#[test]
fn floats_are_not_read_as_integers() {
    let bytes = encoded(&[1], ChunkValues::Float(&[1.0]));
    let error = Chunk::open(KEY, &bytes).unwrap().decode_ints(&mut vec![], &mut vec![]).unwrap_err();
    assert_eq!(error.what, ChunkFault::NotInts);
    assert_eq!(error.to_string(), "chunk byte 1: not a chunk of integers");
}

#[test]
fn all_short_sequences_come_back() {
    let floats = [0.0, -0.0, 1.0, 0.1, f64::MAX, f64::from_bits(crate::model::STALE_NAN_BITS)];
    let steps = [1, 2, 1_000_000_000, 1_000_000_001, i64::MAX, 1_000];
    for sequence in 0..floats.len().pow(5) {
        let (mut timestamps, mut values, mut rest, mut next) = (vec![], vec![], sequence, i64::MIN);
        while rest > 0 {
            let at = rest % floats.len();
            rest /= floats.len();
            let Some(after) = i64::checked_add(next, steps[at]) else { break };
            next = after;
            timestamps.push(next);
            values.push(floats[at]);
        }
        if !timestamps.is_empty() {
            let (found, found_values) = decoded(&encoded(&timestamps, ChunkValues::Float(&values))).unwrap();
            assert_eq!(found, timestamps);
            assert_same_bits(&found_values, &values);
        }
    }
}

#[test]
fn the_largest_chunk() {
    let timestamps: Vec<i64> = (0..SAMPLES_MAX as i64).map(|i| i * i).collect();
    let values: Vec<f64> = timestamps.iter().map(|&t| t as f64 / 3.0).collect();
    let (found, found_values) = decoded(&encoded(&timestamps, ChunkValues::Float(&values))).unwrap();
    assert_eq!(found, timestamps);
    assert_same_bits(&found_values, &values);
}

#[test]
fn a_failed_decode_leaves_the_columns_as_they_were() {
    let mut bytes = encoded(&[1, 3, 4], ChunkValues::Float(&[1.0, 2.0, 2.5]));
    bytes.remove(bytes.len() - CHECKSUM_LEN - 1);
    let bytes = resealed(bytes);
    let (mut timestamps, mut values) = (vec![7], vec![7.0]);
    let chunk = Chunk::open(KEY, &bytes).unwrap();
    assert!(chunk.decode(&mut Scratch::default(), &mut timestamps, &mut values).is_err());
    assert_eq!((timestamps, values), (vec![7], vec![7.0]));
}

proptest! {
    #[test]
    fn floats_come_back(timestamps in times(1..300), values in floats(300..301)) {
        let values = &values[..timestamps.len()];
        for level in EFFORTS {
            let bytes = encoded_with(&timestamps, ChunkValues::Float(values), level);
            let chunk = Chunk::open(KEY, &bytes).unwrap();
            prop_assert_eq!(chunk.kind(), ChunkKind::Float);
            prop_assert_eq!(chunk.count(), timestamps.len());
            prop_assert_eq!((chunk.first(), chunk.last()), (timestamps[0], timestamps[timestamps.len() - 1]));
            let (found, found_values) = decoded(&bytes).unwrap();
            prop_assert_eq!(&found, &timestamps);
            assert_same_bits(&found_values, values);
        }
    }

    #[test]
    fn integers_come_back(timestamps in times(1..300), values in integers(300..301)) {
        let values = &values[..timestamps.len()];
        let floats: Vec<f64> = values.iter().map(|&value| value as f64).collect();
        for level in EFFORTS {
            let bytes = encoded_with(&timestamps, ChunkValues::Int(values), level);
            let chunk = Chunk::open(KEY, &bytes).unwrap();
            prop_assert_eq!(chunk.kind(), ChunkKind::Int);
            let (mut found, mut found_values) = (Vec::new(), Vec::new());
            chunk.decode_ints(&mut found, &mut found_values).unwrap();
            prop_assert_eq!(&found, &timestamps);
            prop_assert_eq!(&found_values[..], values);
            prop_assert_eq!(&decoded(&bytes).unwrap().1, &floats);
        }
    }

    #[test]
    fn histograms_and_starts_come_back(
        timestamps in times(1..60),
        histograms in histograms(60..61),
        starts in integers(60..61),
        level in prop::sample::select(&EFFORTS[..]),
    ) {
        let count = timestamps.len();
        let histograms: Vec<_> = histograms.into_iter().take(count).map(Arc::new).collect();
        let mut bytes = Vec::new();
        encode_started(KEY, &timestamps, &starts[..count], ChunkValues::Histogram(&histograms), level, &mut bytes);
        let chunk = Chunk::open(KEY, &bytes).unwrap();
        prop_assert_eq!(chunk.kind(), ChunkKind::Histogram);
        let (mut found, mut found_histograms) = (Vec::new(), Vec::new());
        chunk.decode_histograms(&mut found, &mut found_histograms).unwrap();
        prop_assert_eq!(&found, &timestamps);
        assert_same_histograms(&found_histograms, &histograms);
        let mut found_starts = vec![1];
        chunk.decode_starts(&found, &mut found_starts).unwrap();
        prop_assert_eq!(&found_starts[1..], &starts[..count]);
    }

    #[test]
    fn damage_behind_a_right_checksum_of_histograms_never_panics(
        histograms in histograms(1..8),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        level in prop::sample::select(&EFFORTS[..]),
    ) {
        let histograms: Vec<_> = histograms.into_iter().map(Arc::new).collect();
        let timestamps: Vec<i64> = (0..histograms.len() as i64).map(|i| i * i).collect();
        let mut bytes = Vec::new();
        encode_started(KEY, &timestamps, &timestamps, ChunkValues::Histogram(&histograms), level, &mut bytes);
        for (at, byte) in flips {
            let at = at.index(bytes.len() - CHECKSUM_LEN);
            bytes[at] = byte;
        }
        if let Ok((timestamps, starts)) = started(&resealed(bytes)) {
            prop_assert_eq!(timestamps.len(), starts.len());
        }
    }

    #[test]
    fn damage_behind_a_right_checksum_never_panics(
        timestamps in times(1..100),
        values in floats(100..101),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        level in prop::sample::select(&EFFORTS[..]),
    ) {
        let mut bytes = encoded_with(&timestamps, ChunkValues::Float(&values[..timestamps.len()]), level);
        for flip in flips {
            let bit = flip.index((bytes.len() - CHECKSUM_LEN) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if let Ok((found, found_values)) = decoded(&resealed(bytes)) {
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(found.len(), found_values.len());
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100), kind in 0u8..0x20) {
        if let [version, second, ..] = &mut bytes[..] {
            (*version, *second) = (VERSION, kind);
        }
        let bytes = resealed(bytes);
        let _ = decoded(&bytes);
        let _ = started(&bytes);
        if let Ok(chunk) = Chunk::open(KEY, &bytes) {
            let (mut timestamps, mut values) = (Vec::new(), Vec::new());
            let _ = chunk.decode_ints(&mut timestamps, &mut values);
            prop_assert!(values.capacity() <= SAMPLES_MAX);
        }
    }
}
