//! Chunks of buckets on the way to bytes and back: whole, skipped, damaged and hostile.

use proptest::prelude::*;

use super::section::checksum;
use super::*;
use crate::codec::{Fault, varint};
use crate::rollup::test_data::{COARSE, WIDTH, built, differences, series};
use crate::rollup::{BucketColumns, Edge, ExactSum, Fold, Gaps};

const KEY: &[u8] = b"class tier partition series";
const CLASSES: [Class; 3] = [Class::Gauge, Class::Counter, Class::Unclear];
const EFFORTS: [CompressionLevel; 3] =
    [CompressionLevel::Fast, CompressionLevel::Balanced, CompressionLevel::Best];

fn shape(class: Class, bounds: bool) -> Shape {
    Shape { width: WIDTH, source: 0, class, bounds }
}

fn encoded(shape: &Shape, buckets: &[Bucket], level: CompressionLevel) -> Vec<u8> {
    let mut out = vec![0xcc];
    encode(KEY, shape, buckets, level, &mut out);
    out.split_off(1)
}

fn decoded(bytes: &[u8], columns: Columns) -> Result<Vec<Bucket>, BucketChunkError> {
    let mut out = vec![Bucket::empty(7)];
    let found = decode(KEY, bytes, columns, &mut out);
    assert!(found.is_ok() || out.len() == 1);
    found.map(|()| out.split_off(1))
}

/// What a chunk keeps of a bucket.
fn kept(bucket: &Bucket, shape: &Shape) -> Bucket {
    let mut kept = Bucket { m2_rest: 0.0, ..bucket.clone() };
    if kept.count == 0 {
        let Bucket { end, markers, ended, has_histograms, omitted, .. } = kept;
        return Bucket { markers, ended, has_histograms, omitted, ..Bucket::empty(end) };
    }
    if !shape.class.counts() {
        kept.first.start = 0;
        kept.last.start = 0;
        (kept.overlap, kept.resets, kept.lost) = (false, 0, ExactSum::huge());
    } else if shape.class == Class::Unclear && kept.resets > kept.count / 8 {
        kept.lost = ExactSum::huge();
    }
    if !shape.class.measures() {
        (kept.sum, kept.m2, kept.sketch) = (ExactSum::huge(), f64::NAN, None);
    }
    if !shape.bounds && kept.count > 1 {
        (kept.gaps, kept.step) = (Gaps::UNKNOWN, f64::INFINITY);
    }
    kept
}

fn assert_same(found: &[Bucket], expected: &[Bucket]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let different = differences(found, expected);
        prop_assert!(different.is_empty(), "{different:?}\n{found:?}\n{expected:?}");
    }
    Ok(())
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

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A gauge of decimals, a counter with a reset, and a bucket that deletes emptied.
fn examples() -> [(Shape, Vec<Bucket>); 3] {
    let gauge: Vec<_> = (1..=40).map(|i| (i * 15, f64::from(i as i32 * i as i32 % 11) / 10.0, 0)).collect();
    let counter: Vec<_> = (1..=40).map(|i| (i * 15, f64::from(i as i32 % 23) * 2.5, 1)).collect();
    let emptied = vec![Bucket::empty(60), Bucket { markers: 1, ended: true, ..Bucket::empty(240) }];
    [
        (shape(Class::Gauge, true), built(&gauge, WIDTH)),
        (shape(Class::Counter, false), built(&counter, WIDTH)),
        (
            Shape { width: 3_600_000_000_000, source: 300_000_000_000, class: Class::Unclear, bounds: false },
            emptied,
        ),
    ]
}

/// Version 1, for ever: all of these bytes can be read. What is written may change with the choices of the writer; the bytes
/// before such a change stay here. If bytes can no longer be read, the format has changed and needs a new version.
#[test]
fn golden_bytes_version_1() {
    let found = examples().map(|(shape, buckets)| hex(&encoded(&shape, &buckets, CompressionLevel::Best)));
    assert_eq!(found, [GOLDEN_GAUGE, GOLDEN_COUNTER, GOLDEN_EMPTIED]);
    let [gauge, counter, emptied] = &examples();
    for ((shape, buckets), golden) in [
        (gauge, GOLDEN_GAUGE),
        (counter, GOLDEN_COUNTER),
        (counter, GOLDEN_COUNTER_PREDICTED),
        (emptied, GOLDEN_EMPTIED),
    ] {
        let bytes = bytes_of(golden);
        let expected: Vec<Bucket> = buckets.iter().map(|bucket| kept(bucket, shape)).collect();
        assert_same(&decoded(&bytes, Columns::ALL).unwrap(), &expected).unwrap();
        assert_eq!(BucketChunk::open(KEY, &bytes).unwrap().shape(), *shape);
    }
}

