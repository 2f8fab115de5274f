//! What a database keeps, and for how long, as one value.

use std::time::Duration;

use barograph_engine::{EventsReport, Kept, KeptTrial};

use crate::{Database, Result};

impl Database {
    /// What the database keeps: the options that [`Database::set_retention`], [`Database::set_tiers`],
    /// [`Database::set_ladders`], [`Database::set_event_retention`] and [`Database::set_disk_bytes`] change.
    ///
    /// ```
    /// use barograph::{Database, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default().with_disk_bytes(1 << 30))?;
    /// let kept = db.kept();
    /// assert_eq!((kept.disk_bytes, kept.event_retention), (1 << 30, None));
    /// # Ok(()) }
    /// ```
    pub fn kept(&self) -> Kept {
        self.engine.kept()
    }

    /// Changes all that the running database keeps together.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # use std::time::Duration;
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// let mut kept = db.kept();
    /// kept.retention = DAY * 15;
    /// kept.tiers = "5m 90d, 1h 3y".parse().expect("two tiers");
    /// db.set_kept(kept)?;
    /// assert!(db.set_retention(DAY * 100).is_err(), "buckets of 5m would be dropped before the samples");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the methods that change a part of it; nothing is changed.
    pub fn set_kept(&self, kept: Kept) -> Result<()> {
        Ok(self.engine.set_kept(kept)?)
    }

    /// Changes what the running database keeps, and stores it: it counts from now on, and whenever the database is opened
    /// with [`Options::stored_kept`](crate::Options::stored_kept). [`Kept::disk_bytes`] is not stored.
    ///
    /// ```
    /// use barograph::{Database, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// let options = Options::default().with_stored_kept(true);
    /// let db = Database::open_with(&directory, options.clone())?;
    /// assert_eq!(db.stored_kept(), None);
    /// let mut kept = db.kept();
    /// kept.event_retention = Some(Duration::from_secs(30 * 86_400));
    /// db.store_kept(kept.clone())?;
    /// db.close()?;
    /// let db = Database::open_with(&directory, options)?;
    /// assert_eq!(db.kept(), kept);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`Database::set_kept`]; it cannot be stored. Nothing is changed.
    pub fn store_kept(&self, kept: Kept) -> Result<()> {
        Ok(self.engine.store_kept(kept)?)
    }

    /// What [`Database::store_kept`] has stored in the database, also if it does not count; `None` if nothing is. The size is
    /// that in effect.
    ///
    /// ```
    /// use barograph::{Database, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// assert_eq!(db.stored_kept(), None);
    /// db.store_kept(db.kept())?;
    /// assert_eq!(db.stored_kept(), Some(db.kept()));
    /// # Ok(()) }
    /// ```
    pub fn stored_kept(&self) -> Option<Kept> {
        self.engine.stored_kept()
    }

    /// What the compactor would do if the database kept this: what it would build, drop and free. Nothing is changed. The
    /// figures are estimates from what is stored.
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # use std::time::Duration;
    /// let db = Database::in_memory(Options::default())?;
    /// let lines: String = (0..9).map(|day| format!("cpu usage={day} {}\n", 1_700_000_000 + day * 86_400)).collect();
    /// db.write_lines(lines.as_bytes(), &LineOptions::default().with_precision("s".parse()?))?;
    /// db.flush()?;
    /// let mut kept = db.kept();
    /// kept.retention = Duration::from_secs(5 * 86_400);
    /// let trial = db.try_kept(kept)?;
    /// assert_eq!((trial.drops[0].partitions, trial.drops[0].samples), (3, 3));
    /// assert!(db.kept().retention.is_zero());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`Database::set_kept`]; the store cannot be read.
    pub fn try_kept(&self, kept: Kept) -> Result<KeptTrial> {
        Ok(self.engine.try_kept(kept)?)
    }

    /// Changes how long events (string fields) are kept ([`Options::event_retention`](crate::Options::event_retention));
    /// zero: for ever, `None`: as long as the raw samples that are kept longest. Events that have been dropped stay so.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # use std::time::Duration;
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// db.set_event_retention(Some(DAY * 30))?;
    /// assert_eq!(db.events_kept().retention, DAY * 30);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// It is shorter than one partition.
    pub fn set_event_retention(&self, retention: Option<Duration>) -> Result<()> {
        Ok(self.engine.set_event_retention(retention)?)
    }

    /// How long events (string fields) are kept, and up to when they have been dropped.
    ///
    /// ```
    /// use barograph::{Database, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # use std::time::Duration;
    /// let db = Database::in_memory(Options::default().with_retention(Duration::from_secs(86_400)))?;
    /// let kept = db.events_kept();
    /// assert_eq!((kept.retention, kept.dropped), (Duration::from_secs(86_400), None), "as long as samples");
    /// # Ok(()) }
    /// ```
    pub fn events_kept(&self) -> EventsReport {
        self.engine.events_kept()
    }
}
