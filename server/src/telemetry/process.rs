//! Metrics of the process, from `/proc`; none if there is no `/proc`.

use std::fs;

use crate::open_files;
use crate::telemetry::exposition::{Kind, Metric};

/// Clock ticks per second in `/proc`: 100 in the interface of every Linux that we support.
const TICKS: f64 = 100.0;

/// CPU time, memory, open files.
pub fn metrics() -> Vec<Metric> {
    let mut metrics = Vec::new();
    if let Some((cpu, resident)) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat)
    {
        metrics.push(Metric::plain(
            Kind::Counter,
            "process_cpu_seconds_total",
            "CPU time of the process.",
            cpu,
        ));
        metrics.push(Metric::plain(
            Kind::Gauge,
            "process_resident_memory_bytes",
            "Resident memory of the process.",
            resident,
        ));
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        let count = entries.count().saturating_sub(1) as f64;
        metrics.push(Metric::plain(Kind::Gauge, "process_open_fds", "Open files and sockets.", count));
    }
    if let Some(limit) = open_files::limit() {
        let help = "Maximum number of open files and sockets.";
        metrics.push(Metric::plain(Kind::Gauge, "process_max_fds", help, limit as f64));
    }
    metrics
}

/// Resident memory of the process, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// The total.
    pub total: u64,
    /// Memory that does not belong to a file: heaps and stacks.
    pub anonymous: u64,
    /// Pages of files: code, and mapped files.
    pub file: u64,
}

/// The resident memory; `None` if there is no `/proc`.
pub fn resident() -> Option<Resident> {
    parse_status(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_status(text: &str) -> Option<Resident> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Resident { total: field("VmRSS")?, anonymous: field("RssAnon")?, file: field("RssFile")? })
}

/// CPU seconds and resident bytes from a line of `stat`. The name of the program may contain spaces and parentheses, so
/// fields are counted after the last parenthesis.
fn parse_stat(text: &str) -> Option<(f64, f64)> {
    const PAGE: f64 = 4096.0;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(((number(11)? + number(12)?) / TICKS, number(21)? * PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_by_its_names() {
        let text = "Name:\tVmRSS\nVmHWM:\t  90 kB\nVmRSS:\t  70 kB\nRssAnon:\t  40 kB\nRssFile:\t  30 kB\n";
        let found = Resident { total: 70 << 10, anonymous: 40 << 10, file: 30 << 10 };
        assert_eq!(parse_status(text), Some(found));
        assert_eq!(parse_status("VmRSS: 70 kB\n"), None);
        assert!(resident().is_none_or(|resident| resident.total > 1 << 20));
    }

    #[test]
    fn stat_is_read_after_the_name() {
        let line =
            "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 3 0 99 1000000 25 18446744073709551615 1";
        assert_eq!(parse_stat(line), Some((2.0, 25.0 * 4096.0)));
        assert_eq!(parse_stat("7 (x) S"), None);
        assert_eq!(parse_stat(""), None);
    }
}
