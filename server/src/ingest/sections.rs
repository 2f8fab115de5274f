//! Exports of InfluxDB 1: line protocol between comments that name the database of the lines.
//!
//! ```text
//! # DDL
//! CREATE DATABASE telegraf WITH NAME autogen
//! # DML
//! # CONTEXT-DATABASE:telegraf
//! # CONTEXT-RETENTION-POLICY:autogen
//! cpu,host=a usage=0.5 1700000000000000000
//! ```
//! The statements are ignored, because databases do not have to be created. Lines belong to the database that was named
//! last. `influx_inspect export` writes such files, and `influx -import` reads them.

use std::ops::Range;

use memchr::memmem;

/// Maximum length of the name of a database, bytes.
pub const DATABASE_BYTES_MAX: usize = 256;
/// Maximum length of a string field that spans several rows, bytes. A longer one counts as unterminated.
const STRING_MAX: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const STATEMENTS: &[u8] = b"# DDL";
const LINES: &[u8] = b"# DML";
const DATABASE: &[u8] = b"# CONTEXT-DATABASE:";
const POLICY: &[u8] = b"# CONTEXT-RETENTION-POLICY:";

/// The state that the comments have set so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    in_statements: bool,
    /// The database of the lines that follow.
    pub database: Option<String>,
    /// The retention policy of the lines that follow.
    pub policy: Option<String>,
}

/// Consecutive lines of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section<'b> {
    /// The lines, including comments.
    pub bytes: &'b [u8],
    /// The number of line feeds before it in the body.
    pub line: u64,
    /// The database that was named last.
    pub database: Option<String>,
    /// The retention policy that was named last.
    pub policy: Option<String>,
}

impl Context {
    /// Splits a body that ends with a line. Its last database and policy also apply to the next body. A body without
    /// such comments is a single section.
    pub fn split<'c, 'b>(&'c mut self, body: &'b [u8]) -> Sections<'c, 'b> {
        let is_whole = !self.in_statements && !says_something(body);
        Sections { context: self, body, is_whole, at: 0, line: 0, start: 0, start_line: 0 }
    }

    fn section<'b>(&self, bytes: &'b [u8], line: u64) -> Section<'b> {
        Section { bytes, line, database: self.database.clone(), policy: self.policy.clone() }
    }

    fn read(&mut self, row: &[u8]) {
        let name = |rest: &[u8]| {
            Some(String::from_utf8_lossy(rest.trim_ascii()).into_owned()).filter(|n| !n.is_empty())
        };
        if row == STATEMENTS {
            self.in_statements = true;
        } else if row == LINES {
            self.in_statements = false;
        } else if let Some(rest) = row.strip_prefix(DATABASE) {
            *self = Context { in_statements: false, database: name(rest), policy: None };
        } else if let Some(rest) = row.strip_prefix(POLICY) {
            self.policy = name(rest);
        }
    }
}

/// An iterator over the sections of a body.
pub struct Sections<'c, 'b> {
    context: &'c mut Context,
    body: &'b [u8],
    /// The body is a single section that has not been returned yet.
    is_whole: bool,
    /// Where the next line begins, and the number of rows before it.
    at: usize,
    line: u64,
    /// Where the current section begins, and the number of rows before it.
    start: usize,
    start_line: u64,
}

impl<'b> Sections<'_, 'b> {
    /// The current section up to here, if it is not empty.
    fn read_so_far(&self) -> Option<Section<'b>> {
        let is_section = self.start < self.at && !self.context.in_statements;
        is_section.then(|| self.context.section(&self.body[self.start..self.at], self.start_line))
    }
}

impl<'b> Iterator for Sections<'_, 'b> {
    type Item = Section<'b>;

    fn next(&mut self) -> Option<Section<'b>> {
        let body = self.body;
        if std::mem::take(&mut self.is_whole) {
            (self.at, self.start) = (body.len(), body.len());
            return Some(self.context.section(body, 0));
        }
        while self.at < body.len() {
            let at = self.at;
            // An unterminated string does not hide the next row: the decoder continues there too.
            let row_end = || memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |found| at + found + 1);
            let end = LineEnds { bytes: body, at }.next().unwrap_or_else(row_end);
            let row = trimmed(&body[at..end]);
            let mut section = None;
            let is_left_out = self.context.in_statements || is_word(row);
            if is_left_out {
                section = self.read_so_far();
                self.context.read(row);
            }
            (self.at, self.line) =
                (end, self.line + memchr::memchr_iter(b'\n', &body[at..end]).count() as u64);
            if is_left_out {
                (self.start, self.start_line) = (self.at, self.line);
            }
            if section.is_some() {
                return section;
            }
        }
        let last = self.read_so_far();
        self.start = self.at;
        last
    }
}

