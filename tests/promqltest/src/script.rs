//! A script as a list of commands, each with the line on which it begins. The grammar is in the documentation of the
//! crate.

use std::collections::BTreeMap;
use std::time::Duration;

use barograph_engine::Timestamp;
use barograph_engine::model::{Labels, Matcher, TimeRange, Value};
use barograph_query::Times;

use crate::expect::{After, Expectation, Mode, milliseconds};
use crate::nhcb;
use crate::scan::{Cursor, Scanned, matchers, whole_duration_ns};
use crate::series::{LoadLine, POINTS_MAX, Point, SeriesLine, StartLine, load_line};
use crate::storage::Sample;

/// Why a text is not a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    /// What was expected and what was found.
    pub reason: String,
}

/// A parsed script.
#[derive(Debug, Clone)]
pub struct Script {
    /// In order of execution.
    pub commands: Vec<Command>,
}

/// One step of a script.
#[derive(Debug, Clone)]
pub enum Command {
    /// Empties the storage.
    Clear,
    /// Adds samples.
    Load(Vec<LoadedSeries>),
    /// Removes samples.
    Delete(Vec<Matcher>, TimeRange),
    /// Evaluates a query and compares its answer.
    Eval(Box<Case>),
}

/// The samples of one series in one `load`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSeries {
    /// The label set.
    pub labels: Labels,
    /// Ascending in time.
    pub samples: Vec<Sample>,
}

/// One `eval`.
#[derive(Debug, Clone)]
pub struct Case {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// When to evaluate it.
    pub times: Times,
    /// The expected answer.
    pub expect: Expectation,
}

impl Script {
    /// Reads a whole script.
    ///
    /// # Errors
    /// [`ScriptError`] at the first line that is malformed.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = Lines { lines: text.lines().collect(), at: 0, points: 0 };
        let mut commands = Vec::new();
        while let Some((line, text)) = lines.next_command() {
            commands.push(command(&mut lines, line, text)?);
        }
        Ok(Script { commands })
    }

    /// The number of samples that the script loads.
    pub fn samples(&self) -> usize {
        let loaded = |command: &Command| match command {
            Command::Load(series) => series.iter().map(|one| one.samples.len()).sum(),
            _ => 0,
        };
        self.commands.iter().map(loaded).sum()
    }

    /// The `eval` commands.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.commands.iter().filter_map(|command| match command {
            Command::Eval(case) => Some(case.as_ref()),
            _ => None,
        })
    }
}

/// Trimmed lines with their numbers.
struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
    /// The number of points in all lines so far; a line of a few bytes may expand to a million.
    points: usize,
}

impl<'a> Lines<'a> {
    /// Counts the points of a line.
    fn count(&mut self, points: usize) -> Scanned<()> {
        self.points += points;
        if self.points > POINTS_MAX {
            return Err(format!("the script's lines make more than {POINTS_MAX} points"));
        }
        Ok(())
    }

    /// The next line of the block; an empty line or a comment ends it.
    fn next_in_block(&mut self) -> Option<(usize, &'a str)> {
        let text = self.lines.get(self.at)?.trim();
        self.at += 1;
        if text.is_empty() || text.starts_with('#') { None } else { Some((self.at, text)) }
    }

    fn next_command(&mut self) -> Option<(usize, &'a str)> {
        while self.at < self.lines.len() {
            if let Some(found) = self.next_in_block() {
                return Some(found);
            }
        }
        None
    }
}

fn at(line: usize) -> impl Fn(String) -> ScriptError {
    move |reason| ScriptError { line, reason }
}

fn command(lines: &mut Lines<'_>, line: usize, text: &str) -> Result<Command, ScriptError> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let word = word.to_ascii_lowercase();
    let mode = match word.as_str() {
        "clear" if rest.is_empty() => return Ok(Command::Clear),
        "clear" => return Err(at(line)(format!("unexpected {rest:?} after clear"))),
        "load" => return load(lines, line, rest),
        "load_with_nhcb" => {
            let Command::Load(mut series) = load(lines, line, rest)? else {
                return Err(at(line)("load reads series".to_owned()));
            };
            series.extend(nhcb::convert(&series).map_err(at(line))?);
            return Ok(Command::Load(series));
        }
        "delete" => return delete(rest).map_err(at(line)),
        "eval" => Mode::Plain,
        "eval_fail" => Mode::Fail,
        "eval_warn" => Mode::Warn,
        "eval_info" => Mode::Info,
        "eval_ordered" => Mode::Ordered,
        _ => return Err(at(line)(format!("unknown command {word:?}"))),
    };
    let (times, query) = evaluation(rest).map_err(at(line))?;
    let mut expect = Expectation::new(mode);
    while let Some((line, text)) = lines.next_in_block() {
        let before = expect.points();
        let after = expect.line(text, mode).map_err(at(line))?;
        lines.count(expect.points().saturating_sub(before)).map_err(at(line))?;
        if after == After::End {
            break;
        }
    }
    Ok(Command::Eval(Box::new(Case { line, query, times, expect })))
}

