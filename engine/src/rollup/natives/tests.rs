//! Buckets of native histograms against their definition: from samples, from finer buckets, stored and read.

use proptest::prelude::*;

use super::*;
use crate::codec::CompressionLevel;
use crate::codec::test_data::{assert_same_histograms, histogram, histograms};
use crate::model::STALE_NAN_BITS;
use crate::rollup::encode::{self, Class};
use crate::rollup::{Bucket, Builder, Columns, Extras, Fold, Shape};

const WIDTH: i64 = 60;

/// An entry of a series.
#[derive(Debug, Clone)]
enum Entry {
    Histogram(Box<Histogram>),
    Float(f64),
    Marker,
}

type Series = Vec<(i64, Entry, i64)>;

/// Few layouts, and counts that rise and fall; sometimes floats and markers between them.
fn series() -> impl Strategy<Value = Series> {
    let between = prop_oneof![
        20 => Just(None),
        1 => Just(Some(Entry::Float(3.0))),
        1 => Just(Some(Entry::Marker)),
    ];
    let rest = (1i64..50, between, prop::sample::select(vec![0i64, 0, 0, 5, 100]));
    (histograms(1..60), prop::collection::vec(rest, 60)).prop_map(|(histograms, rest)| {
        let mut time = 0;
        let all = histograms.into_iter().zip(rest).map(|(histogram, (gap, between, start))| {
            time += gap;
            let start = if start == 0 { 0 } else { time - start };
            let own = match crate::model::is_stale(histogram.sum) {
                true => Entry::Marker,
                false => Entry::Histogram(Box::new(histogram)),
            };
            (time, between.unwrap_or(own), start)
        });
        all.collect()
    })
}

fn built(series: &[(i64, Entry, i64)], width: i64) -> Vec<Bucket> {
    let mut builder = Builder::new(width, Extras::ALL);
    let mut out = Vec::new();
    for (time, entry, start) in series {
        match entry {
            Entry::Histogram(h) => builder.push_histogram(*time, *start, &Arc::new((**h).clone()), &mut out),
            Entry::Float(value) => builder.push(*time, *value, *start, &mut out),
            Entry::Marker => {
                let stale = Histogram { sum: f64::from_bits(STALE_NAN_BITS), ..Histogram::default() };
                builder.push_histogram(*time, *start, &Arc::new(stale), &mut out);
            }
        }
    }
    builder.finish(&mut out);
    out
}

fn folded(fine: Vec<Bucket>, width: i64) -> Vec<Bucket> {
    let (mut fold, mut out) = (Fold::new(width), Vec::new());
    fine.into_iter().for_each(|bucket| fold.push(bucket, &mut out));
    fold.finish(&mut out);
    out
}

fn shown(buckets: &[Bucket]) -> Vec<String> {
    let one = |bucket: &Bucket| {
        format!("{} {} {} {} {:?}", bucket.end, bucket.count, bucket.markers, bucket.ended, bucket.natives)
    };
    buckets.iter().map(one).collect()
}

fn stored(buckets: &[Bucket]) -> (Vec<u8>, Vec<Bucket>) {
    let shape = Shape { width: WIDTH, source: 0, class: Class::Unclear, bounds: true };
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    encode::encode(b"key", &shape, buckets, CompressionLevel::Best, &mut bytes);
    encode::decode(b"key", &bytes, Columns::ALL, &mut found).unwrap();
    (bytes, found)
}

