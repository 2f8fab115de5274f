//! Handles of series: creating them, and using them in appends.

use std::sync::Arc;

use crate::engine::admit::newcomers::Newcomers;
use crate::engine::{Engine, Shared};
use crate::head::{HeadSeries, SeriesHandle};
use crate::model::Labels;
use crate::{Error, Result};

impl Engine {
    /// The handle of a series. A missing series is created.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty label set, [`Error::Limit`] if the series is new and a limit refuses it.
    pub fn handle(&self, labels: &Labels) -> Result<SeriesHandle> {
        let shared = &self.shared;
        shared.check_writable()?;
        if labels.is_empty() {
            return Err(Error::Invalid("a series without labels".to_owned()));
        }
        let series = shared.admission.resolve(labels, &mut Newcomers::default())?;
        Ok(SeriesHandle { series, owner: shared.lifecycle.owner() })
    }
}

impl Shared {
    /// The current series of a handle.
    #[inline]
    pub(crate) fn series_of(
        &self,
        handle: &SeriesHandle,
        newcomers: &mut Newcomers,
    ) -> Result<Arc<HeadSeries>> {
        if handle.owner != self.lifecycle.owner() {
            let labels = &handle.series.labels;
            return Err(Error::Invalid(format!(
                "the handle of series {labels} belongs to another database, or to this one before it was reopened: \
                 take a new one"
            )));
        }
        if handle.series.is_dead() {
            self.admission.resolve(&handle.series.labels, newcomers)
        } else {
            Ok(handle.series.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Labels, Matcher, TimeRange, Value};
    use crate::{Batch, Engine, ErrorKind, Options};

    const SECOND: i64 = 1_000_000_000;

    fn engine(options: Options) -> Engine {
        Engine::in_memory(Options { background: false, ..options }).expect("the options are good")
    }

    fn labels(job: &str) -> Labels {
        Labels::from_pairs([("__name__", "up"), ("job", job)]).expect("names differ")
    }

    fn values(engine: &Engine, job: &str) -> Vec<f64> {
        let view = engine.view();
        let found = view.select(&[Matcher::equal("job", job)], TimeRange::ALL, 10).expect("memory answers");
        found.iter().flat_map(|s| view.read(s, TimeRange::ALL).expect("memory answers").values).collect()
    }

    /// Flushes until a series without samples has left memory.
    fn idle_away(engine: &Engine, busy: &str, round: i64) {
        for flush in 0..4 {
            let mut batch = Batch::new();
            batch.push(&labels(busy), (100 * round + flush) * SECOND, Value::Float(-1.0));
            engine.append(&batch).expect("append");
            engine.flush().expect("flush");
        }
    }

    #[test]
    fn samples_of_a_handle_are_those_of_its_labels_also_after_it_left_memory() {
        let engine = engine(Options::default());
        let handle = engine.handle(&labels("a")).expect("no limit is near");
        assert_eq!(handle.labels(), &labels("a"));
        for round in 0..3 {
            let mut batch = Batch::new();
            batch.push_to(&handle, (10 * round + 1) * SECOND, Value::Float(round as f64));
            batch.push(&labels("a"), (10 * round + 2) * SECOND, Value::Float(0.5));
            assert_eq!(engine.append(&batch).expect("append").samples, 2);
            idle_away(&engine, "b", round);
            assert!(handle.series.is_dead(), "round {round}: the series is idle and leaves memory");
        }
        assert_eq!(values(&engine, "a"), [0.0, 0.5, 1.0, 0.5, 2.0, 0.5]);
    }

    #[test]
    fn what_a_handle_cannot_do_is_refused() {
        let one = engine(Options { active_series: 2, ..Options::default() });
        let refused = one.handle(&Labels::empty()).expect_err("no labels");
        assert_eq!(
            (refused.kind(), refused.to_string().contains("without labels")),
            (ErrorKind::Invalid, true)
        );
        let handle = one.handle(&labels("a")).expect("the first");
        one.handle(&labels("b")).expect("the second");
        assert_eq!(one.handle(&labels("c")).expect_err("the third").kind(), ErrorKind::Limit);

        let mut batch = Batch::new();
        batch.push_to(&handle, SECOND, Value::Float(1.0));
        let foreign = engine(Options::default()).append(&batch).expect_err("a handle of another engine");
        assert!(foreign.to_string().contains("another database"), "{foreign}");
        one.append(&batch).expect("its own");

        // The series leaves memory, another takes its place: the limit holds for the handle too.
        idle_away(&one, "b", 1);
        one.handle(&labels("c")).expect("there is room again");
        assert_eq!(one.append(&batch).expect_err("no room").kind(), ErrorKind::Limit);
    }
}
