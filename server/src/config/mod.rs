//! The server's settings: defaults, then the file, then the environment, then flags.
//!
//! All four speak in texts and go through the one table in [`settings`]. A value keeps
//! the place it came from, so that the report of a bad one names it (`BAROGRAPH_MAX_BODY: …`). SIGHUP reads the file again; the environment and the flags of a running
//! process cannot change, and still win.

pub mod machine;
pub mod settings;
pub mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barograph::{Naming, Precision};
use barograph_engine::model::Matcher;
use settings::{SETTINGS, Setting};

/// The effective settings. Each field is documented in [`settings::SETTINGS`].
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the table of settings documents each field once")]
pub struct Config {
    pub data_dir: PathBuf,
    /// Whether nothing is stored.
    pub in_memory: bool,
    pub durability: Durability,
    pub sync_interval: Duration,
    pub memory: u64,
    pub retention: Duration,
    pub partition_width: Duration,
    pub flush_interval: Duration,
    pub scrub_interval: Duration,
    pub wal_size: u64,
    pub write_wait: Duration,
    pub on_damage: OnDamage,
    pub listen: String,
    pub tcp_listen: Option<String>,
    pub udp_listen: Option<String>,
    pub line_db: Option<String>,
    pub line_precision: Precision,
    pub udp_buffer: u64,
    pub udp_queue: Option<u64>,
    pub naming: Naming,
    pub max_connections: usize,
    pub max_url: usize,
    pub max_header: usize,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub body_timeout: Duration,
    pub body_rate: u64,
    pub answer_rate: u64,
    pub shutdown_timeout: Duration,
    pub max_body: u64,
    pub max_body_decoded: u64,
    pub max_body_total: Option<u64>,
    pub max_line: usize,
    pub max_labels: usize,
    pub max_label_bytes: usize,
    pub max_line_label_bytes: usize,
    pub max_name: usize,
    pub max_value: usize,
    pub max_fields: usize,
    pub max_string: usize,
    pub max_new_series: u64,
    pub max_series: u64,
    pub max_partitions_per_request: usize,
    pub max_series_per_metric: u64,
    pub max_values_per_label: u64,
    pub tenant_label: String,
    pub max_series_per_tenant: u64,
    pub max_new_series_per_tenant: u64,
    pub query_timeout: Duration,
    pub query_concurrency: usize,
    pub query_queue: usize,
    pub query_wait: Duration,
    pub query_max_bytes: usize,
    pub query_max_samples: u64,
    pub query_max_series: usize,
    pub query_memory: Option<u64>,
    pub query_memory_total: Option<u64>,
    pub query_regex_memory: u64,
    pub query_lookback: Duration,
    pub token_file: Option<PathBuf>,
    pub insecure: bool,
    pub cors_origin: Option<Matcher>,
    pub host_allow: Vec<String>,
    pub enable_admin: bool,
    pub self_interval: Option<Duration>,
    pub log: String,
    /// The text each setting got, for `status/flags` and `status/config`.
    pub texts: BTreeMap<&'static str, String>,
}

impl Default for Config {
    fn default() -> Self {
        Sources::default().build().expect("a test checks that every default parses")
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is wrong; `place` is the flag, the variable, or file and key.
    #[error("{place}: {reason}")]
    Value {
        /// Where it was written.
        place: String,
        /// What is wrong with it.
        reason: values::ValueError,
    },
    /// The file could not be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and column.
        message: String,
    },
    /// The file has a key that means nothing.
    #[error("{}: unknown setting {key:?}; the nearest is {nearest:?}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key as written.
        key: String,
        /// The known key most like it.
        nearest: &'static str,
    },
}

/// Where values come from. Kept by the server, so that SIGHUP can build again.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file, if one was named.
    pub file: Option<PathBuf>,
    /// Values of `BAROGRAPH_*` variables by key.
    pub environment: BTreeMap<&'static str, String>,
    /// Values of flags by key.
    pub flags: BTreeMap<&'static str, String>,
}

