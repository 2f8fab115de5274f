//! The fast path for a line whose series and fields are known: its bytes are compared with those of a checked line, so
//! only the numbers and the time are parsed.
//!
//! Anything unusual (leading blanks, a different order of fields, a boolean, a string, any error) is left to the check
//! of [`Lines::next`], which finds the same line.

use memchr::{memchr, memchr2};

use crate::line::lines::without_return;
use crate::line::number::{self, Number};
use crate::line::{FieldValue, Lines, timestamp};
use crate::model::Timestamp;

/// A line parsed on the fast path, which has not been consumed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Nanoseconds since the Unix epoch; `None` if the line has no timestamp.
    pub timestamp: Option<Timestamp>,
    /// The offset of the next line.
    next: usize,
}

impl<'a> Lines<'a> {
    /// The next line up to its first space. Nothing of it is checked, and the line is not consumed. If these bytes are
    /// the series of a valid line, they are the series of this line: a series is parsed from its first byte and does
    /// not end with a backslash, so the following space ends it here too.
    #[inline]
    pub fn peek_series(&self) -> Option<&'a [u8]> {
        let rest = self.body.get(self.offset..)?;
        // The search ends at the line's end; otherwise, each of many short lines would cost the length of the body.
        let end = memchr2(b' ', b'\n', rest)?;
        (rest[end] == b' ').then(|| &rest[..end])
    }

    /// Parses the next line, whose series [`Lines::peek_series`] returned, if its fields are the first ones of
    /// `fields`, in that order, and numbers. Passes them to `push`. The line is not consumed until
    /// [`Lines::take_known`]. `None` says nothing about the line, and values already passed to `push` are void.
    #[inline]
    pub fn read_known(
        &self,
        series: &[u8],
        fields: &[Box<[u8]>],
        mut push: impl FnMut(FieldValue<'static>),
    ) -> Option<Known> {
        let rest = self.body.get(self.offset..)?;
        let mut at = series.len();
        let mut fields = fields.iter().take(self.limits.fields);
        // The first field follows a space, and each other field follows a comma.
        let mut before = b' ';
        while rest.get(at) == Some(&before) {
            let Some(field) = fields.next() else { break };
            let name = at + 1;
            let equals = name + field.len();
            if rest.get(name..equals)? != &**field || rest.get(equals) != Some(&b'=') {
                return None;
            }
            let (number, length) = number::parse(&rest[equals + 1..]).ok()?;
            push(match number {
                Number::Float(v) => FieldValue::Float(v),
                Number::Int(v) => FieldValue::Int(v),
                Number::UInt(v) => FieldValue::UInt(v),
            });
            at = equals + 1 + length;
            before = b',';
        }
        if before == b' ' || !matches!(rest.get(at), None | Some(b' ' | b'\n' | b'\r')) {
            return None;
        }
        let line_end = memchr(b'\n', &rest[at..]).map_or(rest.len(), |after| at + after);
        let line = without_return(&rest[..line_end]);
        if line.len() > self.limits.line_bytes {
            return None;
        }
        let timestamp = timestamp::parse(line, at, self.precision).ok()?;
        Some(Known { timestamp, next: self.offset + line_end + 1 })
    }

    /// Consumes the parsed line.
    #[inline]
    pub fn take_known(&mut self, known: Known) {
        self.offset = known.next;
        self.number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::line::{LineLimits, Precision};

    /// Parses a body in both ways. Returns how many lines took the fast path.
    fn compare(body: &[u8], limits: LineLimits) -> usize {
        let mut known: HashMap<Vec<u8>, Vec<Box<[u8]>>> = HashMap::new();
        let mut lines = Lines::new(body, Precision::Second, limits);
        let mut short = 0;
        loop {
            let mut long = lines.clone();
            let checked = long.next();
            let mut values = Vec::new();
            let read = lines.peek_series().and_then(|series| {
                let read = lines.read_known(series, known.get(series)?, |value| values.push(value))?;
                Some((series, read))
            });
            if let Some((series, read)) = read {
                let line = checked.expect("a line").expect("a good line");
                assert_eq!((line.series_key, line.timestamp), (series, read.timestamp));
                assert_eq!(line.fields().map(|(_, value)| value).collect::<Vec<_>>(), values);
                let names: Vec<&[u8]> = line.fields().map(|(name, _)| name).collect();
                let expected: Vec<&[u8]> = known[series].iter().take(names.len()).map(|f| &**f).collect();
                assert_eq!(names, expected);
                lines.take_known(read);
                assert_eq!((lines.offset(), lines.number), (long.offset(), long.number));
                short += 1;
                continue;
            }
            match checked {
                None => return short,
                Some(Ok(line)) => {
                    let names = line.fields().map(|(name, _)| name.into()).collect();
                    known.insert(line.series_key.to_vec(), names);
                }
                Some(Err(_)) => {}
            }
            lines = long;
        }
    }

    #[test]
    fn lines_of_the_usual_form_go_the_short_way() {
        let body = b"cpu,host=a f=1,g=2i 3\ncpu,host=a f=4,g=5u 6\r\ncpu,host=a f=7\ncpu,host=a f=8,g=9i";
        assert_eq!(compare(body, LineLimits::default()), 3);
        let unusual =
            b"c f=1,g=2\nc g=2,f=1\nc f=1,g=true\nc  g=1,f=1\nc g=1,f=\"a\"\n c f=1\nc f=1,\nc f=1 x";
        assert_eq!(compare(unusual, LineLimits::default()), 0);
        let few = LineLimits { fields: 1, line_bytes: 5, ..LineLimits::default() };
        assert_eq!(compare(b"c f=1\nc f=2\nc f=10\nc f=1,g=2", few), 1, "limits hold");
    }

    proptest! {
        #[test]
        fn both_ways_read_the_same(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "cpu", "cpu,host=a", ",host=a", "cpu,host=a\\ ", "m\\", " ", " f=1", ",f=1", " f=1,g=2i", ",g=-2.5e3",
                    " f=1,g=2i 7\n", "f", "=", "\\", "\n", "\n", "\r\n", "\r", " 1700000000", "t", "\"", "#", "\0", ",", "u",
                    "cpu,host=a f=1,g=2i 7\n", "cpu f=1\n", "\u{e9}", "99999999999999999999", ".",
                ]),
                0..40,
            ),
        ) {
            compare(pieces.concat().as_bytes(), LineLimits::default());
        }
    }
}
