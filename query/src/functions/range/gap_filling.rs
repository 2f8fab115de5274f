//! Values for the steps at which a series has none: `interpolate`, `keep_last_value`, `keep_next_value`. Histograms are
//! values too, but only floats can be interpolated.

use crate::series::{Point, Points, is_absent};

/// Fills each gap between two floats by linear interpolation.
pub(crate) fn interpolate(points: &mut Points) {
    let mut before: Option<usize> = None;
    for i in 0..points.len() {
        if is_absent(points.floats[i]) {
            if points.histogram(i).is_some() {
                before = None;
            }
            continue;
        }
        if let Some(from) = before.filter(|from| i - from > 1) {
            let (a, b) = (points.floats[from], points.floats[i]);
            let steps = (i - from) as f64;
            for at in from + 1..i {
                let share = (at - from) as f64 / steps;
                points.floats[at] = if a == b { a } else { a + (b - a) * share };
            }
        }
        before = Some(i);
    }
}

/// Repeats each value until the next one.
pub(crate) fn keep_last(points: &mut Points) {
    keep(points, 0..points.len());
}

/// Fills each gap with the next value.
pub(crate) fn keep_next(points: &mut Points) {
    keep(points, (0..points.len()).rev());
}

fn keep(points: &mut Points, order: impl Iterator<Item = usize>) {
    let mut kept: Option<Point> = None;
    for i in order {
        match points.get(i) {
            Some(point) => kept = Some(point),
            None => points.set(i, kept.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::ABSENT;

    fn column(floats: &[f64]) -> Points {
        Points { floats: floats.to_vec(), histograms: None }
    }

    #[test]
    fn only_gaps_between_floats_are_filled() {
        let mut points = column(&[ABSENT, 1.0, ABSENT, ABSENT, 4.0, ABSENT]);
        interpolate(&mut points);
        assert_eq!(points.floats[1..5], [1.0, 2.0, 3.0, 4.0]);
        assert!(!points.has(0) && !points.has(5));
    }

    #[test]
    fn there_is_nothing_between_an_infinity_and_a_number() {
        let mut points = column(&[f64::INFINITY, ABSENT, f64::INFINITY, ABSENT, 1.0]);
        interpolate(&mut points);
        assert_eq!(points.floats[1], f64::INFINITY);
        assert!(points.floats[3].is_nan() && points.has(3));
    }
}