/// Whether any row may be a statement of an export. A quick check, because nearly no body has one.
pub fn says_something(body: &[u8]) -> bool {
    [STATEMENTS, DATABASE, POLICY].iter().any(|word| memmem::find(body, word).is_some())
}

fn is_word(row: &[u8]) -> bool {
    row == STATEMENTS || row == LINES || row.starts_with(DATABASE) || row.starts_with(POLICY)
}

/// A row without surrounding blanks and without a byte order mark.
fn trimmed(row: &[u8]) -> &[u8] {
    let row = row.trim_ascii();
    row.strip_prefix(BYTE_ORDER_MARK).map_or(row, <[u8]>::trim_ascii)
}

/// Whether the decoder treats a row as a comment.
fn is_comment(row: &[u8]) -> bool {
    let blanks = |row: &[u8]| row.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let row = &row[blanks(row)..];
    let row = row.strip_prefix(BYTE_ORDER_MARK).map_or(row, |row| &row[blanks(row)..]);
    row.first() == Some(&b'#')
}

/// Whether a line, as split by [`LineEnds`], is neither blank nor a comment.
pub fn is_data(line: &[u8]) -> bool {
    !matches!(trimmed(line).first(), None | Some(b'#'))
}

/// Maps the rows of some bytes to lines.
pub struct Rows {
    /// The first row of each line, from 1, and where the line begins; the last entry is past the end.
    lines: Vec<(u64, usize)>,
}

impl Rows {
    /// Finds all lines.
    pub fn new(bytes: &[u8]) -> Self {
        let (mut lines, mut at, mut row) = (vec![(1, 0)], 0, 1);
        while at < bytes.len() {
            let row_end = || memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |found| at + found + 1);
            let end = LineEnds { bytes, at }.next().unwrap_or_else(row_end);
            row += (memchr::memchr_iter(b'\n', &bytes[at..end]).count() as u64).max(1);
            at = end;
            lines.push((row, at));
        }
        Rows { lines }
    }

    /// The range of the line that contains row `number`, from 1. A line with a string may span several rows.
    pub fn line_with(&self, number: u64) -> Range<usize> {
        let next = self.lines.partition_point(|(row, _)| *row <= number);
        let start = self.lines[next.saturating_sub(1)].1;
        start..self.lines.get(next).map_or(start, |(_, at)| *at)
    }
}

/// The ends of lines: line feeds that are not inside a string field. A string opens at `="`; one that is not closed
/// within [`STRING_MAX`] bytes is treated as an ordinary quote. A comment contains no strings.
pub struct LineEnds<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> LineEnds<'a> {
    /// The line ends in `bytes`, which begin with a line.
    pub fn new(bytes: &'a [u8]) -> Self {
        LineEnds { bytes, at: 0 }
    }

    /// One past the closing quote of the string that opens before `start`; `None` if the bytes end first.
    fn close(&self, start: usize) -> Option<usize> {
        let limit = self.bytes.len().min(start + STRING_MAX);
        let mut at = start;
        while let Some(found) = memchr::memchr2(b'"', b'\\', self.bytes.get(at..limit)?) {
            at += found + 1;
            if self.bytes[at - 1] == b'"' {
                // A quote that is not followed by a delimiter more likely opens another string; the decoder decides the
                // same.
                let closes = matches!(self.bytes.get(at), None | Some(b',' | b' ' | b'\n' | b'\r'));
                return Some(if closes { at } else { start });
            }
            at += 1;
        }
        (limit < self.bytes.len()).then_some(start)
    }
}