const GOLDEN_GAUGE: &str = concat!(
    "010c09003c0002c2acde1820010820011e120c01000a000704000832238004120c010002000104004334910505",
    "22070600010100de00120a01000200010200f31c03120b01001200090300458bb601131405002609001904000e",
    "ffe08d0a0200010100d200220c022f0000050018518a30a810e216210122070000000100bf0116000f05002994",
    "12129a00220be07f0015040058bb85bb00001500de6f2eb3d0bf4c364d3643ff2a33ef379b30f727bd1c8af3",
);
const GOLDEN_COUNTER: &str = concat!(
    "010909003c0002c2fd0220010820011e200102120c0100c801051908800001042d620901009501046402000022",
    "07000000010010002001061003404b80120d010032051904800402042900031697c7ac",
);
/// Its maxima are differences from what the first and the last values predict, which is smaller.
const GOLDEN_COUNTER_PREDICTED: &str = concat!(
    "010909003c0002c2fd0220010820011e200102120c0100c801051908800001042d620901009501046402000022",
    "07000000010010002001061003404b80620a0100000419010100ef01e494e02c",
);
const GOLDEN_EMPTIED: &str = "01020103901c0c780d2002e6022205000002000022050000020000094f0a41";

#[test]
fn constants_cost_next_to_nothing() {
    let constant: Vec<_> = (1..=4000).map(|i| (i * 15, 0.1, 1)).collect();
    let buckets = built(&constant, WIDTH);
    assert_eq!(buckets.len(), 1000);
    for class in CLASSES {
        let bytes = encoded(&shape(class, true), &buckets, CompressionLevel::Best);
        assert!(bytes.len() <= 50, "{} bytes for {class:?}", bytes.len());
    }
}

#[test]
fn columns_that_are_not_asked_for_are_unknown() {
    let (shape, buckets) = &examples()[0];
    let bytes = encoded(shape, buckets, CompressionLevel::Best);
    let found = &decoded(&bytes, Columns::NONE).unwrap()[0];
    assert_eq!((found.end, found.count, found.changes), (60, 4, 0));
    assert!(found.sum.is_huge() && found.lost.is_huge() && found.m2.is_nan() && found.min.is_nan());
    assert_eq!((found.gaps, found.step, found.sketch.is_some()), (Gaps::UNKNOWN, f64::INFINITY, false));
}

/// What a reset took is not stored if it is zero, but a maximum may follow from it.
#[test]
fn maxima_that_follow_from_lost_zeros() {
    let values = [-2.0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0];
    let sample = |at: i64| (at / 8 * WIDTH + at % 8 * 7 + 1, values[at as usize % 8], 0);
    let buckets = built(&(0..64).map(sample).collect::<Vec<_>>(), WIDTH);
    for class in CLASSES {
        let bytes = encoded(&shape(class, false), &buckets, CompressionLevel::Best);
        let chunk = BucketChunk::open(KEY, &bytes).unwrap();
        assert!(chunk.sizes().all(|(name, _)| name != "lost"));
        let mut found = BucketColumns::new(Columns::MAX);
        chunk.decode_columns(&mut found).unwrap();
        assert!(found.maxima.iter().eq(buckets.iter().map(|bucket| &bucket.max)), "{class:?}");
        assert!(found.resets.is_usual() && found.lost.huge.is_usual(), "they are not held");
    }
}

