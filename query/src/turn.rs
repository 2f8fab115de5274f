//! Repeats an evaluation when the memory of all queries is used up.
//!
//! A query that finds no memory left releases all its memory and waits for its turn, oldest first, on the calling
//! thread. It is then evaluated again from the beginning, with the reserve for one query at a time
//! ([`Share::set_reserve`](barograph_engine::budget::Share::set_reserve)). Every permitted query therefore gets its
//! answer, if necessary one after another.

use crate::error::QueryError;
use crate::request::Request;

impl Request {
    /// Calls `attempt`, which evaluates this request over a source that it opens itself. If other queries use up the
    /// memory of all, `attempt` is called again, in the turn of this query.
    ///
    /// # Errors
    /// The errors of `attempt`; or the request was canceled or timed out while it waited.
    pub fn evaluated<T>(&self, attempt: impl FnMut() -> Result<T, QueryError>) -> Result<T, QueryError> {
        self.work().attempted(|error| matches!(error, QueryError::MemoryPool { .. }), attempt)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use barograph_engine::budget::Share;
    use barograph_engine::model::{Labels, Value};

    use super::*;
    use crate::source::MemorySource;
    use crate::usage::Usage;
    use crate::{Response, execute};

    fn source() -> MemorySource {
        let mut source = MemorySource::new();
        for series in 0..50 {
            let number = format!("{series}");
            let labels = Labels::from_pairs([("__name__", "m"), ("i", number.as_str())]).unwrap();
            source.insert(&labels, 1_000_000_000, Value::Float(series as f64), 0);
        }
        source
    }

    fn request(share: &Arc<Share>) -> Request {
        Request { usage: Usage::of(share.clone()), ..Request::range_ms("m * 2", 0, 200_000, 1_000) }
    }

    /// A share of which one query needs 60 %, and the answer of the query when it runs alone.
    fn share_for_one(source: &MemorySource) -> (Arc<Share>, Response) {
        let alone = request(&Share::new("queries", u64::MAX));
        let answer = execute(source, &alone).unwrap();
        let needed = alone.usage.bytes_peak();
        let share = Share::new("queries", needed * 10 / 6);
        share.set_reserve(needed);
        (share, answer)
    }

    #[test]
    fn what_finds_the_memory_used_up_is_evaluated_again_in_its_turn() {
        let source = source();
        let (share, answer) = share_for_one(&source);
        let other = Usage::of(share.clone());
        other.take_bytes(share.common(), u64::MAX).unwrap();
        let request = request(&share);
        let mut attempts = Vec::new();
        let found = request.evaluated(|| {
            let result = execute(&source, &request);
            attempts.push(result.as_ref().err().map(ToString::to_string));
            result
        });
        assert_eq!(found.unwrap().value, answer.value);
        assert!(
            matches!(&attempts[..], [Some(refused), None] if refused.contains("together")),
            "{attempts:?}"
        );
        assert_eq!(share.used(), share.common() + request.usage.bytes());
        drop((request, other));
        assert_eq!((share.used(), share.waiting()), (0, 0));
    }

    #[test]
    fn of_eight_at_once_all_get_their_answer() {
        let source = source();
        let (share, answer) = share_for_one(&source);
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let request = request(&share);
                    barrier.wait();
                    let found = request.evaluated(|| execute(&source, &request)).unwrap();
                    assert_eq!(found.value, answer.value);
                });
            }
        });
        assert_eq!((share.used(), share.waiting()), (0, 0));
        assert!(share.peak() <= share.limit());
    }

    #[test]
    fn a_query_that_waits_can_be_canceled_and_one_that_is_too_large_is_refused() {
        let source = source();
        let (share, _) = share_for_one(&source);
        let first = request(&share);
        let turn = first.work().turn().unwrap();
        first.usage.take_bytes(share.common(), u64::MAX).unwrap();
        let second = request(&share);
        let ended = std::thread::scope(|scope| {
            let waits = scope.spawn(|| second.evaluated(|| execute(&source, &second)).map(drop));
            while share.waiting() == 0 {
                std::thread::yield_now();
            }
            second.cancel.cancel();
            waits.join().unwrap()
        });
        assert!(matches!(ended, Err(QueryError::Canceled)), "{ended:?}");
        drop((turn, first));
        let large =
            Request { usage: Usage::of(share.clone()), ..Request::range_ms("m * 2", 0, 400_000, 1_000) };
        let refused = large.evaluated(|| execute(&source, &large)).map(drop);
        assert!(
            matches!(refused, Err(QueryError::Memory { limit }) if limit == share.reserve()),
            "{refused:?}"
        );
        drop((second, large));
        assert_eq!(share.used(), 0);
    }
}
