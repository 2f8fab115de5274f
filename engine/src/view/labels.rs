//! Label names and values, as needed for completion while a query is typed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::Result;
use crate::budget::Taken;
use crate::model::{Matcher, TimeRange};
use crate::store::generation::GenerationReader;
use crate::view::View;

/// The number of values that are copied from the head at once.
const PAGE: usize = 1024;
/// Bytes of an entry of a sorted map without its text: its part of a node that is two thirds full.
const ENTRY_BYTES: usize = 56;

/// The smallest of the added texts, each with a number.
struct Smallest {
    limit: usize,
    texts: BTreeMap<String, u64>,
    taken: Taken,
}

impl Smallest {
    /// Adds a text. If it is already present, `count` updates its number. Returns false if the text is beyond the
    /// limit; later ones are then too.
    fn add(&mut self, text: &str, count: impl FnOnce(u64) -> u64) -> Result<bool> {
        if let Some(known) = self.texts.get_mut(text) {
            *known = count(*known);
            return Ok(true);
        }
        if self.texts.len() >= self.limit {
            if self.texts.last_key_value().is_none_or(|(last, _)| text > last.as_str()) {
                return Ok(false);
            }
            if let Some((last, _)) = self.texts.pop_last() {
                self.taken.less(last.len() + ENTRY_BYTES);
            }
        }
        self.taken.more(text.len() + ENTRY_BYTES)?;
        self.texts.insert(text.to_owned(), count(0));
        Ok(true)
    }

    fn add_in_order(&mut self, text: &str, count: u64) -> Result<ControlFlow<()>> {
        let is_near = self.add(text, |known| known.max(count))?;
        Ok(if is_near { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    fn finish(self) -> Result<Vec<(String, u64)>> {
        self.taken.more(self.texts.len() * size_of::<(String, u64)>())?;
        let found = self.texts.into_iter().collect();
        self.taken.leave();
        Ok(found)
    }
}

impl View<'_> {
    /// The first `limit` label names of the series that match all matchers of any of `selectors` and may have samples
    /// in `range`, sorted. If a selector is empty, the head's series count regardless of their times. The memory of the
    /// result stays taken from the work.
    ///
    /// # Errors
    /// The errors of [`View::work`], or the store could not be read.
    pub fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>> {
        let _call = self.enter()?;
        self.without_damage(|| self.label_names_once(selectors, range, limit))
    }

    fn label_names_once(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>> {
        let mut names = self.smallest(limit);
        if self.tenant.is_none() && selectors.iter().any(Vec::is_empty) {
            for name in self.head.label_names() {
                if names.add_in_order(&name, 0)?.is_break() {
                    break;
                }
            }
            let catalogue = &self.catalogue;
            for generation in self.indexing(catalogue, range)? {
                GenerationReader::new(self.kv, generation).each_label_name(&mut |name| {
                    self.work.check()?;
                    names.add_in_order(name, 0)
                })?;
            }
        } else {
            for matchers in selectors {
                let _whole = self.each_present(matchers, range, &mut |labels| {
                    for (name, _) in labels {
                        names.add(name, |_| 0)?;
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        Ok(names.finish()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The first `limit` values of label `name` among the same series, sorted, each with a number of series that have
    /// it: for an empty selector, the largest count of any partition or the head; otherwise the count of ids, of which
    /// a series may have several after a restart.
    ///
    /// # Errors
    /// Same as [`View::label_names`].
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<(String, u64)>> {
        let _call = self.enter()?;
        self.without_damage(|| self.label_values_once(name, selectors, range, limit))
    }

    fn label_values_once(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<(String, u64)>> {
        let mut values = self.smallest(limit);
        if self.tenant.is_none() && selectors.iter().any(Vec::is_empty) {
            self.head_values(name, &mut values)?;
            let catalogue = &self.catalogue;
            let mut looks = 0_usize;
            for generation in self.indexing(catalogue, range)? {
                GenerationReader::new(self.kv, generation).each_label_value(name, &mut |value, count| {
                    if looks.is_multiple_of(PAGE) {
                        self.work.check()?;
                    }
                    looks += 1;
                    values.add_in_order(value, count)
                })?;
            }
        } else {
            for matchers in selectors {
                let _whole = self.each_present(matchers, range, &mut |labels| {
                    if let Some(value) = labels.get(name) {
                        values.add(value, |known| known + 1)?;
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        values.finish()
    }

    fn head_values(&self, name: &str, values: &mut Smallest) -> Result<()> {
        let (mut page, mut from) = (Vec::new(), Some(Vec::new()));
        while let Some(place) = from {
            self.work.check()?;
            from = self.head.counts(name, &place, PAGE, &mut page);
            for (value, count) in page.drain(..) {
                if values.add_in_order(&value, count)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn smallest(&self, limit: usize) -> Smallest {
        Smallest { limit, texts: BTreeMap::new(), taken: Taken::of(&self.work) }
    }
}
