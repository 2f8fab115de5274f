//! Reads a folder in NAB's layout: CSV files (plain or `.gz`) in folders, and `combined_windows.json`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

/// The rows of a labelled window, including both ends.
pub type Window = (usize, usize);

/// One file of the corpus.
pub struct Series {
    /// The file's folder and name.
    pub name: String,
    /// Seconds since 1970.
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    pub windows: Vec<Window>,
}

/// All files with labels, by name.
pub fn read(root: &Path) -> Result<Vec<Series>, Box<dyn Error>> {
    let path = ["combined_windows.json", "labels/combined_windows.json"].map(|name| root.join(name));
    let path =
        path.iter().find(|path| path.exists()).ok_or("there is no combined_windows.json in the folder")?;
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut all = Vec::new();
    for (name, windows) in labels {
        let Some(text) = text_of(root, &name)? else {
            return Err(format!("{name} has labels and is not in the folder").into());
        };
        let (times, values) =
            columns(&text).ok_or_else(|| format!("{name}: not a CSV file of NAB's shape"))?;
        let rows = |(left, right): &(String, String)| {
            let (left, right) = (seconds(left)?, seconds(right)?);
            let first = times.partition_point(|&time| time < left);
            let end = times.partition_point(|&time| time <= right);
            (first < end).then(|| (first, end - 1))
        };
        let windows: Option<Vec<Window>> = windows.iter().map(rows).collect();
        let windows = windows.ok_or_else(|| format!("{name}: a window holds no row"))?;
        all.push(Series { name, times, values, windows });
    }
    Ok(all)
}

fn text_of(root: &Path, name: &str) -> Result<Option<String>, Box<dyn Error>> {
    let mut text = String::new();
    for path in [root.join(name), root.join("data").join(name)] {
        if path.exists() {
            return Ok(Some(std::fs::read_to_string(path)?));
        }
        let packed = path.with_extension("csv.gz");
        if packed.exists() {
            GzDecoder::new(std::fs::File::open(packed)?).read_to_string(&mut text)?;
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn columns(text: &str) -> Option<(Vec<i64>, Vec<f64>)> {
    let row = |line: &str| {
        let (time, value) = line.split_once(',')?;
        Some((seconds(time)?, value.trim().parse::<f64>().ok()?))
    };
    text.lines().skip(1).map(row).collect()
}

/// `2014-04-10 07:15:00`, with or without a fraction, in UTC.
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.trim().split_once(' ')?;
    let number = |text: &str| text.split('.').next()?.parse::<i64>().ok();
    let date: Vec<i64> = date.split('-').map(number).collect::<Option<_>>()?;
    let time: Vec<i64> = time.split(':').map(number).collect::<Option<_>>()?;
    let ([year, month, day], [hours, minutes, seconds]) =
        (date[..].try_into().ok()?, time[..].try_into().ok()?);
    let (year, month, day): (i64, i64, i64) = (year, month, day);
    // Days and years that begin in March, so that a leap day is the last day of its year.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(seconds("1970-01-01 00:00:00"), Some(0));
        assert_eq!(seconds("2014-04-10 07:15:00.000000"), Some(1_397_114_100));
        assert_eq!(seconds("2016-02-29 23:59:59"), Some(1_456_790_399));
        assert_eq!(seconds("2014-04-10"), None);
    }
}
