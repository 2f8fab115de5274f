//! The notation of a series line: `metric{labels} item item …`.
//!
//! | item | stands for |
//! |---|---|
//! | `3`, `-1.5`, `Inf`, `NaN` | one value |
//! | `_`, `_x4` | one gap, exactly four gaps |
//! | `stale` | a stale marker |
//! | `5x3` | the value, then three more of it |
//! | `1+2x3`, `9-3x2` | 1 3 5 7; 9 6 3 |
//! | `{{…}}`, `{{…}}x3` | a native histogram ([`histogram`]), four of them |
//! | `{{…}}+{{…}}x3` | the first, then three times the second added (`-`: subtracted) |
//!
//! A line `metric{labels}@st item …` directly above gives the start timestamps, each
//! relative to its sample: `-30s`, `0s`, `+1m`, `-1mx2`, `-30s-1mx2`, `-30s+-1mx2`, `_`, `_x3`.

use std::sync::Arc;

use barograph_engine::model::{Labels, STALE_NAN_BITS};

use crate::histogram::{self, Written};
use crate::scan::{Cursor, Scanned, duration_ns, labels, number};

/// A script's items may expand to this many points, at most.
pub const POINTS_MAX: usize = 1_000_000;

/// One point.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A float, or the stale marker.
    Float(f64),
    /// A histogram.
    Histogram(Arc<Written>),
}

/// A series line: each point, or a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesLine {
    /// The label set.
    pub labels: Labels,
    /// What the items expand to.
    pub points: Vec<Option<Point>>,
}

/// A line of start timestamps.
#[derive(Debug, Clone, PartialEq)]
pub struct StartLine {
    /// The label set of the line below.
    pub labels: Labels,
    /// Nanoseconds from the sample's own time, or unknown.
    pub offsets: Vec<Option<i64>>,
}

/// The kind of a line in `load`.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadLine {
    /// Samples.
    Series(SeriesLine),
    /// Start timestamps of the samples on the next line.
    Starts(StartLine),
}

/// Parses a line of `load`.
///
/// # Errors
/// It is malformed.
pub fn load_line(text: &str) -> Scanned<LoadLine> {
    let mut cursor = Cursor::new(text);
    let labels = labels(&mut cursor)?;
    if cursor.take("@st") {
        let offsets = items(&mut cursor, start_item)?;
        return Ok(LoadLine::Starts(StartLine { labels, offsets }));
    }
    let points = items(&mut cursor, point_item)?;
    Ok(LoadLine::Series(SeriesLine { labels, points }))
}

/// Parses a line of expected points.
///
/// # Errors
/// It is malformed.
pub fn series_line(text: &str) -> Scanned<SeriesLine> {
    let mut cursor = Cursor::new(text);
    let labels = labels(&mut cursor)?;
    let points = items(&mut cursor, point_item)?;
    Ok(SeriesLine { labels, points })
}