#[test]
fn extremes_are_read_without_the_values_that_predict_them() {
    let (shape, buckets) = &examples()[1];
    let constant: Vec<_> = (1..=40).map(|i| (i * 15, 7.5, 0)).collect();
    let mut sparse = built(&constant, WIDTH);
    sparse[3] = Bucket { markers: 1, ..Bucket::empty(sparse[3].end) };
    let predicted = bytes_of(GOLDEN_COUNTER_PREDICTED);
    let chunks =
        [predicted.clone(), encoded(shape, &sparse, CompressionLevel::Best), bytes_of(GOLDEN_COUNTER)];
    let expected: Vec<&Bucket> = buckets.iter().chain(&sparse).chain(buckets).collect();
    for columns in [Columns::MIN, Columns::MAX, Columns::EXTREMES] {
        let mut out = BucketColumns::new(columns);
        for chunk in &chunks {
            BucketChunk::open(KEY, chunk).unwrap().decode_columns(&mut out).unwrap();
        }
        assert!(out.first_values.is_empty() && out.last_values.is_empty(), "they are not held");
        let is_same = |found: &[f64], of: fn(&Bucket) -> f64| {
            found.iter().map(|value| value.to_bits()).eq(expected.iter().map(|bucket| of(bucket).to_bits()))
        };
        assert!(!columns.contains(Columns::MIN) || is_same(&out.minima, |bucket| bucket.min));
        assert!(!columns.contains(Columns::MAX) || is_same(&out.maxima, |bucket| bucket.max));
        for bit in 0..predicted.len() * 8 {
            let (mut flipped, mut more) = (predicted.clone(), out.clone());
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = resealed(flipped);
            let Ok(chunk) = BucketChunk::open(KEY, &flipped) else { continue };
            let is_read = chunk.decode_columns(&mut more).is_ok();
            assert_eq!(more.len(), out.len() + if is_read { chunk.count() } else { 0 }, "bit {bit}");
            assert!(more.first_values.is_empty() && more.last_values.is_empty(), "bit {bit}");
        }
    }
}

#[test]
fn a_key_is_part_of_the_checksum() {
    let (shape, buckets) = &examples()[1];
    let bytes = encoded(shape, buckets, CompressionLevel::Fast);
    let error = BucketChunk::open(b"another key", &bytes).unwrap_err();
    assert!(matches!(error.what, BucketChunkFault::Checksum { .. }));
    let mut newer = bytes.clone();
    newer[0] = 3;
    assert_eq!(decoded(&newer, Columns::ALL).unwrap_err().what, BucketChunkFault::FutureVersion(3));
}

#[test]
fn an_omitted_bucket_is_an_end() {
    let shape = shape(Class::Unclear, false);
    let (mut buckets, mixed) = (examples()[0].1.clone(), [1, 4, 5]);
    mixed.iter().for_each(|&at: &usize| buckets[at] = Bucket::omitted(buckets[at].end));
    let found = decoded(&encoded(&shape, &buckets, CompressionLevel::Best), Columns::ALL).unwrap();
    for (found, bucket) in found.iter().zip(&buckets) {
        assert_eq!(differences(found, &kept(bucket, &shape)), [""; 0]);
    }
    let all: Vec<Bucket> = (1..=168).map(|at| Bucket::omitted(at * WIDTH)).collect();
    let bytes = encoded(&shape, &all, CompressionLevel::Best);
    assert!(bytes.len() < 24, "{} bytes", bytes.len());
    assert!(decoded(&bytes, Columns::NONE).unwrap().iter().all(|bucket| bucket.omitted));
}

#[test]
fn ends_that_are_no_multiples_are_exact() {
    for ends in [&[i64::MIN, -1, i64::MAX][..], &[1, 2, 60], &[i64::MIN], &[i64::MAX], &[60, 120, 600]] {
        let buckets: Vec<Bucket> = ends.iter().map(|&end| Bucket::empty(end)).collect();
        let bytes = encoded(&shape(Class::Gauge, false), &buckets, CompressionLevel::Best);
        let found = decoded(&bytes, Columns::ALL).unwrap();
        assert_eq!(found.iter().map(|bucket| bucket.end).collect::<Vec<_>>(), ends);
    }
}

#[test]
fn chunks_that_are_cut_short_are_refused() {
    for (shape, buckets) in examples() {
        let bytes = encoded(&shape, &buckets, CompressionLevel::Best);
        for len in 0..bytes.len() {
            assert!(decoded(&bytes[..len], Columns::ALL).is_err());
            let _ = decoded(&resealed(bytes[..len].to_vec()), Columns::ALL);
        }
        let mut longer = bytes[..bytes.len() - CHECKSUM_LEN].to_vec();
        longer.extend_from_slice(&[0; 1 + CHECKSUM_LEN]);
        assert_eq!(decoded(&resealed(longer), Columns::ALL).unwrap_err().what, Fault::Trailing.into());
    }
}

