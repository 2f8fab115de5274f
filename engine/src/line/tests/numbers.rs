//! Numbers, timestamps and their units.

use super::*;
use crate::line::number::{self, Number};

#[test]
fn timestamps_scale_to_nanoseconds_or_say_why_not() {
    let read = |text: &str, precision: Precision| {
        let body = format!("m v=1 {text}");
        let line = Lines::new(body.as_bytes(), precision, LineLimits::default()).next().unwrap();
        line.map(|l| l.timestamp.unwrap()).map_err(|e| e.reason.to_string())
    };
    use Precision::*;
    assert_eq!(read("9223372036854775806", Nanosecond), Ok(i64::MAX - 1));
    assert_eq!(read("-9223372036854775806", Nanosecond), Ok(i64::MIN + 2));
    assert_eq!(read("000000000000000000000000012", Nanosecond), Ok(12));
    assert_eq!(read("1700000000", Second), Ok(1_700_000_000_000_000_000));
    assert_eq!(read("-1", Hour), Ok(-3_600_000_000_000));
    assert_eq!(read("2562047", Hour), Ok(2_562_047 * 3_600_000_000_000));
    for (text, nanoseconds) in [
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000000", 1_700_000_000_000_000_000),
        ("1700000000000000", 1_700_000_000_000_000_000),
        ("1700000000000000000", 1_700_000_000_000_000_000),
        ("4999999999", 4_999_999_999_000_000_000),
        ("5000000000", 5_000_000_000_000_000),
        ("4999999999999", 4_999_999_999_999_000_000),
        ("5000000000000", 5_000_000_000_000_000),
        ("4999999999999999", 4_999_999_999_999_999_000),
        ("5000000000000000", 5_000_000_000_000_000),
        ("-7", -7_000_000_000),
        ("0", 0),
    ] {
        assert_eq!(read(text, Auto), Ok(nanoseconds), "{text}");
    }
    for (text, precision) in [
        ("9223372036854775807", Nanosecond),
        ("-9223372036854775807", Nanosecond),
        ("9223372036854775808", Nanosecond),
        ("-9223372036854775808", Nanosecond),
        ("99999999999999999999999", Nanosecond),
        ("9223372036854776", Microsecond),
        ("1700000000000000000", Second),
        ("2562048", Hour),
    ] {
        assert_eq!(
            read(text, precision),
            Err(format!(
                "timestamp {text:?} {precision} is outside -9223372036854775806 to 9223372036854775806 ns (years 1677 to 2262); check the precision"
            ))
        );
    }
}

#[test]
fn precisions_by_name() {
    let read = |text: &str| text.parse::<Precision>();
    for (text, precision) in [
        ("ns", Precision::Nanosecond),
        ("n", Precision::Nanosecond),
        ("us", Precision::Microsecond),
        ("u", Precision::Microsecond),
        ("µ", Precision::Microsecond),
        ("μ", Precision::Microsecond),
        ("ms", Precision::Millisecond),
        ("s", Precision::Second),
        ("m", Precision::Minute),
        ("h", Precision::Hour),
        ("auto", Precision::Auto),
        ("nanosecond", Precision::Nanosecond),
        ("microsecond", Precision::Microsecond),
        ("millisecond", Precision::Millisecond),
        ("second", Precision::Second),
    ] {
        assert_eq!(read(text), Ok(precision));
    }
    assert_eq!(
        read("d").unwrap_err().to_string(),
        r#"unknown precision "d": expected ns, us, ms, s, m, h or auto"#
    );
}

#[test]
fn numbers_of_many_digits() {
    let read = |text: &str| number::parse(text.as_bytes()).map(|(n, _)| n);
    let float = |v: f64| Ok(Number::Float(v));
    assert_eq!(read("0000000000000000000000000000007i"), Ok(Number::Int(7)));
    assert_eq!(read("-9223372036854775808i"), Ok(Number::Int(i64::MIN)));
    assert_eq!(read("00000000000000000000018446744073709551615u"), Ok(Number::UInt(u64::MAX)));
    assert_eq!(read(&format!("{}.{}", "0".repeat(200), "1".repeat(200))), float(0.111_111_111_111_111_1));
    assert_eq!(read("1e-400"), float(0.0));
    assert_eq!(read(&"9".repeat(308)), float(1e308));
    assert_eq!(read("0e999999999999999999999"), float(0.0));
    assert_eq!(read("1."), float(1.0));
    assert_eq!(read("-.5E+1"), float(-5.0));
    assert!(matches!(read("-0"), Ok(Number::Float(v)) if v.to_bits() == (-0.0f64).to_bits()));
    assert!(read(&"9".repeat(400)).is_err());
}
