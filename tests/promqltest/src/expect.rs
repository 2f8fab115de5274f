//! The lines after an `eval`: the expected answer of the query.
//!
//! | line | demands |
//! |---|---|
//! | `expect fail` | an error |
//! | `expect warn`, `expect info` | such annotations: each demand is met, each annotation is demanded |
//! | `expect no_warn`, `expect no_info` | no such annotation |
//! | `… msg: TEXT`, `… regex: RE` | the whole text, or a match somewhere in it |
//! | `expect ordered` | the elements in the order of the lines |
//! | `expect string "x"` | a string |
//! | `expect range vector from A to B step S` | an instant query's matrix, points from A on |
//! | a number | a scalar; ends the block |
//! | a series line | one element; all lines together are the exact set |
//!
//! `eval_fail`, `eval_warn`, `eval_info` and `eval_ordered` are old forms of the first lines,
//! with `expected_fail_message TEXT` and `expected_fail_regexp RE` ending an `eval_fail`.

use regex::Regex;

use crate::scan::{Cursor, Scanned, string, whole_duration_ns, whole_number};
use crate::series::{SeriesLine, series_line};

/// A condition on a text.
#[derive(Debug, Clone)]
pub enum TextDemand {
    /// Any text.
    Any,
    /// Exactly this text.
    Whole(String),
    /// A match anywhere in the text.
    Search(Regex),
}

impl TextDemand {
    /// Whether `text` meets the condition.
    pub fn meets(&self, text: &str) -> bool {
        match self {
            TextDemand::Any => true,
            TextDemand::Whole(whole) => whole == text,
            TextDemand::Search(regex) => regex.is_match(text),
        }
    }
}

/// The points of an instant query that answers a range vector, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointTimes {
    /// The time of the first point.
    pub start_ms: i64,
    /// Distance between points.
    pub step_ms: i64,
}

/// The expected value of a query.
#[derive(Debug, Clone)]
pub enum ExpectedValue {
    /// A scalar.
    Scalar(f64),
    /// A string.
    String(String),
    /// Exactly these series; with none, an empty result.
    Series(Vec<SeriesLine>),
}

/// All expectations of a case.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The query must fail, with a text that meets the condition.
    pub fail: Option<TextDemand>,
    /// The expected warnings; if there are none, warnings are not compared.
    pub warnings: Vec<TextDemand>,
    /// The expected infos; if there are none, infos are not compared.
    pub infos: Vec<TextDemand>,
    /// It may give no warning.
    pub no_warnings: bool,
    /// It may give no info.
    pub no_infos: bool,
    /// The order of the elements is compared.
    pub ordered: bool,
    /// The query returns a range vector with points at these times.
    pub range_vector: Option<PointTimes>,
    /// Its value.
    pub value: ExpectedValue,
}

/// The expectation implied by the first word of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `eval`
    Plain,
    /// `eval_fail`
    Fail,
    /// `eval_warn`
    Warn,
    /// `eval_info`
    Info,
    /// `eval_ordered`
    Ordered,
}

/// Whether the block continues after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// More lines may follow.
    More,
    /// The line was the last one.
    End,
}

impl Expectation {
    /// The state before any line is read.
    pub fn new(mode: Mode) -> Self {
        let demand = |wanted: bool| if wanted { vec![TextDemand::Any] } else { Vec::new() };
        Expectation {
            fail: (mode == Mode::Fail).then_some(TextDemand::Any),
            warnings: demand(mode == Mode::Warn),
            infos: demand(mode == Mode::Info),
            no_warnings: false,
            no_infos: false,
            ordered: mode == Mode::Ordered,
            range_vector: None,
            value: ExpectedValue::Series(Vec::new()),
        }
    }

    /// The number of points of the expected series.
    pub fn points(&self) -> usize {
        match &self.value {
            ExpectedValue::Series(lines) => lines.iter().map(|line| line.points.len()).sum(),
            _ => 0,
        }
    }

    /// Processes the next line of the block.
    ///
    /// # Errors
    /// The line is malformed or contradicts an earlier one.
    pub fn line(&mut self, text: &str, mode: Mode) -> Scanned<After> {
        if mode == Mode::Fail {
            if let Some(message) = text.strip_prefix("expected_fail_message") {
                self.fail = Some(TextDemand::Whole(message.trim().to_owned()));
                return Ok(After::End);
            }
            if let Some(pattern) = text.strip_prefix("expected_fail_regexp") {
                self.fail = Some(TextDemand::Search(regex(pattern.trim())?));
                return Ok(After::End);
            }
        }
        if let Some(rest) = text.strip_prefix("expect ") {
            self.demand(rest.trim())?;
            return Ok(After::More);
        }
        if let Some(value) = whole_number(text) {
            self.value = ExpectedValue::Scalar(value);
            return Ok(After::End);
        }
        let line = series_line(text)?;
        match &mut self.value {
            ExpectedValue::Series(lines) => {
                if lines.iter().any(|known| known.labels == line.labels) {
                    return Err(format!("{} is expected twice", line.labels));
                }
                lines.push(line);
                Ok(After::More)
            }
            _ => Err("a series line after \"expect string\"".to_owned()),
        }
    }

