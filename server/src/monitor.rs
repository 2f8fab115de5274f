//! Self-monitoring: the server's metrics are stored as samples in its own database, so that their history can be
//! queried.
//!
//! If a label of a metric has the name of the label of tenants, such as `tenant`, the sample has it with the prefix
//! `exported_`, as Prometheus renames labels that collide with its own. Otherwise, metrics about a tenant would be
//! series of that tenant: it could read and delete them, they would count against its limits, and a tenant without
//! other series would never leave memory.

use std::sync::Arc;
use std::time::Duration;

use barograph::{Labels, Timestamp, Value};
use tokio::sync::watch;

use crate::runtime;
use crate::state::State;
use crate::telemetry::exposition::Metric;
use crate::telemetry::log::Throttle;
use barograph::Batch;

static FAILED: Throttle = Throttle::new();

/// Writes all metrics every `interval` until `stop` is true.
pub async fn run(state: Arc<State>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = runtime::stopped(&mut stop) => return,
        }
        let Ok(database) = state.database() else { continue };
        let (state_too, database) = (state.clone(), database.clone());
        let stored = runtime::blocking(move || {
            let metrics = state_too.metrics(&database);
            let config = state_too.config.load();
            let batch = batch(&metrics, &config.listen, &config.tenant_label, Timestamp::now());
            database.append(&batch).map(drop)
        })
        .await;
        if !matches!(stored, Ok(Ok(()))) {
            state.telemetry.self_failures.add(1);
            if let (Some(held_back), Ok(Err(e))) = (FAILED.pass(), stored) {
                tracing::warn!(held_back, "self-monitoring could not be stored: {e}");
            }
        }
    }
}

/// The metrics as samples with the same time. NaN, which means no observation yet, is omitted.
fn batch(metrics: &[Metric], instance: &str, tenant_label: &str, now: Timestamp) -> Batch {
    let mut batch = Batch::default();
    let exported = format!("exported_{tenant_label}");
    batch.set_stamped_by_clock();
    for metric in metrics {
        for point in metric.points.iter().filter(|point| !point.value.is_nan()) {
            let name = format!("{}{}", metric.name, point.suffix);
            let own = [("__name__", name.as_str()), ("job", "barograph"), ("instance", instance)];
            let name_of = |name: &'static str| if name == tenant_label { exported.as_str() } else { name };
            let labels = own.into_iter().chain(point.labels.iter().map(|(n, v)| (name_of(n), v.as_str())));
            if let Ok(labels) = Labels::from_pairs(labels) {
                batch.push(&labels, now, Value::Float(point.value));
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use barograph::{Database, Options, TimeRange};

    use super::*;
    use crate::telemetry::exposition::Kind;

    #[test]
    fn what_the_server_writes_about_itself_is_no_opinion_about_the_time() {
        assert!(batch(&[], "localhost", "db", Timestamp::from_nanos(1)).is_stamped_by_clock());
    }

    #[test]
    fn figures_about_a_tenant_are_no_series_of_it() {
        let mut metric = Metric::new(Kind::Gauge, "series", "Series.");
        metric.push(&[("tenant", "a")], 1.0);
        let database = Database::in_memory(Options::default().with_tenant_label("tenant".to_owned()));
        let database = database.unwrap();
        database.append(&batch(&[metric], "localhost", "tenant", Timestamp::now())).unwrap();
        let tenants = database.tenants(9);
        assert_eq!((tenants.count, &*tenants.largest[0].name), (1, ""), "{tenants:?}");
        let values = database.label_values("exported_tenant", &[], TimeRange::ALL).unwrap();
        assert_eq!(values, [("a".to_owned(), 1)]);
    }
}
