//! `barograph inspect`

use serde_json::Value;

use crate::cli::InspectArgs;
use crate::client::Client;
use crate::commands::open_read_only;
use crate::storage;

/// Prints figures and the largest names.
///
/// # Errors
/// No database, or it does not answer.
pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let top = args.top.max(1);
    let data = match &args.target.data_dir {
        Some(dir) => {
            let database = open_read_only(dir)?;
            print!("{}", figures(&crate::telemetry::database::metrics(&database.stats())));
            storage::cardinality(&database, top as usize, usize::MAX)?
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
            let answer = client.get("/api/v1/status/tsdb", &[("limit", &top.to_string())])?.json()?;
            answer["data"].clone()
        }
    };
    print_lists(&data);
    Ok(())
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
    ] {
        println!("\n{title}");
        for entry in data[key].as_array().into_iter().flatten() {
            println!("{:>10}  {}", entry["value"].to_string(), entry["name"].as_str().unwrap_or(""));
        }
    }
}
