//! One-float functions against a table of high precision, and what NaN, infinities and zeros
//! become.

use super::*;
use crate::functions::eval::{Eval, Kernel};
use crate::functions::find;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// `function argument result` a line, made by `scripts/tables/one_float.py`.
const REFERENCE: &str = include_str!("reference.txt");

/// A function and how many floats its result may be away from the right one.
const FUNCTIONS: [(&str, u64); 23] = [
    ("abs", 0),
    ("ceil", 0),
    ("floor", 0),
    ("sgn", 0),
    ("deg", 0),
    ("rad", 0),
    ("sqrt", 0),
    ("exp", 1),
    ("ln", 1),
    ("log2", 1),
    ("log10", 2),
    ("sin", 1),
    ("cos", 1),
    ("tan", 1),
    ("asin", 1),
    ("acos", 1),
    ("atan", 1),
    ("sinh", 2),
    ("cosh", 2),
    ("tanh", 2),
    ("asinh", 2),
    ("acosh", 2),
    ("atanh", 2),
];

/// The function that the table of functions has under a name.
fn kernel(name: &str) -> fn(f64) -> f64 {
    match find(name).map(|function| function.eval) {
        Some(Eval::Kernel(Kernel::Float(kernel))) => kernel,
        other => panic!("{name}: {other:?}"),
    }
}

/// Equal, the sign of a zero included; any NaN is like any other.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// How many floats lie from one to the other; infinities are neighbours of the largest.
fn distance(a: f64, b: f64) -> u64 {
    let place = |v: f64| {
        let magnitude = (v.to_bits() & (u64::MAX >> 1)) as i64;
        if v.is_sign_negative() { -magnitude } else { magnitude }
    };
    if same(a, b) { 0 } else { place(a).abs_diff(place(b)) }
}

#[test]
fn every_function_of_one_float_is_right_to_the_last_bits_over_all_magnitudes() {
    let mut wrong = Vec::new();
    let mut seen = [0; FUNCTIONS.len()];
    for line in REFERENCE.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, argument, expected] = words[..] else { panic!("{line:?}") };
        let at = FUNCTIONS.iter().position(|f| f.0 == name).unwrap_or_else(|| panic!("{line:?}"));
        let allowed = FUNCTIONS[at].1;
        let (argument, expected): (f64, f64) = (argument.parse().unwrap(), expected.parse().unwrap());
        let answer = kernel(name)(argument);
        if distance(answer, expected) > allowed {
            wrong.push(format!("{line}, not {answer:?}: {} floats away", distance(answer, expected)));
        }
        seen[at] += 1;
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen.iter().all(|&lines| lines >= 200), "{seen:?}");
}

#[test]
fn no_function_of_one_float_is_missing_from_the_table() {
    use crate::functions::{Family, ValueType, all};
    let one_float = all().iter().filter(|f| {
        matches!(f.family, Family::Math | Family::Trigonometry) && f.args == [ValueType::InstantVector]
    });
    let names: Vec<&str> = one_float.map(|f| f.name).collect();
    assert_eq!(names.len(), FUNCTIONS.len(), "{names:?}");
    assert!(names.iter().all(|name| FUNCTIONS.iter().any(|f| f.0 == *name)), "{names:?}");
}

#[test]
fn ties_round_up_and_decimal_units_stay_exact() {
    assert_eq!(round(-0.5, 1.0), 0.0);
    assert_eq!(round(2.5, 1.0), 3.0);
    assert_eq!(round(-5.25, 0.1), -5.2);
    assert!(round(1.0, NAN).is_nan() && round(NAN, 1.0).is_nan());
    assert!(round(1.0, INF).is_nan(), "the inverse is 0, and 0 / 0 is NaN");
    assert!(round(1.0, 0.0).is_nan(), "the inverse is infinite");
}

#[test]
fn the_larger_and_the_smaller_of_two_are_those_of_prometheus() {
    for (a, b, larger, smaller) in [
        (1.0, 2.0, 2.0, 1.0),
        (-0.0, 0.0, 0.0, -0.0),
        (-0.0, -0.0, -0.0, -0.0),
        (NAN, 1.0, NAN, NAN),
        (NAN, NAN, NAN, NAN),
        (NAN, INF, INF, NAN),
        (NAN, -INF, NAN, -INF),
        (INF, -INF, INF, -INF),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            assert!(same(max(a, b), larger), "max({a}, {b}) is {}", max(a, b));
            assert!(same(min(a, b), smaller), "min({a}, {b}) is {}", min(a, b));
        }
    }
}

#[test]
fn a_clamp_meets_nan_and_infinities() {
    for (v, lower, upper, expected) in [
        (5.0, 0.0, 2.0, 2.0),
        (-5.0, 0.0, 2.0, 0.0),
        (1.0, 2.0, 1.0, ABSENT),
        (1.0, INF, -INF, ABSENT),
        (1.0, NAN, 2.0, NAN),
        (1.0, 0.0, NAN, NAN),
        (NAN, 0.0, 2.0, NAN),
        // Where NaN meets an infinity that no value can pass, the infinity wins.
        (NAN, INF, INF, INF),
        (NAN, -INF, -INF, -INF),
        (INF, NAN, INF, INF),
        (-INF, NAN, 2.0, NAN),
        (-INF, 1.0, NAN, 1.0),
        (-0.0, 0.0, 1.0, 0.0),
    ] {
        let answer = clamp(v, lower, upper);
        assert!(same(answer, expected), "clamp({v}, {lower}, {upper}) is {answer}");
    }
}

#[test]
fn one_sided_clamps_meet_nan_and_infinities() {
    let one_sided = |clamp: fn(&mut [f64], &[Vec<f64>]), v, bound| {
        let mut floats = [v];
        clamp(&mut floats, &[vec![bound]]);
        floats[0]
    };
    for (v, bound, at_least, at_most) in [
        (1.0, 2.0, 2.0, 1.0),
        (1.0, NAN, NAN, NAN),
        (NAN, 2.0, NAN, NAN),
        (NAN, INF, INF, NAN),
        (NAN, -INF, NAN, -INF),
        (INF, NAN, INF, NAN),
        (-INF, NAN, NAN, -INF),
    ] {
        assert!(same(one_sided(clamp_min_all, v, bound), at_least), "clamp_min({v}, {bound})");
        assert!(same(one_sided(clamp_max_all, v, bound), at_most), "clamp_max({v}, {bound})");
    }
}

#[test]
fn nan_is_last_in_either_order() {
    for descending in [false, true] {
        let mut values = [NAN, 1.0, INF, -INF, NAN, 0.0];
        values.sort_by(|a, b| nan_last(*a, *b, descending));
        let ordered = if descending { [INF, 1.0, 0.0, -INF] } else { [-INF, 0.0, 1.0, INF] };
        assert_eq!(values[..4], ordered);
        assert!(values[4].is_nan() && values[5].is_nan());
    }
}
