//! Lines as nobody should write them: refused alone, with place, reason and limit.

use super::*;

const ESCAPED_QUOTE: &str = r"the string is not closed: the backslash here makes the quote after it part of the text; write \\ for a backslash";
const ESCAPED_COMMA: &str = "the value of tag \"path\" has an equals sign that is not escaped: the backslash here makes the \
    comma after it part of the text; no name or tag value can end with a backslash, leave it out";
const ESCAPED_SPACE_IN_VALUE: &str = "the value of tag \"path\" has an equals sign that is not escaped: the backslash here \
    makes the space after it part of the text; no name or tag value can end with a backslash, leave it out";
const ESCAPED_SPACE: &str = "no fields: expected a space and field=value: the backslash here makes the space after \
    it part of the text; no name or tag value can end with a backslash, leave it out";

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
        r#"tag "a\\=b" has no value: expected key=value: the backslash here makes the equals sign after it part of the text; no name or tag value can end with a backslash, leave it out"#,
    ),
    (
        br"m f\=1",
        4,
        r#"field "f\\=1" has no value: expected key=value: the backslash here makes the equals sign after it part of the text; no name or tag value can end with a backslash, leave it out"#,
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