/// Cuts the next word off `text`.
fn word<'a>(text: &mut &'a str) -> &'a str {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    *text = rest.trim_start();
    word
}

fn keyword(text: &mut &str, wanted: &str) -> Scanned<()> {
    let found = word(text);
    if found == wanted { Ok(()) } else { Err(format!("expected {wanted:?}, found {found:?}")) }
}

/// `instant at T QUERY` or `range from A to B step S QUERY`.
fn evaluation(mut text: &str) -> Scanned<(Times, String)> {
    let times = match word(&mut text) {
        "instant" => {
            keyword(&mut text, "at")?;
            Times::Instant { time: Timestamp::from_millis(milliseconds(word(&mut text))?) }
        }
        "range" => {
            keyword(&mut text, "from")?;
            let start = Timestamp::from_millis(milliseconds(word(&mut text))?);
            keyword(&mut text, "to")?;
            let end = Timestamp::from_millis(milliseconds(word(&mut text))?);
            keyword(&mut text, "step")?;
            let step = Duration::from_millis(milliseconds(word(&mut text))?.unsigned_abs());
            Times::Range { start, end, step }
        }
        other => return Err(format!("expected \"instant\" or \"range\", found {other:?}")),
    };
    if text.is_empty() { Err("the query is missing".to_owned()) } else { Ok((times, text.to_owned())) }
}

/// `from A to B SELECTOR`.
fn delete(mut text: &str) -> Scanned<Command> {
    keyword(&mut text, "from")?;
    let start = whole_duration_ns(word(&mut text))?;
    keyword(&mut text, "to")?;
    let end = whole_duration_ns(word(&mut text))?;
    let mut cursor = Cursor::new(text);
    let matchers = matchers(&mut cursor)?;
    if !cursor.rest().is_empty() {
        return Err(format!("unexpected {} after the selector", cursor.found()));
    }
    Ok(Command::Delete(matchers, TimeRange::new(start, end)))
}

fn load(lines: &mut Lines<'_>, line: usize, step: &str) -> Result<Command, ScriptError> {
    let step = whole_duration_ns(step).map_err(at(line))?;
    // A label set that occurs twice in one block has the samples of its last line.
    let mut series: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
    let mut starts: Option<(usize, StartLine)> = None;
    while let Some((line, text)) = lines.next_in_block() {
        match load_line(text).map_err(at(line))? {
            LoadLine::Starts(found) => {
                if let Some((line, _)) = starts.replace((line, found)) {
                    return Err(at(line)("start timestamps without a series line below".to_owned()));
                }
            }
            LoadLine::Series(found) => {
                lines.count(found.points.len()).map_err(at(line))?;
                let samples = place(&found, starts.take(), step).map_err(at(line))?;
                series.insert(found.labels, samples);
            }
        }
    }
    if let Some((line, _)) = starts {
        return Err(at(line)("start timestamps without a series line below".to_owned()));
    }
    let series = series.into_iter().map(|(labels, samples)| LoadedSeries { labels, samples });
    Ok(Command::Load(series.collect()))
}

