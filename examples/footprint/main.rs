//! The fixed costs of a database: the program behind `benches/footprint.py`.
//!
//! `footprint STORE WORK FOLDER NUMBER` does one piece of work with one store in a process of its own and prints
//! figures, one per line: a name and a number. Each store keeps the same samples: series of floats, by number and time.

#![expect(clippy::print_stdout, reason = "a program")]

mod stores;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use stores::{Failure, Kind, Store};

const SERIES: u64 = 100;
const SAMPLES: i64 = 60;

/// Bytes of all blocks below a folder.
fn disk_bytes(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        };
    }
    bytes
}

/// The resources of the process; memory in kB.
#[derive(Clone, Copy)]
struct Taken {
    memory: f64,
    threads: f64,
    descriptors: f64,
    written_kb: f64,
    switches: f64,
}

fn figure(path: &str, name: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

fn entries(path: &str) -> Vec<String> {
    let found = fs::read_dir(path).into_iter().flatten().flatten();
    found.map(|entry| entry.path().display().to_string()).collect()
}

fn taken() -> Taken {
    // The thread that measures belongs to the program.
    let own = fs::read_link("/proc/thread-self").unwrap_or_default();
    let mut tasks = entries("/proc/self/task");
    tasks.retain(|task| !task.ends_with(&own.file_name().unwrap_or_default().display().to_string()));
    let switches = |task: &String| {
        let status = format!("{task}/status");
        figure(&status, "voluntary_ctxt_switches:") + figure(&status, "nonvoluntary_ctxt_switches:")
    };
    Taken {
        memory: figure("/proc/self/status", "VmRSS:"),
        threads: tasks.len() as f64,
        descriptors: entries("/proc/self/fd").len() as f64,
        written_kb: figure("/proc/self/io", "write_bytes:") / 1024.0,
        switches: tasks.iter().map(switches).sum(),
    }
}

type Figures = BTreeMap<&'static str, f64>;

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// An empty database: its size, and how long it takes to create and to open again.
fn empty(kind: Kind, folder: &Path, times: u64) -> Result<Figures, Failure> {
    let (mut create, mut reopen) = (Vec::new(), Vec::new());
    for number in 0..times {
        let folder = folder.join(number.to_string());
        let since = Instant::now();
        let store = kind.open(&folder)?;
        create.push(milliseconds(since));
        store.close()?;
        let since = Instant::now();
        let store = kind.open(&folder)?;
        reopen.push(milliseconds(since));
        store.close()?;
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(0.0)
    };
    let store = kind.open(&folder.join("0"))?;
    let open = disk_bytes(&folder.join("0"));
    store.close()?;
    let disk = open.max(disk_bytes(&folder.join("0"))) as f64 / 1e6;
    Ok(BTreeMap::from([
        ("empty_mb", disk),
        ("create_ms", median(&mut create)),
        ("reopen_ms", median(&mut reopen)),
    ]))
}

/// A little data.
fn little(kind: Kind, folder: &Path) -> Result<Figures, Failure> {
    let store = kind.open(folder)?;
    for time in 0..SAMPLES {
        store.append(&(0..SERIES).map(|series| (series, time)).collect::<Vec<_>>())?;
    }
    store.close()?;
    Ok(BTreeMap::from([("little_mb", disk_bytes(folder) as f64 / 1e6)]))
}

/// Many databases in one process, each with a sample.
fn many(kind: Kind, folder: &Path, count: u64) -> Result<Figures, Failure> {
    // What exists once for all of them is not counted.
    let first = kind.open(&folder.join("first"))?;
    first.append(&[(0, 0)])?;
    let before = taken();
    let mut stores: Vec<Box<dyn Store>> = Vec::new();
    for number in 0..count {
        let store = kind.open(&folder.join(number.to_string()))?;
        store.append(&[(0, 0)])?;
        stores.push(store);
    }
    let after = taken();
    let each = |before: f64, after: f64| (after - before) / count as f64;
    Ok(BTreeMap::from([
        ("each_kb", each(before.memory, after.memory)),
        ("each_threads", each(before.threads, after.threads)),
        ("each_descriptors", each(before.descriptors, after.descriptors)),
    ]))
}

/// Commits of one sample, each on disk before the next.
fn commits(kind: Kind, folder: &Path, count: u64) -> Result<Figures, Failure> {
    let store = kind.open(folder)?;
    store.append(&[(0, -1)])?;
    let before = taken();
    for time in 0..count as i64 {
        store.append(&[(0, time)])?;
    }
    let written = (taken().written_kb - before.written_kb) / count.max(1) as f64;
    store.close()?;
    Ok(BTreeMap::from([("commit_kb", written)]))
}

/// An open database that nobody uses.
fn idle(kind: Kind, folder: &Path, seconds: u64) -> Result<Figures, Failure> {
    let store = kind.open(folder)?;
    store.append(&[(0, 0)])?;
    // The work caused by the sample is done.
    std::thread::sleep(Duration::from_secs(3));
    let before = taken();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = taken();
    store.close()?;
    let per_second = |before: f64, after: f64| (after - before) / seconds.max(1) as f64;
    Ok(BTreeMap::from([
        ("idle_mb_a_day", per_second(before.written_kb, after.written_kb) * 86_400.0 / 1024.0),
        ("idle_switches", per_second(before.switches, after.switches)),
    ]))
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, work, folder, number] = &arguments[..] else {
        return Err("footprint STORE WORK FOLDER NUMBER".into());
    };
    let (kind, folder, number) = (Kind::named(store)?, Path::new(folder), number.parse()?);
    fs::create_dir_all(folder)?;
    let figures = match work.as_str() {
        "empty" => empty(kind, folder, number)?,
        "little" => little(kind, folder)?,
        "many" => many(kind, folder, number)?,
        "commits" => commits(kind, folder, number)?,
        "idle" => idle(kind, folder, number)?,
        _ => return Err(format!("no such work: {work}").into()),
    };
    for (name, figure) in figures {
        println!("{name} {figure}");
    }
    Ok(())
}
