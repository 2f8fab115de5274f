//! Histograms as text, for `count_values`.

use std::fmt::Write;

use barograph_engine::model::Histogram;

use super::bounds::as_written;
use crate::numbers::go::go_float;

/// `{count:4, sum:5, (0.5,1]:1, …}` with the populated buckets in ascending order.
pub(crate) fn histogram_text(h: &Histogram) -> String {
    let mut text = format!("{{count:{}, sum:{}", go_float(h.count), go_float(h.sum));
    for b in as_written(h).iter().filter(|b| b.count != 0.0) {
        let (lower_closed, upper_closed) = b.closed();
        let (open, close) = (if lower_closed { '[' } else { '(' }, if upper_closed { ']' } else { ')' });
        let (lower, upper, count) = (go_float(b.lower), go_float(b.upper), go_float(b.count));
        write!(text, ", {open}{lower},{upper}{close}:{count}").expect("writing to a string cannot fail");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::set_buckets;

    /// The texts that Prometheus 3.14 produces for the same histograms.
    #[test]
    fn histograms_are_written_as_prometheus_does() {
        let mut h = Histogram {
            schema: Histogram::CUSTOM,
            count: 1e6,
            sum: 1_234_567.5,
            custom_values: vec![1.0, 5e6],
            ..Histogram::default()
        };
        set_buckets(&mut h, &vec![(0, 1.0), (1, 2.0), (2, 1e7)], &Vec::new());
        assert_eq!(
            histogram_text(&h),
            "{count:1e+06, sum:1.2345675e+06, [-Inf,1]:1, (1,5e+06]:2, (5e+06,+Inf]:1e+07}"
        );
        // The bounds are those of the resolution, even if the zero bucket covers a part.
        let mut h = Histogram {
            count: 4.0,
            sum: f64::NAN,
            zero_threshold: 0.75,
            zero_count: f64::NAN,
            ..Histogram::default()
        };
        set_buckets(&mut h, &vec![(0, 1.0), (1, 2.0), (1024, 4.0)], &vec![(0, 1.0), (1, 2.0)]);
        assert_eq!(
            histogram_text(&h),
            "{count:4, sum:NaN, [-2,-1):2, [-1,-0.5):1, [-0.75,0.75]:NaN, (0.5,1]:1, (1,2]:2, \
             (8.98846567431158e+307,1.7976931348623157e+308]:4}"
        );
    }
}
