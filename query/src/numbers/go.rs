//! Floats as Go prints them.

/// A float as formatted by Go's `%g` and `%v`: the shortest digits that parse back, with an exponent from 1e+06 on and
/// below 0.0001.
pub(crate) fn go_float(v: f64) -> String {
    general(v, format!("{v:e}"), 6)
}

/// A float as formatted by Go's `%.2g`: two digits, with an exponent from 100 on.
pub(crate) fn go_two_digits(v: f64) -> String {
    general(v, format!("{v:.1e}"), 2)
}

/// Formats the digits of `scientific`, which is `v` with an exponent, as a plain number if the exponent is at least -4
/// and below `limit`.
fn general(v: f64, scientific: String, limit: i32) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (Ok(exponent), true) = (power.parse::<i32>(), v.is_finite()) else {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    };
    let digits = if mantissa.contains('.') { mantissa.trim_end_matches('0') } else { mantissa };
    let digits = digits.trim_end_matches('.');
    if (-4..limit).contains(&exponent) {
        // The digits may be fewer than those of `v`.
        return match format!("{digits}e{exponent}").parse::<f64>() {
            Ok(rounded) => format!("{rounded}"),
            Err(_) => format!("{v}"),
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of Go 1.27.
    #[test]
    fn floats_are_printed_as_go_does() {
        for (v, general, two) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (4.25, "4.25", "4.2"),
            (10.0, "10", "10"),
            (99.4, "99.4", "99"),
            (99.6, "99.6", "1e+02"),
            (123.0, "123", "1.2e+02"),
            (999_999.0, "999999", "1e+06"),
            (1e6, "1e+06", "1e+06"),
            (-2.5e6, "-2.5e+06", "-2.5e+06"),
            (123_456_789.0, "1.23456789e+08", "1.2e+08"),
            (1e20, "1e+20", "1e+20"),
            (1e100, "1e+100", "1e+100"),
            (0.0001, "0.0001", "0.0001"),
            (0.000_123_45, "0.00012345", "0.00012"),
            (0.00001, "1e-05", "1e-05"),
            (1.5e-7, "1.5e-07", "1.5e-07"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(go_float(v), general);
            assert_eq!(go_two_digits(v), two, "{v}");
        }
    }
}
