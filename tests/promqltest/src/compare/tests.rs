use super::*;
use crate::expect::Mode;
use crate::scan::Cursor;
use barograph_engine::model::STALE_NAN_BITS;
use std::sync::Arc;

fn expect(lines: &[&str]) -> Expectation {
    let mut out = Expectation::new(Mode::Plain);
    for line in lines {
        out.line(line, Mode::Plain).unwrap();
    }
    out
}

fn labels(text: &str) -> Labels {
    crate::scan::labels(&mut Cursor::new(text)).unwrap()
}

fn element(series: &str, value: f64) -> VectorSample {
    VectorSample {
        labels: labels(series),
        timestamp: Timestamp::from_millis(7),
        value: SampleValue::Float(value),
    }
}

fn series(text: &str, floats: &[(i64, f64)]) -> MatrixSeries {
    MatrixSeries { labels: labels(text), floats_ms: floats.to_vec(), histograms_ms: vec![] }
}

#[test]
fn floats_are_equal_within_a_millionth() {
    let stale = f64::from_bits(STALE_NAN_BITS);
    assert!(floats_equal(1.0, 1.0 + 1e-6) && !floats_equal(1.0, 1.0 + 3e-6));
    assert!(floats_equal(f64::INFINITY, f64::INFINITY) && !floats_equal(f64::INFINITY, -f64::INFINITY));
    assert!(!floats_equal(f64::INFINITY, 1.0) && !floats_equal(0.0, 1e-300));
    assert!(floats_equal(f64::NAN, f64::NAN) && floats_equal(stale, stale) && !floats_equal(stale, f64::NAN));
}

#[test]
fn histograms_are_compared_by_their_filled_buckets() {
    let read = |text: &str| crate::histogram::written(&mut Cursor::new(text)).unwrap();
    let want = read("{{schema:0 sum:5 count:4 buckets:[1 0 2] offset:-1}}");
    let same = |text: &str| histograms_equal(&want, &read(text).histogram);
    assert!(same("{{count:4 sum:5 buckets:[0 0 1 0 2 0] offset:-3 counter_reset_hint:gauge}}"));
    for text in [
        "{{schema:1 sum:5 count:4 buckets:[1 0 2] offset:-1}}",
        "{{sum:5 count:4 buckets:[1 0 2]}}",
        "{{sum:5 count:4 buckets:[1 1 2] offset:-1}}",
        "{{sum:5 count:4 n_buckets:[1 0 2] n_offset:-1}}",
        "{{sum:6 count:4 buckets:[1 0 2] offset:-1}}",
        "{{sum:5 count:5 buckets:[1 0 2] offset:-1}}",
        "{{sum:5 count:4 z_bucket_w:1 buckets:[1 0 2] offset:-1}}",
        "{{sum:5 count:4 z_bucket:1 buckets:[1 0 2] offset:-1}}",
    ] {
        assert!(!same(text), "{text}");
    }
    let hinted = read("{{count:1 counter_reset_hint:gauge}}");
    assert!(!histograms_equal(&hinted, &read("{{count:1}}").histogram));
    let custom = read("{{schema:-53 custom_values:[1 2]}}");
    assert!(!histograms_equal(&custom, &read("{{schema:-53 custom_values:[1 3]}}").histogram));
}

#[test]
fn vectors_are_exact_sets() {
    let want = expect(&["up{a=\"1\"} 1", "up{a=\"2\"} 2"]);
    let one = element("up{a=\"1\"}", 1.0);
    let two = element("up{a=\"2\"}", 2.0);
    let check = |elements: &[&VectorSample]| {
        let value = QueryValue::Vector(elements.iter().map(|e| (*e).clone()).collect());
        instant(&want, &value, 7)
    };
    assert_eq!(check(&[&two, &one]), Ok(()));
    assert!(check(&[&one]).unwrap_err().contains("missing: [up{a=\"2\"}]"));
    assert!(check(&[&one, &two, &element("up", 1.0)]).unwrap_err().contains("not expected: [up]"));
    assert!(check(&[&one, &one, &two]).unwrap_err().contains("twice"));
    assert!(check(&[&one, &element("up{a=\"2\"}", 3.0)]).unwrap_err().contains("expected 2.0, got 3.0"));
    let late = VectorSample { timestamp: Timestamp::from_millis(8), ..one.clone() };
    assert!(check(&[&late, &two]).unwrap_err().contains("8 ms"));
    let ordered = expect(&["expect ordered", "up{a=\"1\"} 1", "up{a=\"2\"} 2"]);
    assert!(instant(&ordered, &QueryValue::Vector(vec![two.clone(), one.clone()]), 7).is_err());
    assert_eq!(instant(&ordered, &QueryValue::Vector(vec![one, two]), 7), Ok(()));
    assert_eq!(instant(&expect(&[]), &QueryValue::Vector(vec![]), 7), Ok(()));
}

