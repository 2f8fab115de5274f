//! Label names and values: what the store can offer a person who is typing.

use std::collections::BTreeMap;

use crate::Result;
use crate::model::{Matcher, TimeRange};
use crate::store::generation::GenerationReader;
use crate::view::{View, indexing};

impl View<'_> {
    /// The label names of the series that meet all matchers and may have samples in
    /// `range`, sorted. Without matchers the head's series count whatever their times.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>> {
        let mut names = BTreeMap::new();
        if matchers.is_empty() {
            names.extend(self.head.label_names().into_iter().map(|n| (n, ())));
            let catalogue = self.catalogue.load_full();
            for generation in indexing(&catalogue, range) {
                let stored = GenerationReader::new(self.kv, generation).label_names()?;
                names.extend(stored.into_iter().map(|n| (n, ())));
            }
        } else {
            for series in self.select(matchers, range, usize::MAX)? {
                for (name, _) in &series.labels {
                    if !names.contains_key(name) {
                        names.insert(name.to_owned(), ());
                    }
                }
            }
        }
        Ok(names.into_keys().collect())
    }

    /// The values of label `name` among the same series, each with a number of series that
    /// has it (at least that many; one series is counted once a partition), sorted.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<(String, u64)>> {
        let mut values: BTreeMap<String, u64> = BTreeMap::new();
        if matchers.is_empty() {
            values.extend(self.head.label_values(name));
            let catalogue = self.catalogue.load_full();
            for generation in indexing(&catalogue, range) {
                for (value, count) in GenerationReader::new(self.kv, generation).label_values(name)? {
                    let most = values.entry(value).or_default();
                    *most = count.max(*most);
                }
            }
        } else {
            for series in self.select(matchers, range, usize::MAX)? {
                if let Some(value) = series.labels.get(name) {
                    *values.entry(value.to_owned()).or_default() += 1;
                }
            }
        }
        Ok(values.into_iter().collect())
    }
}
