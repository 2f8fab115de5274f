//! Calls that change or copy the whole database: delete, clean, snapshot, flush, drop a tier. Disabled unless `enable_admin` is set.
//!
//! They have separate turns and no deadline. A call that has started finishes even if its client disconnects.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::api::call::{Call, success_value};
use crate::api::gate::Asked;
use crate::api::selectors;
use crate::clock;
use crate::error::ApiError;
use crate::http::reply::Reply;

/// The folder of snapshots in the data directory.
const SNAPSHOTS: &str = "snapshots";
/// The file that is written last into a snapshot.
const FINISHED: &str = "SNAPSHOT";
/// How long `clean_tombstones` waits for reads that hold data it replaced; most end within this time.
const READS_PATIENCE: Duration = Duration::from_secs(5);

/// `…/delete_series`: deletes the samples of the selected series in a time range.
///
/// A selector that could match every series is refused unless `all=true` confirms it.
///
/// # Errors
/// 400 for invalid or too broad selectors, and the errors of storage.
pub async fn delete_series(call: Call) -> Result<Reply, ApiError> {
    let wanted = selectors::read_required(&call)?;
    let range = call.params.range()?;
    let everything = call.params.get("all") == Some("true");
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?.unhurried()).await?;
    let deleted = admitted.run(move |work| {
        let wanted = wanted.parse(work)?;
        if !everything && !wanted.iter().all(|matchers| selectors::is_selective(matchers)) {
            return Err(ApiError::parameter(
                "match[]",
                "the selector may match every series; name a value, or add all=true if that is intended",
            ));
        }
        for matchers in wanted.iter() {
            database.delete(matchers, range)?;
        }
        Ok(())
    });
    deleted.await?;
    Ok(Reply::no_content())
}

/// `…/clean_tombstones`: removes deleted data from the disk, applies retention and carries out the merges that are due.
/// Waits a few seconds for reads that hold some of the data.
///
/// # Errors
/// 503 if reads hold some of the data for longer; the message names them. Also the errors of storage.
pub async fn clean_tombstones(call: Call) -> Result<Reply, ApiError> {
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?.unhurried()).await?;
    let active = call.state.gates.active.clone();
    let cleaned = admitted.run(move |_| {
        database.compact()?;
        let held = database.clean_within(READS_PATIENCE)?.held;
        // Reads that still hold data began before the wait.
        Ok((held, active.name_reads(READS_PATIENCE)))
    });
    let (held, reads) = cleaned.await?;
    if held == 0 {
        return Ok(Reply::no_content());
    }
    let reads = reads.unwrap_or_else(|| "they have ended by now".to_owned());
    Err(ApiError::busy(
        format!(
            "{held} replaced generations with deleted samples stay on the disk because reads that began earlier need them \
             ({reads}); repeat the call when these have ended, or cancel them \
             (/api/v1/status/active_queries/ID/cancel)"
        ),
        10,
    ))
}

/// `…/flush`: writes everything in memory to the store.
///
/// # Errors
/// The errors of storage.
pub async fn flush(call: Call) -> Result<Reply, ApiError> {
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?.unhurried()).await?;
    admitted.run(move |_| Ok(database.flush().map(drop)?)).await?;
    Ok(Reply::no_content())
}

/// `…/drop_tier`: removes all buckets of the tier `tier`, which must not be kept.
///
/// # Errors
/// 400 if `tier` is not a width, or a tier that is kept, or none. Also the errors of storage.
pub async fn drop_tier(call: Call) -> Result<Reply, ApiError> {
    let tier = call.params.bucket_width()?;
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?.unhurried()).await?;
    let bytes = admitted.run(move |_| Ok(database.drop_tier(tier)?)).await?;
    Ok(success_value(&json!({ "bytes": bytes })))
}

/// `…/snapshot`: creates a copy below `snapshots/` in the data directory. The server chooses the name, so text from a
/// client never becomes a path.
///
/// # Errors
/// 503 while another snapshot is being made, and the errors of storage.
pub async fn snapshot(call: Call) -> Result<Reply, ApiError> {
    let database = call.database()?;
    if call.config.in_memory {
        return Err(ApiError::execution(
            "a database in memory has no snapshots: start the server without in_memory",
        ));
    }
    let admitted = call.admit(Asked::of(&call)?.unhurried()).await?;
    let one_at_a_time = call.state.snapshot.clone().try_lock_owned();
    let one_at_a_time = one_at_a_time.map_err(|_| ApiError::busy("another snapshot is being made", 10))?;
    let now = clock::now_ns();
    let name = snapshot_name(now);
    let dest = call.config.data_dir.join(SNAPSHOTS).join(&name);
    let copied = admitted.run(move |_| {
        // Other calls wait for the copy, not for its client.
        let _one_at_a_time = one_at_a_time;
        Ok(database.snapshot(&dest).map(drop)?)
    });
    copied.await?;
    Ok(success_value(&json!({ "name": name })))
}

/// Date and time to the second, followed by the nanoseconds in hexadecimal so that names are unique.
fn snapshot_name(now_ns: i64) -> String {
    let when = jiff::Timestamp::from_nanosecond(i128::from(now_ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{}-{:08x}", when.strftime("%Y%m%dT%H%M%SZ"), now_ns.rem_euclid(1_000_000_000))
}

/// Whether a name could have been made by [`snapshot_name`].
fn is_snapshot_name(name: &str) -> bool {
    let shape = "dddddddd:dddddd:-hhhhhhhh".bytes();
    name.len() == shape.len()
        && name.bytes().zip(shape).all(|(byte, kind)| match kind {
            b'd' => byte.is_ascii_digit(),
            b'h' => byte.is_ascii_hexdigit(),
            b':' => matches!(byte, b'T' | b'Z'),
            kind => byte == kind,
        })
}

/// Removes snapshots that were unfinished when the process ended: they are useless, and their links keep the space of
/// tables that were removed from the store. Called while no snapshot is being made.
pub fn remove_unfinished_snapshots(data_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(data_dir.join(SNAPSHOTS)) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_str().is_some_and(is_snapshot_name) && path.is_dir();
        // `try_exists` rather than `exists`: a snapshot that cannot be examined is kept.
        if !is_ours || !matches!(path.join(FINISHED).try_exists(), Ok(false)) {
            continue;
        }
        match std::fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(path = %path.display(), "removed an unfinished snapshot"),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an unfinished snapshot could not be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_snapshots_only_unfinished_ones_of_ours_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = dir.path().join(SNAPSHOTS);
        remove_unfinished_snapshots(dir.path());
        let [whole, part, other] = [snapshot_name(1), snapshot_name(2), "mine".to_owned()];
        for name in [&whole, &part, &other] {
            std::fs::create_dir_all(snapshots.join(name).join("store")).unwrap();
        }
        std::fs::write(snapshots.join(&whole).join(FINISHED), "barograph snapshot 1 seq 7\n").unwrap();
        remove_unfinished_snapshots(dir.path());
        let is_left = |name: &String| snapshots.join(name).exists();
        assert_eq!([&whole, &part, &other].map(is_left), [true, false, true]);
    }

    #[test]
    fn snapshot_names_are_times() {
        assert_eq!(snapshot_name(1_435_781_451_000_000_255), "20150701T201051Z-000000ff");
    }
}
