//! Evaluates examples over the data set of the page and prints the answers as comments, so that a block remains a query
//! that can be copied.

use std::time::Duration;

use barograph_engine::Timestamp;
use barograph_engine::model::Labels;
use barograph_query::source::SeriesSource;
use barograph_query::{
    MatrixSeries, QueryError, QueryValue, Request, Response, SampleValue, VectorSample, execute,
};

use crate::histogram;
use crate::script::{Command, Script};
use crate::storage::{MemoryStorage, Storage};

/// The evaluation time of examples, and the end of those over several steps.
pub const RUN_TO_MINUTES: i64 = 60;

/// The beginning of examples over several steps.
pub const RUN_FROM_MINUTES: i64 = 40;

/// The distance of their steps.
pub const RUN_STEP_MINUTES: i64 = 5;

/// Maximum number of lines of an answer that are printed; the rest is only counted.
const LINES_MAX: usize = 8;

/// Significant digits that are printed: enough to recognise a value, and few enough to be the same with every
/// mathematical library.
const DIGITS: usize = 10;

const MINUTE_MS: i64 = 60_000;

/// The data set, and the examples that have failed so far.
pub struct Examples {
    storage: MemoryStorage,
    faults: Vec<String>,
}

impl Examples {
    /// Loads the data set.
    ///
    /// # Errors
    /// It is not a script of `load` commands.
    pub fn new(data: &str) -> Result<Self, String> {
        let mut storage = MemoryStorage::default();
        for command in Script::parse(data).map_err(|error| error.to_string())?.commands {
            let Command::Load(series) = command else {
                return Err("the data set holds more than loads".to_owned());
            };
            for one in series {
                storage.append(&one.labels, &one.samples)?;
            }
        }
        Ok(Examples { storage, faults: Vec::new() })
    }

    /// The query and, as comments, its answer at the end of the data.
    pub fn answered(&mut self, query: &str) -> String {
        self.block(query, &Request::instant(query, minute(RUN_TO_MINUTES)), "")
    }

    /// The query and, as comments, its answer as a range query.
    pub fn answered_over_steps(&mut self, query: &str) -> String {
        let step = Duration::from_millis((RUN_STEP_MINUTES * MINUTE_MS) as u64);
        let request = Request::range(query, minute(RUN_FROM_MINUTES), minute(RUN_TO_MINUTES), step);
        let head = format!("# from {RUN_FROM_MINUTES}m to {RUN_TO_MINUTES}m, every {RUN_STEP_MINUTES}m:\n");
        self.block(query, &request, &head)
    }

    /// Checks that no example has failed.
    ///
    /// # Errors
    /// Each example that failed or had an empty result.
    pub fn finish(self) -> Result<(), String> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults.join("\n")) }
    }

    fn block(&mut self, query: &str, request: &Request, head: &str) -> String {
        let mut answer: Option<Result<Response, QueryError>> = None;
        let read = self.storage.with_source(&mut |source: &dyn SeriesSource| {
            answer = Some(execute(source, request));
        });
        let lines = match (read, answer) {
            (Ok(()), Some(Ok(response))) => lines_of(&response, keeps_order(query)),
            (Ok(()), Some(Err(error))) => {
                self.faults.push(format!("{query}: {error}"));
                Vec::new()
            }
            (read, _) => {
                self.faults.push(format!("{query}: no answer: {read:?}"));
                Vec::new()
            }
        };
        if lines.is_empty() {
            self.faults.push(format!("{query}: an example must answer something over the page's data set"));
        }
        let mut text = format!("{query}\n{head}");
        for line in lines.iter().take(LINES_MAX) {
            text.push_str(&format!("# {line}\n"));
        }
        if lines.len() > LINES_MAX {
            text.push_str(&format!("# … and {} more\n", lines.len() - LINES_MAX));
        }
        text
    }
}

fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_millis(minutes * MINUTE_MS)
}

/// Whether the order of the answer matters.
fn keeps_order(query: &str) -> bool {
    ["sort", "topk", "bottomk"].iter().any(|word| query.starts_with(word))
}

fn lines_of(response: &Response, ordered: bool) -> Vec<String> {
    let mut lines = match &response.value {
        QueryValue::Scalar(_, value) => vec![float(*value)],
        QueryValue::String(_, text) => vec![format!("{text:?}")],
        QueryValue::Vector(vector) => {
            let mut vector: Vec<&VectorSample> = vector.iter().collect();
            if !ordered {
                vector.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            vector.into_iter().map(|sample| element(&sample.labels, &value(&sample.value))).collect()
        }
        QueryValue::Matrix(matrix) => matrix.iter().map(series).collect(),
        other => vec![format!("{other:?}")],
    };
    if !lines.is_empty() {
        lines.extend(response.warnings.iter().chain(&response.infos).cloned());
    }
    lines
}

fn element(labels: &Labels, values: &str) -> String {
    format!("{labels}  {values}")
}

/// All values of a series in order of time, with `_` at steps without a value.
fn series(series: &MatrixSeries) -> String {
    let floats = series.floats_ms.iter().map(|(time, value)| (*time, float(*value)));
    let histograms = series.histograms_ms.iter().map(|(time, value)| (*time, histogram::print(value)));
    let mut values: Vec<(i64, String)> = floats.chain(histograms).collect();
    values.sort_by_key(|(time, _)| *time);
    let at = |time: i64| {
        let found = values.binary_search_by_key(&time, |(time, _)| *time);
        found.map_or("_", |index| values[index].1.as_str())
    };
    let steps = (RUN_FROM_MINUTES..=RUN_TO_MINUTES).step_by(RUN_STEP_MINUTES as usize);
    let texts: Vec<&str> = steps.map(|minute| at(minute * MINUTE_MS)).collect();
    element(&series.labels, &texts.join(" "))
}

fn value(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => float(*value),
        SampleValue::Histogram(value) => histogram::print(value),
    }
}

/// A float with at most [`DIGITS`] significant digits.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return match value {
            _ if value.is_nan() => "NaN".to_owned(),
            _ if value > 0.0 => "+Inf".to_owned(),
            _ => "-Inf".to_owned(),
        };
    }
    let rounded: f64 = format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value);
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_below_as_comments() {
        let mut examples = Examples::new("load 1m\n a{x=\"1\"} 1x60\n a{x=\"2\"} 0+1x60\n").unwrap();
        assert_eq!(examples.answered("-a"), "-a\n# {x=\"1\"}  -1\n# {x=\"2\"}  -60\n");
        assert_eq!(examples.answered("sort_desc(a)"), "sort_desc(a)\n# a{x=\"2\"}  60\n# a{x=\"1\"}  1\n");
        assert_eq!(examples.answered("1 / 3"), "1 / 3\n# 0.3333333333\n");
        assert_eq!(
            examples.answered_over_steps("a{x=\"2\"} != 50"),
            "a{x=\"2\"} != 50\n# from 40m to 60m, every 5m:\n# a{x=\"2\"}  40 45 _ 55 60\n"
        );
        examples.finish().unwrap();
    }

    #[test]
    fn examples_that_show_nothing_are_reported() {
        let mut examples = Examples::new("load 1m\n a 1x60\n").unwrap();
        examples.answered("b");
        examples.answered("a +");
        let faults = examples.finish().unwrap_err();
        assert!(faults.starts_with("b: an example must answer something"), "{faults}");
        assert!(faults.contains("a +: 1:4: parse error"), "{faults}");
        assert!(Examples::new("eval instant at 1m 1\n").is_err());
    }
}
