//! The threads that help queries.
//!
//! A query is evaluated by the calling thread. If its work can be divided, idle threads of a crew also take pieces of
//! it. A thread is idle until a query takes it, and a query takes only idle threads, so a piece never waits behind the
//! work of another query. A query whose crew is busy or empty still runs. A crew is a separate pool, so it does not
//! interfere with programs that use rayon.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that help with queries; clones share them. The default is the crew of the process, which has one thread
/// fewer than there are cores and is started by the first query that can be divided.
///
/// ```
/// use barograph_query::{Crew, Request};
/// let mut request = Request::instant("up", barograph_engine::Timestamp::UNIX_EPOCH);
/// request.crew = Crew::of(2);
/// let mut alone = Request::instant("up", barograph_engine::Timestamp::UNIX_EPOCH);
/// alone.crew = Crew::of(0);
/// ```
#[derive(Clone, Default)]
pub struct Crew(Option<Arc<Threads>>);

struct Threads {
    /// `None` if the crew has no threads, or they could not be started.
    pool: Option<ThreadPool>,
    count: usize,
    free: AtomicUsize,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads()).finish()
    }
}

impl Threads {
    fn start(count: usize) -> Self {
        let name = |number| format!("query-{number}");
        let pool = (count > 0)
            .then(|| ThreadPoolBuilder::new().num_threads(count).thread_name(name).build().ok())
            .flatten();
        let count = if pool.is_some() { count } else { 0 };
        Threads { pool, count, free: AtomicUsize::new(count) }
    }

    /// Takes at most `most` threads that are idle now. Returns how many.
    fn take(&self, most: usize) -> usize {
        let mut taken = 0;
        let take = |free: usize| {
            taken = free.min(most);
            Some(free - taken)
        };
        // The closure always returns a value.
        let _ = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken
    }
}

/// A thread that a query has taken.
struct Taken<'t>(&'t Threads);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
    }
}

/// The number of cores of the process.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

impl Crew {
    /// A separate crew with `threads` threads, which end when the last clone is dropped. With none, queries are
    /// evaluated by the calling thread alone.
    pub fn of(threads: usize) -> Crew {
        Crew(Some(Arc::new(Threads::start(threads))))
    }

    fn threads(&self) -> usize {
        self.0.as_ref().map_or_else(|| cores() - 1, |own| own.count)
    }

    /// Maximum number of threads that evaluate one query, including the calling thread.
    pub(crate) fn workers(&self) -> usize {
        self.threads() + 1
    }

    fn started(&self) -> &Threads {
        static SHARED: OnceLock<Threads> = OnceLock::new();
        match &self.0 {
            Some(own) => own,
            None => SHARED.get_or_init(|| Threads::start(cores() - 1)),
        }
    }

    /// Applies `work` to each piece, on this thread and on idle ones. The results are in the order of the pieces.
    ///
    /// # Errors
    /// The error of a piece that failed; other pieces may not have been processed.
    pub(crate) fn share<T, R, E, F>(&self, pieces: Vec<T>, work: F) -> Result<Vec<R>, E>
    where
        T: Send,
        R: Send,
        E: Send,
        F: Fn(T) -> Result<R, E> + Sync,
    {
        let count = pieces.len();
        let queue = Mutex::new(pieces.into_iter().enumerate());
        let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(count));
        let (failed, failure) = (AtomicBool::new(false), Mutex::new(None));
        let one = || {
            while !failed.load(Ordering::Relaxed) {
                let Some((at, piece)) = locked(&queue).next() else { break };
                match work(piece) {
                    Ok(result) => locked(&done).push((at, result)),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        locked(&failure).get_or_insert(error);
                    }
                }
            }
        };
        let threads = self.started();
        match &threads.pool {
            Some(pool) if count > 1 => {
                let taken = threads.take(count - 1);
                let taken: Vec<Taken<'_>> = (0..taken).map(|_| Taken(threads)).collect();
                pool.in_place_scope(|scope| {
                    for thread in taken {
                        scope.spawn(|_| {
                            let _free_afterwards = thread;
                            one();
                        });
                    }
                    one();
                });
            }
            _ => one(),
        }
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(at, _)| *at);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }
}

/// The data is consistent even if another thread panicked, because nothing is called under the lock.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_have_the_order_of_the_pieces_on_any_number_of_threads() {
        for threads in 0..4 {
            let crew = Crew::of(threads);
            for count in [0, 1, 2, 100] {
                let doubled: Result<Vec<usize>, ()> = crew.share((0..count).collect(), |n| Ok(2 * n));
                assert_eq!(doubled.unwrap(), (0..count).map(|n| 2 * n).collect::<Vec<_>>());
            }
            let failed: Result<Vec<()>, usize> =
                crew.share((0..100).collect(), |n| if n == 50 { Err(n) } else { Ok(()) });
            assert_eq!(failed.unwrap_err(), 50);
            assert_eq!(crew.started().free.load(Ordering::Relaxed), threads, "all are free again");
        }
    }

    #[test]
    fn free_threads_help() {
        let crew = Crew::of(2);
        // This ends only if all three run at the same time.
        let barrier = Barrier::new(3);
        let waited: Result<Vec<()>, ()> = crew.share(vec![(); 3], |()| {
            barrier.wait();
            Ok(())
        });
        assert_eq!(waited.unwrap().len(), 3);
    }

    #[test]
    fn a_busy_crew_is_not_waited_for() {
        let crew = Crew::of(2);
        let (begun, held) = (&Barrier::new(4), &Barrier::new(4));
        let busy = crew.clone();
        std::thread::scope(|scope| {
            let hold = |()| {
                begun.wait();
                held.wait();
                Ok::<(), ()>(())
            };
            let other = scope.spawn(move || busy.share(vec![(); 3], hold));
            begun.wait();
            // The three workers wait at the second barrier until this query is done.
            let sum: Result<Vec<u32>, ()> = crew.share((0..10).collect(), Ok);
            assert_eq!(sum.unwrap().len(), 10);
            held.wait();
            other.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_frees_the_thread() {
        let crew = Crew::of(1);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<Vec<()>, ()> = crew.share(vec![1, 2], |_| panic!("in a piece"));
        }));
        assert!(panicked.is_err());
        assert_eq!(crew.started().free.load(Ordering::Relaxed), 1);
    }
}