/// The histograms of a span, with their starts, as samples have them.
fn edges(series: &[(i64, Entry, i64)]) -> Vec<NativeEdge> {
    let edge = |(time, entry, start): &(i64, Entry, i64)| match entry {
        Entry::Histogram(h) => {
            Some(NativeEdge { time: *time, start: *start, histogram: Arc::new((**h).clone()) })
        }
        _ => None,
    };
    series.iter().filter_map(edge).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn buckets_are_what_they_say(series in series()) {
        for bucket in built(&series, WIDTH) {
            let span = |time: i64| time > bucket.end - WIDTH && time <= bucket.end;
            let inside: Series = series.iter().filter(|entry| span(entry.0)).cloned().collect();
            let all = edges(&inside);
            let Some(natives) = bucket.natives.as_deref() else {
                prop_assert!(all.is_empty());
                continue;
            };
            let resets: Vec<usize> = (1..all.len()).filter(|&i| all[i].is_reset(&all[i - 1])).collect();
            prop_assert_eq!(natives.count, all.len() as u64);
            prop_assert_eq!(natives.resets, resets.len() as u64);
            prop_assert_eq!(natives.ends_with_reset, resets.last() == Some(&(all.len() - 1)) && all.len() > 1);
            let changes = (1..all.len()).filter(|&i| all[i].is_change(&all[i - 1])).count();
            prop_assert_eq!(natives.changes, changes as u64);
            prop_assert_eq!((natives.first.time, natives.last.time), (all[0].time, all[all.len() - 1].time));
            let second = (resets.first() == Some(&1)).then(|| all[1].histogram.schema);
            prop_assert_eq!(natives.second.as_ref().map(|h| h.schema), second);
            let lowest = all[1..].iter().map(|edge| edge.histogram.schema).min();
            prop_assert_eq!(natives.lowest_schema, lowest.unwrap_or(i32::MAX));
            let before = resets.iter().filter(|i| **i > 1).map(|i| &all[i - 1].histogram);
            let lost = HistogramSum::of(before).layers();
            if natives.keeps_lost() {
                prop_assert_eq!(format!("{:?}", natives.lost), format!("{lost:?}"));
            }
            let sum = HistogramSum::of(all.iter().map(|edge| &edge.histogram)).layers();
            let sum = sum.filter(|_| !natives.has_counters);
            prop_assert_eq!(format!("{:?}", natives.sum), format!("{sum:?}"));
            let is_histogram = |entry: Option<&(i64, Entry, i64)>| matches!(entry, Some((_, Entry::Histogram(_), _)));
            prop_assert_eq!(natives.follows, !is_histogram(inside.first()));
            prop_assert_eq!(natives.precedes, !is_histogram(inside.last()));
        }
    }

    #[test]
    fn wide_buckets_are_the_same_from_narrow_ones(series in series(), by in 2i64..20) {
        let wide = built(&series, WIDTH * by);
        prop_assert_eq!(shown(&folded(built(&series, WIDTH), WIDTH * by)), shown(&wide));
        let (_, read) = stored(&built(&series, WIDTH));
        prop_assert_eq!(shown(&folded(read, WIDTH * by)), shown(&wide));
    }

    #[test]
    fn they_come_back(series in series()) {
        let buckets = built(&series, WIDTH);
        let (bytes, found) = stored(&buckets);
        prop_assert_eq!(shown(&found), shown(&buckets));
        let has_some = buckets.iter().any(|bucket| bucket.natives.is_some());
        prop_assert_eq!(bytes[0], if has_some { 2 } else { 1 });
        let mut skipped = Vec::new();
        encode::decode(b"key", &bytes, Columns::TIMES, &mut skipped).unwrap();
        prop_assert!(skipped.iter().all(|bucket| bucket.natives.is_none()));
        let have = |all: &[Bucket]| all.iter().map(|bucket| bucket.has_histograms).collect::<Vec<_>>();
        prop_assert_eq!(have(&skipped), have(&buckets));
    }

    #[test]
    fn damaged_chunks_do_no_harm(
        series in series(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut bytes, _) = stored(&built(&series, WIDTH));
        let body = bytes.len() - 4;
        for (at, byte) in flips {
            bytes[at.index(body)] = byte;
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(b"key");
        hasher.update(&bytes[..body]);
        bytes[body..].copy_from_slice(&hasher.finalize().to_le_bytes());
        let mut found = Vec::new();
        if encode::decode(b"key", &bytes, Columns::ALL, &mut found).is_ok() {
            let (_, again) = stored(&found);
            prop_assert_eq!(again.len(), found.len());
            let mut whole = found[0].clone();
            found[1..].iter().for_each(|bucket| whole.merge(bucket));
        }
    }

    #[test]
    fn a_sum_does_not_depend_on_grouping(
        all in histograms(1..20), more in histogram(), at in any::<prop::sample::Index>(),
    ) {
        let all: Vec<Arc<Histogram>> = all.into_iter().chain([more]).map(Arc::new).collect();
        let whole = HistogramSum::of(&all);
        let (first, rest) = all.split_at(at.index(all.len()));
        if let Some((a, b)) = HistogramSum::of(first).layers().zip(HistogramSum::of(rest).layers()) {
            let mut joined = HistogramSum::of(&a);
            joined.add_all(&b);
            prop_assert_eq!(format!("{:?}", joined.totals()), format!("{:?}", whole.totals()));
            prop_assert_eq!(format!("{:?}", joined.layers()), format!("{:?}", whole.layers()));
        }
    }
}

#[test]
fn a_sum_takes_one_layer_for_whole_counts_and_more_for_others() {
    let of = |count: f64, sum: f64| Arc::new(Histogram { count, sum, ..Histogram::default() });
    let whole = HistogramSum::of(&[of(3.0, 7.0), of(4.0, -2.0)]).layers().unwrap();
    assert_same_histograms(&whole, &[of(7.0, 5.0)]);
    let layers = HistogramSum::of(&[of(1.0, 1e100), of(1.0, 1.0)]).layers().unwrap();
    assert_same_histograms(&layers, &[of(2.0, 1e100), of(0.0, 1.0)]);
    assert!(HistogramSum::of(&[of(1.0, 1e300)]).layers().is_none(), "too large for an exact sum");
    let nan = HistogramSum::of(&[of(1.0, f64::NAN), of(1.0, 1.0)]).totals().unwrap();
    assert!(nan[0].count == 2.0 && nan[0].sum.is_nan());
}

/// The memory of decoded histograms is bounded, so a series of wide ones takes several chunks.
#[test]
fn wide_histograms_end_a_chunk_early() {
    let wide = Histogram {
        positive_spans: vec![crate::model::Span { offset: 0, length: Histogram::BUCKETS_MAX as u32 }],
        positive_buckets: vec![1.0; Histogram::BUCKETS_MAX],
        ..Histogram::default()
    };
    let series: Series =
        (1..100).map(|at| (at * WIDTH, Entry::Histogram(Box::new(wide.clone())), 0)).collect();
    let buckets = built(&series, WIDTH);
    let chunks: Vec<usize> = encode::in_chunks(&buckets).map(<[Bucket]>::len).collect();
    assert_eq!((chunks.iter().sum::<usize>(), chunks.len()), (99, 7), "{chunks:?}");
}
