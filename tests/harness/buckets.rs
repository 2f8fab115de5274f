//! Chunks of buckets: what a reader meets behind the checksum.

use barograph_engine::codec::CompressionLevel;
use barograph_engine::rollup::{Bucket, BucketChunk, BucketColumns, Columns, encode};

use super::{KEY, with_checksum};

/// A chunk of buckets whose checksum is right and all else is not.
pub fn buckets(data: &[u8]) {
    let bytes = with_checksum(data);
    let Ok(chunk) = BucketChunk::open(KEY, &bytes) else { return };
    let mut found = Vec::new();
    if chunk.decode(Columns::ALL, &mut found).is_err() {
        assert!(found.is_empty(), "a failed decode left buckets");
        return;
    }
    assert_eq!(found.len(), chunk.count());
    assert!(found.windows(2).all(|pair| pair[0].end < pair[1].end), "ends do not ascend");
    extremes_alone(&chunk, &found);
    let mut again = Vec::new();
    encode::encode(KEY, &chunk.shape(), &found, CompressionLevel::Best, &mut again);
    let mut decoded = Vec::new();
    encode::decode(KEY, &again, Columns::ALL, &mut decoded).expect("a chunk just encoded");
    for (found, decoded) in found.iter().zip(&decoded) {
        assert_eq!((found.end, found.count, found.markers), (decoded.end, decoded.count, decoded.markers));
        let natives =
            |bucket: &Bucket| bucket.natives.as_ref().map(|natives| (natives.count, natives.resets));
        assert!(natives(decoded).is_none() || natives(found) == natives(decoded));
        if found.count > 0 {
            assert_eq!(found.last.value.to_bits(), decoded.last.value.to_bits());
            assert!(found.sum.same_bits(&decoded.sum) && found.lost.same_bits(&decoded.lost));
        }
    }
    // Whatever the bytes say is merged like any other bucket.
    let mut whole = found[0].clone();
    found[1..].iter().for_each(|bucket| whole.merge(bucket));
}

/// A reader of extremes only, which has rows of another chunk already, gets the same ones.
fn extremes_alone(chunk: &BucketChunk<'_>, found: &[Bucket]) {
    for columns in [Columns::MIN, Columns::MAX, Columns::EXTREMES] {
        let mut rows = BucketColumns::new(columns);
        for _ in 0..2 {
            chunk.decode_columns(&mut rows).expect("all columns of the chunk can be read");
        }
        assert_eq!(rows.len(), 2 * found.len());
        for (one, all) in rows.buckets().zip(found.iter().chain(found)) {
            assert!(!columns.contains(Columns::MIN) || one.min.to_bits() == all.min.to_bits());
            assert!(!columns.contains(Columns::MAX) || one.max.to_bits() == all.max.to_bits());
        }
    }
}