impl Iterator for LineEnds<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if is_comment(self.bytes.get(self.at..)?) {
            self.at += memchr::memchr(b'\n', &self.bytes[self.at..])? + 1;
            return Some(self.at);
        }
        loop {
            let found = self.at + memchr::memchr2(b'\n', b'"', self.bytes.get(self.at..)?)?;
            self.at = found + 1;
            if self.bytes[found] == b'\n' {
                return Some(self.at);
            }
            if found > 0 && self.bytes[found - 1] == b'=' {
                self.at = self.close(self.at)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'b>(context: &mut Context, body: &'b str) -> Vec<(&'b str, u64, Option<String>)> {
        context
            .split(body.as_bytes())
            .map(|s| (std::str::from_utf8(s.bytes).unwrap(), s.line, s.database))
            .collect()
    }

    #[test]
    fn an_export_has_a_section_for_each_database() {
        let body = "# INFLUXDB EXPORT: 1677 - 2262\n# DDL\nCREATE DATABASE a WITH NAME autogen\n\n# DML\r\n\
                    # CONTEXT-DATABASE:a\n# CONTEXT-RETENTION-POLICY:autogen\n# writing tsm data\ncpu v=1 1\n\
                    # CONTEXT-DATABASE: b c \ncpu v=2 1\ncpu v=3 2";
        let mut context = Context::default();
        assert_eq!(
            split(&mut context, body),
            [
                ("# INFLUXDB EXPORT: 1677 - 2262\n", 0, None),
                ("# writing tsm data\ncpu v=1 1\n", 7, Some("a".to_owned())),
                ("cpu v=2 1\ncpu v=3 2", 10, Some("b c".to_owned())),
            ]
        );
        assert_eq!(split(&mut context, "m v=1\n"), [("m v=1\n", 0, Some("b c".to_owned()))]);
        let policies: Vec<_> = context.split(b"# CONTEXT-RETENTION-POLICY:year\nm v=1\n").collect();
        assert_eq!(policies[0].policy.as_deref(), Some("year"));
    }

    #[test]
    fn statements_may_go_on_in_the_next_body() {
        let mut context = Context::default();
        assert_eq!(split(&mut context, "# DDL\nCREATE DATABASE a\n"), []);
        assert_eq!(split(&mut context, "CREATE DATABASE b\n# DML\nm v=1\n"), [("m v=1\n", 2, None)]);
        assert_eq!(
            split(&mut context, "CREATE DATABASE b\n").len(),
            1,
            "a line like any other: it is refused"
        );
    }

    #[test]
    fn words_inside_strings_and_other_comments_are_no_context() {
        let body = "m text=\"x\n# CONTEXT-DATABASE:a\n\" 1\n# DDLs\n# CONTEXT-DATABASES:b\n";
        assert_eq!(split(&mut Context::default(), body), [(body, 0, None)]);
        let lost = "m text=\"x\n# CONTEXT-DATABASE:a\nm text=\"y\" 1\n";
        assert_eq!(split(&mut Context::default(), lost).len(), 2, "a lost quote hides no database");
        let lost = "# CONTEXT-DATABASE:a\nm text=\"x\n# CONTEXT-DATABASE:b\nm v=1 1\n";
        assert_eq!(split(&mut Context::default(), lost).len(), 2, "nor does one at the end");
        let marked = "\u{feff}# CONTEXT-DATABASE:a\nm v=1\n";
        assert_eq!(split(&mut Context::default(), marked), [("m v=1\n", 1, Some("a".to_owned()))]);
    }

    #[test]
    fn a_comment_behind_blanks_hides_no_database() {
        for front in ["", " ", "\t ", "\u{feff}", " \u{feff} "] {
            let body = format!("m v=1\n{front}# old=\"x\n# CONTEXT-DATABASE:b\nm,t=y\" v=1 1\n");
            let found = split(&mut Context::default(), &body);
            assert_eq!(found.len(), 2, "{front:?}: {found:?}");
            assert_eq!(found[1], ("m,t=y\" v=1 1\n", 3, Some("b".to_owned())), "{front:?}");
        }
    }

    fn ends(text: &str) -> Vec<usize> {
        LineEnds::new(text.as_bytes()).collect()
    }

    #[test]
    fn line_feeds_inside_strings_end_nothing() {
        assert_eq!(ends("a v=1\nb v=2\n"), [6, 12]);
        assert_eq!(ends("a v=\"x\ny\" 1\nb v=2\n"), [12, 18]);
        assert_eq!(ends("a v=\"x\\\"\n\" 1\nb"), [13]);
        assert_eq!(ends("a,t=5\" v=1\nb"), [11], "a quote in a tag opens nothing");
        assert_eq!(ends("# a=\"b\nm v=1\n"), [7, 13], "a comment holds no string");
        assert_eq!(ends("a v=\"never closed\nb v=1\n"), Vec::<usize>::new());
        let lost = format!("a v=\"\n{}", "b v=1\n".repeat(STRING_MAX));
        assert_eq!(ends(&lost)[0], 6, "a lost quote does not swallow the file");
    }

    #[test]
    fn lines_are_found_by_their_number() {
        let text = b"a\nb t=\"x\ny\" q\nc t=\"open\nd";
        let rows = Rows::new(text);
        let at = |number| &text[rows.line_with(number)];
        let long = b"b t=\"x\ny\" q\n";
        assert_eq!([at(1), at(2), at(3), at(4), at(5)], [&b"a\n"[..], long, long, b"c t=\"open\n", b"d"]);
        assert_eq!(at(9), b"");
        assert_eq!(Rows::new(b"").line_with(1), 0..0);
    }

    #[test]
    fn blank_rows_and_comments_are_no_data() {
        for row in ["", "\n", " \r\n", "# x\n", "\u{feff}\n", "\u{feff}# x"] {
            assert!(!is_data(row.as_bytes()), "{row:?}");
        }
        assert!(is_data(b"m v=1\n") && is_data(b"bad"));
    }
}