impl Sources {
    /// Collects the variables of the process that belong to a setting.
    pub fn read_environment(&mut self) {
        for setting in SETTINGS {
            if let Ok(text) = std::env::var(setting.variable()) {
                self.environment.insert(setting.key, text);
            }
        }
    }

    /// Reads the file and puts everything together.
    ///
    /// # Errors
    /// [`ConfigError`], naming the place of the first bad value.
    pub fn build(&self) -> Result<Config, ConfigError> {
        let file = match &self.file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        let mut config = Config::blank();
        for setting in SETTINGS {
            let (place, text) = self.winner(setting, &file);
            (setting.set)(&mut config, text).map_err(|reason| ConfigError::Value { place, reason })?;
            config.texts.insert(setting.key, text.to_owned());
        }
        Ok(config)
    }

    fn winner<'a>(
        &'a self,
        setting: &Setting,
        file: &'a BTreeMap<&'static str, String>,
    ) -> (String, &'a str) {
        if let Some(text) = self.flags.get(setting.key) {
            return (format!("--{}", setting.flag()), text);
        }
        if let Some(text) = self.environment.get(setting.key) {
            return (setting.variable(), text);
        }
        if let (Some(text), Some(path)) = (file.get(setting.key), &self.file) {
            return (format!("{}: {}", path.display(), setting.key), text);
        }
        (setting.key.to_owned(), setting.default)
    }
}

fn read_file(path: &Path) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        message: e.to_string().trim_end().to_owned(),
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let Some(setting) = settings::find(&key) else {
            let nearest = settings::nearest(&key);
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key, nearest });
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(n) => n.to_string(),
            toml::Value::Boolean(b) => b.to_string(),
            other => {
                return Err(ConfigError::Value {
                    place: format!("{}: {key}", path.display()),
                    reason: values::ValueError(format!(
                        "expected a string, a whole number or true/false, found {}",
                        other.type_str()
                    )),
                });
            }
        };
        values.insert(setting.key, text);
    }
    Ok(values)
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// After an fsync.
    #[default]
    Always,
    /// After the write, with an fsync each `sync_interval`.
    Interval,
    /// After the write; the operating system decides when it reaches the disk.
    Off,
}

/// The behaviour of a start with damage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnDamage {
    /// Whether the damaged part of the log is moved aside.
    pub recover_wal: bool,
    /// Whether a damaged part of the store prevents the start.
    pub refuse_store: bool,
}

impl Config {
    /// Fields before any setting is applied; never seen outside [`Sources::build`].
    fn blank() -> Self {
        Config {
            data_dir: PathBuf::new(),
            in_memory: false,
            durability: Durability::default(),
            sync_interval: Duration::ZERO,
            memory: 0,
            retention: Duration::ZERO,
            partition_width: Duration::ZERO,
            flush_interval: Duration::ZERO,
            scrub_interval: Duration::ZERO,
            wal_size: 0,
            write_wait: Duration::ZERO,
            on_damage: OnDamage::default(),
            listen: String::new(),
            tcp_listen: None,
            udp_listen: None,
            line_db: None,
            line_precision: Precision::default(),
            udp_buffer: 0,
            udp_queue: None,
            naming: Naming::default(),
            max_connections: 0,
            max_url: 0,
            max_header: 0,
            header_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            body_rate: 0,
            answer_rate: 0,
            shutdown_timeout: Duration::ZERO,
            max_body: 0,
            max_body_decoded: 0,
            max_body_total: None,
            max_line: 0,
            max_labels: 0,
            max_label_bytes: 0,
            max_line_label_bytes: 0,
            max_name: 0,
            max_value: 0,
            max_fields: 0,
            max_string: 0,
            max_new_series: 0,
            max_series: 0,
            max_partitions_per_request: 0,
            max_series_per_metric: 0,
            max_values_per_label: 0,
            tenant_label: String::new(),
            max_series_per_tenant: 0,
            max_new_series_per_tenant: 0,
            query_timeout: Duration::ZERO,
            query_concurrency: 0,
            query_queue: 0,
            query_wait: Duration::ZERO,
            query_max_bytes: 0,
            query_max_samples: 0,
            query_max_series: 0,
            query_memory: None,
            query_memory_total: None,
            query_regex_memory: 0,
            query_lookback: Duration::ZERO,
            token_file: None,
            insecure: false,
            cors_origin: None,
            host_allow: Vec::new(),
            enable_admin: false,
            self_interval: None,
            log: String::new(),
            texts: BTreeMap::new(),
        }
    }

