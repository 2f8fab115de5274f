//! Subscriptions to data that becomes durable.

use barograph_engine::Subscription;
use barograph_engine::model::Matcher;

use crate::{Database, Result};

/// Default size of the buffer of a subscription, bytes.
const BUFFER_BYTES: usize = 4 << 20;

impl Database {
    /// Receives the samples and string fields of the series that match all matchers as they become durable, in the
    /// order in which they were written, from now on. Without matchers, receives those of all series.
    ///
    /// The buffer is bounded by 4 MiB. Writers never wait for a subscriber: one that falls behind receives
    /// [`Update::Lagged`](crate::Update::Lagged) in place of the updates that it missed. A single update larger than
    /// the buffer is replaced in the same way, and the others stay. Closing the database ends the subscription.
    ///
    /// To get the current state and all later changes, subscribe first and then read: data written in between is in
    /// both.
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Options, Update, parse_selector};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// let subscription = db.subscribe(&parse_selector(r#"cpu_usage{host="a"}"#)?)?;
    /// db.write_lines(b"cpu,host=a usage=0.5 1000\ncpu,host=b usage=0.7 1000\n", &LineOptions::default())?;
    /// db.close()?;
    /// for update in subscription {
    ///     match update {
    ///         Update::Sample { labels, value, .. } => println!("{labels} {value:?}"),
    ///         Update::Lagged(missed) => println!("{missed} updates missed"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The database is closed, or was opened by the process that forked this one.
    pub fn subscribe(&self, matchers: &[Matcher]) -> Result<Subscription> {
        self.subscribe_buffered(matchers, BUFFER_BYTES)
    }

    /// Like [`Database::subscribe`], with a buffer of this many bytes. In addition, the memory of the subscription for
    /// the series that it has seen is at most a quarter of that. Neither is part of
    /// [`Options::memory_bytes`](crate::Options::memory_bytes).
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let mut subscription = db.subscribe_buffered(&[], 64 << 10)?;
    /// db.close()?;
    /// assert!(subscription.next().is_none(), "closing ends it");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::subscribe`].
    pub fn subscribe_buffered(&self, matchers: &[Matcher], buffer_bytes: usize) -> Result<Subscription> {
        Ok(match self.tenant() {
            Some(tenant) => {
                let own: Vec<Matcher> = matchers.iter().cloned().chain([tenant.matcher()]).collect();
                self.engine.subscribe(&own, buffer_bytes)?
            }
            None => self.engine.subscribe(matchers, buffer_bytes)?,
        })
    }
}
