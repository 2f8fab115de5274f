//! Calls that change or copy the whole: delete, clean, snapshot, flush. Off unless
//! `enable_admin`.

use serde_json::json;

use crate::api::call::{Call, success_value};
use crate::api::reply::Reply;
use crate::api::selectors;
use crate::error::ApiError;
use crate::storage;

/// `…/delete_series`: deletes the samples of the selected series in a time range.
///
/// A selector that may mean every series is refused unless `all=true` says so.
///
/// # Errors
/// 400 for bad or too wide selectors, and what storage gives.
pub async fn delete_series(call: Call) -> Result<Reply, ApiError> {
    let wanted = selectors::read_required(&call)?;
    let range = call.params.range()?;
    let everything = call.params.get("all") == Some("true");
    if !everything && !wanted.iter().all(|matchers| selectors::is_selective(matchers)) {
        return Err(ApiError::parameter(
            "match[]",
            "the selector may match every series; name a value, or add all=true if that is meant",
        ));
    }
    let database = call.database()?;
    storage::blocking(move || {
        for matchers in &wanted {
            database.delete(matchers, range)?;
        }
        Ok::<_, ApiError>(())
    })
    .await??;
    Ok(Reply::no_content())
}

/// `…/clean_tombstones`: merges until what was deleted is gone from the disk.
///
/// # Errors
/// What storage gives.
pub async fn clean_tombstones(call: Call) -> Result<Reply, ApiError> {
    let database = call.database()?;
    storage::blocking(move || {
        database.flush()?;
        database.compact()
    })
    .await??;
    Ok(Reply::no_content())
}

/// `…/flush`: everything in memory goes to the store.
///
/// # Errors
/// What storage gives.
pub async fn flush(call: Call) -> Result<Reply, ApiError> {
    let database = call.database()?;
    storage::blocking(move || database.flush()).await??;
    Ok(Reply::no_content())
}

/// `…/snapshot`: a copy below `snapshots/` of the data directory, under a name of our own
/// making, so no client-given text ever becomes a path.
///
/// # Errors
/// 503 while another snapshot is made, and what storage gives.
pub async fn snapshot(call: Call) -> Result<Reply, ApiError> {
    let database = call.database()?;
    let app = call.app.clone();
    let _one_at_a_time =
        app.snapshot.try_lock().map_err(|_| ApiError::busy("another snapshot is being made", 10))?;
    let now = storage::now_ns();
    let name = snapshot_name(now);
    let dest = call.config.data_dir.join("snapshots").join(&name);
    storage::blocking(move || database.snapshot(&dest).map(drop)).await??;
    Ok(success_value(&json!({ "name": name })))
}

/// Date and time to the second, and nanoseconds in base 16 so that two never meet.
fn snapshot_name(now_ns: i64) -> String {
    let when = jiff::Timestamp::from_nanosecond(i128::from(now_ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{}-{:08x}", when.strftime("%Y%m%dT%H%M%SZ"), now_ns.rem_euclid(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_names_are_times() {
        assert_eq!(snapshot_name(1_435_781_451_000_000_255), "20150701T201051Z-000000ff");
    }
}
