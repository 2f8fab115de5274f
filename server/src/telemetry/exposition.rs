//! A metric as a list of points, and its text form (Prometheus exposition 0.0.4).

use std::fmt::Write;

use crate::json;

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Percentiles, a sum and a count.
    Summary,
}

/// One point of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Appended to the metric's name: `""`, `"_sum"`, `"_count"`.
    pub suffix: &'static str,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// A metric and its points.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The name; that of a counter ends with `_total`.
    pub name: &'static str,
    /// The help, one sentence.
    pub help: &'static str,
    /// The type.
    pub kind: Kind,
    /// The points.
    pub points: Vec<Point>,
}

impl Metric {
    /// A metric without points.
    pub fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Metric { name, help, kind, points: Vec::new() }
    }

    /// A metric with one point without labels.
    pub fn plain(kind: Kind, name: &'static str, help: &'static str, value: f64) -> Self {
        let mut metric = Self::new(kind, name, help);
        metric.push(&[], value);
        metric
    }

    /// A gauge with one labelled point.
    pub fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) -> Self {
        let mut metric = Self::new(Kind::Gauge, name, help);
        metric.push(labels, value);
        metric
    }

    /// Adds a point.
    pub fn push(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.push_part("", labels, value);
    }

    /// Adds a point whose name has a suffix.
    pub fn push_part(&mut self, suffix: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.points.push(Point { suffix, labels, value });
    }
}

/// The content type of the text form.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the text form.
pub fn write(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics.iter().filter(|metric| !metric.points.is_empty()) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        let _ = writeln!(text, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(text, "# TYPE {} {kind}", metric.name);
        for point in &metric.points {
            write_point(&mut text, metric.name, point);
        }
    }
    text
}

fn write_point(text: &mut String, name: &str, point: &Point) {
    text.push_str(name);
    text.push_str(point.suffix);
    for (i, (label, value)) in point.labels.iter().enumerate() {
        text.push(if i == 0 { '{' } else { ',' });
        let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let _ = write!(text, "{label}=\"{escaped}\"");
    }
    if !point.labels.is_empty() {
        text.push('}');
    }
    let mut number = Vec::new();
    json::float(&mut number, point.value);
    text.push(' ');
    text.push_str(std::str::from_utf8(&number).expect("numbers are ASCII"));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_text() {
        let mut summary = Metric::new(Kind::Summary, "t_seconds", "Times.");
        summary.push(&[("quantile", "0.5")], 0.25);
        summary.push_part("_sum", &[], 2.5);
        summary.push_part("_count", &[], 10.0);
        let gauge = Metric::gauge("g", "A gauge.", &[("a", "x\"\\\n"), ("b", "y")], f64::NAN);
        let empty = Metric::new(Kind::Counter, "never_total", "Nothing.");
        assert_eq!(
            write(&[summary, gauge, empty]),
            concat!(
                "# HELP t_seconds Times.\n# TYPE t_seconds summary\n",
                "t_seconds{quantile=\"0.5\"} 0.25\nt_seconds_sum 2.5\nt_seconds_count 10\n",
                "# HELP g A gauge.\n# TYPE g gauge\n",
                "g{a=\"x\\\"\\\\\\n\",b=\"y\"} NaN\n"
            )
        );
    }
}
