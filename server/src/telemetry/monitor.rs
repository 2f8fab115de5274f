//! Self-monitoring: the server's metrics become samples of its own database, so that its
//! past can be queried like everything else.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::model::{Labels, Value};
use tokio::sync::watch;

use crate::app::App;
use crate::storage;
use crate::telemetry::exposition::Metric;
use crate::telemetry::log::Throttle;
use barograph::Batch;

static FAILED: Throttle = Throttle::new();

/// Writes all metrics each `interval` until `stop` turns true.
pub async fn run(app: Arc<App>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = crate::listen::stopped(&mut stop) => return,
        }
        let Ok(database) = app.database() else { continue };
        let (app_too, database) = (app.clone(), database.clone());
        let stored = storage::blocking(move || {
            let metrics = storage::all_metrics(&app_too, &database);
            let instance = app_too.config.load().listen.clone();
            database.append(&batch(&metrics, &instance, storage::now_ns())).map(drop)
        })
        .await;
        if !matches!(stored, Ok(Ok(()))) {
            app.telemetry.self_failures.add(1);
            if let (Some(held_back), Ok(Err(e))) = (FAILED.pass(), stored) {
                tracing::warn!(held_back, "self-monitoring could not be stored: {e}");
            }
        }
    }
}

/// The metrics as samples at one instant; NaN (no observation yet) is left out.
fn batch(metrics: &[Metric], instance: &str, now_ns: i64) -> Batch {
    let mut batch = Batch::default();
    batch.set_stamped_by_clock();
    for metric in metrics {
        for point in metric.points.iter().filter(|point| !point.value.is_nan()) {
            let name = format!("{}{}", metric.name, point.suffix);
            let own = [("__name__", name.as_str()), ("job", "barograph"), ("instance", instance)];
            let labels = own.into_iter().chain(point.labels.iter().map(|(n, v)| (*n, v.as_str())));
            if let Ok(labels) = Labels::from_pairs(labels) {
                batch.push(&labels, now_ns, Value::Float(point.value));
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_writes_about_itself_is_no_opinion_about_the_time() {
        assert!(batch(&[], "localhost", 1).is_stamped_by_clock());
    }
}
