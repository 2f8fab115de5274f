//! Formats the answer of a query as a readable table or as CSV.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

/// The answer as a table: one line per series, or a list of times under each series.
pub fn table(data: &Value) -> String {
    let mut text = String::new();
    match (data["resultType"].as_str(), &data["result"]) {
        (Some("vector"), Value::Array(rows)) => {
            let lines: Vec<(String, String)> =
                rows.iter().map(|row| (metric(&row["metric"]), sample_text(row))).collect();
            let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
            for (name, value) in lines {
                let _ = writeln!(text, "{name:<width$}  {value}");
            }
        }
        (Some("matrix"), Value::Array(rows)) => {
            for row in rows {
                let _ = writeln!(text, "{}", metric(&row["metric"]));
                for point in points(row) {
                    let _ = writeln!(text, "  {}  {}", time_text(&point[0]), value_text(&point[1]));
                }
            }
        }
        (_, point) => {
            let _ = writeln!(text, "{}", value_text(&point[1]));
        }
    }
    if text.is_empty() {
        text.push_str("(no series)\n");
    }
    text
}

/// The answer as CSV: a column for each label, then `timestamp` and `value`.
pub fn csv(data: &Value) -> String {
    let empty = Vec::new();
    let rows = match data["resultType"].as_str() {
        Some("vector" | "matrix") => data["result"].as_array().unwrap_or(&empty),
        _ => {
            return format!(
                "timestamp,value\n{},{}\n",
                data["result"][0],
                field(&value_text(&data["result"][1]))
            );
        }
    };
    let names: BTreeSet<&String> =
        rows.iter().filter_map(|row| row["metric"].as_object()).flat_map(Map::keys).collect();
    let mut text = String::new();
    for name in &names {
        let _ = write!(text, "{},", field(name));
    }
    text.push_str("timestamp,value\n");
    for row in rows {
        let labels: String = names
            .iter()
            .map(|name| format!("{},", field(row["metric"][name.as_str()].as_str().unwrap_or(""))))
            .collect();
        for point in points(row) {
            let _ = writeln!(text, "{labels}{},{}", point[0], field(&value_text(&point[1])));
        }
    }
    text
}

/// The points of a row of a vector or a matrix: floats and histograms in order of time.
fn points(row: &Value) -> Vec<&Value> {
    let mut points: Vec<&Value> = ["value", "histogram"].iter().filter_map(|key| row.get(key)).collect();
    for key in ["values", "histograms"] {
        points.extend(row[key].as_array().into_iter().flatten());
    }
    points.sort_by(|a, b| a[0].as_f64().partial_cmp(&b[0].as_f64()).unwrap_or(std::cmp::Ordering::Equal));
    points
}

fn sample_text(row: &Value) -> String {
    points(row).first().map_or_else(String::new, |point| value_text(&point[1]))
}

/// A float unchanged; a histogram as count and sum.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(h) => format!(
            "count {} sum {}",
            h.get("count").and_then(Value::as_str).unwrap_or("?"),
            h.get("sum").and_then(Value::as_str).unwrap_or("?")
        ),
        other => other.to_string(),
    }
}

fn time_text(seconds: &Value) -> String {
    let ms = (seconds.as_f64().unwrap_or(0.0) * 1000.0).round() as i64;
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

/// Formats as `name{label="value"}`.
fn metric(labels: &Value) -> String {
    let empty = Map::new();
    let labels = labels.as_object().unwrap_or(&empty);
    let name = labels.get("__name__").and_then(Value::as_str).unwrap_or("");
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(label, _)| *label != "__name__")
        .map(|(label, value)| format!("{label}={:?}", value.as_str().unwrap_or("")))
        .collect();
    if pairs.is_empty() && !name.is_empty() {
        return name.to_owned();
    }
    format!("{name}{{{}}}", pairs.join(", "))
}

/// Formats a CSV field, quoted if necessary.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vectors_and_matrices() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "a,b"}, "value": [1.5, "1"]},
            {"metric": {"job": "longer name"}, "value": [1.5, "NaN"]},
        ]});
        assert_eq!(table(&vector), "up{job=\"a,b\"}        1\n{job=\"longer name\"}  NaN\n");
        assert_eq!(csv(&vector), "__name__,job,timestamp,value\nup,\"a,b\",1.5,1\n,longer name,1.5,NaN\n");
        let matrix = json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "up"}, "values": [[1, "1"], [2.5, "2"]]},
        ]});
        assert_eq!(table(&matrix), "up\n  1970-01-01T00:00:01Z  1\n  1970-01-01T00:00:02.5Z  2\n");
        assert_eq!(csv(&matrix), "__name__,timestamp,value\nup,1,1\nup,2.5,2\n");
    }

    #[test]
    fn scalars_and_nothing() {
        let scalar = json!({"resultType": "scalar", "result": [1, "2"]});
        assert_eq!((table(&scalar).as_str(), csv(&scalar).as_str()), ("2\n", "timestamp,value\n1,2\n"));
        let nothing = json!({"resultType": "vector", "result": []});
        assert_eq!(
            (table(&nothing).as_str(), csv(&nothing).as_str()),
            ("(no series)\n", "timestamp,value\n")
        );
    }
}
