//! Recorded series: CSV files in a folder and its folders, plain or .gz.
//!
//! The first column is the time: milliseconds or a date, `2014-04-10 00:02:00` or `2018-04-25T00:01:00Z`. The others are
//! series; cells without a number are no samples.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::random::Random;
use crate::series::{SECOND, Sample, Series};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// All series of the files in `folder`.
///
/// # Errors
/// A message about what cannot be read, or that there are no series.
pub fn read(folder: &Path) -> Result<Vec<Series>, String> {
    let mut files = Vec::new();
    find(folder, &mut files).map_err(|error| format!("{}: {error}", folder.display()))?;
    files.sort();
    let mut all = Vec::new();
    for file in &files {
        let text = text_of(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        all.extend(parsed(&name, &text).into_iter().filter(|series| series.samples.len() > 20));
    }
    if all.is_empty() { Err(format!("{}: no series", folder.display())) } else { Ok(all) }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            find(&path, files)?;
        } else if name.ends_with(".csv") || name.ends_with(".csv.gz") {
            files.push(path);
        }
    }
    Ok(())
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?;
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => GzDecoder::new(file).read_to_string(&mut text)?,
        false => file.read_to_string(&mut text)?,
    };
    Ok(text)
}

fn parsed(file: &str, text: &str) -> Vec<Series> {
    let mut lines = text.lines();
    let names = lines.next().map(cells).unwrap_or_default();
    let mut columns: Vec<Series> = names
        .iter()
        .skip(1)
        .map(|name| Series { name: format!("{file} {name}"), samples: Vec::new(), interval: SECOND })
        .collect();
    for line in lines {
        let cells = cells(line);
        let Some(time) = cells.first().and_then(|cell| milliseconds(cell)) else { continue };
        for (series, cell) in columns.iter_mut().zip(&cells[1..]) {
            let later = series.samples.last().is_none_or(|last| last.time < time * 1_000_000);
            if let (Ok(value), true) = (cell.parse(), later) {
                series.samples.push(Sample { time: time * 1_000_000, value, start: 0 });
            }
        }
    }
    for series in &mut columns {
        let mut gaps: Vec<i64> = series.samples.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
        gaps.sort_unstable();
        series.interval = gaps.get(gaps.len() / 2).copied().unwrap_or(SECOND);
    }
    columns
}

/// The cells of a line; quotes around a cell are left out, and two of them inside are one.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for byte in line.chars() {
        match byte {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => cells.last_mut().into_iter().for_each(|cell| cell.push(byte)),
        }
    }
    cells
}

fn milliseconds(cell: &str) -> Option<i64> {
    if let Ok(time) = cell.parse() {
        return Some(time);
    }
    let fields: Vec<i64> =
        cell.split(['-', 'T', ' ', ':', 'Z', '.']).map_while(|field| field.parse().ok()).collect();
    let [year, month, day, hour, minute, second, ..] = fields[..] else { return None };
    // Days since 1970, with years that begin in March so that leap days are last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some(days * DAY + ((hour * 60 + minute) * 60 + second) * 1000)
}

/// A part of one of the series, moved so that half of all parts are on a grid that bounds of buckets are on.
pub fn excerpt(all: &[Series], random: &mut Random) -> Series {
    let series = &all[random.below(all.len() as u64) as usize];
    let length = random.between(10, 400).min(series.samples.len() as i64) as usize;
    let from = random.below((series.samples.len() - length + 1) as u64) as usize;
    let mut samples = series.samples[from..from + length].to_vec();
    let mut name = series.name.clone();
    if random.percent(50) {
        let interval = random.pick(&[10, 15, 30, 60, 300]) * SECOND;
        let origin = samples[0].time / (3600 * SECOND) * 3600 * SECOND;
        for (at, sample) in samples.iter_mut().enumerate() {
            sample.time = origin + at as i64 * interval;
        }
        name.push_str(", on the grid");
    }
    Series { name, samples, interval: series.interval }
}
