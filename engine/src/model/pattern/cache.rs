//! The compiled patterns of the process: equal texts are compiled once, as long as there is memory.
//!
//! Dashboards repeat the same few hundred expressions. Cached patterns count against a share of the memory, including
//! the automaton states that threads cache. When the share is full, patterns are evicted by the CLOCK algorithm.
//!
//! # Concurrency
//! One lock, held while a text is looked up. Compilation happens outside of it, so two concurrent requests for a new
//! pattern may both compile it; the first result is kept.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::Pattern;
use crate::budget::{Hold, Share};

/// The default size of the share, bytes.
const BYTES_DEFAULT: u64 = 16 << 20;
/// One pattern may take at most the share divided by this: a larger one would evict too many others.
const PART_MAX: u64 = 8;
/// Bytes of an entry without its pattern.
const ENTRY_BYTES: u64 = 256;

/// Compiled patterns, by their text.
#[derive(Debug)]
pub struct Patterns {
    share: ArcSwap<Share>,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    by_text: HashMap<Arc<str>, usize>,
    entries: Vec<Entry>,
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    pattern: Pattern,
    /// Released when the entry is dropped.
    _hold: Hold,
    is_used: bool,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(BYTES_DEFAULT));

/// The cache of the process.
pub fn patterns() -> &'static Patterns {
    &PATTERNS
}

impl Patterns {
    fn new(bytes: u64) -> Patterns {
        Patterns { share: ArcSwap::new(Share::new("patterns", bytes)), ring: Mutex::default() }
    }

    /// The share that cached patterns count against.
    pub fn share(&self) -> Arc<Share> {
        self.share.load_full()
    }

    /// From now on cached patterns take memory of this share. Patterns cached so far are dropped, and release their
    /// memory to the previous share.
    pub fn count_in(&self, share: Arc<Share>) {
        self.share.store(share);
        // Dropped outside of the lock.
        let _gone = std::mem::take(&mut *self.ring.lock());
    }

    /// The number of cached patterns.
    pub fn len(&self) -> usize {
        self.ring.lock().entries.len()
    }

    /// Whether no pattern is cached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pattern of this text, if it is cached.
    pub(super) fn get(&self, text: &str) -> Option<Pattern> {
        let mut ring = self.ring.lock();
        let index = *ring.by_text.get(text)?;
        let entry = ring.entries.get_mut(index)?;
        entry.is_used = true;
        Some(entry.pattern.clone())
    }

    /// Caches a pattern if there is memory or memory can be freed. Returns the cached one.
    pub(super) fn keep(&self, pattern: Pattern) -> Pattern {
        let bytes = pattern.bytes() + ENTRY_BYTES;
        if bytes > self.share.load().limit() / PART_MAX {
            return pattern;
        }
        let Some(hold) = self.hold(bytes) else { return pattern };
        let mut ring = self.ring.lock();
        if let Some(&index) = ring.by_text.get(pattern.text()) {
            return ring.entries[index].pattern.clone();
        }
        let index = ring.entries.len();
        ring.by_text.insert(Arc::clone(&pattern.inner.text), index);
        ring.entries.push(Entry { pattern: pattern.clone(), _hold: hold, is_used: false });
        pattern
    }

    /// Takes bytes from the share, evicting patterns if necessary.
    pub(super) fn hold(&self, bytes: u64) -> Option<Hold> {
        let share = self.share.load();
        loop {
            match share.take(bytes) {
                Ok(hold) => return Some(hold),
                Err(full) if full.is_permanent() => return None,
                Err(_) => {}
            }
            // Dropped outside of the lock.
            let _gone = self.ring.lock().evict()?;
        }
    }
}

impl Ring {
    /// Evicts a pattern that was not used since the hand last passed it.
    fn evict(&mut self) -> Option<Entry> {
        loop {
            let count = self.entries.len();
            let index = self.hand.checked_rem(count)?;
            self.hand = index + 1;
            if std::mem::take(&mut self.entries[index].is_used) {
                continue;
            }
            let gone = self.entries.swap_remove(index);
            self.hand = index;
            self.by_text.remove(gone.pattern.text());
            if let Some(moved) = self.entries.get(index) {
                self.by_text.insert(Arc::clone(&moved.pattern.inner.text), index);
            }
            return Some(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Work;

    fn compiled(text: &str) -> Pattern {
        Pattern::compile(text, &Work::unbounded()).expect("a pattern")
    }

    fn same(a: &Pattern, b: &Pattern) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    #[test]
    fn an_equal_text_is_one_pattern_and_a_used_one_stays() {
        let patterns = Patterns::new(64 << 10);
        let hot = patterns.keep(compiled("hot-.+x"));
        assert!(same(&hot, &patterns.keep(compiled("hot-.+x"))), "the first stays");
        for n in 0..1000 {
            patterns.keep(compiled(&format!("cold-{n}-[ab]+")));
            assert!(same(&hot, &patterns.get("hot-.+x").expect("used again and again")));
            let share = patterns.share();
            assert!(share.used() <= share.limit());
        }
        assert!((5..200).contains(&patterns.len()), "{} of 1001", patterns.len());
        let bytes: u64 =
            patterns.ring.lock().entries.iter().map(|entry| entry.pattern.bytes() + ENTRY_BYTES).sum();
        assert_eq!(patterns.share().used(), bytes);
        let ring = patterns.ring.lock();
        assert_eq!(ring.by_text.len(), ring.entries.len());
        for (text, &index) in &ring.by_text {
            assert_eq!(ring.entries[index].pattern.text(), &**text);
        }
    }

    #[test]
    fn a_large_one_is_not_kept() {
        let patterns = Patterns::new(64 << 10);
        let text = "a".repeat(16 << 10);
        patterns.keep(compiled(&text));
        assert_eq!((patterns.len(), patterns.share().used()), (0, 0));
    }
}
