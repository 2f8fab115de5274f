//! Warnings and infos: problems of an answer, and their places in the query.
//!
//! Each text is kept once, in order of appearance. Kernels do not build texts. They raise
//! [`Flags`](crate::annotations::flags::Flags), and the texts are built once for each series.

use std::collections::{BTreeSet, HashSet};

use self::flags::Flags;
use crate::numbers::go::go_float;
use crate::span::Span;

pub(crate) mod flags;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Level {
    Warning,
    Info,
}

/// The warnings and infos of a query.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    seen: HashSet<(Level, Span, String)>,
    ordered: Vec<(Level, Span, String)>,
}

impl Annotations {
    /// Adds a warning about the expression at `span`.
    pub fn warn(&mut self, span: Span, text: impl Into<String>) {
        self.add(Level::Warning, span, text.into());
    }

    /// Adds an info about the expression at `span`.
    pub fn info(&mut self, span: Span, text: impl Into<String>) {
        self.add(Level::Info, span, text.into());
    }

    fn add(&mut self, level: Level, span: Span, text: String) {
        let note = (level, span, text);
        if !self.seen.contains(&note) {
            self.seen.insert(note.clone());
            self.ordered.push(note);
        }
    }

    /// The texts of warnings and of infos, with positions in `query`.
    pub fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for (level, span, text) in &self.ordered {
            let position = span.position(query);
            match level {
                Level::Warning => warnings.push(format!("PromQL warning: {text} ({position})")),
                Level::Info => infos.push(format!("PromQL info: {text} ({position})")),
            }
        }
        (warnings, infos)
    }
}

/// `for metric name "…"`, or nothing for a series without a name.
pub(crate) fn for_metric(text: &str, name: &str) -> String {
    if name.is_empty() { text.to_owned() } else { format!("{text} for metric name {name:?}") }
}

/// The text about a φ outside 0 to 1.
pub(crate) fn bad_phi(phi: f64) -> String {
    format!("quantile value should be between 0 and 1, got {}", go_float(phi))
}

/// The text about counters of which an analytic function uses the rates; `None` if there are none.
pub(crate) fn rates_used(names: &BTreeSet<String>) -> Option<String> {
    let first = names.first()?;
    Some(match names.len() {
        1 => format!("the rate per second is used, as {first:?} is a counter"),
        count => format!("the rates per second of {count} counters are used, {first:?} among them"),
    })
}

/// Adds the texts of the raised flags of a series called `name`, at the position of the argument.
pub(crate) fn note_flags(annotations: &mut Annotations, flags: Flags, name: &str, span: Span) {
    if flags.is_empty() {
        return;
    }
    let warnings: [(Flags, &dyn Fn() -> String); 8] = [
        (Flags::MIXED, &|| for_metric("encountered a mix of histograms and floats", name)),
        (Flags::NOT_COUNTER, &|| format!("this native histogram metric is not a counter: {name:?}")),
        (Flags::NOT_GAUGE, &|| format!("this native histogram metric is not a gauge: {name:?}")),
        (Flags::MIXED_BUCKETS, &|| {
            for_metric(
                "vector contains a mix of histograms with exponential and custom buckets schemas",
                name,
            )
        }),
        (Flags::START_OVERLAP, &|| {
            format!("sample has start time that overlaps with previous sample timestamp for metric {name:?}")
        }),
        (Flags::RESET_CONFLICT_ADD, &|| "conflicting counter resets during histogram addition".to_owned()),
        (Flags::RESET_CONFLICT_SUB, &|| "conflicting counter resets during histogram subtraction".to_owned()),
        (Flags::RESET_CONFLICT_AGG, &|| "conflicting counter resets during histogram aggregation".to_owned()),
    ];
    // Most flags have no text, so texts are built only for those that are added.
    for (_, text) in warnings.iter().filter(|(flag, _)| flags.has(*flag)) {
        annotations.warn(span, text());
    }
    let infos: [(Flags, &dyn Fn() -> String); 4] = [
        (Flags::HISTOGRAMS_IGNORED, &|| {
            for_metric("ignored histograms in a range containing both floats and histograms", name)
        }),
        (Flags::RECONCILED_ADD, &|| "mismatched custom buckets were reconciled during addition".to_owned()),
        (Flags::RECONCILED_SUB, &|| {
            "mismatched custom buckets were reconciled during subtraction".to_owned()
        }),
        (Flags::RECONCILED_AGG, &|| {
            "mismatched custom buckets were reconciled during aggregation".to_owned()
        }),
    ];
    for (_, text) in infos.iter().filter(|(flag, _)| flags.has(*flag)) {
        annotations.info(span, text());
    }
}
