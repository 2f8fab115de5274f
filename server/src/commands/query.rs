//! `barograph query`

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use barograph::{Request, Times, Timestamp};
use serde_json::Value;

use crate::api::call;
use crate::cli::{Format, QueryArgs};
use crate::client::Client;
use crate::clock;
use crate::commands::reader::Reader;
use crate::commands::{explain, table, time_ms};
use crate::config::values;
use crate::json;

/// Evaluates the query and prints the answer. Warnings go to standard error.
///
/// # Errors
/// Invalid arguments, no database, or a failed query.
pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let times = times(args, clock::now_ns() / 1_000_000)?;
    let mut reader = None;
    let body = match &args.target.data_dir {
        Some(dir) => {
            let reader = reader.insert(Reader::open(dir, args.target.allow_damage)?);
            let mut request = Request::instant(args.query.clone(), Timestamp::now());
            request.times = times;
            request.explain = args.explain;
            let response = reader.database.execute(&request)?;
            let mut body = Vec::new();
            let Ok(()) = call::success(&mut body, &response.warnings, &response.infos, |out| {
                json::query_data(out, &response.value)?;
                if let Some(accuracy) = &response.accuracy {
                    out.extend_from_slice(b",\"accuracy\":");
                    let text = crate::api::prometheus::explain::accuracy(accuracy).to_string();
                    out.extend_from_slice(text.as_bytes());
                }
                if let Some(explained) = &response.explain {
                    out.extend_from_slice(b",\"explain\":");
                    out.extend_from_slice(
                        crate::api::prometheus::explain::tree(explained).to_string().as_bytes(),
                    );
                }
                out.push(b'}');
                Ok(())
            });
            body
        }
        None => ask(args, times)?,
    };
    print(args, &body)?;
    reader.map_or(Ok(()), Reader::finish)
}

fn print(args: &QueryArgs, body: &[u8]) -> anyhow::Result<()> {
    if args.format == Format::Json {
        std::io::stdout().write_all(body)?;
        return Ok(());
    }
    let answer: Value = serde_json::from_slice(body)?;
    for key in ["warnings", "infos"] {
        for text in answer[key].as_array().into_iter().flatten() {
            eprintln!("{}", text.as_str().unwrap_or(""));
        }
    }
    let text = match args.format {
        _ if args.explain => explain::tree(&answer["data"]["explain"]),
        Format::Csv => table::csv(&answer["data"]),
        _ => table::table(&answer["data"]),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn ask(args: &QueryArgs, times: Times) -> anyhow::Result<Vec<u8>> {
    let seconds = |ms: i64| {
        let mut text = Vec::new();
        json::time(&mut text, ms);
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut form = vec![("query", args.query.clone())];
    if args.explain {
        form.push(("explain", "true".to_owned()));
    }
    let path = match times {
        Times::Instant { time } => {
            form.push(("time", seconds(time.as_millis())));
            "/api/v1/query"
        }
        Times::Range { start, end, step } => {
            let [start, end] = [start, end].map(|at| seconds(at.as_millis()));
            form.extend([("start", start), ("end", end), ("step", seconds(step.as_millis() as i64))]);
            "/api/v1/query_range"
        }
    };
    let answer = Client::new(&args.target)?.post_form(path, &form)?;
    if answer.status != 200 {
        bail!("{}", answer.error());
    }
    Ok(answer.body)
}

fn times(args: &QueryArgs, now_ms: i64) -> anyhow::Result<Times> {
    let Some(start) = &args.start else {
        return Ok(Times::Instant { time: Timestamp::from_millis(time_ms(&args.time, now_ms)?) });
    };
    let start_ms = time_ms(start, now_ms)?;
    let end_ms = time_ms(args.end.as_deref().unwrap_or("now"), now_ms)?;
    if end_ms < start_ms {
        bail!("--end is before --start");
    }
    let step_ms = match &args.step {
        Some(text) => values::duration_ms(text)? as i64,
        None => ((end_ms - start_ms) / 60).max(1000),
    };
    if step_ms == 0 {
        bail!("--step must be longer than 0");
    }
    let (start, end) = (Timestamp::from_millis(start_ms), Timestamp::from_millis(end_ms));
    Ok(Times::Range { start, end, step: Duration::from_millis(step_ms as u64) })
}