#[test]
fn every_flipped_bit_is_found() {
    for (shape, buckets) in examples() {
        let bytes = encoded(&shape, &buckets, CompressionLevel::Best);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decoded(&flipped, Columns::ALL).is_err(), "bit {bit}");
            if let Ok(found) = decoded(&resealed(flipped), Columns::ALL) {
                assert!(found.len() <= BUCKETS_MAX);
                // What hostile bytes say is used like any other bucket.
                let mut fold = Fold::new(WIDTH * COARSE);
                let mut coarse = Vec::new();
                found.into_iter().for_each(|bucket| fold.push(bucket, &mut coarse));
            }
        }
    }
}

#[test]
fn header_fields_are_checked() {
    let body = |fields: &[u8]| resealed([fields, &[0; CHECKSUM_LEN]].concat());
    let fault = |fields: &[u8]| decoded(&body(fields), Columns::ALL).unwrap_err().what;
    // Version, class and flags, count - 1, unit, width, source, first end, present.
    assert!(decoded(&body(&[1, 0, 0, 0, 60, 0, 2, 0]), Columns::ALL).is_ok());
    assert_eq!(fault(&[1, 3, 0, 0, 60, 0, 2, 0]), BucketChunkFault::Unknown(3));
    assert_eq!(fault(&[1, 0x10, 0, 0, 60, 0, 2, 0]), BucketChunkFault::Unknown(0x10));
    assert_eq!(fault(&[1, 0, 0x80, 8, 0, 60, 0, 2, 0]), BucketChunkFault::Count(1025));
    assert_eq!(fault(&[1, 0, 0, 4, 60, 0, 2, 0]), BucketChunkFault::Range);
    assert_eq!(fault(&[1, 0, 0, 0, 0, 0, 2, 0]), BucketChunkFault::Range);
    assert_eq!(fault(&[1, 0, 0, 0, 60, 7, 2, 0]), BucketChunkFault::Range);
    let mut present = vec![1, 0, 0, 0, 60, 0, 2];
    varint::write(&mut present, 1 << 27);
    assert_eq!(fault(&present), BucketChunkFault::Unknown(1 << 27));
}

