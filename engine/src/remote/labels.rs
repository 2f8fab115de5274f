//! Label sets on the wire: the bytes that serve as a key, and the checked set.

use crate::model::{Labels, METRIC_NAME};
use crate::remote::error::LabelFault;
use crate::remote::wire::{Fields, WireError};

/// A name and value, as sent.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// The maximum number of labels that are read of one series or exemplar. It is larger than any setting admits, since
/// labels with an empty value are left out.
pub(super) const PAIRS_MAX: usize = 10_000;

/// The label pairs of a series or exemplar. A reference of two bytes can refer to megabytes, so no more are held than a
/// label set may contain.
pub(super) struct Pairs<'a> {
    list: Vec<Pair<'a>>,
    sent: usize,
    bytes: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new() -> Self {
        Pairs { list: Vec::new(), sent: 0, bytes: 0 }
    }

    pub(super) fn push(&mut self, pair: Pair<'a>) {
        self.sent += 1;
        self.bytes = self.bytes.saturating_add(pair.0.len() + pair.1.len());
        if self.sent <= PAIRS_MAX {
            self.list.push(pair);
        }
    }

    /// The total size of all names and values, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them.
    pub(super) fn finish(self) -> Result<Vec<Pair<'a>>, LabelFault> {
        if self.sent > PAIRS_MAX {
            return Err(LabelFault::TooManySent { found: self.sent, limit: PAIRS_MAX });
        }
        Ok(self.list)
    }
}

/// Reads one label message.
pub(super) fn pair(fields: Fields<'_>) -> Result<Pair<'_>, WireError> {
    let mut pair: Pair<'_> = (b"", b"");
    for field in fields {
        let field = field?;
        match field.number {
            1 => pair.0 = field.bytes()?,
            2 => pair.1 = field.bytes()?,
            _ => {}
        }
    }
    Ok(pair)
}

/// Calls `visit` with the pairs that `refs`, a sequence of varints, refers to.
pub(super) fn resolve<'a>(
    refs: &[u8],
    symbols: &[&'a [u8]],
    mut visit: impl FnMut(Pair<'a>),
) -> Result<(), LabelFault> {
    let mut run = Fields::new(refs);
    let mut next = || {
        // They were read when the series was opened, so they are complete.
        let index = run.next_varint().ok().flatten()?;
        let symbol = usize::try_from(index).ok().and_then(|at| symbols.get(at).copied());
        Some(symbol.ok_or(LabelFault::Symbol { index, symbols: symbols.len() }))
    };
    while let Some(name) = next() {
        let value = next().ok_or(LabelFault::Unpaired)?;
        visit((name?, value?));
    }
    Ok(())
}

/// The label set of a series: names must be unique and not empty, and one must be the metric name.
pub(super) fn series_labels(pairs: &[Pair<'_>]) -> Result<Labels, LabelFault> {
    let labels = set(pairs)?;
    if labels.get(METRIC_NAME).is_none() {
        return Err(LabelFault::NoMetricName);
    }
    Ok(labels)
}

/// The set of pairs in any order. A label with an empty value is equivalent to no label and is left out, as in
/// Prometheus.
pub(super) fn set(pairs: &[Pair<'_>]) -> Result<Labels, LabelFault> {
    let mut texts: Vec<(&str, &str)> = Vec::with_capacity(pairs.len());
    for (at, (name, value)) in (1..).zip(pairs) {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| LabelFault::NotUtf8 { at });
        let (name, value) = (text(name)?, text(value)?);
        if name.is_empty() {
            return Err(LabelFault::EmptyName { at });
        }
        texts.push((name, value));
    }
    texts.sort_unstable();
    // Also if one of the two is empty: only the sender knows which one was meant.
    if let Some(pair) = texts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        const SHOWN_MAX: usize = 100;
        return Err(LabelFault::Duplicate { name: pair[0].0.chars().take(SHOWN_MAX).collect() });
    }
    texts.retain(|(_, value)| !value.is_empty());
    Ok(Labels::from_unsorted(&mut texts).expect("names are unique and not empty"))
}
