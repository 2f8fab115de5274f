//! A budget of disk space instead of times.

use std::time::Duration;

use super::aging::{Aged, DAY};
use crate::engine::tests::{YEAR_2024, options};
use crate::model::{Resolution, TierId, TimeRange};
use crate::{BudgetReport, Options};

fn database(tiers: &str) -> Aged {
    let partition_width = Duration::from_secs(86_400);
    Aged::with_options(Options { tiers: tiers.parse().unwrap(), partition_width, ..options() })
}

/// The days of raw samples that are stored.
fn raw_days(aged: &Aged) -> i64 {
    let catalogue = aged.engine.shared.versions.current_owned();
    let partitions = catalogue.generations.partitions();
    partitions.filter(|partition| partition.id.tier.is_raw()).count() as i64
}

fn bytes_of(aged: &Aged, tier: TierId) -> u64 {
    let catalogue = aged.engine.shared.versions.current_owned();
    let generations = catalogue.generations.iter().filter(|g| g.prefix.partition.tier == tier);
    generations.map(|g| g.record.bytes).sum()
}

#[test]
fn the_oldest_raw_samples_go_first_and_the_forecast_holds() {
    let mut aged = database("1h");
    (0..12).for_each(|day| aged.day(day));
    let BudgetReport { used_bytes, bytes_per_day, full_in, .. } = aged.engine.budget();
    let per_day = bytes_per_day.expect("ten days are closed");
    assert_eq!((full_in, aged.engine.budget().raw_kept), (None, None), "there is no budget");
    let whole = used_bytes;

    // As much again.
    aged.engine.set_disk_bytes(2 * whole).unwrap();
    let report = aged.engine.budget();
    let full = report.full_in.expect("it grows").as_secs_f64() / 86_400.0;
    assert!((full * per_day as f64 / whole as f64 - 1.0).abs() < 0.01, "{full} days, {whole}, {report:?}");
    let raw_kept = report.raw_kept.expect("it grows").as_secs_f64() / 86_400.0;
    let mut day = 12;
    while raw_days(&aged) == day {
        aged.day(day);
        day += 1;
        assert!(day < 90, "it never becomes full");
    }
    let forecast = 12.0 + full;
    assert!((day as f64 - forecast).abs() <= 0.15 * forecast, "full on day {day}, {forecast} were forecast");
    (day..day + 5).for_each(|day| aged.day(day));
    let kept = raw_days(&aged) as f64;
    assert!(
        (kept - raw_kept).abs() <= 0.25 * raw_kept + 2.0,
        "{kept} days are kept, {raw_kept} were forecast"
    );
    (day..day + 5).for_each(|day| aged.day(day));
    assert!((raw_days(&aged) as f64) < kept, "hours take the place of samples");
    let used = aged.engine.budget().used_bytes;
    assert!(used <= 2 * whole, "{used} of {}", 2 * whole);
    // The hours are all there.
    aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + (day + 5) * DAY));
    assert!(aged.engine.verify().unwrap().is_clean());
}

#[test]
fn what_a_tier_keeps_is_not_dropped_before_it_is_there_and_the_newest_data_stays() {
    let hourly = TierId::of(0, Resolution::parse("1h").unwrap());
    let mut aged = database("1h");
    (0..20).for_each(|day| aged.day(day));
    let (raw, hours) = (bytes_of(&aged, TierId::RAW), bytes_of(&aged, hourly));
    assert!(raw > 0 && hours > 0);
    aged.engine.set_disk_bytes(1).unwrap();
    aged.engine.compact().unwrap();
    // Hours have partitions of a week, of which two stay.
    assert_eq!(raw_days(&aged), 2);
    let first = aged.engine.view().tiers()[0].range.start;
    assert!(first > YEAR_2024 && first <= YEAR_2024 + 14 * DAY, "{first}");
    aged.check("1h", TimeRange::new(YEAR_2024 + 14 * DAY, YEAR_2024 + 20 * DAY));
    // With a tier that does not exist yet, nothing goes.
    let mut young = database("none");
    (0..6).for_each(|day| young.day(day));
    young.engine.set_tiers("1h".parse().unwrap()).unwrap();
    young.engine.set_disk_bytes(1).unwrap();
    let before = raw_days(&young);
    let pass = young.engine.shared.merger.pass(i64::MAX);
    young.engine.shared.merger.fit(&pass).unwrap();
    assert_eq!(raw_days(&young), before, "hours are not built yet");
    young.engine.compact().unwrap();
    assert_eq!(raw_days(&young), 2);
    young.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 6 * DAY));
}
