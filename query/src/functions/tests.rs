//! The table of functions as a whole.

use std::collections::HashSet;

use super::*;
use crate::functions::eval::Kernel;
use crate::functions::expansion::When;

#[test]
fn every_name_is_found_and_occurs_once() {
    let mut seen = HashSet::new();
    for function in all() {
        assert!(seen.insert(function.name), "{} occurs twice", function.name);
        assert_eq!(find(function.name).map(|found| found.name), Some(function.name));
    }
    assert!(find("Rate").is_none());
    assert!(find("").is_none());
    assert!(find("sum").is_none(), "an aggregation is no function");
}

#[test]
fn arity_and_signature_agree() {
    for function in all() {
        let arguments = function.args.len();
        assert!(function.required <= arguments, "{}", function.name);
        assert!(function.args_max >= arguments, "{}", function.name);
        assert_eq!(function.variadic, function.args_max > arguments, "{}", function.name);
        let named = function.signature.split(", ").filter(|part| !part.is_empty()).count();
        assert_eq!(named, arguments, "signature of {}", function.name);
        for (part, arg) in function.signature.split(", ").zip(function.args) {
            let word = match arg {
                ValueType::Scalar => "scalar",
                ValueType::InstantVector => "instant-vector",
                ValueType::RangeVector => "range-vector",
                ValueType::String => "string",
            };
            assert!(part.trim_end_matches(['?', '…']).ends_with(word), "{}: {part}", function.name);
        }
    }
}

#[test]
fn kernels_fit_the_types() {
    for function in all() {
        let (name, takes_window) = (function.name, function.args.contains(&ValueType::RangeVector));
        if function.is_template() {
            assert!(matches!(function.expansion, Some(Expansion::Query(When::Always, _))), "{name}");
            continue;
        }
        let Eval::Kernel(kernel) = function.eval else {
            assert!(function.args.is_empty() && function.returns == ValueType::Scalar, "{name}");
            continue;
        };
        let is_call = matches!(kernel, Kernel::Call(_));
        let is_window = matches!(kernel, Kernel::Window(_) | Kernel::Windows(_) | Kernel::Analytic(_));
        assert!(is_call || is_window == takes_window, "{name}");
        assert!(is_call || function.returns == ValueType::InstantVector, "{name}");
        assert_eq!(kernel.spans_steps(), function.family == Family::WholeRange, "{name}");
        let takes_scalar = function.args.contains(&ValueType::Scalar);
        assert!(takes_scalar || !matches!(kernel, Kernel::Floats(_)), "{name}");
        assert!(!takes_scalar || !matches!(kernel, Kernel::Float(_) | Kernel::Histogram(_)), "{name}");
        assert!(function.edges.is_empty() || is_window, "{name}");
        assert!(!function.reads_before_window || is_window, "{name}");
    }
}

#[test]
fn what_may_leave_series_out_can_be_strict() {
    for function in all() {
        let is_analytic = matches!(function.eval, Eval::Kernel(Kernel::Analytic(_)));
        let uses_all = ["trimmed_mean_over_time", "winsorized_mean_over_time"].contains(&function.name);
        assert_eq!(function.options().any(|named| named.name == "strict"), function.leaves_out);
        assert!(!is_analytic || function.leaves_out != uses_all, "{}", function.name);
        let has_option = function.options().any(|named| named.name == "detrend");
        assert_eq!(function.detrends, has_option, "{}", function.name);
    }
    assert!(find("anomaly_score").unwrap().usage().ends_with(", strict=false"));
    assert_eq!(find("burn_rate").unwrap().usage().matches("strict").count(), 0);
}

#[test]
fn counters_become_rates_unless_values_are_meant() {
    let keep = |f: &&Function| matches!(f.eval, Eval::Kernel(Kernel::Analytic(_))) && !f.rates_counters;
    let names: Vec<&str> = all().iter().filter(keep).map(|f| f.name).collect();
    let expected = [
        "predict_exhaustion",
        "stalled",
        "time_until",
        "trimmed_mean_over_time",
        "winsorized_mean_over_time",
    ];
    assert_eq!(names, expected);
}

#[test]
fn texts_are_sentences() {
    for function in all() {
        assert!(function.doc.ends_with('.') && function.doc.len() > 15, "{}", function.name);
        assert!(function.example.contains(function.name), "{}", function.name);
    }
    for aggregate in aggregates::all() {
        assert!(aggregate.doc.ends_with('.') && aggregate.doc.len() > 15, "{}", aggregate.name);
        assert!(aggregate.example.contains(aggregate.name), "{}", aggregate.name);
    }
}

#[test]
fn argument_types_of_repeated_arguments() {
    let join = find("label_join").unwrap();
    assert_eq!(join.arg_type(3), Some(ValueType::String));
    assert_eq!(join.arg_type(30), Some(ValueType::String));
    assert_eq!(find("rate").unwrap().arg_type(1), None);
    let quantiles = find("histogram_quantiles").unwrap();
    assert_eq!(quantiles.arg_type(11), Some(ValueType::Scalar));
    assert_eq!(quantiles.arg_type(12), None);
    let over_time = find("quantiles_over_time").unwrap();
    let types = [0, 1, 2, 9].map(|index| (over_time.arg_type(index), over_time.tail_type(index)));
    let (phi, window) = (Some(ValueType::Scalar), Some(ValueType::RangeVector));
    assert_eq!(types, [(Some(ValueType::String), None), (phi, None), (phi, window), (phi, window)]);
    let map = find("label_map").unwrap();
    assert_eq!((map.arg_type(30), map.repeated), (Some(ValueType::String), 2));
}

#[test]
fn names_that_stay() {
    let kept = |source| {
        let of = move |f: &&Function| f.name_rule == NameRule::Keep && f.source == source;
        all().iter().filter(of).map(|f| f.name).collect::<Vec<_>>()
    };
    let expected = [
        "first_over_time",
        "info",
        "label_join",
        "label_replace",
        "last_over_time",
        "sort",
        "sort_by_label",
        "sort_by_label_desc",
        "sort_desc",
    ];
    assert_eq!(kept(Origin::PromQl), expected);
    let expected = [
        "interpolate",
        "keep_last_value",
        "keep_next_value",
        "label_copy",
        "label_del",
        "label_keep",
        "label_lowercase",
        "label_map",
        "label_move",
        "label_set",
        "label_uppercase",
        "range_first",
        "range_last",
        "range_trim_outliers",
        "range_trim_spikes",
        "range_trim_zscore",
        "union",
    ];
    assert_eq!(kept(Origin::MetricsQl), expected);
    // These compare metrics with each other, so the name says what was found.
    assert_eq!(kept(Origin::Barograph), ["correlate", "metric_correlations", "root_cause"]);
}

#[test]
fn misspelt_names() {
    assert_eq!(nearest("rat"), Some("rate"));
    assert_eq!(nearest("histogram_quantil"), Some("histogram_quantile"));
    assert_eq!(nearest("sum_overtime"), Some("sum_over_time"));
    assert_eq!(nearest("inrcease"), Some("increase"));
    assert_eq!(nearest("Rate"), Some("rate"));
    assert_eq!(nearest("smu"), Some("sum"));
    assert_eq!(nearest("something_else_entirely"), None);
    assert_eq!(nearest(&"x".repeat(10_000)), None);
    assert_eq!(nearest(""), None);
}