#[test]
fn types_are_compared() {
    let values = [
        QueryValue::Scalar(Timestamp::from_millis(7), 1.0),
        QueryValue::String(Timestamp::from_millis(7), "x".into()),
        QueryValue::Vector(vec![element("up", 1.0)]),
        QueryValue::Matrix(vec![series("up", &[(10, 1.0)])]),
    ];
    let wants = [
        expect(&["1"]),
        expect(&["expect string \"x\""]),
        expect(&["up 1"]),
        expect(&["expect range vector from 10ms to 20ms step 10ms", "up 1"]),
    ];
    for (i, want) in wants.iter().enumerate() {
        for (j, value) in values.iter().enumerate() {
            assert_eq!(instant(want, value, 7).is_ok(), i == j, "{i} {j}");
        }
    }
}

#[test]
fn a_matrix_has_exactly_the_expected_points() {
    let want = expect(&["up 1 _ 3", "gone _ _"]);
    let check =
        |floats: &[(i64, f64)]| range(&want, &QueryValue::Matrix(vec![series("up", floats)]), 100, 10);
    assert_eq!(check(&[(100, 1.0), (120, 3.0)]), Ok(()));
    for floats in [
        &[(100, 1.0)][..],
        &[(100, 1.0), (110, 2.0), (120, 3.0)],
        &[(100, 1.0), (120, 3.0), (130, 4.0)],
        &[(90, 0.0), (100, 1.0), (120, 3.0)],
        &[(100, 1.0), (115, 1.0), (120, 3.0)],
        &[(100, 1.0), (120, 4.0)],
    ] {
        assert!(check(floats).is_err(), "{floats:?}");
    }
}

#[test]
fn a_matrix_is_sorted() {
    let want = expect(&["a 1", "b 1"]);
    let (a, b) = (series("a", &[(0, 1.0)]), series("b", &[(0, 1.0)]));
    assert_eq!(range(&want, &QueryValue::Matrix(vec![a.clone(), b.clone()]), 0, 1), Ok(()));
    assert!(range(&want, &QueryValue::Matrix(vec![b, a]), 0, 1).unwrap_err().contains("not sorted"));
}

#[test]
fn a_column_is_what_an_instant_query_answers() {
    let histogram = Arc::new(Histogram::default());
    let mixed = MatrixSeries {
        labels: labels("b"),
        floats_ms: vec![(5, 1.0)],
        histograms_ms: vec![(7, Arc::clone(&histogram))],
    };
    let matrix = QueryValue::Matrix(vec![series("a", &[(5, 1.0), (7, 2.0)]), mixed]);
    let QueryValue::Vector(got) = column(&expect(&["a 1"]), &matrix, 7) else { panic!() };
    assert_eq!(got[0], element("a", 2.0));
    assert_eq!(got[1].value, SampleValue::Histogram(histogram));
    let scalar = QueryValue::Matrix(vec![series("{}", &[(7, 2.0)])]);
    assert_eq!(column(&expect(&["2"]), &scalar, 7), QueryValue::Scalar(Timestamp::from_millis(7), 2.0));
}

#[test]
fn annotations_match_both_ways() {
    let response = |warnings: &[&str], infos: &[&str]| {
        let mut response = Response::from(QueryValue::Scalar(Timestamp::from_millis(0), 0.0));
        response.warnings = warnings.iter().map(|w| (*w).to_owned()).collect();
        response.infos = infos.iter().map(|w| (*w).to_owned()).collect();
        response
    };
    let check = |lines: &[&str], warnings: &[&str], infos: &[&str], positions| {
        annotations(&expect(lines), &response(warnings, infos), positions).is_ok()
    };
    let kept = Positions::Compared;
    assert!(check(&[], &["w"], &["i"], kept), "without a demand they are not looked at");
    assert!(check(&["expect warn"], &["w"], &[], kept) && !check(&["expect warn"], &[], &["i"], kept));
    assert!(!check(&["expect no_warn"], &["w"], &[], kept) && check(&["expect no_warn"], &[], &["i"], kept));
    assert!(!check(&["expect no_info"], &[], &["i"], kept));
    assert!(check(&["expect info msg: i (1:2)"], &[], &["i (1:2)"], kept));
    assert!(!check(&["expect info msg: i (1:2)"], &[], &["i (1:2)", "j (1:2)"], kept), "j is not demanded");
    assert!(!check(&["expect info msg: i (1:2)"], &[], &["i (1:3)"], kept));
    assert!(check(&["expect info msg: i (1:2)"], &[], &["i (1:3)"], Positions::Ignored));
    assert!(!check(&["expect info msg: i (x)"], &[], &["i (y)"], Positions::Ignored));
}
