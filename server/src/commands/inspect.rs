//! `barograph inspect`

use std::path::Path;

use barograph::{TimeRange, Timestamp};
use serde_json::Value;

use crate::api::ladders;
use crate::api::prometheus::cardinality;
use crate::cli::{CardinalityArgs, InspectArgs, InspectCommand, Target};
use crate::client::Client;
use crate::clock;
use crate::commands::reader::Reader;
use crate::commands::time_ms;
use crate::json;

/// Prints statistics and the largest names, or one of the reports.
///
/// # Errors
/// There is no database, or it does not answer.
pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let mut reader = None;
    if let Some(InspectCommand::Cardinality(args)) = &args.report {
        print_lists(&cardinality(args, &mut reader)?);
        return reader.map_or(Ok(()), Reader::finish);
    }
    let data = match &args.target.data_dir {
        Some(dir) => {
            let database = &reader.insert(Reader::open(dir, args.target.allow_damage)?).database;
            let mut metrics = crate::telemetry::database::metrics(&database.stats());
            metrics.extend(crate::telemetry::compaction::metrics(&database.tiers()));
            print!("{}", figures(&metrics));
            if let Some(kept) = database.stored_kept() {
                println!("\nkept, unless settings of the server say otherwise\n{:#}", ladders::show(&kept));
            }
            stored(database, TimeRange::ALL, args.top)?
        }
        None => {
            let client = Client::new(&args.target)?;
            let text = client.get("/metrics", &[])?;
            if text.status != 200 {
                anyhow::bail!("{}", text.error());
            }
            for line in String::from_utf8_lossy(&text.body).lines().filter(|line| !line.starts_with('#')) {
                if let Some(figure) = line.strip_prefix("barograph_db_") {
                    println!("{figure}");
                }
            }
            served(&args.target, &[("limit", args.top.max(1).to_string())])?
        }
    };
    print_lists(&data);
    reader.map_or(Ok(()), Reader::finish)
}

/// `barograph inspect cardinality`: the data of `/api/v1/status/tsdb`.
///
/// # Errors
/// Invalid times, no database, or a database that does not answer.
pub fn cardinality(args: &CardinalityArgs, reader: &mut Option<Reader>) -> anyhow::Result<Value> {
    let now_ms = clock::now_ns() / 1_000_000;
    let bound = |text: &Option<String>| text.as_deref().map(|text| time_ms(text, now_ms)).transpose();
    let (start, end) = (bound(&args.start)?, bound(&args.end)?);
    let dir: Option<&Path> = args.dir.as_deref().or(args.target.data_dir.as_deref());
    let Some(dir) = dir else {
        let mut parameters = vec![("limit", args.top.max(1).to_string())];
        for (name, ms) in [("start", start), ("end", end)] {
            if let Some(ms) = ms {
                let mut text = Vec::new();
                json::time(&mut text, ms);
                parameters.push((name, String::from_utf8_lossy(&text).into_owned()));
            }
        }
        return served(&args.target, &parameters);
    };
    let range = TimeRange::from(
        start.map_or(Timestamp::MIN, Timestamp::from_millis)
            ..=end.map_or(Timestamp::MAX, Timestamp::from_millis),
    );
    let reader = reader.insert(Reader::open(dir, args.target.allow_damage)?);
    stored(&reader.database, range, args.top)
}

fn stored(database: &barograph::Database, range: TimeRange, top: u32) -> anyhow::Result<Value> {
    let found = database.cardinality(Some(range), top.max(1) as usize)?;
    let mut text = Vec::new();
    let Ok(()) = cardinality::write(&mut text, &found, &database.stats());
    Ok(serde_json::from_slice(&text)?)
}

fn served(target: &Target, parameters: &[(&str, String)]) -> anyhow::Result<Value> {
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let answer = Client::new(target)?.get("/api/v1/status/tsdb", &parameters)?.json()?;
    Ok(answer["data"].clone())
}

fn figures(metrics: &[crate::telemetry::exposition::Metric]) -> String {
    let text = crate::telemetry::exposition::write(metrics);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("{}\n", line.strip_prefix("barograph_db_").unwrap_or(line))).collect()
}

fn print_lists(data: &Value) {
    let head = &data["headStats"];
    println!("\nseries {}, label pairs {}", head["numSeries"], head["numLabelPairs"]);
    for (key, title) in [
        ("seriesCountByMetricName", "series by metric"),
        ("labelValueCountByLabelName", "values by label"),
        ("seriesCountByLabelValuePair", "series by label pair"),
        ("memoryInBytesByLabelName", "bytes of values by label, in all series"),
    ] {
        println!("\n{title}");
        for entry in data[key].as_array().into_iter().flatten() {
            println!("{:>10}  {}", entry["value"].to_string(), entry["name"].as_str().unwrap_or(""));
        }
    }
}
