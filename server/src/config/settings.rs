//! The single table of settings, from which `--help`, the environment variables, the keys of the file,
//! `/api/v1/status/flags` and the documentation are generated.
//!
//! A setting named `max_body` is the flag `--max-body`, the variable `BAROGRAPH_MAX_BODY` and the key `max_body`. Its
//! default is a text that is parsed like any value from a user.

use std::time::Duration;

use barograph::Naming;

use super::machine;
use super::values::{self, ValueError};
use super::{Config, Durability};

/// One setting.
pub struct Setting {
    /// The key in the file.
    pub key: &'static str,
    /// The name of the value in `--help`; empty for a switch.
    pub value_name: &'static str,
    /// The default value; empty means unset.
    pub default: &'static str,
    /// The heading in `--help`.
    pub group: &'static str,
    /// Whether SIGHUP applies a changed value.
    pub reloadable: bool,
    /// The help: unit, limits, and what zero means.
    pub doc: &'static str,
    /// Parses and stores a value.
    pub set: fn(&mut Config, &str) -> Result<(), ValueError>,
}

impl Setting {
    /// The name of the flag without dashes, such as `max-body`.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The name of the environment variable, such as `BAROGRAPH_MAX_BODY`.
    pub fn variable(&self) -> String {
        format!("BAROGRAPH_{}", self.key.to_ascii_uppercase())
    }

    /// Whether the flag may be given without a value.
    pub fn is_switch(&self) -> bool {
        self.value_name.is_empty()
    }
}

/// The minimum of the setting `memory`.
const MEMORY_MIN: u64 = 64 << 20;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

const STORAGE: &str = "Storage";
const LISTEN: &str = "Listening";
const INGEST: &str = "Ingest";
const QUERY: &str = "Queries";
const SAFETY: &str = "Access";
const SELF: &str = "Logs and self-monitoring";

/// The values of `durability`.
const DURABILITIES: &[(&str, Durability)] =
    &[("always", Durability::Always), ("interval", Durability::Interval), ("off", Durability::Off)];
/// The values of `naming`.
const NAMINGS: &[(&str, Naming)] = &[
    ("measurement-field", Naming::MeasurementField),
    ("field", Naming::FieldOnly),
    ("field-label", Naming::MeasurementOnlyWithFieldLabel),
];