/// Reads items separated by blanks up to the end of the line.
fn items<T>(
    cursor: &mut Cursor<'_>,
    item: impl Fn(&mut Cursor<'_>, &mut Vec<Option<T>>) -> Scanned<()>,
) -> Scanned<Vec<Option<T>>> {
    let mut out = Vec::new();
    while !cursor.rest().is_empty() {
        if cursor.while_char(char::is_whitespace).is_empty() {
            return Err(format!("expected a blank, found {}", cursor.found()));
        }
        if !cursor.rest().is_empty() {
            item(cursor, &mut out)?;
        }
    }
    Ok(out)
}

/// Reads `xN` if it comes next.
fn repetition(cursor: &mut Cursor<'_>, so_far: usize) -> Scanned<Option<usize>> {
    if !cursor.take("x") {
        return Ok(None);
    }
    let digits = cursor.while_char(|c| c.is_ascii_digit());
    match digits.parse::<usize>() {
        Ok(count) if count.saturating_add(so_far) < POINTS_MAX => Ok(Some(count)),
        Ok(_) => Err(format!("x{digits} makes more than {POINTS_MAX} points")),
        Err(_) => Err(format!("expected a count after \"x\", found {}", cursor.found())),
    }
}

fn gap<T>(cursor: &mut Cursor<'_>, out: &mut Vec<Option<T>>) -> Scanned<bool> {
    if !cursor.take("_") {
        return Ok(false);
    }
    let count = repetition(cursor, out.len())?.unwrap_or(1);
    out.extend((0..count).map(|_| None));
    Ok(true)
}

/// The sign of a change, if one comes next.
fn change_sign(cursor: &mut Cursor<'_>) -> Option<f64> {
    if cursor.take("+") {
        Some(1.0)
    } else if cursor.take("-") {
        Some(-1.0)
    } else {
        None
    }
}

fn point_item(cursor: &mut Cursor<'_>, out: &mut Vec<Option<Point>>) -> Scanned<()> {
    if gap(cursor, out)? {
        return Ok(());
    }
    if cursor.take("stale") {
        out.push(Some(Point::Float(f64::from_bits(STALE_NAN_BITS))));
        return Ok(());
    }
    if cursor.rest().starts_with("{{") {
        return histogram_item(cursor, out);
    }
    let base = number(cursor)?;
    let change = match change_sign(cursor) {
        Some(sign) => Some(sign * number(cursor)?),
        None => None,
    };
    let count = repetition(cursor, out.len())?;
    if change.is_some() && count.is_none() {
        return Err(format!("expected \"x\" and a count after the change, found {}", cursor.found()));
    }
    // Repeated addition, not multiplication, because it produces the digits that the scripts expect.
    let mut value = base;
    for _ in 0..=count.unwrap_or(0) {
        out.push(Some(Point::Float(value)));
        value += change.unwrap_or(0.0);
    }
    Ok(())
}

fn histogram_item(cursor: &mut Cursor<'_>, out: &mut Vec<Option<Point>>) -> Scanned<()> {
    let base = histogram::written(cursor)?;
    let change = match change_sign(cursor) {
        Some(sign) => Some((sign, histogram::written(cursor)?)),
        None => None,
    };
    let count = repetition(cursor, out.len())?;
    if change.is_some() && count.is_none() {
        return Err(format!("expected \"x\" and a count after the change, found {}", cursor.found()));
    }
    let mut value = Arc::new(base);
    for step in 0..=count.unwrap_or(0) {
        if step > 0
            && let Some((sign, by)) = &change
        {
            let sum = histogram::add(&value.histogram, &by.histogram, *sign)?;
            let hint_written = value.hint_written || by.hint_written;
            value = Arc::new(Written { histogram: sum, hint_written });
        }
        out.push(Some(Point::Histogram(Arc::clone(&value))));
    }
    Ok(())
}

/// Reads a duration with or without a sign.
fn signed_duration(cursor: &mut Cursor<'_>) -> Scanned<i64> {
    let sign = change_sign(cursor).unwrap_or(1.0) as i64;
    Ok(sign * duration_ns(cursor)?)
}

fn start_item(cursor: &mut Cursor<'_>, out: &mut Vec<Option<i64>>) -> Scanned<()> {
    if gap(cursor, out)? {
        return Ok(());
    }
    let mut value = signed_duration(cursor)?;
    let change = match change_sign(cursor) {
        Some(sign) => Some(sign as i64 * signed_duration(cursor)?),
        None => None,
    };
    let count = repetition(cursor, out.len())?;
    if change.is_some() && count.is_none() {
        return Err(format!("expected \"x\" and a count after the change, found {}", cursor.found()));
    }
    for _ in 0..=count.unwrap_or(0) {
        out.push(Some(value));
        value = value.saturating_add(change.unwrap_or(0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(text: &str) -> String {
        let points = series_line(&format!("m {text}")).unwrap().points;
        let words: Vec<String> = points
            .iter()
            .map(|point| match point {
                None => "_".to_owned(),
                Some(Point::Float(v)) if v.to_bits() == STALE_NAN_BITS => "stale".to_owned(),
                Some(Point::Float(v)) => format!("{v}"),
                Some(Point::Histogram(h)) => histogram::print(&h.histogram),
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn items_expand() {
        for (text, want) in [
            ("", ""),
            ("3 -1.5 Inf -Inf NaN", "3 -1.5 inf -inf NaN"),
            ("_ _x3 1", "_ _ _ _ 1"),
            ("_x0 1", "1"),
            ("0 stale 2", "0 stale 2"),
            ("5x3", "5 5 5 5"),
            ("0x2", "0 0 0"),
            ("1+2x3", "1 3 5 7"),
            ("9-3x2", "9 6 3"),
            ("-1+1x2", "-1 0 1"),
            ("1-0.5x1", "1 0.5"),
            ("{{sum:1}}x1", "{{schema:0 sum:1.0}} {{schema:0 sum:1.0}}"),
            (
                "{{sum:1}}+{{sum:2 count:1}}x2",
                "{{schema:0 sum:1.0}} {{schema:0 count:1.0 sum:3.0}} {{schema:0 count:2.0 sum:5.0}}",
            ),
            ("{{count:3}}-{{count:1}}x1", "{{schema:0 count:3.0}} {{schema:0 count:2.0}}"),
        ] {
            assert_eq!(show(text), want, "{text}");
        }
    }

    #[test]
    fn start_lines_expand() {
        let offsets = |text: &str| match load_line(&format!("m{{a=\"b\"}}@st {text}")) {
            Ok(LoadLine::Starts(line)) => line.offsets,
            other => panic!("{other:?}"),
        };
        let s = 1_000_000_000;
        assert_eq!(offsets("_ _x2 -30s 0s 0"), [None, None, None, Some(-30 * s), Some(0), Some(0)]);
        assert_eq!(offsets("-1mx2"), [Some(-60 * s); 3]);
        assert_eq!(offsets("-30s-1mx2"), [Some(-30 * s), Some(-90 * s), Some(-150 * s)]);
        assert_eq!(
            offsets("_ +1m +30sx1 -30s++1mx1"),
            [None, Some(60 * s), Some(30 * s), Some(30 * s), Some(-30 * s), Some(30 * s)]
        );
        assert_eq!(
            offsets("+1m--30sx1 -1m+-30sx1"),
            [Some(60 * s), Some(90 * s), Some(-60 * s), Some(-90 * s)]
        );
        assert_eq!(offsets("1ms-1mx1"), [Some(s / 1000), Some(s / 1000 - 60 * s)]);
        assert_eq!(offsets("-59999msx1"), [Some(-59_999 * (s / 1000)); 2]);
    }

    #[test]
    fn malformed_lines_are_refused() {
        for text in
            ["m 1+2", "m 1x", "m 1y", "m _y", "m stale1", "m {{}}+1x2", "m 1 @st", "m x3", "m 1x9999999"]
        {
            assert!(load_line(text).is_err(), "{text}");
        }
        for text in ["m@st 1m-1m", "m@st 5", "m@st stale", "m @st 0s", "m@st +", "m@st ++1m", "m@st + 1m"] {
            assert!(load_line(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_repeated_value_counts_one_more(value in -1000i32..1000, change in 1i32..50, count in 0usize..50) {
            let line = series_line(&format!("m {value}+{change}x{count} {value}x{count} _x{count}")).unwrap();
            prop_assert_eq!(line.points.len(), 2 * (count + 1) + count);
            let last = f64::from(value) + f64::from(change) * count as f64;
            prop_assert_eq!(&line.points[count], &Some(Point::Float(last)));
        }

        #[test]
        fn hostile_items_never_panic(text in "m [-+x_0-9{}a-z:. \\[\\]]{0,40}") {
            let _ = load_line(&text);
        }
    }
}
