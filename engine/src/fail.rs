//! Named points at which a test ends the process: `fail_point!("flush.ingested")`.
//!
//! They exist only in this crate's own tests. `engine/tests/points.rs` runs its test binary again for each point, lets
//! that process abort there, and opens the directory that it leaves. Other tests insert steps of their own at these
//! points.

/// A point at which the process may end. Each has a unique name.
#[cfg(not(test))]
macro_rules! fail_point {
    ($name:literal) => {};
}

/// A point at which the process may end. Each has a unique name.
#[cfg(test)]
macro_rules! fail_point {
    ($name:literal) => {
        $crate::fail::reach($name)
    };
}

#[cfg(all(test, feature = "rocksdb"))]
pub(crate) use plan::{ABORT, TRACE};
#[cfg(test)]
pub(crate) use plan::{hook, reach};

#[cfg(test)]
mod plan {
    use std::cell::RefCell;
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// `NAME:N`: the process aborts when it reaches this point for the N-th time.
    pub const ABORT: &str = "BAROGRAPH_FAIL_POINT";
    /// A file to which the name of each reached point is written.
    pub const TRACE: &str = "BAROGRAPH_FAIL_TRACE";

    type Hook = Box<dyn FnMut(&str)>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Calls `hook` with the name of each point that this thread reaches, until the result is dropped, except for
    /// points that the hook itself reaches.
    #[must_use]
    pub fn hook(hook: impl FnMut(&str) + 'static) -> Hooked {
        HOOK.set(Some(Box::new(hook)));
        Hooked(())
    }

    pub struct Hooked(());

    impl Drop for Hooked {
        fn drop(&mut self) {
            drop(HOOK.take());
        }
    }

    #[derive(Default)]
    struct Plan {
        abort: Option<(String, u64)>,
        trace: Option<std::fs::File>,
        reached: AtomicU64,
    }

    impl Plan {
        fn of_environment() -> Plan {
            let abort = std::env::var(ABORT).ok().map(|text| {
                let (name, times) = text.split_once(':').expect("a name and a number");
                (name.to_owned(), times.parse().expect("a number"))
            });
            let append = |path| std::fs::File::options().create(true).append(true).open(path);
            let trace = std::env::var_os(TRACE).map(|path| append(path).expect("the trace"));
            Plan { abort, trace, reached: AtomicU64::new(0) }
        }
    }

    pub fn reach(name: &str) {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        let plan = PLAN.get_or_init(Plan::of_environment);
        if let Some(mut trace) = plan.trace.as_ref() {
            // A single write per name, so that names from several threads do not mix.
            trace.write_all(format!("{name}\n").as_bytes()).expect("the trace");
        }
        if let Some(mut hook) = HOOK.take() {
            hook(name);
            HOOK.set(Some(hook));
        }
        if let Some((wanted, times)) = &plan.abort
            && wanted == name
            && plan.reached.fetch_add(1, Ordering::Relaxed) + 1 == *times
        {
            std::process::abort();
        }
    }
}
