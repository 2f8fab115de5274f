//! Threads for the background work of all open databases of the process.
//!
//! Each kind of work has a [`Lane`]: its jobs, at most one per database, and a few threads that they share. A job runs
//! when it is due or has been woken, on one thread at a time, and returns when it is due next. A thread without work
//! sleeps until the next job is due, so jobs that wait for a wake-up cost nothing.
//!
//! A lane with jobs always has a thread. Others are started while jobs run and more are due, up to a limit, and end
//! after a while without work.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How long a thread without work stays while another one waits.
const LINGER: Duration = Duration::from_secs(10);

/// When a job is due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// At a time, or as soon as it is woken.
    At(Instant),
    /// At a time, or when it is woken, but not before the end of `pause`.
    After {
        /// The end of the pause.
        pause: Instant,
        /// When it is due if nothing wakes it.
        at: Instant,
    },
    /// Only when it is woken.
    Woken,
    /// Never: the job has ended.
    Over,
}

impl Next {
    /// After `time`, or as soon as it is woken.
    pub fn after(time: Duration) -> Next {
        Instant::now().checked_add(time).map_or(Next::Woken, Next::At)
    }
}

type Work = Arc<dyn Fn() -> Next + Send + Sync>;

/// One kind of work.
pub(crate) struct Lane {
    /// The name of its threads.
    name: &'static str,
    threads_max: usize,
    /// How much its threads give way to others: added to the nice value of the process' threads.
    yields: i32,
    state: Mutex<State>,
    /// Signalled for a waiting thread when a job becomes due earlier, and for all threads when there are no more jobs.
    due: Condvar,
    /// Signalled when a job has run, and when a thread ends.
    ran: Condvar,
}

struct State {
    jobs: BTreeMap<u64, Entry>,
    /// The times at which jobs that are not running are due.
    due: BTreeSet<(Instant, u64)>,
    next_id: u64,
    threads: usize,
    waiting: usize,
    /// The threads, including some that have ended.
    handles: Vec<JoinHandle<()>>,
}

struct Entry {
    work: Work,
    is_running: bool,
    is_stopped: bool,
    /// When it is due. While it runs, `Some` if it was woken.
    due: Option<Instant>,
    /// It is not due before this time.
    pause: Option<Instant>,
}

/// A job of a lane, until it is stopped.
pub(crate) struct Job {
    lane: &'static Lane,
    id: u64,
}

impl Lane {
    pub const fn new(name: &'static str, threads_max: usize) -> Lane {
        Lane::of(name, threads_max, 0)
    }

    /// The same, with threads that give way to all others of the machine: they have a tenth of the share of one that does
    /// not, where both want to run. On systems other than Linux they are like others.
    pub const fn yielding(name: &'static str, threads_max: usize) -> Lane {
        Lane::of(name, threads_max, 10)
    }

    const fn of(name: &'static str, threads_max: usize, yields: i32) -> Lane {
        let state = Mutex::new(State::new());
        Lane { name, threads_max, yields, state, due: Condvar::new(), ran: Condvar::new() }
    }

    /// Adds a job that is due now. A panic ends the job and is logged.
    ///
    /// # Errors
    /// The lane has no thread and cannot start one.
    pub fn add(&'static self, work: impl Fn() -> Next + Send + Sync + 'static) -> io::Result<Job> {
        self.add_due(Some(Instant::now()), work)
    }

    /// Adds a job that is due when it is woken.
    ///
    /// # Errors
    /// Same as [`Lane::add`].
    pub fn add_idle(&'static self, work: impl Fn() -> Next + Send + Sync + 'static) -> io::Result<Job> {
        self.add_due(None, work)
    }

    fn add_due(
        &'static self,
        due: Option<Instant>,
        work: impl Fn() -> Next + Send + Sync + 'static,
    ) -> io::Result<Job> {
        note_priority();
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let entry =
            Entry { work: Arc::new(work), is_running: false, is_stopped: false, due: None, pause: None };
        state.jobs.insert(id, entry);
        if let Some(at) = due {
            state.advance(id, at);
        }
        if let Err(error) = self.engage(&mut state).and(Ok(())) {
            // Without any thread, the job would never run.
            if state.threads == 0 {
                let entry = state.remove(id);
                drop(state);
                drop(entry);
                return Err(error);
            }
        }
        Ok(Job { lane: self, id })
    }

