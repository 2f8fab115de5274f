//! Threads that take turns: only one of them runs at a time, and a seed decides which.
//!
//! The running thread changes only at *points*: where a thread takes a lock, waits, or calls the simulated disk or
//! store. So a seed stands for one interleaving, which is always the same. A crash stops all threads at the points that
//! they have reached: each unwinds, and the disk and the store accept no further changes from it.
//!
//! A thread that is not part of a simulation runs through all points.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Random numbers that are the same in each run (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which must not be zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// True once in `times` on average.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Separate dice, which are not affected by later rolls of these.
    pub fn split(&mut self) -> Dice {
        Dice(self.roll())
    }
}

/// How the next thread is chosen.
#[derive(Debug, Clone)]
pub(crate) enum Choice {
    /// Any thread, at one in this many points.
    Any { once_in: u64 },
    /// The ready thread with the highest priority, which becomes the lowest at one in this many points.
    Priorities { once_in: u64 },
    /// A thread runs until it waits or ends, except that at these points the given thread takes over; `first` begins.
    Preempt { first: usize, at: Vec<(u64, usize)> },
}

/// How a simulation ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All threads finished their work.
    Done,
    /// The requested crash.
    Crashed,
    /// A thread panicked, or all waited for each other.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    Ready,
    /// Waits for the lock or the condition at this address.
    Waits {
        place: usize,
        is_timed: bool,
    },
    /// Same as [`Seat::Ready`], because the timeout has expired.
    TimedOut,
    Left,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    choice: Choice,
    seats: Vec<Seat>,
    /// A larger number is a higher priority.
    priorities: Vec<u64>,
    lowest: u64,
    turn: usize,
    points: u64,
    crash_at: Option<u64>,
    is_over: bool,
    failure: Option<String>,
    trace: u64,
}

/// Threads that take turns.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
    wakers: Vec<Condvar>,
}

/// Ends a thread at a crash.
struct Crash;

thread_local! {
    static SEAT: RefCell<Option<(Arc<Turns>, usize)>> = const { RefCell::new(None) };
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Called with the numbers of the first and the last record that a thread appended to the log.
pub(crate) type Listener = Box<dyn FnMut(u64, u64)>;

/// The work of one thread.
pub(crate) type Task<'w> = Box<dyn FnOnce() + Send + 'w>;

fn seat() -> Option<(Arc<Turns>, usize)> {
    SEAT.with_borrow(Clone::clone)
}

/// Whether a simulation runs this thread.
pub(crate) fn is_seated() -> bool {
    SEAT.with_borrow(Option::is_some)
}

/// A point where another thread may run.
pub(crate) fn point() {
    if let Some((turns, number)) = seat() {
        turns.point(number);
    }
}

/// Waits until the lock or the condition at `place` changes. Returns false if the timeout expired first.
pub(crate) fn wait(place: usize, is_timed: bool) -> bool {
    seat().is_none_or(|(turns, number)| turns.wait(number, place, is_timed))
}

/// Makes the threads ready that wait for the lock or the condition at `place`.
pub(crate) fn wake(place: usize) {
    if let Some((turns, _)) = seat() {
        turns.wake(place);
    }
}

/// Sets the listener that is called with the numbers of records that this thread appends to a log.
pub(crate) fn listen(listener: Option<Listener>) {
    LISTENER.set(listener);
}

/// See [`crate::sync`].
pub(crate) fn logged(first: u64, last: u64) {
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener {
            listener(first, last);
        }
    });
}

impl Turns {
    /// Runs each task on a separate thread, until all are done or `crash_at` points have passed. Returns a hash of all
    /// turns and the number of points.
    pub fn run(dice: Dice, choice: Choice, crash_at: Option<u64>, tasks: Vec<Task<'_>>) -> (Ended, u64, u64) {
        let mut dice = dice;
        let priorities = tasks.iter().map(|_| (1 << 32) + dice.below(1 << 32)).collect();
        let any = dice.below(tasks.len() as u64) as usize;
        let turn = if let Choice::Preempt { first, .. } = &choice { *first } else { any };
        let state = State {
            dice,
            choice,
            seats: vec![Seat::Ready; tasks.len()],
            priorities,
            lowest: 1 << 32,
            turn,
            points: 0,
            crash_at,
            is_over: false,
            failure: None,
            trace: 0xcbf2_9ce4_8422_2325,
        };
        let wakers = tasks.iter().map(|_| Condvar::new()).collect();
        let turns = Arc::new(Turns { state: Mutex::new(state), wakers });
        std::thread::scope(|scope| {
            for (number, task) in tasks.into_iter().enumerate() {
                let turns = turns.clone();
                scope.spawn(move || turns.sit(number, task));
            }
        });
        let state = turns.state.lock();
        let ended = match (&state.failure, state.is_over) {
            (Some(failure), _) => Ended::Failed(failure.clone()),
            (None, true) => Ended::Crashed,
            (None, false) => Ended::Done,
        };
        (ended, state.trace, state.points)
    }

