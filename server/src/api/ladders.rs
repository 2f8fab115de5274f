//! `/api/v1/admin/ladders`: what is kept of which series, and for how long; shown, tried and changed.
//!
//! The settings win: while one of [`KEPT_SETTINGS`] is set, the database keeps what they say,
//! and changes are refused. Otherwise a change is stored in the database.

use std::time::Duration;

use barograph::{DataDrop, Database, Kept, KeptTrial, TierBuild};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::call::{Call, success_value};
use crate::api::gate::Asked;
use crate::config::values::show_duration;
use crate::config::{Config, KEPT_SETTINGS};
use crate::error::ApiError;
use crate::http::params::Params;
use crate::http::reply::Reply;

/// `GET`: what is kept, and who says so. `POST` and `PUT` change the parts that have a parameter; with `dry_run=true` they
/// change nothing and return what the compactor would do.
///
/// # Errors
/// 400 names the parameter that is wrong; 409 if the settings say what is kept. Also the errors of storage.
pub async fn ladders(call: Call) -> Result<Reply, ApiError> {
    let (state, database) = (call.state.clone(), call.database()?);
    let is_change = call.method == Method::POST || call.method == Method::PUT;
    let changes = is_change.then(|| Changes::read(&call.params)).transpose()?;
    let is_trial = call.params.switch("dry_run")?;
    let admitted = call.admit(Asked::of(&call)?.unhurried()).await?;
    let answer = admitted.run(move |_| {
        // A reload changes who says what is kept.
        let _unchanged = (is_change && !is_trial).then(|| state.kept.lock());
        let config = state.config.load_full();
        let Some(changes) = changes else { return Ok(describe(&database, &config)) };
        let kept = changes.apply(&config, database.kept())?;
        if is_trial {
            return Ok(trial(&database.try_kept(kept)?));
        }
        let places: Vec<&str> = config.kept_places().collect();
        if !places.is_empty() {
            return Err(conflict(&places));
        }
        database.store_kept(kept)?;
        Ok(describe(&database, &config))
    });
    Ok(success_value(&answer.await?))
}

fn conflict(places: &[&str]) -> ApiError {
    let message = format!(
        "the settings of the server say what is kept ({}): change them there and send SIGHUP, or take all of {} out of them \
         to change it here; dry_run=true works in any case",
        places.join(", "),
        KEPT_SETTINGS.join(", ")
    );
    ApiError::new(StatusCode::CONFLICT, "conflict", message)
}

/// The parameters of a change: settings and their new texts.
struct Changes(Vec<(&'static str, String)>);

impl Changes {
    fn read(params: &Params) -> Result<Changes, ApiError> {
        let value = |key: &'static str| {
            let mut values = params.all(key);
            let first = values.next().map(|text| (key, text.to_owned()))?;
            // The data of series in a second list of ladders would be dropped by the first.
            Some(match values.next() {
                None => Ok(first),
                Some(_) => Err(ApiError::parameter(key, "it is given more than once")),
            })
        };
        let changes = KEPT_SETTINGS.into_iter().filter_map(value).collect::<Result<Vec<_>, _>>()?;
        if changes.is_empty() {
            return Err(ApiError::bad_data(format!(
                "nothing to change: send at least one of the parameters {}",
                KEPT_SETTINGS.join(", ")
            )));
        }
        Ok(Changes(changes))
    }

    /// What is kept then.
    fn apply(&self, config: &Config, mut kept: Kept) -> Result<Kept, ApiError> {
        let mut changed = config.clone();
        for (key, text) in &self.0 {
            changed.set(key, text).map_err(|error| ApiError::parameter(key, error))?;
            match *key {
                "retention" => kept.retention = changed.retention,
                "tiers" => kept.tiers = changed.tiers.clone(),
                "ladders" => kept.ladders = changed.ladders.clone(),
                _ => kept.event_retention = changed.event_retention,
            }
        }
        Ok(kept)
    }
}

/// What is kept, and who says so.
fn describe(database: &Database, config: &Config) -> Value {
    let places: Vec<&str> = config.kept_places().collect();
    let stored = database.stored_kept();
    let mut shown = show(&database.kept());
    shown["source"] = config.kept_source(stored.is_some()).into();
    shown["settings"] = json!(places);
    shown["overruled"] = stored.filter(|_| !places.is_empty()).map_or(Value::Null, |stored| show(&stored));
    shown
}

/// What is kept, in the words of the settings.
pub fn show(kept: &Kept) -> Value {
    let tiers = if kept.tiers.is_empty() { "none".to_owned() } else { kept.tiers.to_string() };
    let keep = |keep: Duration| if keep.is_zero() { "0".to_owned() } else { show_duration(keep) };
    json!({
        "retention": keep(kept.retention),
        "tiers": tiers,
        "ladders": kept.ladders.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "eventRetention": kept.event_retention.map(keep),
    })
}

fn trial(trial: &KeptTrial) -> Value {
    json!({
        "builds": trial.builds.iter().map(build).collect::<Vec<_>>(),
        "drops": trial.drops.iter().map(drop_of).collect::<Vec<_>>(),
        "events": trial.events,
        "unnamed": trial.unnamed.iter().map(|tier| tier.name()).collect::<Vec<_>>(),
        "builtBytes": trial.built_bytes,
        "freedBytes": trial.freed_bytes,
    })
}

fn build(build: &TierBuild) -> Value {
    json!({
        "tier": build.resolution.name(),
        "from": build.from.as_secs_f64(),
        "through": build.through.as_secs_f64(),
        "partitions": build.partitions,
        "buckets": build.buckets,
        "bytes": build.bytes,
    })
}

fn drop_of(drop: &DataDrop) -> Value {
    json!({
        "tier": drop.resolution.map_or("raw", |tier| tier.name()),
        "from": drop.from.as_secs_f64(),
        "through": drop.through.as_secs_f64(),
        "partitions": drop.partitions,
        "rewritten": drop.rewritten,
        "samples": drop.samples,
        "bytes": drop.bytes,
    })
}
