//! Lines as clients write them; what is refused (`refusals.rs`), numbers and times (`numbers.rs`), random lines
//! (`properties.rs`).

mod numbers;
mod properties;
mod refusals;

use std::borrow::Cow;

use super::*;

fn lines(body: &[u8]) -> Vec<Result<Line<'_>, LineError>> {
    Lines::new(body, Precision::Nanosecond, LineLimits::default()).collect()
}

fn only(body: &[u8]) -> Line<'_> {
    let mut all = lines(body);
    assert_eq!(all.len(), 1, "one line in {:?}", String::from_utf8_lossy(body));
    all.remove(0).unwrap()
}

fn fields<'a>(line: &Line<'a>) -> Vec<(&'a str, FieldValue<'a>)> {
    line.fields().map(|(key, value)| (std::str::from_utf8(key).unwrap(), value)).collect()
}

fn names(body: &[u8]) -> Vec<String> {
    let line = only(body);
    line.fields()
        .map(|(key, _)| labels(line.series_key, key, &[], &Naming::default()).unwrap().to_string())
        .collect()
}

fn text(value: &str) -> FieldValue<'_> {
    FieldValue::Text(Cow::Borrowed(value))
}

#[test]
fn every_kind_of_value() {
    let body = br#"m a=1,b=-2i,c=18446744073709551615u,d=t,e=FALSE,f="x y,z=\"q\" \\ \n",g="" -5"#;
    let line = only(body);
    assert_eq!(line.series_key, b"m");
    assert_eq!(line.timestamp, Some(-5));
    let expected = [
        ("a", FieldValue::Float(1.0)),
        ("b", FieldValue::Int(-2)),
        ("c", FieldValue::UInt(u64::MAX)),
        ("d", FieldValue::Bool(true)),
        ("e", FieldValue::Bool(false)),
        ("f", text(r#"x y,z="q" \ \n"#)),
        ("g", text("")),
    ];
    assert_eq!(fields(&line), expected);
    assert_eq!(line.fields().len(), 7);
}

#[test]
fn every_boolean_word() {
    for (word, value) in ["t", "T", "true", "True", "TRUE"]
        .map(|w| (w, true))
        .into_iter()
        .chain(["f", "F", "false", "False", "FALSE"].map(|w| (w, false)))
    {
        let body = format!("m v={word},w={word} 1");
        let line = only(body.as_bytes());
        assert_eq!(fields(&line), [("v", FieldValue::Bool(value)), ("w", FieldValue::Bool(value))]);
    }
}

#[test]
fn names_and_labels() {
    let table: &[(&[u8], &str)] = &[
        (b"cpu,host=a usage=1", r#"cpu_usage{host="a"}"#),
        (b"up value=1", "up"),
        (b"up,b=2,a=1 value=1", r#"up{a="1", b="2"}"#),
        (br"disk\ io\,x,h\ o\=s\,t=a\ b\=c\,d r\ w\=x\,y=1", r#"disk io,x_r w=x,y{h o=s,t="a b=c,d"}"#),
        (br"a=b c=1", "a=b_c"),
        (br"m\=x v=1", r"m\=x_v"),
        (br"m,t=C:\dir\n v=1", r#"m_v{t="C:\\dir\\n"}"#),
        (br"m,t=a\\,u=b v=1", "missing: the comma is escaped"),
        (br"m,t=ends\\ x,u=b v=1", r#"m_v{t="ends\\ x", u="b"}"#),
        ("température,ville=Zürich °C=1".as_bytes(), r#"température_°C{ville="Zürich"}"#),
        (br#"m,q="a" "k"=1"#, r#"m_"k"{q="\"a\""}"#),
    ];
    for (body, expected) in table {
        if expected.starts_with("missing") {
            assert!(
                matches!(&lines(body)[0], Err(e) if matches!(e.reason, LineErrorKind::EscapedSeparator { .. }))
            );
            continue;
        }
        assert_eq!(names(body), [*expected], "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_trailing_escaped_character_belongs_to_the_tag() {
    let line = only(br"m,path=C:\ ,b=1\, v=1i 10");
    assert_eq!(line.series_key, br"m,path=C:\ ,b=1\,");
    let set = labels(line.series_key, b"v", &[], &Naming::default()).unwrap();
    assert_eq!((set.get("path"), set.get("b")), (Some("C: "), Some("1,")));
}

#[test]
fn blanks_comments_and_line_ends() {
    let body = b"# head\r\n\r\n  \t\n \tm v=1 1\r\n#x\nm v=2  \t 2 \nm  \tv=3\nm v=4\r";
    let found: Vec<_> = lines(body)
        .into_iter()
        .map(|l| l.unwrap())
        .map(|l| (l.number, l.timestamp, fields(&l).remove(0).1))
        .collect();
    let float = FieldValue::Float;
    assert_eq!(
        found,
        [(4, Some(1), float(1.0)), (6, Some(2), float(2.0)), (7, None, float(3.0)), (8, None, float(4.0))]
    );
    assert!(lines(b"").is_empty() && lines(b"\n\n").is_empty() && lines(b"# only").is_empty());
}

#[test]
fn byte_order_marks_are_no_part_of_a_name() {
    let mark = "\u{feff}";
    let body = format!(
        "{mark}a v=1 1\n{mark}# comment\n{mark}\n {mark} b v=2 2\r\n{mark}a v=3 3\nc{mark} v=4 4\n{mark}bad"
    );
    let found: Vec<_> = lines(body.as_bytes())
        .into_iter()
        .map(|line| match line {
            Ok(line) => (line.number, String::from_utf8(line.series_key.to_vec()).unwrap()),
            Err(error) => (error.line, error.reason.to_string()),
        })
        .collect();
    let expected =
        [(1, "a"), (4, "b"), (5, "a"), (6, "c\u{feff}"), (7, "no fields: expected a space and field=value")];
    assert_eq!(found, expected.map(|(number, text)| (number, text.to_owned())));
    let line = only(b"\xef\xbb\xbfm,a=1,a=2 v=1 1");
    let error = line.reject(LineErrorKind::DuplicateTag { key: "a".to_owned() });
    assert_eq!(error.column, 10, "{error}");
}

#[test]
fn utf_16_is_refused_by_name() {
    for little in [true, false] {
        let units = "\u{feff}m v=1 1\nn v=2 2\n".encode_utf16();
        let body: Vec<u8> =
            units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect();
        let all = lines(&body);
        assert!(all.iter().all(Result::is_err), "{all:?}");
        assert_eq!(all[0].as_ref().unwrap_err().reason, LineErrorKind::Utf16);
    }
    assert_eq!(
        lines(b"a v=1\n\xff v=1")[1].as_ref().unwrap_err().reason,
        LineErrorKind::InvalidUtf8 { byte: 0xff }
    );
}

#[test]
fn a_string_may_span_lines() {
    let body = b"a t=\"one\r\ntwo\nthree\",u=\"\n\" 7\r\nb v=1 8\n\nc v=x\n";
    let all = lines(body);
    let first = all[0].as_ref().unwrap();
    assert_eq!(fields(first), [("t", text("one\r\ntwo\nthree")), ("u", text("\n"))]);
    assert_eq!((first.number, first.timestamp), (1, Some(7)));
    assert_eq!(first.bytes(), b"a t=\"one\r\ntwo\nthree\",u=\"\n\" 7");
    assert_eq!(all[1].as_ref().unwrap().number, 5);
    assert_eq!(
        all[2].as_ref().unwrap_err().to_string(),
        r#"line 7, column 5: "x" is no number, boolean or quoted string, near "c v=x""#
    );
    assert_eq!(all.len(), 3);
}

#[test]
fn the_shortest_string_over_two_lines_counts_as_two() {
    for body in [&b"m a=\"\n\"\nx v=1\n"[..], b"m a=\"\r\n\"\r\nx v=1"] {
        let all = lines(body);
        assert_eq!(all[1].as_ref().unwrap().number, 3);
        assert_eq!(all.len(), 2);
    }
}

#[test]
fn a_fault_behind_a_string_of_many_rows_has_its_own_row() {
    let body = b"ok v=1\na t=\"one\ntwo\" 9x\nb v=1 8\n";
    let all = lines(body);
    assert_eq!(
        all[1].as_ref().unwrap_err().to_string(),
        r#"line 3, column 6: timestamp "9x" is not an integer, near "two" 9x""#
    );
    assert_eq!(all[2].as_ref().unwrap().number, 4);
}

#[test]
fn a_lost_quote_does_not_swallow_the_lines_below() {
    let body = b"a t=\"one 1\nb t=\"two\" 2\nc v=3 3\nd t=\"four\n";
    let all = lines(body);
    let open = all[0].as_ref().unwrap_err();
    assert_eq!((open.line, open.column, &open.reason), (1, 5, &LineErrorKind::UnterminatedString));
    assert_eq!(all[1].as_ref().unwrap().number, 2);
    assert_eq!(all[2].as_ref().unwrap().number, 3);
    assert_eq!(all[3].as_ref().unwrap_err().line, 4);
    assert_eq!(all.len(), 4);
}

#[test]
fn labels_from_the_server_yield_to_the_lines_own() {
    let extra = [("db".to_owned(), "lab".to_owned()), ("rp".to_owned(), String::new())];
    let set = |key: &[u8], naming| labels(key, b"usage", &extra, &naming).map(|l| l.to_string());
    let yes = |text: &str| Ok(text.to_owned());
    assert_eq!(set(b"cpu,h=a", Naming::MeasurementField), yes(r#"cpu_usage{db="lab", h="a"}"#));
    assert_eq!(set(b"cpu,db=own", Naming::MeasurementField), yes(r#"cpu_usage{db="own"}"#));
    assert_eq!(set(b"cpu,h=a", Naming::FieldOnly), yes(r#"usage{db="lab", h="a"}"#));
    assert_eq!(
        set(b"cpu,h=a", Naming::MeasurementOnlyWithFieldLabel),
        yes(r#"cpu{_field="usage", db="lab", h="a"}"#)
    );
    let reserved = |key: &str| Err(LineErrorKind::ReservedTag { key: key.into() });
    assert_eq!(set(b"cpu,__name__=x", Naming::MeasurementField), reserved("__name__"));
    assert_eq!(set(b"cpu,_field=x", Naming::MeasurementOnlyWithFieldLabel), reserved("_field"));
    assert_eq!(set(b"cpu,_field=x", Naming::FieldOnly), yes(r#"usage{_field="x", db="lab"}"#));
    assert_eq!(
        set(br"cpu,a\ b=1,c=2,a\ b=3", Naming::FieldOnly),
        Err(LineErrorKind::DuplicateTag { key: "a b".into() })
    );
    for naming in [Naming::MeasurementField, Naming::FieldOnly, Naming::MeasurementOnlyWithFieldLabel] {
        assert_eq!(naming.to_string().parse(), Ok(naming));
    }
}