    fn sit(self: &Arc<Self>, number: usize, task: Task<'_>) {
        SEAT.set(Some((self.clone(), number)));
        let done = catch_unwind(AssertUnwindSafe(|| {
            self.wait_for_turn(number);
            task();
        }));
        SEAT.set(None);
        listen(None);
        let mut state = self.state.lock();
        state.seats[number] = Seat::Left;
        if let Err(cause) = done
            && !cause.is::<Crash>()
        {
            let failure = state.failure.get_or_insert_with(|| text_of(&*cause));
            failure.push_str(&format!(" (thread {number})"));
            state.is_over = true;
        }
        if state.is_over {
            drop(state);
            self.wake_all();
        } else {
            self.pass_on(&mut state, number);
        }
    }

    fn wait_for_turn(&self, number: usize) {
        let mut state = self.state.lock();
        self.sleep(&mut state, number);
    }

    fn sleep(&self, state: &mut parking_lot::MutexGuard<'_, State>, number: usize) {
        while state.turn != number && !state.is_over {
            self.wakers[number].wait(state);
        }
        if state.is_over {
            self.crash(state);
        }
    }

    fn crash(&self, state: &mut parking_lot::MutexGuard<'_, State>) {
        state.is_over = true;
        self.wake_all();
        if !std::thread::panicking() {
            // The guard of the caller is dropped by the unwinding.
            resume_unwind(Box::new(Crash));
        }
    }

    fn wake_all(&self) {
        for waker in &self.wakers {
            waker.notify_all();
        }
    }

    fn point(&self, number: usize) {
        let mut state = self.state.lock();
        if std::thread::panicking() {
            return;
        }
        state.points += 1;
        if state.is_over || state.crash_at.is_some_and(|at| state.points >= at) {
            return self.crash(&mut state);
        }
        let State { dice, choice, points, .. } = &mut *state;
        let next = match choice {
            Choice::Any { once_in } if dice.once_in(*once_in) => state.any_ready(),
            Choice::Any { .. } => Some(number),
            Choice::Priorities { once_in } => {
                if dice.once_in(*once_in) {
                    state.lowest -= 1;
                    state.priorities[number] = state.lowest;
                }
                state.first_ready()
            }
            Choice::Preempt { at, .. } => {
                let planned = at.iter().find(|(at, _)| at == points).map(|(_, next)| *next);
                planned.filter(|next| state.ready().contains(next))
            }
        };
        self.give(&mut state, number, next.unwrap_or(number));
    }

    /// Passes the turn to `next` and waits until it comes back.
    fn give(&self, state: &mut parking_lot::MutexGuard<'_, State>, number: usize, next: usize) {
        if next == number {
            return;
        }
        state.note(next as u64);
        state.turn = next;
        self.wakers[next].notify_all();
        self.sleep(state, number);
    }

    fn wait(&self, number: usize, place: usize, is_timed: bool) -> bool {
        let mut state = self.state.lock();
        if state.is_over {
            self.crash(&mut state);
            return true;
        }
        state.seats[number] = Seat::Waits { place, is_timed };
        let Some(next) = state.next_turn() else {
            let seats = format!("{:?}", state.seats);
            state.failure.get_or_insert_with(|| format!("all threads wait for each other: {seats}"));
            self.crash(&mut state);
            return true;
        };
        self.give(&mut state, number, next);
        let is_over = state.seats[number] == Seat::TimedOut;
        state.seats[number] = Seat::Ready;
        !is_over
    }

    fn wake(&self, place: usize) {
        let mut state = self.state.lock();
        for seat in &mut state.seats {
            if matches!(seat, Seat::Waits { place: other, .. } if *other == place) {
                *seat = Seat::Ready;
            }
        }
    }

    /// Passes the turn to another thread, because this one has ended.
    fn pass_on(&self, state: &mut State, number: usize) {
        if state.seats.iter().all(|seat| *seat == Seat::Left) {
            return;
        }
        match state.next_turn() {
            Some(next) => {
                state.note(next as u64);
                state.turn = next;
                self.wakers[next].notify_all();
            }
            None => {
                let seats = format!("{:?}", state.seats);
                state.failure = Some(format!("thread {number} has left, and all others wait: {seats}"));
                state.is_over = true;
                self.wake_all();
            }
        }
    }
}

impl State {
    fn note(&mut self, what: u64) {
        self.trace = (self.trace ^ what ^ (self.points << 8)).wrapping_mul(0x0100_0000_01b3);
    }

    fn ready(&self) -> Vec<usize> {
        let is_ready = |seat: &Seat| matches!(seat, Seat::Ready | Seat::TimedOut);
        (0..self.seats.len()).filter(|number| is_ready(&self.seats[*number])).collect()
    }

    fn any_ready(&mut self) -> Option<usize> {
        let ready = self.ready();
        let at = self.dice.below(ready.len().max(1) as u64) as usize;
        ready.get(at).copied()
    }

    fn first_ready(&self) -> Option<usize> {
        self.ready().into_iter().max_by_key(|number| self.priorities[*number])
    }

    /// The next thread after one that cannot continue. Timeouts expire only if no thread is ready.
    fn next_turn(&mut self) -> Option<usize> {
        let next = match self.choice {
            Choice::Any { .. } => self.any_ready(),
            Choice::Priorities { .. } => self.first_ready(),
            Choice::Preempt { .. } => self.ready().first().copied(),
        };
        next.or_else(|| {
            let is_timed = |seat: &Seat| matches!(seat, Seat::Waits { is_timed: true, .. });
            let late = self.seats.iter().position(is_timed)?;
            self.seats[late] = Seat::TimedOut;
            Some(late)
        })
    }
}

fn text_of(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
