//! Lines as clients write them, lines as nobody should, and random ones.

use std::borrow::Cow;

use proptest::prelude::*;

use super::number::{self, Number};
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

const ESCAPED_QUOTE: &str = r"the string is not closed: the backslash here makes the quote behind it part of the text; write \\ for a backslash";
const ESCAPED_COMMA: &str = "the value of tag \"path\" has an equals sign that is not escaped: the backslash here makes the \
    comma behind it part of the text; no name or tag value can end with a backslash, leave it out";
const ESCAPED_SPACE_IN_VALUE: &str = "the value of tag \"path\" has an equals sign that is not escaped: the backslash here \
    makes the space behind it part of the text; no name or tag value can end with a backslash, leave it out";
const ESCAPED_SPACE: &str = "no fields: expected a space and field=value: the backslash here makes the space behind it \
    part of the text; no name or tag value can end with a backslash, leave it out";

/// Body of one bad line, column, whole message without the place.
const BAD: &[(&[u8], usize, &str)] = &[
    (b",t=1 v=1", 1, "the measurement is empty"),
    (b"m", 2, "no fields: expected a space and field=value"),
    (b"m ", 3, "no fields: expected a space and field=value"),
    (b"m,t=a", 6, "no fields: expected a space and field=value"),
    (b"m,t=a  ", 8, "no fields: expected a space and field=value"),
    (b"m, v=1", 3, "a tag key is empty"),
    (b"m,,a=b v=1", 3, "a tag key is empty"),
    (b"m,=b v=1", 3, "a tag key is empty"),
    (b"m,t v=1", 4, r#"tag "t" has no value: expected key=value"#),
    (b"m,t= v=1", 5, r#"tag "t" has no value: expected key=value"#),
    (b"m,t=,u=1 v=1", 5, r#"tag "t" has no value: expected key=value"#),
    (b"m,t=a=b v=1", 6, r#"the value of tag "t" has an equals sign that is not escaped"#),
    (br"m,path=C:\,b=1 v=1", 10, ESCAPED_COMMA),
    (br"m,path=C:\\,b=1 v=1", 11, ESCAPED_COMMA),
    (br"m,path=C:\dir\,a\ b=1 v=1", 17, ESCAPED_SPACE_IN_VALUE),
    (br"m,path=C:\ v=1", 10, ESCAPED_SPACE_IN_VALUE),
    (br"m,path=C:\a=b v=1", 12, r#"the value of tag "path" has an equals sign that is not escaped"#),
    (br"cpu\ value=1", 4, ESCAPED_SPACE),
    (br"cpu,host=a\ 1", 14, "no fields: expected a space and field=value"),
    (br"my\ cpu", 8, "no fields: expected a space and field=value"),
    (
        br"m,a\=b v=1",
        4,
        r#"tag "a\\=b" has no value: expected key=value: the backslash here makes the equals sign behind it part of the text; no name or tag value can end with a backslash, leave it out"#,
    ),
    (
        br"m f\=1",
        4,
        r#"field "f\\=1" has no value: expected key=value: the backslash here makes the equals sign behind it part of the text; no name or tag value can end with a backslash, leave it out"#,
    ),
    (b"m\\ a\0=1", 5, "a NUL byte is not allowed"),
    (b"m =1", 3, "a field key is empty"),
    (b"m a=1,=2", 7, "a field key is empty"),
    (b"m a=1,", 7, "a field key is empty"),
    (b"m a=1,,b=2", 7, "a field key is empty"),
    (b"m a", 4, r#"field "a" has no value: expected key=value"#),
    (b"m a,b=1", 4, r#"field "a" has no value: expected key=value"#),
    (b"m a=", 5, r#"field "a" has no value: expected key=value"#),
    (b"m a=,b=1", 5, r#"field "a" has no value: expected key=value"#),
    (b"m a= 1", 5, r#"field "a" has no value: expected key=value"#),
    (b"m a=nan", 5, r#""nan" is no number, boolean or quoted string"#),
    (b"m a=NaN 1", 5, r#""NaN" is no number, boolean or quoted string"#),
    (b"m a=inf", 5, r#""inf" is no number, boolean or quoted string"#),
    (b"m a=-inf", 5, r#""-inf" is no number, boolean or quoted string"#),
    (b"m a=+1", 5, r#""+1" is no number, boolean or quoted string"#),
    (b"m a=0x1p3", 5, r#""0x1p3" is no number, boolean or quoted string"#),
    (b"m a=1_0", 5, r#""1_0" is no number, boolean or quoted string"#),
    (b"m a=1.2.3", 5, r#""1.2.3" is no number, boolean or quoted string"#),
    (b"m a=.", 5, r#""." is no number, boolean or quoted string"#),
    (b"m a=-", 5, r#""-" is no number, boolean or quoted string"#),
    (b"m a=-i", 5, r#""-i" is no number, boolean or quoted string"#),
    (b"m a=1e", 5, r#""1e" is no number, boolean or quoted string"#),
    (b"m a=1e+", 5, r#""1e+" is no number, boolean or quoted string"#),
    (b"m a=1.5i", 5, r#""1.5i" is no number, boolean or quoted string"#),
    (b"m a=1e5i", 5, r#""1e5i" is no number, boolean or quoted string"#),
    (b"m a=9i9", 5, r#""9i9" is no number, boolean or quoted string"#),
    (b"m a=-1u", 5, r#""-1u" is no number, boolean or quoted string"#),
    (b"m a=tru", 5, r#""tru" is no number, boolean or quoted string"#),
    (b"m a=tRUE", 5, r#""tRUE" is no number, boolean or quoted string"#),
    (b"m a=x,b=1", 5, r#""x" is no number, boolean or quoted string"#),
    (b"m a=1e400,b=1", 5, r#""1e400" is beyond a 64-bit float: at most 1.7976931348623157e308 either way"#),
    (b"m a=-1e309", 5, r#""-1e309" is beyond a 64-bit float: at most 1.7976931348623157e308 either way"#),
    (
        b"m a=9223372036854775808i",
        5,
        r#""9223372036854775808i" is outside i64: -9223372036854775808 to 9223372036854775807"#,
    ),
    (
        b"m a=-9223372036854775809i",
        5,
        r#""-9223372036854775809i" is outside i64: -9223372036854775808 to 9223372036854775807"#,
    ),
    (b"m a=18446744073709551616u", 5, r#""18446744073709551616u" is outside u64: 0 to 18446744073709551615"#),
    (b"m a=\"x", 5, "the string that begins here is not closed"),
    (b"m a=\"x\\\"", 7, ESCAPED_QUOTE),
    (b"m a=\"C:\\\",b=1 5", 8, ESCAPED_QUOTE),
    (b"m a=\"x\\\" y", 7, ESCAPED_QUOTE),
    (br#"m a="C:\",b="D:" 5"#, 8, ESCAPED_QUOTE),
    (br#"m a="C:\\",b="x"#, 14, "the string that begins here is not closed"),
    (
        b"m a=\"x\"y b=1",
        8,
        r#""y" follows a closing quote: expected a comma, a space or the end of the line"#,
    ),
    (b"m a=1 x", 7, r#"timestamp "x" is not an integer"#),
    (b"m a=1 1.5", 7, r#"timestamp "1.5" is not an integer"#),
    (b"m a=1 +1", 7, r#"timestamp "+1" is not an integer"#),
    (b"m a=1 -", 7, r#"timestamp "-" is not an integer"#),
    (b"m a=1 1 2", 9, r#""2" follows the timestamp: expected the end of the line"#),
    (b"m a=1, b=2", 7, "a field key is empty"),
    (b"m\0 a=1", 2, "a NUL byte is not allowed"),
    (b"m,t=a\0 a=1", 6, "a NUL byte is not allowed"),
    (b"m a\0=1", 4, "a NUL byte is not allowed"),
    (b"m a=1\0", 6, "a NUL byte is not allowed"),
    (b"m a=1 \0", 7, "a NUL byte is not allowed"),
    (b"m a=1 1\0", 8, "a NUL byte is not allowed"),
    (b"m a=1 1 \0", 9, "a NUL byte is not allowed"),
    (b"m a=\"x\0\"", 7, "a NUL byte is not allowed"),
    (b"m a=\"x\"\0", 8, "a NUL byte is not allowed"),
    (b"m\r a=1", 2, "a carriage return is allowed only before the end of the line"),
    (b"m a=1\r ", 6, "a carriage return is allowed only before the end of the line"),
    (b"m a=1 1\r\r", 8, "a carriage return is allowed only before the end of the line"),
    (b"m a=\"\"\r\r", 7, "a carriage return is allowed only before the end of the line"),
    (b"m\\\0 a=1", 3, "a NUL byte is not allowed"),
    (b"m,t=a\\", 6, "a backslash at the end of the line escapes nothing"),
    (b"m\\", 2, "a backslash at the end of the line escapes nothing"),
    (b"m a\\", 4, "a backslash at the end of the line escapes nothing"),
    (b"m,t\xff=a v=1", 4, "not UTF-8: byte 0xff"),
    (b"m v=1,w=\"\xc3\"", 10, "not UTF-8: byte 0xc3"),
];

#[test]
fn bad_lines_say_what_and_where() {
    for (bad, column, message) in BAD {
        let mut body = b"first v=1\n".to_vec();
        body.extend_from_slice(bad);
        body.extend_from_slice(b"\nlast v=1\n");
        let shown = String::from_utf8_lossy(bad);
        let all = lines(&body);
        assert_eq!(all.len(), 3, "{shown}");
        assert!(all[0].is_ok() && all[2].is_ok(), "{shown}");
        let error = all[1].as_ref().unwrap_err();
        assert_eq!(error.reason.to_string(), *message, "{shown}");
        assert_eq!((error.line, error.column), (2, *column), "{shown}");
    }
}

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
fn limits_hold_and_are_named() {
    let limits =
        LineLimits { line_bytes: 60, tags: 3, name_bytes: 5, value_bytes: 6, fields: 2, event_bytes: 4 };
    let read = |body: &str| match Lines::new(body.as_bytes(), Precision::Second, limits).next().unwrap() {
        Ok(_) => "ok".to_owned(),
        Err(e) => format!("{}:{} {}", e.line, e.column, e.reason),
    };
    assert_eq!(read("abcde,k=123456,l=2 fghij=1,v=\"1234\""), "ok");
    let name = "(max_name, LineLimits::name_bytes); raise it or shorten the name";
    assert_eq!(read("abcdef v=1"), format!("1:1 the measurement has 6 bytes, the limit is 5 {name}"));
    assert_eq!(read("m,abcdef=1 v=1"), format!("1:3 the tag key has 6 bytes, the limit is 5 {name}"));
    assert_eq!(read("m v=1,abcdef=1"), format!("1:7 the field key has 6 bytes, the limit is 5 {name}"));
    assert_eq!(
        read("m,k=1234567 v=1"),
        "1:5 the value of tag \"k\" has 7 bytes, the limit is 6 (max_value, LineLimits::value_bytes); raise it or write \
         the text as a string field"
    );
    assert_eq!(
        read("m,a=1,b=2,c=3 v=1"),
        "1:11 more than 2 tags, the limit (max_labels counts the name too; LineLimits::tags); raise it or send fewer"
    );
    assert_eq!(
        read("m a=1,b=2,c=3"),
        "1:11 more than 2 fields, the limit (max_fields, LineLimits::fields); raise it or split the line"
    );
    assert_eq!(
        read("m a=\"12345\""),
        "1:6 the string has 5 bytes, the limit is 4 (max_string, LineLimits::event_bytes); raise it or shorten the text"
    );
    let line = "(max_line, LineLimits::line_bytes); raise it or split the line";
    let long = format!("m a=\"{}\"", "x".repeat(60));
    assert_eq!(read(&long), format!("1:1 the line has 66 bytes, the limit is 60 {line}"));
    let rows = format!("m a=\"{}\n{}\"", "x".repeat(40), "x".repeat(40));
    assert_eq!(read(&rows), format!("1:5 the line has 61 bytes, the limit is 60 {line}"));
}

#[test]
fn huge_lines_and_many_tags_meet_the_default_limits() {
    let mut body = b"m,".to_vec();
    body.resize(1 << 20, b'x');
    body.extend_from_slice(b"\nok v=1\n");
    let all = lines(&body);
    assert_eq!(
        all[0].as_ref().unwrap_err().reason,
        LineErrorKind::LineTooLong { bytes: 1 << 20, limit: 65_536 }
    );
    assert!(all[1].is_ok());
    let mut body = b"m".to_vec();
    for i in 0..100_000 {
        body.extend_from_slice(format!(",{i}=1").as_bytes());
    }
    body.extend_from_slice(b" v=1");
    let limits = LineLimits { line_bytes: usize::MAX, ..LineLimits::default() };
    let error = Lines::new(&body, Precision::Second, limits).next().unwrap().unwrap_err();
    assert_eq!(error.reason, LineErrorKind::TooManyTags { limit: 63 });
}

#[test]
fn an_excerpt_is_short_and_printable() {
    let body = format!("{} v=nan,{}=1\n", "m".repeat(200), "k".repeat(200));
    let error = lines(body.as_bytes()).remove(0).unwrap_err();
    assert_eq!(error.excerpt, format!("{} v=nan,{}", "m".repeat(37), "k".repeat(36)));
    let error = lines(b"m v=1,w=\x1b[31m,\t=\xc3\xa9\n").remove(0).unwrap_err();
    assert_eq!(error.excerpt, r"m v=1,w=\u{1b}[31m,\t=é");
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

#[test]
fn a_rejected_line_points_at_the_tag() {
    let body = br"  cpu,a\ b=1,c=2,a\ b=3 v=1";
    let line = only(body);
    let reason = labels(line.series_key, b"v", &[], &Naming::default()).unwrap_err();
    assert_eq!(
        line.reject(reason).to_string(),
        r#"line 1, column 18: tag "a b" occurs twice, near "  cpu,a\ b=1,c=2,a\ b=3 v=1""#
    );
}

#[test]
fn one_bad_line_in_a_million() {
    let mut body = Vec::new();
    for i in 0..1_000_000 {
        let line: &[u8] = if i == 765_432 { b"m,h=a v=1.2.3 5\n" } else { b"m,h=a v=1.2 5\n" };
        body.extend_from_slice(line);
    }
    let mut good = 0;
    let mut bad = Vec::new();
    for line in Lines::new(&body, Precision::Nanosecond, LineLimits::default()) {
        match line {
            Ok(line) => good += line.fields().len(),
            Err(error) => bad.push((error.line, error.column)),
        }
    }
    assert_eq!((good, bad), (999_999, vec![(765_433, 9)]));
}

/// A value as a writer holds it.
#[derive(Debug, Clone)]
enum Written {
    Float(f64),
    Int(i64),
    UInt(u64),
    Bool(bool),
    Text(String),
}

fn written() -> impl Strategy<Value = Written> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Written::Float),
        any::<i64>().prop_map(Written::Int),
        any::<u64>().prop_map(Written::UInt),
        any::<bool>().prop_map(Written::Bool),
        "([^\\x00]|[\\\\\"\n, =]){0,12}".prop_map(Written::Text),
    ]
}

/// A name that can be written: no NUL, line break or carriage return, and no backslash
/// where it would escape the byte behind it.
fn name() -> impl Strategy<Value = String> {
    "([^\\x00\r\n\\\\#]|[, =é]){1,8}"
}

fn escaped(name: &str, escapes: &str) -> String {
    name.chars().flat_map(|c| escapes.contains(c).then_some('\\').into_iter().chain([c])).collect()
}

fn print(value: &Written) -> String {
    match value {
        Written::Float(v) => format!("{v:?}"),
        Written::Int(v) => format!("{v}i"),
        Written::UInt(v) => format!("{v}u"),
        Written::Bool(v) => v.to_string(),
        Written::Text(v) => format!("\"{}\"", escaped(v, "\\\"")),
    }
}

fn same(value: &Written, read: &FieldValue<'_>) -> bool {
    match (value, read) {
        (Written::Float(a), FieldValue::Float(b)) => a.to_bits() == b.to_bits(),
        (Written::Int(a), FieldValue::Int(b)) => a == b,
        (Written::UInt(a), FieldValue::UInt(b)) => a == b,
        (Written::Bool(a), FieldValue::Bool(b)) => a == b,
        (Written::Text(a), FieldValue::Text(b)) => a == b,
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read(
        measurement in name().prop_filter("not blank in front", |n| !n.starts_with(['\t', ' ', ',', '\u{feff}'])),
        tags in proptest::collection::btree_map(name(), name(), 0..4),
        values in proptest::collection::vec((name().prop_filter("no tab in front", |n| !n.starts_with('\t')), written()), 1..20),
        time in proptest::option::of(i64::MIN + 2..i64::MAX),
    ) {
        let mut body = escaped(&measurement, ", ");
        for (key, value) in &tags {
            body += &format!(",{}={}", escaped(key, ", ="), escaped(value, ", ="));
        }
        let series_key = body.clone();
        let shown: Vec<String> =
            values.iter().map(|(k, v)| format!("{}={}", escaped(k, ", ="), print(v))).collect();
        body += &format!(" {}", shown.join(","));
        if let Some(time) = time {
            body += &format!(" {time}");
        }
        let twice = format!("{body}\n{body}");
        for line in lines(twice.as_bytes()) {
            let line = line.unwrap();
            prop_assert_eq!(line.series_key, series_key.as_bytes());
            prop_assert_eq!(line.timestamp, time);
            prop_assert_eq!(line.fields().len(), values.len());
            for ((key, value), (raw_key, read)) in values.iter().zip(line.fields()) {
                prop_assert!(same(value, &read), "{:?} {:?}", value, read);
                let set = labels(line.series_key, raw_key, &[], &Naming::MeasurementOnlyWithFieldLabel).unwrap();
                prop_assert_eq!(set.metric_name(), Some(measurement.as_str()));
                prop_assert_eq!(set.get(FIELD_LABEL), Some(key.as_str()));
                for (key, value) in &tags {
                    prop_assert_eq!(set.get(key), Some(value.as_str()));
                }
            }
        }
    }

    #[test]
    fn floats_agree_with_the_standard_library(text in "-?([0-9]{1,25}|[0-9]{0,20}\\.[0-9]{1,25}|[0-9]{1,3}\\.)([eE][+-]?[0-9]{1,3})?") {
        let expected: f64 = text.parse().unwrap();
        match number::parse(text.as_bytes()) {
            Ok((Number::Float(v), bytes)) => {
                prop_assert_eq!(bytes, text.len());
                prop_assert_eq!(v.to_bits(), expected.to_bits(), "{}", text);
            }
            other => prop_assert!(expected.is_infinite(), "{} {:?}", text, other),
        }
    }

    #[test]
    fn shortest_and_long_floats_come_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        for text in [format!("{value:?}"), format!("{value}"), format!("{value:.17e}")] {
            let read = number::parse(text.as_bytes());
            prop_assert!(matches!(read, Ok((Number::Float(v), _)) if v.to_bits() == bits), "{} {:?}", text, read);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(
        body in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b",= \\\"\n\r\0#1eiut.-m\t\xc3\xa9"[..])],
            0..200,
        ),
        line_bytes in 0usize..300,
    ) {
        let limits = LineLimits { line_bytes, ..LineLimits::default() };
        let rows = body.iter().filter(|b| **b == b'\n').count() + 1;
        let mut last = 0;
        for line in Lines::new(&body, Precision::Second, limits) {
            match line {
                Ok(line) => {
                    prop_assert!(line.number > last && line.bytes().len() <= line_bytes);
                    last = line.number;
                    for (key, value) in line.fields() {
                        prop_assert!(!key.is_empty());
                        prop_assert!(!matches!(value, FieldValue::Float(v) if !v.is_finite()));
                        if let Err(reason) = labels(line.series_key, key, &[], &Naming::default()) {
                            prop_assert!(line.reject(reason).column <= line.bytes().len());
                        }
                    }
                }
                Err(error) => prop_assert!(error.line <= rows && error.excerpt.len() <= 80 * 10),
            }
        }
    }

    #[test]
    fn eight_bytes_a_step_end_where_one_byte_a_step_does(
        line in proptest::collection::vec(
            prop_oneof![4 => any::<u8>(), 1 => proptest::sample::select(&b",= \\\r\0"[..])],
            0..60,
        ),
        at in 0usize..8,
    ) {
        let slow = |ends: &[u8]| {
            let mut at = at.min(line.len());
            while at < line.len() && !ends.contains(&line[at]) {
                let escape = line[at] == b'\\' && at + 1 < line.len() && b", =".contains(&line[at + 1]);
                at += if escape { 2 } else { 1 };
            }
            at
        };
        let at = at.min(line.len());
        prop_assert_eq!(scan::name_end(&line, at), slow(b",= \r\0"));
        prop_assert_eq!(scan::measurement_end(&line, at), slow(b", \r\0"));
    }

    #[test]
    fn hostile_keys_never_panic(key in proptest::collection::vec(any::<u8>(), 0..60), field in proptest::collection::vec(any::<u8>(), 0..20)) {
        let _ = labels(&key, &field, &[], &Naming::default());
    }
}