    /// Ensures that a thread runs the jobs that are due and waits for later ones.
    fn engage(&'static self, state: &mut State) -> io::Result<()> {
        if state.waiting > 0 {
            self.due.notify_one();
            return Ok(());
        }
        if state.threads >= self.threads_max {
            return Ok(());
        }
        let handle = std::thread::Builder::new().name(self.name.to_owned()).spawn(|| self.serve())?;
        state.threads += 1;
        state.handles.retain(|handle| !handle.is_finished());
        state.handles.push(handle);
        Ok(())
    }

    /// The loop of a thread.
    fn serve(&'static self) {
        give_way(self.yields);
        let mut state = self.state.lock();
        while !state.jobs.is_empty() {
            if let Some(id) = state.take_due(Instant::now()) {
                self.run(&mut state, id);
            } else if self.wait(&mut state) {
                break;
            }
        }
        state.threads -= 1;
        self.ran.notify_all();
    }

    /// Waits until a job may be due. Returns true if the lane no longer needs this thread.
    fn wait(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let is_spare = state.waiting > 0;
        let due = state.due.first().map(|(at, _)| *at);
        let end = is_spare.then(|| Instant::now() + LINGER);
        state.waiting += 1;
        let is_over = match due.into_iter().chain(end).min() {
            Some(until) => self.due.wait_until(state, until).timed_out(),
            None => {
                self.due.wait(state);
                false
            }
        };
        state.waiting -= 1;
        is_over && is_spare && state.waiting > 0
    }

    fn run(&'static self, state: &mut MutexGuard<'_, State>, id: u64) {
        let Some(work) = state.begin(id) else { return };
        if !state.due.is_empty() && state.waiting == 0 {
            // Other jobs are not delayed by this one, unless the lane is full or the system has no threads left.
            let _ = self.engage(state);
        }
        let next = MutexGuard::unlocked(state, || {
            let next = catch_unwind(AssertUnwindSafe(|| work())).unwrap_or_else(|_| {
                tracing::error!(thread = self.name, "background work panicked");
                Next::Over
            });
            // Everything that the job holds is dropped before `stop` returns.
            drop(work);
            next
        });
        let over = state.end(id, next);
        self.ran.notify_all();
        if over.is_some() {
            MutexGuard::unlocked(state, || drop(over));
        }
    }
}

/// The nice value of the thread that started the first job. A thread inherits that of its creator, which may have lowered
/// its own.
#[cfg(target_os = "linux")]
static BASE: std::sync::OnceLock<i32> = std::sync::OnceLock::new();

/// Lowers the priority of the calling thread.
#[cfg(target_os = "linux")]
fn give_way(by: i32) {
    let Some(base) = BASE.get().filter(|_| by > 0) else { return };
    // Linux has a nice value for each thread, and this call means that of the calling one.
    if let Err(error) = rustix::process::setpriority_process(None, base.saturating_add(by).min(19)) {
        tracing::debug!(%error, "a background thread keeps its priority");
    }
}