/// An optional text; empty means unset.
fn optional(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn usize_of(text: &str, min: u64, max: u64) -> Result<usize, ValueError> {
    values::count(text, min, max).map(|n| n as usize)
}

macro_rules! setting {
    ($key:literal $value_name:literal = $default:literal, $group:ident, $reloadable:literal,
     $doc:literal, |$config:ident, $text:ident| $set:expr) => {
        Setting {
            key: $key,
            value_name: $value_name,
            default: $default,
            group: $group,
            reloadable: $reloadable,
            doc: $doc,
            set: |$config, $text| {
                $set;
                Ok(())
            },
        }
    };
}

/// Every setting of `barograph serve`, in the order of `--help`.
pub static SETTINGS: &[Setting] = &[
    setting!("data_dir" "DIR" = "barograph-data", STORAGE, false,
        "Directory that holds the database. It is created if it does not exist, and locked while in use.",
        |c, t| c.data_dir = t.into()),
    setting!("in_memory" "" = "false", STORAGE, false,
        "Keep everything in memory, to try Barograph out: nothing is written to `data_dir`, and all data is lost \
         when the server stops.",
        |c, t| c.in_memory = values::switch(t)?),
    setting!("durability" "MODE" = "always", STORAGE, false,
        "When a write is acknowledged: `always` after an fsync, which concurrent writes share; `interval` after the \
         write, with an fsync every `sync_interval`; `off` after the write, leaving the sync to the operating \
         system.",
        |c, t| c.durability = values::choice(t, DURABILITIES)?),
    setting!("sync_interval" "DURATION" = "200ms", STORAGE, false,
        "Time between fsyncs with durability `interval`, 1ms to 1m. A power loss can lose this much data.",
        |c, t| c.sync_interval = values::duration(t, Duration::from_millis(1), Duration::from_secs(60))?),
    setting!("memory" "SIZE" = "50%", STORAGE, false,
        "Limit for the memory of the whole process: 64MiB to 16TiB, or a percentage of the machine's memory or its \
         control group's limit, whichever is less. docs/operations.md describes how it is divided into shares and \
         what is refused when a share is full; /api/v1/status/memory shows the shares.",
        |c, t| c.memory =
            values::size_or_percent(t, machine::available(), MEMORY_MIN, 16 * 1024 * GIB)?),
    setting!("retention" "DURATION" = "0", STORAGE, true,
        "Samples older than this are dropped, a whole partition at a time; at least `partition_width`. 0 keeps \
         everything. A clock that jumps ahead is trusted only after a day; barograph_db_clock_ahead_seconds shows \
         how far it is ahead.",
        |c, t| c.retention = values::duration(t, Duration::ZERO, CENTURY)?),
    setting!("tiers" "TIERS" = "auto", STORAGE, true,
        "Tiers of buckets to build beside raw samples, each with the time to keep it, separated by commas, narrowest \
         first: `5m 90d, 1h 3y`. Without a time a tier is kept for ever. `auto`: of 1h, 6h and 1d the narrowest that \
         takes at most a quarter of the bytes of raw samples, for each class of series, kept as long as these; `none`: no tiers. Widths are 1m, 5m, 10m, 15m, 30m, 1h, 2h, 3h, \
         6h, 12h and 1d. Raw samples past `retention` are dropped when all tiers include them. docs/downsampling.md \
         describes what is answered from them.",
        |c, t| c.tiers = t.parse().map_err(ValueError)?),
    setting!("ladders" "LADDERS" = "", STORAGE, true,
        "What is kept of some series in place of `retention` and `tiers`: lines, or parts separated by semicolons, of the \
         form `SELECTOR -> raw 15d, 5m 90d, 1h 3y`. The first whose selector matches counts. A step without a time is kept \
         for ever, and so are raw samples without the step `raw`; tiers that only other ladders name are kept as long as \
         raw samples. After these, `duplicates max` may replace `duplicates`, and `type counter` or `type gauge` the type \
         in metadata. At most 64. docs/downsampling.md has more.",
        |c, t| c.ladders = barograph::parse_ladders(t).map_err(|e| ValueError(e.to_string()))?),
    setting!("event_retention" "DURATION" = "", STORAGE, true,
    "How long string fields are kept, at least `partition_width`; 0: for ever. Unset: as long as the samples that are \
     kept longest, by `retention` or a ladder.",
    |c, t| c.event_retention = match t {
        "" => None,
        t => Some(values::duration(t, Duration::ZERO, CENTURY)?),
    }),
    setting!("disk_budget" "SIZE" = "0", STORAGE, true,
        "Size of the data directory beyond which the oldest partitions are dropped, those of raw samples first, then those \
         of the narrowest tier, and so on: 16MiB to 1PiB; 0: no limit. docs/downsampling.md has more.",
        |c, t| c.disk_budget = if t.trim() == "0" { 0 } else { values::size(t, 16 * MIB, 1024 * 1024 * GIB)? }),
    setting!("duplicates" "RULE" = "last", STORAGE, false,
        "Which of several samples of a series with the same timestamp counts: the `last` or the `first` that was \
         written, or the one with the largest (`max`) or the smallest (`min`) value. With `max` and `min`, native \
         histograms take precedence over numbers, both over NaN and stale markers, and of equals the last counts. A \
         change concerns samples that have not been merged yet. A ladder may have a rule of its own (`ladders`).",
        |c, t| c.duplicates = t.parse().map_err(ValueError)?),
    setting!("partition_width" "DURATION" = "1d", STORAGE, false,
        "Time span that is stored and dropped as a unit, 1m to 365d; fixed when the database is created.",
        |c, t| c.partition_width = values::duration(t, Duration::from_secs(60), DAY * 365)?),
    setting!("flush_interval" "DURATION" = "2h", STORAGE, false,
        "Maximum time before samples move from the WAL into RocksDB, 1s to 365d.",
        |c, t| c.flush_interval = values::duration(t, SECOND, DAY * 365)?),
    setting!("scrub_interval" "DURATION" = "14d", STORAGE, false,
    "Period in which the whole store is read again and checked, at an even pace of at least 256 KiB a second; 1m to \
     365d, or 0 for never. Damage is logged and counted in barograph_db_scrub_problems.",
    |c, t| c.scrub_interval = match values::duration(t, Duration::ZERO, DAY * 365)? {
        Duration::ZERO => Duration::ZERO,
        d if d < Duration::from_secs(60) => return Err(ValueError(format!("{t} is shorter than 1m; 0 turns it off"))),
        d => d,
    }),
    setting!("compaction_rate" "SIZE" = "0", STORAGE, true,
        "Bytes per second that merges and the building of tiers read and write, before compression of blocks: 1MiB to \
         1TiB; 0: no limit. They run on one thread of lower priority in any case. docs/operations.md says how to \
         choose it.",
        |c, t| c.compaction_rate = if t.trim() == "0" { 0 } else { values::size(t, MIB, 1024 * GIB)? }),
    setting!("wal_size" "SIZE" = "512MiB", STORAGE, false,
        "Size of the WAL at which a flush starts, 8MiB to 1TiB; it limits how much is replayed at startup.",
        |c, t| c.wal_size = values::size(t, 8 * MIB, 1024 * GIB)?),
    setting!("write_wait" "DURATION" = "10s", STORAGE, false,
        "How long a write waits for memory before it answers 429 (`/write`: 503), 0 to 10m.",
        |c, t| c.write_wait = values::duration(t, Duration::ZERO, Duration::from_secs(600))?),
    setting!("recover_damaged_wal" "" = "false", STORAGE, false,
        "Open the database even if acknowledged WAL records are damaged: the damaged part is moved aside and \
         reported.",
        |c, t| c.on_damage.recover_wal = values::switch(t)?),
    setting!("refuse_damaged_store" "" = "false", STORAGE, false,
        "Refuse to start if a part of the store (a generation) is damaged. By default, that part is set aside: \
         queries of its time answer with a warning, and other reads of its time are refused.",
        |c, t| c.on_damage.refuse_store = values::switch(t)?),
    setting!("listen" "ADDR:PORT" = "127.0.0.1:10130", LISTEN, false,
        "Address of the HTTP port, which serves all requests. An address other than loopback needs `token_file` or \
         `insecure`.",
        |c, t| c.listen = values::address(t)?),
    setting!("tcp_listen" "ADDR:PORT" = "", LISTEN, false,
        "Address for line protocol over plain TCP; unset: off. TCP lines carry no tokens, so an address other than \
         loopback needs `insecure`.",
        |c, t| c.tcp_listen = if t.is_empty() { None } else { Some(values::address(t)?) }),
    setting!("udp_listen" "ADDR:PORT" = "", LISTEN, false,
        "Address for line protocol over UDP, where each datagram is a batch; unset: off. Datagrams carry no tokens, \
         so an address other than loopback needs `insecure`.",
        |c, t| c.udp_listen = if t.is_empty() { None } else { Some(values::address(t)?) }),
    setting!("line_db" "NAME" = "", LISTEN, false,
        "Value of the label `db` for lines from TCP and UDP; unset: no such label.",
        |c, t| c.line_db = optional(t)),
    setting!("line_precision" "UNIT" = "ns", LISTEN, true,
        "Unit of timestamps from TCP and UDP: ns, us, ms, s, m, h, or auto, which derives the unit from the size of \
         each timestamp. collectd sends ms. Lines without a timestamp get their time of arrival. HTTP is not \
         affected: there, each request has a `precision`, which is ns by default.",
        |c, t| c.line_precision = values::precision(t)?),
    setting!("udp_buffer" "SIZE" = "32MiB", LISTEN, false,
        "Receive buffer to request from the kernel, 4KiB to 1GiB. It holds a burst of datagrams while the receiver \
         waits for a CPU. The kernel grants at most net.core.rmem_max, unless the process has CAP_NET_ADMIN.",
        |c, t| c.udp_buffer = values::size(t, 4096, GIB)?),
    setting!("udp_queue" "SIZE" = "", LISTEN, false,
        "Limit for datagrams waiting to be stored, 128KiB to 64GiB; beyond it they are dropped and counted. Unset or 0: \
         their share of `memory`, a 32nd, which is also the maximum.",
        |c, t| c.udp_queue = values::cap(t, 128 * 1024, 64 * GIB)?),
    setting!("max_connections" "N" = "1024", LISTEN, false,
        "Maximum number of open HTTP connections, 1 to 100000; further ones get 503 and are closed. Each running or \
         waiting query needs one. TCP lines have a separate limit of the same size.",
        |c, t| c.max_connections = usize_of(t, 1, 100_000)?),
    setting!("max_url" "SIZE" = "64KiB", LISTEN, true,
        "Maximum length of a request's URL (path and query, escaped), 1KiB to 64KiB; beyond it 414. Queries and \
         requests for series, labels and label values accept longer parameters as a form sent by POST.",
        |c, t| c.max_url = values::size(t, 1024, 64 * 1024)? as usize),
    setting!("max_header" "SIZE" = "16KiB", LISTEN, true,
        "Maximum size of a request's header fields, 1KiB to 64KiB; beyond it 431.",
        |c, t| c.max_header = values::size(t, 1024, 64 * 1024)? as usize),
    setting!("header_timeout" "DURATION" = "10s", LISTEN, true,
        "Time limit for a request's header, from its first byte, 10ms to 1h.",
        |c, t| c.header_timeout = values::duration(t, Duration::from_millis(10), HOUR)?),
    setting!("idle_timeout" "DURATION" = "75s", LISTEN, true,
        "A connection without a request is closed after this time, 10ms to 1h.",
        |c, t| c.idle_timeout = values::duration(t, Duration::from_millis(10), HOUR)?),
    setting!("body_timeout" "DURATION" = "30s", LISTEN, true,
        "A client that sends or reads no byte of a body for this long is disconnected, and a body waits for memory \
         at most this long; 10ms to 1h.",
        |c, t| c.body_timeout = values::duration(t, Duration::from_millis(10), HOUR)?),
    setting!("body_rate" "SIZE" = "1KiB", LISTEN, true,
        "Minimum bytes a second at which a request body must arrive, on average over each `body_timeout`, 0 to 1GiB; a \
         slower one gets 408. While other bodies wait for memory, a body must also arrive within twice `body_timeout`. \
         0: only that limit applies.",
        |c, t| c.body_rate = values::size(t, 0, GIB)?),
    setting!("answer_rate" "SIZE" = "1KiB", LISTEN, true,
        "Minimum bytes a second at which a client must read an answer, 0 to 1GiB, averaged over `body_timeout` of \
         the time during which the server waits for it. A slower client is disconnected, because unread answers \
         hold memory. 0: no limit.",
        |c, t| c.answer_rate = values::size(t, 0, GIB)?),
    setting!("shutdown_timeout" "DURATION" = "20s", LISTEN, true,
        "Time that running requests get to finish after SIGTERM or SIGINT, 0 to 1h.",
        |c, t| c.shutdown_timeout = values::duration(t, Duration::ZERO, HOUR)?),
    setting!("naming" "RULE" = "measurement-field", INGEST, false,
        "How a metric name is made from measurement and field: `measurement-field` (a field named `value` adds \
         nothing), `field` (the field alone), `field-label` (the measurement; the field becomes the label \
         `_field`).",
        |c, t| c.naming = values::choice(t, NAMINGS)?),
    setting!("max_body" "SIZE" = "32MiB", INGEST, true,
        "Maximum size of a request body as sent (compressed), 1KiB to 1GiB; beyond it 413.",
        |c, t| c.max_body = values::size(t, 1024, GIB)?),
    setting!("max_body_decoded" "SIZE" = "128MiB", INGEST, true,
        "Maximum size of a request body after decompression, 1KiB to 4GiB; beyond it 413.",
        |c, t| c.max_body_decoded = values::size(t, 1024, 4 * GIB)?),
    setting!("max_body_total" "SIZE" = "", INGEST, false,
        "Limit for all request bodies larger than 64KiB together, 1MiB to 64GiB; further ones wait for `body_timeout`, \
         then get 429 (`/write`: 503). A single body larger than five eighths of it gets 413. Unset or 0: their share \
         of `memory`, an eighth, which is also the maximum.",
        |c, t| c.max_body_total = values::cap(t, MIB, 64 * GIB)?),
    setting!("max_line" "SIZE" = "64KiB", INGEST, false,
        "Maximum length of a line of line protocol, 256 bytes to 16MiB.",
        |c, t| c.max_line = values::size(t, 256, 16 * MIB)? as usize),
    setting!("max_labels" "N" = "64", INGEST, false,
        "Maximum number of labels of a series, including the metric name, 2 to 1000.",
        |c, t| c.max_labels = usize_of(t, 2, 1000)?),
    setting!("max_label_bytes" "SIZE" = "64KiB", INGEST, false,
        "Maximum total size of the label names and values of a series, 1KiB to 1MiB.",
        |c, t| c.max_label_bytes = values::size(t, 1024, MIB)? as usize),
    setting!("max_line_label_bytes" "SIZE" = "4MiB", INGEST, false,
        "Maximum total label size of the new series and string fields of one line, 64KiB to 1GiB; beyond it the \
         line is refused. Every field of a line gets all of its tags, so a short line can create labels of many \
         times its size.",
        |c, t| c.max_line_label_bytes = values::size(t, 64 * 1024, GIB)? as usize),
    setting!("max_name" "SIZE" = "256", INGEST, false,
        "Maximum length of a measurement, tag key or field key of line protocol, 16 bytes to 64KiB.",
        |c, t| c.max_name = values::size(t, 16, 64 * 1024)? as usize),
    setting!("max_value" "SIZE" = "4KiB", INGEST, false,
        "Maximum length of a tag value of line protocol, 16 bytes to 1MiB.",
        |c, t| c.max_value = values::size(t, 16, MIB)? as usize),
    setting!("max_fields" "N" = "4096", INGEST, false,
        "Maximum number of fields of one line, 1 to 1 million.",
        |c, t| c.max_fields = usize_of(t, 1, 1_000_000)?),
    setting!("max_string" "SIZE" = "64KiB", INGEST, false,
        "Maximum length of a string field of line protocol, 16 bytes to 8MiB; `max_line` applies too.",
        |c, t| c.max_string = values::size(t, 16, 8 * MIB)? as usize),
    setting!("max_new_series" "N" = "0", INGEST, true,
        "Maximum new series a second, 0 to 100 million; beyond it samples of new series get 429 (`/write`: 503) and \
         samples of known series are still stored. 0: no limit.",
        |c, t| c.max_new_series = values::count(t, 0, 100_000_000)?),
    setting!("max_series" "N" = "10_000_000", INGEST, false,
        "Maximum number of series with unflushed or recent samples, 1 to 10 billion; beyond it samples of new \
         series get 400.",
        |c, t| c.max_series = values::count(t, 1, 10_000_000_000)?),
    setting!("max_series_per_metric" "N" = "0", INGEST, true,
        "Maximum number of active series of one metric, 0 to 10 billion; beyond it samples of its new series get \
         400 and samples of its known series are still stored. 0: no limit (`memory` and `max_series` still apply).",
        |c, t| c.max_series_per_metric = values::count(t, 0, 10_000_000_000)?),
    setting!("max_values_per_label" "N" = "0", INGEST, true,
        "Maximum number of values of one label among active series, 0 to 10 billion; beyond it samples of series \
         with a new value get 400. The values of `__name__` are the metric names. 0: no limit.",
        |c, t| c.max_values_per_label = values::count(t, 0, 10_000_000_000)?),
    setting!("tenant_label" "LABEL" = "db", INGEST, false,
        "Label whose value is the tenant of a series; series without it belong to one unnamed tenant. If there are \
         several tenants, none gets more than a fair share of the memory for series and of `max_series`. Empty: one \
         tenant for all.",
        |c, t| c.tenant_label = values::tenant_label(t)?),
    setting!("max_series_per_tenant" "N" = "0", INGEST, true,
        "Maximum number of active series of one tenant (`tenant_label`), 0 to 10 billion; beyond it samples of its \
         new series get 400 and samples of its known series are still stored. 0: no limit besides its fair share.",
        |c, t| c.max_series_per_tenant = values::count(t, 0, 10_000_000_000)?),
    setting!("max_new_series_per_tenant" "N" = "0", INGEST, true,
        "Maximum new series of one tenant a second, 0 to 100 million; beyond it samples of its new series get 429 \
         (`/write`: 503) and samples of known series are still stored. 0: no limit.",
        |c, t| c.max_new_series_per_tenant = values::count(t, 0, 100_000_000)?),
    setting!("max_partitions_per_request" "N" = "5_000", INGEST, false,
        "Maximum number of partitions (`partition_width`) that the samples of one request touch, 1 to 1 million; \
         beyond it 400: nothing of the request is stored, or only its earlier pieces if it has more than 100,000 \
         samples. Each partition costs as much as a day's data, so a few samples whose times are years apart would \
         be expensive.",
        |c, t| c.max_partitions_per_request = usize_of(t, 1, 1_000_000)?),
    setting!("query_timeout" "DURATION" = "2m", QUERY, true,
        "Maximum run time of a query, 10ms to 1h; a request may ask for less. Beyond it 503.",
        |c, t| c.query_timeout = values::duration(t, Duration::from_millis(10), HOUR)?),
    setting!("query_concurrency" "N" = "8", QUERY, false,
        "Maximum number of queries that run at once, 1 to 1024. The same number applies to requests for series, \
         labels, events and metadata, and half of it each to federation, remote read and export. One request of \
         each kind may always run; beyond that, at most `query_concurrency` minus one run at once over all kinds, \
         with kinds and clients in rotation. Of these, at most one for each core, and at most half of \
         `query_concurrency`, are heavy.",
        |c, t| c.query_concurrency = usize_of(t, 1, 1024)?),
    setting!("query_queue" "N" = "1000", QUERY, false,
        "Maximum number of light requests of each kind, and of heavy ones, that wait for their turn, 0 to 100000. \
         When the queue is full, the newest request of the client with the most waiting requests gets 429. The text \
         of waiting requests counts against `query_memory_total`.",
        |c, t| c.query_queue = usize_of(t, 0, 100_000)?),
    setting!("query_wait" "DURATION" = "30s", QUERY, true,
        "Maximum wait for a turn, 0 to 1h; beyond it 503.",
        |c, t| c.query_wait = values::duration(t, Duration::ZERO, HOUR)?),
    setting!("query_max_bytes" "SIZE" = "1MiB", QUERY, true,
        "Maximum length of a query's text, 1KiB to 64MiB; beyond it 400. Send long texts by POST.",
        |c, t| c.query_max_bytes = values::size(t, KIB, 64 * MIB)? as usize),
    setting!("query_max_samples" "N" = "50_000_000", QUERY, true,
        "Maximum number of samples that one query may hold at once, 1000 to 10 billion; beyond it 422.",
        |c, t| c.query_max_samples = values::count(t, 1_000, 10_000_000_000)?),
    setting!("query_max_series" "N" = "1_000_000", QUERY, true,
        "Maximum number of series that one selector may match, 1 to 1 billion; beyond it 422.",
        |c, t| c.query_max_series = usize_of(t, 1, 1_000_000_000)?),
    setting!("query_memory" "SIZE" = "", QUERY, true,
        "Maximum memory of one query, its answer included, 1MiB to 1TiB; beyond it 422. Unset or 0: half of the memory \
         for all queries, which is also the maximum.",
        |c, t| c.query_memory = values::cap(t, MIB, 1024 * GIB)?),
    setting!("query_memory_total" "SIZE" = "", QUERY, true,
        "Maximum memory of all queries and other reads together, 1MiB to 1TiB. When it is full, a read waits for its turn \
         and runs again; exports and remote reads in chunks get 429. Unset or 0: their share of `memory`, three \
         sixteenths, which is also the maximum.",
        |c, t| c.query_memory_total = values::cap(t, MIB, 1024 * GIB)?),
    setting!("query_regex_memory" "SIZE" = "32MiB", QUERY, true,
        "Maximum memory of the compiled regular expressions of one request, with equal ones counted once, 64KiB to \
         1GiB; beyond it 400. It counts against `query_memory` too.",
        |c, t| c.query_regex_memory = values::size(t, 64 * KIB, GIB)?),
    setting!("query_lookback" "DURATION" = "5m", QUERY, true,
        "How far back an instant selector looks for the newest sample, 1s to 1h.",
        |c, t| c.query_lookback = values::duration(t, SECOND, HOUR)?),
    setting!("token_file" "FILE" = "", SAFETY, true,
        "File of accepted tokens, one `sha256:HEX [read|write|queries|admin|all] [tenant=NAME] [name]` a line, as \
         `barograph token` prints them. `tenant=NAME` restricts a token to the series whose `tenant_label` has that \
         value. If set, every request but pings and health checks needs a token.",
        |c, t| c.token_file = (!t.is_empty()).then(|| t.into())),
    setting!("insecure" "" = "false", SAFETY, false,
        "Allow an address other than loopback without tokens: anyone who can connect can read, write and delete.",
        |c, t| c.insecure = values::switch(t)?),
    setting!("cors_origin" "REGEX" = "", SAFETY, true,
        "Regular expression for the origins of web pages (`https://.*\\.example\\.com`): a page may read /api/v1, \
         and write if the server has no tokens, only if it matches the whole origin. Unset: no page of another \
         origin may.",
        |c, t| c.cors_origin = values::pattern(t)?),
    setting!("host_allow" "NAMES" = "", SAFETY, true,
        "Additional host names, separated by commas, for a server on a loopback address without tokens; `localhost` and \
         IP addresses are always allowed. Requests for another `Host` get 421, so that no web page can reach the server \
         by DNS rebinding.",
        |c, t| c.host_allow = t.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()),
    setting!("enable_admin" "" = "false", SAFETY, true,
        "Allow /api/v1/admin/… (delete series, clean tombstones, snapshot, flush).",
        |c, t| c.enable_admin = values::switch(t)?),
    setting!("self_interval" "DURATION" = "15s", SELF, false,
        "Interval at which the server writes its own metrics into the database with job=\"barograph\", 1s to 1h; 0: \
         never.",
    |c, t| c.self_interval = match values::duration(t, Duration::ZERO, HOUR)? {
        d if d.is_zero() => None,
        d if d < SECOND => return Err(ValueError(format!("{t} is shorter than 1s; 0 turns it off"))),
        d => Some(d),
    }),
    setting!("log" "FILTER" = "info", SELF, true,
        "What to log: error, warn, info, debug or trace; a level can also be set per module \
         (`info,barograph_server::api=debug`).",
        |c, t| c.log = t.to_owned()),
];

/// A configuration file with every setting commented out at its default.
pub fn commented_file() -> String {
    let mut text =
        String::from("# Settings of `barograph serve`. Remove the # before a line to change it.\n");
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            text.push_str(&format!("\n# ---- {group} ----\n"));
        }
        let reload = if setting.reloadable { " Reloaded on SIGHUP." } else { "" };
        let default = toml::Value::String(setting.default.to_owned());
        text.push_str(&format!("\n# {}{reload}\n# {} = {default}\n", setting.doc, setting.key));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_defaults_parse() {
        let mut config = Config::default();
        for (i, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..i].iter().all(|s| s.key != setting.key), "{} twice", setting.key);
            (setting.set)(&mut config, setting.default).unwrap_or_else(|e| panic!("{}: {e}", setting.key));
            assert!(setting.doc.ends_with('.'), "{}", setting.key);
        }
    }
}