/// Gives each point its time, and its start timestamp if it has one.
fn place(line: &SeriesLine, starts: Option<(usize, StartLine)>, step: i64) -> Scanned<Vec<Sample>> {
    if let Some((_, starts)) = &starts {
        if starts.labels != line.labels {
            return Err(format!("the line above is for {}, not {}", starts.labels, line.labels));
        }
        if starts.offsets.len() != line.points.len() {
            let (above, here) = (starts.offsets.len(), line.points.len());
            return Err(format!("{above} start timestamps for {here} points"));
        }
    }
    let mut samples = Vec::new();
    for (i, point) in line.points.iter().enumerate() {
        let Some(point) = point else { continue };
        let timestamp = step.checked_mul(i as i64).ok_or("a sample is beyond the end of time")?;
        let offset = starts.as_ref().and_then(|(_, starts)| starts.offsets[i]);
        let start_timestamp = offset.map_or(0, |offset| timestamp.saturating_add(offset));
        let value = match point {
            Point::Float(value) => Value::Float(*value),
            Point::Histogram(written) => Value::Histogram(written.histogram.clone().into()),
        };
        samples.push(Sample { timestamp, value, start_timestamp });
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCRIPT: &str = "
# A comment.
clear
LOAD 30s
  up{job=\"a\"}  1 _ 2
  up{job=\"a\"}  3
  # This comment ends the block.

load 1m
  c@st  -30s _
  c      5   6

delete from 1m to 2m up{job=~\"a|b\"}

  eval instant at 1h30m up == bool 1
  expect ordered
  up 3

eval range from 0 to 1m step 30s up
  up 1 _ 2

eval_fail instant at 0 up{
  expected_fail_message oh no
eval instant at 1m 7
  7
eval instant at 1m \"x\"
  expect string \"x\"
";

    #[test]
    fn a_script_of_few_bytes_is_no_bomb() {
        let line = "  m{i=\"N\"} 1x999998\n";
        let bomb: String = (0..3).map(|i| line.replace('N', &i.to_string())).collect();
        let error = Script::parse(&format!("load 1m\n{bomb}")).unwrap_err();
        assert_eq!((error.line, error.reason.contains("more than 1000000 points")), (3, true), "{error}");
        let expected = format!("eval range from 0 to 1m step 1s m\n{bomb}");
        assert_eq!(Script::parse(&expected).unwrap_err().line, 3);
    }

    #[test]
    fn a_script_is_a_list_of_commands() {
        let script = Script::parse(SCRIPT).unwrap();
        assert_eq!(script.commands.len(), 9);
        let Command::Load(series) = &script.commands[1] else { panic!() };
        assert_eq!(series.len(), 1, "a set written twice counts once");
        assert_eq!(series[0].samples.len(), 1);
        assert_eq!(series[0].samples[0].value, Value::Float(3.0));
        let Command::Load(series) = &script.commands[2] else { panic!() };
        assert_eq!(series[0].samples[0].start_timestamp, -30_000_000_000);
        assert_eq!(series[0].samples[1].timestamp, 60_000_000_000);
        assert_eq!(series[0].samples[1].start_timestamp, 0);
        let Command::Delete(matchers, range) = &script.commands[3] else { panic!() };
        assert_eq!((matchers.len(), *range), (2, TimeRange::new(60_000_000_000, 120_000_000_000)));
        let cases: Vec<&Case> = script.cases().collect();
        assert_eq!(cases.iter().map(|c| c.line).collect::<Vec<_>>(), [15, 19, 22, 24, 26]);
        assert_eq!(cases[0].query, "up == bool 1");
        assert_eq!(cases[0].times, Times::Instant { time: Timestamp::from_secs(5_400) });
        assert_eq!(
            cases[1].times,
            Times::Range {
                start: Timestamp::UNIX_EPOCH,
                end: Timestamp::from_secs(60),
                step: Duration::from_secs(30)
            }
        );
        assert!(cases[2].expect.fail.is_some());
    }

    #[test]
    fn nhcb_adds_a_series() {
        let script =
            Script::parse("load_with_nhcb 1m\n h_bucket{le=\"1\"} 1x2\n h_bucket{le=\"+Inf\"} 3x2\n")
                .unwrap();
        let Command::Load(series) = &script.commands[0] else { panic!() };
        assert_eq!(series.len(), 3);
        assert_eq!(series[2].labels.to_string(), "h");
        assert_eq!(series[2].samples.len(), 3);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [
            ("nonsense", 1),
            ("\nclear all", 2),
            ("load\n", 1),
            ("load 5m\n up 1\n up{ 1\n", 3),
            ("load 5m\n up@st 1m\n", 2),
            ("load 5m\n up@st 1m\n down 1\n", 3),
            ("load 5m\n up@st 1m\n up 1 2\n", 3),
            ("eval instant at 5m\n", 1),
            ("eval instant at 5ns up\n", 1),
            ("eval instant up\n", 1),
            ("eval range from 1m to 2m up\n", 1),
            ("eval instant at 5m up\n expect what\n", 2),
            ("delete from 0 to 5m up 1\n", 1),
        ] {
            assert_eq!(Script::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_scripts_never_panic(
            text in "((clear|load 1m|eval instant at 1m up|expect warn| up|\\{a=\"b\"\\}| 1x2|@st|\n|#|\\{\\{|\\}\\}|delete) ?){0,30}"
        ) {
            let _ = Script::parse(&text);
        }
    }
}
