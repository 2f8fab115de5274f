//! Columns against lists of buckets.

use proptest::prelude::*;

use super::*;
use crate::codec::CompressionLevel;
use crate::rollup::test_data::{WIDTH, built, differences, series};
use crate::rollup::{BucketChunk, Class, Shape, encode};

fn assert_same(found: &BucketColumns, expected: &[Bucket]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (found, expected) in found.buckets().zip(expected) {
        let different = differences(&found, expected);
        prop_assert!(different.is_empty(), "{different:?}\n{found:?}\n{expected:?}");
    }
    Ok(())
}

/// Buckets, some of which have nothing, or only a marker.
fn buckets() -> impl Strategy<Value = Vec<Bucket>> {
    (series(400), prop::collection::vec(0u8..8, 40)).prop_map(|(series, which)| {
        let mut buckets = built(&series, WIDTH);
        for (bucket, which) in buckets.iter_mut().zip(which) {
            match which {
                0 | 1 => {
                    *bucket = Bucket { markers: which.into(), ended: which > 0, ..Bucket::empty(bucket.end) }
                }
                2 => *bucket = Bucket::omitted(bucket.end),
                _ => {}
            }
        }
        buckets
    })
}

fn columns_of(buckets: &[Bucket]) -> BucketColumns {
    let mut columns = BucketColumns::new(Columns::ALL);
    buckets.iter().for_each(|bucket| columns.push(bucket));
    columns
}

proptest! {
    #[test]
    fn buckets_come_back(buckets in buckets()) {
        let mut columns = columns_of(&buckets);
        assert_same(&columns, &buckets)?;
        let half = buckets.len() / 2;
        columns.truncate(half);
        assert_same(&columns, &buckets[..half])?;
        buckets[half..].iter().for_each(|bucket| columns.push(bucket));
        assert_same(&columns, &buckets)?;
        columns.restart(Columns::NONE);
        prop_assert!(columns.is_empty() && columns.nans.is_usual() && columns.sums.first.is_usual());
    }

    #[test]
    fn rows_are_removed(buckets in buckets(), first in 0usize..20, which in any::<u64>()) {
        let first = first.min(buckets.len());
        let keeps = |row: usize| which >> (row % 64) & 1 == 1;
        let mut columns = columns_of(&buckets);
        columns.retain_from(first, |_, row| keeps(row));
        let kept = |row: &usize| *row < first || keeps(*row);
        let expected: Vec<Bucket> = (0..buckets.len()).filter(kept).map(|row| buckets[row].clone()).collect();
        assert_same(&columns, &expected)?;
    }

    #[test]
    fn a_row_is_inside_of_what_its_bucket_is_inside_of(
        buckets in buckets(), ends in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), -30i64..30, -30i64..30),
    ) {
        prop_assume!(!buckets.is_empty());
        let columns = columns_of(&buckets);
        let at = |which: prop::sample::Index| buckets[which.index(buckets.len())].end;
        let (start, end) = (at(ends.0) + ends.2, at(ends.1) + ends.3);
        let range = TimeRange::new(start.min(end), start.max(end));
        for (row, bucket) in buckets.iter().enumerate() {
            prop_assert_eq!(columns.is_inside(row, range, WIDTH), bucket.is_inside(range, WIDTH), "{:?}", bucket);
        }
    }

    #[test]
    fn the_newest_of_each_is_kept(older in buckets(), newer in buckets(), before in buckets()) {
        let mut expected: std::collections::BTreeMap<i64, Bucket> = Default::default();
        let mut columns = columns_of(&before);
        for bucket in older.iter().chain(&newer) {
            columns.push(bucket);
            expected.insert(bucket.end, bucket.clone());
        }
        columns.newest_of_each(before.len());
        let mut all = before;
        all.extend(expected.into_values().filter(|bucket| !bucket.is_empty()));
        assert_same(&columns, &all)?;
    }

    /// Chunks of one series, each with its class, one after the other.
    #[test]
    fn chunks_are_appended(
        chunks in prop::collection::vec((buckets(), 0usize..3, any::<bool>()), 1..4), which in 0u16..1 << 12,
    ) {
        let wanted = Columns::from_bits(which);
        let mut found = BucketColumns::new(wanted);
        let mut expected = Vec::new();
        for (buckets, class, bounds) in chunks.iter().filter(|(buckets, ..)| !buckets.is_empty()) {
            let class = [Class::Gauge, Class::Counter, Class::Unclear][*class];
            let shape = Shape { width: WIDTH, source: 0, class, bounds: *bounds };
            let mut bytes = Vec::new();
            encode::encode(b"key", &shape, buckets, CompressionLevel::Best, &mut bytes);
            let chunk = BucketChunk::open(b"key", &bytes).unwrap();
            chunk.decode_columns(&mut found).unwrap();
            let mut alone = BucketColumns::new(wanted);
            chunk.decode_columns(&mut alone).unwrap();
            let empty = (0..alone.len()).filter(|&row| alone.counts[row] == 0);
            for column in [&alone.minima, &alone.maxima] {
                prop_assert!(column.is_empty() || empty.clone().all(|row| column[row].is_nan()));
            }
            expected.extend(alone.buckets());
        }
        assert_same(&found, &expected)?;
    }
}
