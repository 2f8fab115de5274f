//! Opens a damaged directory in every possible way, and judges the results.

use std::path::Path;

use barograph::TimeRange;
use barograph::{Database, Options};

use super::answers::{self, Found};
use super::base::{Base, options};

/// The outcome of a fault as seen from outside; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The server does not start.
    Refused,
    /// It starts and says what is missing.
    LeftOut,
    /// It starts, and some answers are errors.
    Errors,
    /// All answers are right, and `verify` or opening reports a problem.
    Noticed,
    /// All answers are right, and nothing is reported.
    Right,
}

/// Opens `dir` in every way. Returns what is wrong with the answers.
///
/// # Errors
/// An answer that is wrong, or incomplete without saying so.
pub fn examine(dir: &Path, base: &Base) -> Result<Outcome, String> {
    let problems = Database::verify(dir).map(|report| report.problems);
    let is_clean = problems.as_ref().is_ok_and(|problems| problems.is_empty());
    let strict = options().with_refuse_damaged_store(true);
    let read = opened(Database::open_read_only(dir, strict), base, false, "open for reading")?;
    if is_clean && read != Outcome::Right {
        return Err(format!("verify finds nothing, and opening for reading: {read:?}"));
    }
    if read == Outcome::Refused {
        let lenient = options().with_recover_damaged_wal(true);
        opened(Database::open_read_only(dir, lenient), base, true, "open for reading with allow_damage")?;
    }
    let served = serve(dir, base, options())?;
    if is_clean && served != Outcome::Right && served != Outcome::Noticed {
        return Err(format!("verify finds nothing, and opening for writing: {served:?}"));
    }
    if served == Outcome::Refused {
        serve(dir, base, options().with_recover_damaged_wal(true))?;
    }
    Ok(if served == Outcome::Right && !is_clean { Outcome::Noticed } else { served })
}

/// Opens for writing, as the server does, merges, and opens the result again.
fn serve(dir: &Path, base: &Base, options: Options) -> Result<Outcome, String> {
    let db = match Database::open_with(dir, options) {
        Ok(db) => db,
        Err(_) => return Ok(Outcome::Refused),
    };
    let said = says(&db);
    let first = judge(&db, base, said, "open for writing")?;
    // A merge must not turn damage into data that looks intact.
    let _ = db.flush();
    let _ = db.compact();
    if let Some(why) = db.health().refuses_writes {
        return Err(format!("a merge met damage, and the store accepts no change: {why}"));
    }
    judge(&db, base, said, "after a merge")?;
    drop(db);
    let again = super::base::options().with_refuse_damaged_store(false).with_recover_damaged_wal(false);
    if let Ok(db) = Database::open_with(dir, again) {
        let said = said || says(&db);
        judge(&db, base, said, "opened again")?;
    } else if first == Outcome::Right {
        return Err("opened, closed, and then not opened again".to_owned());
    }
    Ok(first)
}

/// Whether opening reports damage.
fn says(db: &Database) -> bool {
    let report = db.open_report();
    let log = report.wal.as_ref().is_some_and(|wal| wal.torn_tail.is_some() || !wal.damage.is_empty());
    log || report.samples_unknown > 0 || !db.damage(TimeRange::ALL).is_empty()
}

/// Opens for reading. A command does not mention the findings of opening unless it was started with the option to
/// accept damage; then it always does.
fn opened(db: barograph::Result<Database>, base: &Base, said: bool, how: &str) -> Result<Outcome, String> {
    match db {
        Ok(db) => judge(&db, base, said, how),
        Err(_) => Ok(Outcome::Refused),
    }
}

fn judge(db: &Database, base: &Base, said: bool, how: &str) -> Result<Outcome, String> {
    let mut outcome = if said { Outcome::Noticed } else { Outcome::Right };
    for found in answers::compare(db, base) {
        let this = match found {
            Found::Right => continue,
            Found::Refused => Outcome::Errors,
            Found::Different { said: warned, .. } if said || warned => Outcome::LeftOut,
            Found::Different { what, .. } => return Err(format!("{how}: silently wrong: {what}")),
            Found::Invented(what) => return Err(format!("{how}: never written: {what}")),
        };
        outcome = outcome.min(this);
    }
    Ok(outcome)
}
