//! Payloads of HdrHistogram, as imports bring them.

use barograph_engine::rollup::Sketch;
use barograph_query::sketched::Tally;

/// A payload with a correct header over arbitrary counts: digits, lowest value and ratio are from the first bytes.
pub fn hdr(data: &[u8]) {
    let _ = Sketch::from_hdr(data, 1.0);
    let [digits, lowest, scale, counts @ ..] = data else { return };
    let mut payload = 0x1c84_9313u32.to_be_bytes().to_vec();
    payload.extend_from_slice(&(counts.len() as u32).to_be_bytes());
    payload.extend_from_slice(&0u32.to_be_bytes());
    payload.extend_from_slice(&u32::from(digits % 6).to_be_bytes());
    payload.extend_from_slice(&u64::from(*lowest).to_be_bytes());
    payload.extend_from_slice(&(u64::MAX >> 1).to_be_bytes());
    payload.extend_from_slice(&(f64::from(*scale) / 16.0).to_be_bytes());
    payload.extend_from_slice(counts);
    let (mut tally, mut last, mut counted) = (Tally::default(), -1.0, 0u64);
    let read = barograph_engine::rollup::sketch::hdr::read(&payload, 1.0, |value, count| {
        assert!(value > last, "{value} after {last}");
        last = value;
        counted = counted.saturating_add(count);
        tally.add(value, count);
    });
    let Ok(sketch) = Sketch::from_hdr(&payload, 1.0) else {
        assert!(read.is_err());
        return;
    };
    assert_eq!((read, sketch.count()), (Ok(()), counted));
    let histogram = tally.finish();
    assert_eq!(histogram.validate(), Ok(()));
    assert!(
        (histogram.count - counted as f64).abs() <= counted as f64 * 1e-12,
        "{} {counted}",
        histogram.count
    );
    // Written again, each value is counted or left out.
    let again = sketch.to_hdr(sketch.hdr_unit());
    let back = Sketch::from_hdr(&again.payload, sketch.hdr_unit()).expect("what was just written");
    // A payload counts up to 2^63 - 1.
    assert!(
        counted >= 1 << 62 || back.count().saturating_add(again.left_out) == counted,
        "{back:?} {counted}"
    );
}