    fn demand(&mut self, text: &str) -> Scanned<()> {
        if let Some(rest) = text.strip_prefix("string") {
            let mut cursor = Cursor::new(rest.trim());
            self.value = ExpectedValue::String(string(&mut cursor)?);
            return if cursor.rest().is_empty() {
                Ok(())
            } else {
                Err(format!("unexpected {} after the string", cursor.found()))
            };
        }
        if let Some(rest) = text.strip_prefix("range vector from ") {
            self.range_vector = Some(point_times(rest)?);
            return Ok(());
        }
        let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let demand = text_demand(rest.trim())?;
        let once = |ok: bool, what: &str| if ok { Ok(()) } else { Err(what.to_owned()) };
        match kind {
            "fail" => {
                once(self.fail.is_none(), "two demands to fail")?;
                self.fail = Some(demand);
            }
            "warn" => self.warnings.push(demand),
            "info" => self.infos.push(demand),
            "no_warn" => self.no_warnings = true,
            "no_info" => self.no_infos = true,
            "ordered" => self.ordered = true,
            _ => return Err(format!("unknown demand {kind:?}")),
        }
        once(!self.no_warnings || self.warnings.is_empty(), "both warn and no_warn are demanded")?;
        once(!self.no_infos || self.infos.is_empty(), "both info and no_info are demanded")
    }
}

fn text_demand(text: &str) -> Scanned<TextDemand> {
    if text.is_empty() {
        Ok(TextDemand::Any)
    } else if let Some(whole) = text.strip_prefix("msg:") {
        Ok(TextDemand::Whole(whole.trim().to_owned()))
    } else if let Some(pattern) = text.strip_prefix("regex:") {
        Ok(TextDemand::Search(regex(pattern.trim())?))
    } else {
        Err(format!("expected \"msg:\" or \"regex:\", found {text:?}"))
    }
}

fn regex(pattern: &str) -> Scanned<Regex> {
    Regex::new(pattern).map_err(|e| format!("bad regular expression {pattern:?}: {e}"))
}

fn point_times(text: &str) -> Scanned<PointTimes> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [start, "to", _, "step", step] = words[..] else {
        return Err(format!("expected \"A to B step S\", found {text:?}"));
    };
    Ok(PointTimes { start_ms: milliseconds(start)?, step_ms: milliseconds(step)? })
}

/// The time or step of an evaluation in whole milliseconds.
///
/// # Errors
/// The text is not a duration, or is finer than a millisecond.
pub fn milliseconds(text: &str) -> Scanned<i64> {
    let ns = whole_duration_ns(text)?;
    if ns % 1_000_000 == 0 { Ok(ns / 1_000_000) } else { Err(format!("{text} is not whole milliseconds")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mode: Mode, lines: &[&str]) -> Scanned<Expectation> {
        let mut out = Expectation::new(mode);
        for line in lines {
            out.line(line, mode)?;
        }
        Ok(out)
    }

    #[test]
    fn demands_are_read() {
        let got = read(
            Mode::Plain,
            &[
                "expect warn",
                "expect warn msg: a  b",
                "expect info regex:x.z",
                "expect ordered",
                "up 1",
                "{} _",
            ],
        )
        .unwrap();
        assert!(got.warnings[0].meets("anything") && got.warnings[1].meets("a  b"));
        assert!(!got.warnings[1].meets("a  b c"));
        assert!(got.infos[0].meets("wxyz") && !got.infos[0].meets("wz"));
        assert!(got.ordered && got.fail.is_none());
        assert!(matches!(got.value, ExpectedValue::Series(lines) if lines.len() == 2));
        let got = read(Mode::Plain, &["expect range vector from 10s to 1m step 5s"]).unwrap();
        assert_eq!(got.range_vector, Some(PointTimes { start_ms: 10_000, step_ms: 5_000 }));
        let got = read(Mode::Plain, &["expect string ` a `"]).unwrap();
        assert!(matches!(got.value, ExpectedValue::String(s) if s == " a "));
    }

    #[test]
    fn the_old_forms_are_read() {
        let got = read(Mode::Fail, &[]).unwrap();
        assert!(got.fail.unwrap().meets("whatever"));
        let got = read(Mode::Fail, &["expected_fail_message no such thing"]).unwrap();
        assert!(got.fail.unwrap().meets("no such thing"));
        let got = read(Mode::Fail, &["expected_fail_regexp n.$"]).unwrap();
        assert!(got.fail.unwrap().meets("no"));
        assert_eq!(read(Mode::Warn, &[]).unwrap().warnings.len(), 1);
        assert_eq!(read(Mode::Info, &[]).unwrap().infos.len(), 1);
        assert!(read(Mode::Ordered, &[]).unwrap().ordered);
        assert!(read(Mode::Plain, &["expected_fail_message x"]).is_err(), "only after eval_fail");
    }

    #[test]
    fn a_number_ends_the_block_and_a_series_does_not() {
        let mut out = Expectation::new(Mode::Plain);
        assert_eq!(out.line("up 1", Mode::Plain), Ok(After::More));
        assert_eq!(out.line("-Inf", Mode::Plain), Ok(After::End));
        assert!(matches!(out.value, ExpectedValue::Scalar(v) if v == f64::NEG_INFINITY));
    }

    #[test]
    fn contradictions_and_nonsense_are_refused() {
        for lines in [
            &["expect fail", "expect fail"][..],
            &["expect warn", "expect no_warn"],
            &["expect no_info", "expect info"],
            &["expect nothing"],
            &["expect warn message: x"],
            &["expect warn regex: ("],
            &["expect string x"],
            &["expect string \"x\" y"],
            &["expect range vector from 1s to 2s"],
            &["up 1", "up 2"],
        ] {
            assert!(read(Mode::Plain, lines).is_err(), "{lines:?}");
        }
    }
}