    /// The settings for a reload: `fresh` where a setting may change while running, `self`
    /// elsewhere. The second value lists the keys that differ but need a restart.
    pub fn reload(&self, fresh: &Config) -> (Config, Vec<&'static str>) {
        let mut merged = self.clone();
        let mut waiting = Vec::new();
        for setting in SETTINGS {
            let text = fresh.texts.get(setting.key).map_or(setting.default, String::as_str);
            if self.texts.get(setting.key).map(String::as_str) == Some(text) {
                continue;
            }
            if setting.reloadable {
                (setting.set)(&mut merged, text).expect("the same text was parsed for `fresh`");
                merged.texts.insert(setting.key, text.to_owned());
            } else {
                waiting.push(setting.key);
            }
        }
        (merged, waiting)
    }

    /// The effective settings as a TOML file.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for setting in SETTINGS {
            let value = self.texts.get(setting.key).map_or(setting.default, String::as_str);
            text.push_str(&format!("{} = {}\n", setting.key, toml::Value::String(value.to_owned())));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(file: &str) -> (tempfile::TempDir, Sources) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("barograph.toml");
        std::fs::write(&path, file).unwrap();
        (dir, Sources { file: Some(path), ..Sources::default() })
    }

    #[test]
    fn flags_beat_variables_beat_the_file_beat_defaults() {
        let (_dir, mut sources) = sources("max_body = \"1MiB\"\nmax_line = 1024\nquery_timeout = \"5s\"\n");
        sources.environment.insert("max_line", "2048".into());
        sources.environment.insert("query_timeout", "6s".into());
        sources.flags.insert("query_timeout", "7s".into());
        let config = sources.build().unwrap();
        assert_eq!(config.max_body, 1 << 20);
        assert_eq!(config.max_line, 2048);
        assert_eq!(config.query_timeout, Duration::from_secs(7));
        assert_eq!(config.listen, "127.0.0.1:10130");
    }

    #[test]
    fn errors_name_the_place() {
        let mut wrong = Sources::default();
        wrong.environment.insert("max_body", "big".into());
        let message = wrong.build().unwrap_err().to_string();
        assert_eq!(message, "BAROGRAPH_MAX_BODY: expected a size such as 64MiB, found \"big\"");
        wrong.flags.insert("max_body", "1".into());
        assert!(wrong.build().unwrap_err().to_string().starts_with("--max-body: 1 is outside"));

        let (_dir, unknown) = sources("max_bodi = 5");
        let text = unknown.build().unwrap_err().to_string();
        assert!(text.ends_with(r#"unknown setting "max_bodi"; the nearest is "max_body""#), "{text}");
        let (_dir, array) = sources("max_body = [1]");
        assert!(array.build().unwrap_err().to_string().contains("max_body: expected a string"));
        let (_dir, broken) = sources("max_body = ");
        assert!(broken.build().unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_reload_changes_what_may_change() {
        let running = Config::default();
        let mut fresh = Sources::default();
        fresh.flags.insert("query_timeout", "9s".into());
        fresh.flags.insert("max_line", "999".into());
        let (merged, waiting) = running.reload(&fresh.build().unwrap());
        assert_eq!(merged.query_timeout, Duration::from_secs(9));
        assert_eq!(merged.max_line, running.max_line);
        assert_eq!(waiting, ["max_line"]);
    }

    #[test]
    fn the_printed_file_reads_back() {
        let config = Config::default();
        let (_dir, again) = sources(&config.to_toml());
        assert_eq!(again.build().unwrap(), config);
    }
}