/// Buckets that no samples add up to, with any bits.
fn any_buckets() -> impl Strategy<Value = Vec<Bucket>> {
    let float = || {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-50i32..50).prop_map(|k| f64::from(k) / 10.0),
            prop::sample::select(&crate::codec::test_data::NASTY_BITS[..]).prop_map(f64::from_bits),
        ]
    };
    let edge =
        (any::<i64>(), float(), any::<i64>()).prop_map(|(time, value, start)| Edge { time, value, start });
    let sum = || {
        prop::collection::vec(float(), 0..5).prop_map(|values| {
            let mut sum = ExactSum::default();
            sum.extend(&values);
            sum.normalize();
            sum
        })
    };
    let numbers = (0u64..100, any::<u64>(), any::<u64>(), 0u64..60, any::<u64>());
    let floats = (float(), float(), float(), float());
    let flags = ((any::<bool>(), any::<bool>()), any::<bool>(), any::<bool>(), 1i64.., 1i64..);
    let one = (numbers, edge.clone(), edge, (sum(), sum()), floats, flags).prop_map(
        |((count, nans, markers, resets, changes), first, last, (sum, lost), floats, flags)| {
            let (m2, min, max, step) = floats;
            let ((ended, has_histograms), overlap, regular, gap, greater) = flags;
            let first = if count == 1 { last } else { first };
            let exact = sum.is_exact();
            let lost = if resets == 0 { ExactSum::default() } else { lost };
            let m2 = if exact { m2 } else { f64::NAN };
            let gaps = Gaps { min: gap, max: greater, regular };
            let edges = Bucket {
                count,
                first,
                last,
                nans,
                markers,
                ended,
                overlap,
                has_histograms,
                ..Bucket::empty(0)
            };
            Bucket { lost, resets, changes, sum, m2, min, max, gaps, step, ..edges }
        },
    );
    prop::collection::vec((one, 1i64..4), 1..70).prop_map(|rows| {
        let mut end = -600;
        let place = |(bucket, skip): (Bucket, i64)| {
            end += skip * WIDTH;
            Bucket { end, ..bucket }
        };
        rows.into_iter().map(place).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn buckets_of_samples_round_trip(
        series in series(500), coarse in prop::sample::select(&[1, COARSE][..]), bounds in any::<bool>(),
    ) {
        let buckets = built(&series, WIDTH * coarse);
        for (class, level) in CLASSES.into_iter().flat_map(|class| EFFORTS.map(|level| (class, level))) {
            let shape = Shape { width: WIDTH * coarse, ..shape(class, bounds) };
            let bytes = encoded(&shape, &buckets, level);
            let expected: Vec<Bucket> = buckets.iter().map(|bucket| kept(bucket, &shape)).collect();
            assert_same(&decoded(&bytes, Columns::ALL).unwrap(), &expected)?;
            prop_assert_eq!(bytes, encoded(&shape, &expected, level), "what is read writes back the same");
        }
    }

    #[test]
    fn any_buckets_round_trip(buckets in any_buckets()) {
        for class in CLASSES {
            let shape = shape(class, true);
            let bytes = encoded(&shape, &buckets, CompressionLevel::Best);
            let expected: Vec<Bucket> = buckets.iter().map(|bucket| kept(bucket, &shape)).collect();
            assert_same(&decoded(&bytes, Columns::ALL).unwrap(), &expected)?;
        }
    }

    #[test]
    fn columns_may_be_skipped(series in series(300), which in 0u16..1 << 12, class in prop::sample::select(&CLASSES[..])) {
        let shape = shape(class, true);
        let bytes = encoded(&shape, &built(&series, WIDTH), CompressionLevel::Best);
        let all = decoded(&bytes, Columns::ALL).unwrap();
        let columns = Columns::from_bits(which);
        for (found, all) in decoded(&bytes, columns).unwrap().iter().zip(&all) {
            let different = differences(found, all);
            for (column, names) in [
                (Columns::TIMES | Columns::VALUES | Columns::STARTS, &["first", "last"][..]),
                (Columns::LOST, &["lost", "resets"]),
                (Columns::CHANGES, &["changes"]),
                (Columns::SUM, &["sum"]),
                (Columns::M2, &["m2"]),
                (Columns::MIN, &["min"]),
                (Columns::MAX, &["max"]),
                (Columns::GAPS, &["gaps"]),
                (Columns::STEP, &["step"]),
                (Columns::SKETCH, &["sketch"]),
                (Columns::NONE, &["end", "count", "nans", "markers", "ended", "overlap", "histograms"]),
            ] {
                let is_read = names.iter().all(|name| !different.contains(name));
                prop_assert!(is_read || !columns.contains(column), "{names:?} differ: {different:?}");
            }
        }
    }

    #[test]
    fn hostile_bytes(body in prop::collection::vec(any::<u8>(), 0..300), present in any::<u32>(), count in 0u64..1024) {
        let _ = decoded(&resealed([&[1], &body[..], &[0; CHECKSUM_LEN]].concat()), Columns::ALL);
        let mut bytes = vec![1, body.first().map_or(0, |byte| byte & 0x0e)];
        varint::write(&mut bytes, count);
        bytes.extend_from_slice(&[3, 60, 0, 0]);
        varint::write(&mut bytes, u64::from(present & 0x3ff_ffff));
        bytes.extend_from_slice(&body);
        if let Ok(found) = decoded(&resealed(bytes), Columns::ALL) {
            prop_assert_eq!(found.len() as u64, count + 1);
        }
    }

    #[test]
    fn flipped_bits(series in series(200), flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let mut bytes = encoded(&shape(Class::Unclear, true), &built(&series, WIDTH), CompressionLevel::Best);
        for flip in flips {
            let bit = flip.index((bytes.len() - CHECKSUM_LEN) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if let Ok(found) = decoded(&resealed(bytes), Columns::ALL) {
            let whole = found.iter().skip(1).fold(found[0].clone(), |mut whole, bucket| {
                whole.merge(bucket);
                whole
            });
            prop_assert!(whole.end >= found[0].end);
        }
    }
}
