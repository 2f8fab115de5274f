//! The server's settings: defaults, overridden by the file, the environment, and the flags, in this order.
//!
//! All four are texts, and are parsed by the single table in [`settings`]. A value remembers where it came from, so
//! that the report of an invalid one names the place (`BAROGRAPH_MAX_BODY: …`). SIGHUP reads the file again. The
//! environment and the flags of a running process cannot change, and still take precedence.

pub mod keys;
pub mod machine;
pub mod settings;
pub mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barograph::Matcher;
use barograph::{Duplicates, Ladder, Naming, Precision, Tiers};
use settings::{SETTINGS, Setting};

/// Declares the fields of the settings, and their values before any text is applied.
macro_rules! config {
    ($($field:ident: $kind:ty,)*) => {
        /// The effective settings. Each field is documented in [`settings::SETTINGS`].
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "the table of settings documents each field once")]
        pub struct Config {
            $(pub $field: $kind,)*
            /// The text of each setting, for `status/flags` and `status/config`.
            pub texts: BTreeMap<&'static str, String>,
            /// The place of each setting that is set, such as `--retention`.
            pub places: BTreeMap<&'static str, String>,
        }

        impl Config {
            /// Never visible outside [`Sources::build`], which applies the text of every setting.
            fn blank() -> Self {
                Config { $($field: Default::default(),)* texts: BTreeMap::new(), places: BTreeMap::new() }
            }
        }
    };
}

config! {
    data_dir: PathBuf,
    in_memory: bool,
    durability: Durability,
    sync_interval: Duration,
    memory: u64,
    retention: Duration,
    tiers: Tiers,
    ladders: Vec<Ladder>,
    event_retention: Option<Duration>,
    disk_budget: u64,
    duplicates: Duplicates,
    partition_width: Duration,
    flush_interval: Duration,
    scrub_interval: Duration,
    compaction_rate: u64,
    wal_size: u64,
    write_wait: Duration,
    on_damage: OnDamage,
    listen: String,
    tcp_listen: Option<String>,
    udp_listen: Option<String>,
    line_db: Option<String>,
    line_precision: Precision,
    udp_buffer: u64,
    udp_queue: Option<u64>,
    naming: Naming,
    max_connections: usize,
    max_url: usize,
    max_header: usize,
    header_timeout: Duration,
    idle_timeout: Duration,
    body_timeout: Duration,
    body_rate: u64,
    answer_rate: u64,
    shutdown_timeout: Duration,
    max_body: u64,
    max_body_decoded: u64,
    max_body_total: Option<u64>,
    max_line: usize,
    max_labels: usize,
    max_label_bytes: usize,
    max_line_label_bytes: usize,
    max_name: usize,
    max_value: usize,
    max_fields: usize,
    max_string: usize,
    max_new_series: u64,
    max_series: u64,
    max_partitions_per_request: usize,
    max_series_per_metric: u64,
    max_values_per_label: u64,
    tenant_label: String,
    max_series_per_tenant: u64,
    max_new_series_per_tenant: u64,
    query_timeout: Duration,
    query_concurrency: usize,
    query_queue: usize,
    query_wait: Duration,
    query_max_bytes: usize,
    query_max_samples: u64,
    query_max_series: usize,
    query_memory: Option<u64>,
    query_memory_total: Option<u64>,
    query_regex_memory: u64,
    query_lookback: Duration,
    token_file: Option<PathBuf>,
    insecure: bool,
    cors_origin: Option<Matcher>,
    host_allow: Vec<String>,
    enable_admin: bool,
    self_interval: Option<Duration>,
    log: String,
}

impl Default for Config {
    fn default() -> Self {
        Sources::default().build().expect("a test checks that every default parses")
    }
}

/// Why the settings are unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is invalid; `place` is the flag, the variable, or file and key.
    #[error("{place}: {reason}")]
    Value {
        /// Where the value came from.
        place: String,
        /// What is wrong with it.
        reason: values::ValueError,
    },
    /// The file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        message: String,
    },
    /// The file contains an unknown key.
    #[error("{}: unknown setting {key:?}; the nearest is {nearest:?}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key as written.
        key: String,
        /// The most similar known key.
        nearest: &'static str,
    },
}

/// The sources of values. The server keeps them, so that SIGHUP can build the settings again.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file, if one was given.
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

    /// Reads the file and combines all sources.
    ///
    /// # Errors
    /// [`ConfigError`], which names the place of the first invalid value.
    pub fn build(&self) -> Result<Config, ConfigError> {
        let file = match &self.file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        let mut config = Config::blank();
        for setting in SETTINGS {
            let (place, text) = self.winner(setting, &file);
            let set = (setting.set)(&mut config, text);
            set.map_err(|reason| ConfigError::Value { place: place.clone(), reason })?;
            config.texts.insert(setting.key, text.to_owned());
            if place != setting.key {
                config.places.insert(setting.key, place);
            }
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
        let Some(setting) = keys::find(&key) else {
            let nearest = keys::nearest(&key);
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

/// The settings that say what is kept. If none is set, the database does, and clients can change it.
pub const KEPT_SETTINGS: [&str; 4] = ["retention", "tiers", "ladders", "event_retention"];

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// After an fsync.
    #[default]
    Always,
    /// After the write, with an fsync each `sync_interval`.
    Interval,
    /// After the write; the operating system decides when it is synced.
    Off,
}

/// What to do about damage at startup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnDamage {
    /// Whether the damaged part of the log is moved aside.
    pub recover_wal: bool,
    /// Whether a damaged part of the store prevents the start.
    pub refuse_store: bool,
}

impl Config {
    /// The settings after a reload: those of `fresh` that may change while the server runs, and otherwise those of
    /// `self`. The second value lists the changed keys that need a restart.
    pub fn reload(&self, fresh: &Config) -> (Config, Vec<&'static str>) {
        let mut merged = self.clone();
        merged.places = fresh.places.clone();
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

    /// The places of the settings that say what is kept; none if the database does.
    pub fn kept_places(&self) -> impl Iterator<Item = &str> {
        KEPT_SETTINGS.into_iter().filter_map(|key| self.places.get(key)).map(String::as_str)
    }

    /// Who says what is kept: the settings, the database if a client has stored something in it, or nobody.
    pub fn kept_source(&self, is_stored: bool) -> &'static str {
        match self.kept_places().next() {
            Some(_) => "settings",
            None if is_stored => "database",
            None => "default",
        }
    }

    /// Sets a setting to a text.
    ///
    /// # Errors
    /// There is no such setting, or the text is no value of it.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), values::ValueError> {
        let setting =
            keys::find(key).ok_or_else(|| values::ValueError(format!("unknown setting {key:?}")))?;
        (setting.set)(self, text)
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
        fresh.flags.insert("ladders", String::new());
        let (merged, waiting) = running.reload(&fresh.build().unwrap());
        assert_eq!(merged.query_timeout, Duration::from_secs(9));
        assert_eq!((running.kept_places().count(), merged.kept_places().collect()), (0, vec!["--ladders"]));
        assert_eq!(merged.max_line, running.max_line);
        assert_eq!(waiting, ["max_line"]);
    }

    #[test]
    fn the_printed_file_reads_back() {
        let config = Config::default();
        let (_dir, again) = sources(&config.to_toml());
        let again = again.build().unwrap();
        assert_eq!((again.places.len(), config.places.len()), (SETTINGS.len(), 0));
        assert_eq!(Config { places: config.places.clone(), ..again }, config);
    }
}