/// Records the priority from which threads give way.
#[cfg(target_os = "linux")]
fn note_priority() {
    if BASE.get().is_none()
        && let Ok(nice) = rustix::process::getpriority_process(None)
    {
        let _ = BASE.set(nice);
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way(_by: i32) {}

#[cfg(not(target_os = "linux"))]
fn note_priority() {}

impl State {
    const fn new() -> State {
        State {
            jobs: BTreeMap::new(),
            due: BTreeSet::new(),
            next_id: 0,
            threads: 0,
            waiting: 0,
            handles: Vec::new(),
        }
    }

    /// The job that has been due for the longest time, if any.
    fn take_due(&mut self, now: Instant) -> Option<u64> {
        let (at, id) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        Some(id)
    }

    fn begin(&mut self, id: u64) -> Option<Work> {
        let entry = self.jobs.get_mut(&id)?;
        (entry.is_running, entry.due, entry.pause) = (true, None, None);
        Some(entry.work.clone())
    }

    /// Records when a job that has run is due next. Returns its entry if that is never.
    fn end(&mut self, id: u64, next: Next) -> Option<Entry> {
        let entry = self.jobs.get_mut(&id)?;
        entry.is_running = false;
        // The job was woken while it ran.
        let woken = entry.due.take();
        if entry.is_stopped {
            return None;
        }
        let at = match next {
            Next::At(at) => Some(at),
            Next::After { pause, at } => {
                entry.pause = Some(pause);
                Some(at)
            }
            Next::Woken => None,
            Next::Over => return self.remove(id),
        };
        for at in woken.into_iter().chain(at) {
            self.advance(id, at);
        }
        None
    }

    /// Makes a job due at a time, unless it is due earlier. Returns whether that changed when it is due.
    fn advance(&mut self, id: u64, at: Instant) -> bool {
        let Some(entry) = self.jobs.get_mut(&id) else { return false };
        let at = entry.pause.map_or(at, |pause| pause.max(at));
        if entry.is_stopped || entry.due.is_some_and(|due| due <= at) {
            return false;
        }
        let before = entry.due.replace(at);
        if entry.is_running {
            return false;
        }
        if let Some(before) = before {
            self.due.remove(&(before, id));
        }
        self.due.insert((at, id));
        true
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.jobs.remove(&id)?;
        if let Some(at) = entry.due {
            self.due.remove(&(at, id));
        }
        Some(entry)
    }
}

impl Job {
    /// Runs the job as soon as a thread is free; if it runs now, runs it once more.
    pub fn wake(&self) {
        self.wake_at(Instant::now());
    }

    /// Runs the job at a time, unless it is due before.
    pub fn wake_at(&self, at: Instant) {
        let mut state = self.lane.state.lock();
        if state.advance(self.id, at) {
            // If no thread can be started, a busy one runs the job later.
            let _ = self.lane.engage(&mut state);
        }
    }

    /// Ends the job: waits while it runs, drops what it holds, and ends the lane's threads after its last job. A job of
    /// the lane must not call this.
    pub fn stop(self) {
        let Job { lane, id } = self;
        let mut state = lane.state.lock();
        if let Some(entry) = state.jobs.get_mut(&id) {
            entry.is_stopped = true;
        }
        while state.jobs.get(&id).is_some_and(|entry| entry.is_running) {
            lane.ran.wait(&mut state);
        }
        let entry = state.remove(id);
        while state.jobs.is_empty() && state.threads > 0 {
            lane.due.notify_all();
            lane.ran.wait(&mut state);
        }
        let ended = if state.jobs.is_empty() { std::mem::take(&mut state.handles) } else { Vec::new() };
        drop(state);
        drop(entry);
        for handle in ended {
            // Panics of jobs are caught and logged.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    fn lane(threads_max: usize) -> &'static Lane {
        Box::leak(Box::new(Lane::new("test", threads_max)))
    }

    fn threads(lane: &Lane) -> usize {
        lane.state.lock().threads
    }

    #[test]
    fn an_idle_job_first_runs_when_it_is_woken() {
        let lane = lane(1);
        let (ran, runs) = channel();
        let idle_ran = ran.clone();
        let idle = lane
            .add_idle(move || idle_ran.send("idle").map_or(Next::Over, |()| Next::Woken))
            .expect("a thread");
        // The only thread runs what is due in the order in which it was added.
        let other =
            lane.add(move || ran.send("other").map_or(Next::Over, |()| Next::Woken)).expect("a thread");
        assert_eq!(runs.recv(), Ok("other"));
        idle.wake();
        assert_eq!(runs.recv(), Ok("idle"));
        idle.stop();
        other.stop();
    }

    #[test]
    fn a_job_runs_once_for_each_wake_up_and_sleeps_between() {
        let lane = lane(4);
        let (ran, runs) = channel();
        let job = lane.add(move || ran.send(()).map_or(Next::Over, |()| Next::Woken)).expect("a thread");
        runs.recv().expect("it is due when it is added");
        for _ in 0..100 {
            job.wake();
            runs.recv().expect("it was woken");
        }
        // The job is due at no time, so the thread waits without a limit.
        let state = lane.state.lock();
        assert_eq!((state.due.len(), state.threads), (0, 1));
        drop(state);
        job.stop();
        assert!(runs.recv().is_err(), "what it holds is dropped, and it has not run since");
        assert_eq!(threads(lane), 0);
        assert!(lane.state.lock().jobs.is_empty());
    }

    #[test]
    fn no_wake_up_is_lost() {
        let lane = lane(2);
        let (asked, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (from, to) = (asked.clone(), seen.clone());
        let job = lane.add(move || {
            to.store(from.load(Ordering::SeqCst), Ordering::SeqCst);
            Next::Woken
        });
        let job = job.expect("a thread");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let mine = asked.fetch_add(1, Ordering::SeqCst) + 1;
                        job.wake();
                        while seen.load(Ordering::SeqCst) < mine {
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        job.stop();
    }

    #[test]
    fn a_long_job_does_not_delay_others_and_the_limit_holds() {
        let lane = lane(2);
        let (release, held) = channel::<()>();
        let (begun, begins) = channel();
        let held = Mutex::new(held);
        let long = lane.add(move || {
            begun.send(()).expect("the test waits");
            let _ = held.lock().recv();
            Next::Over
        });
        let long = long.expect("a thread");
        begins.recv().expect("it runs");
        let (ran, runs) = channel();
        let jobs: Vec<Job> = (0..50)
            .map(|number| {
                let ran = ran.clone();
                lane.add(move || ran.send(number).map_or(Next::Over, |()| Next::Woken)).expect("a thread")
            })
            .collect();
        let mut numbers: Vec<i32> = runs.iter().take(50).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
        assert!(threads(lane) <= 2);
        release.send(()).expect("the job waits");
        jobs.into_iter().for_each(Job::stop);
        long.stop();
    }

    #[test]
    fn a_pause_is_kept_although_the_job_is_woken() {
        let mut state = State::new();
        let work: Work = Arc::new(|| Next::Woken);
        state.jobs.insert(0, Entry { work, is_running: false, is_stopped: false, due: None, pause: None });
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let due = |state: &State| state.due.first().map(|(at, _)| *at);
        state.begin(0);
        state.advance(0, at(0));
        assert!(state.end(0, Next::After { pause: at(5), at: at(60) }).is_none());
        assert_eq!(due(&state), Some(at(5)), "it was woken while it ran");
        assert_eq!(state.take_due(at(4)), None);
        assert_eq!(state.take_due(at(5)), Some(0));
        state.begin(0);
        assert!(state.end(0, Next::After { pause: at(10), at: at(60) }).is_none());
        assert_eq!(due(&state), Some(at(60)));
        assert!(state.advance(0, at(6)) && due(&state) == Some(at(10)));
        assert!(!state.advance(0, at(11)), "it is due earlier");
        state.take_due(at(10));
        state.begin(0);
        assert!(state.end(0, Next::At(at(70))).is_none());
        assert!(state.advance(0, at(11)) && due(&state) == Some(at(11)), "the pause is over");
    }

    #[test]
    fn a_panic_ends_one_job_and_the_thread_continues() {
        let lane = lane(1);
        let has_failed = AtomicBool::new(false);
        let failing = lane.add(move || {
            has_failed.store(true, Ordering::SeqCst);
            panic!("expected by the test")
        });
        let (ran, runs) = channel();
        let other = lane.add(move || ran.send(()).map_or(Next::Over, |()| Next::Woken)).expect("a thread");
        runs.recv().expect("the other runs");
        failing.expect("a thread").stop();
        other.stop();
    }
}
