//! The command line. The flags of `serve` come from the table of settings; the other commands are defined here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::Sources;
use crate::config::settings::{SETTINGS, Setting};

/// The default address of a server.
pub const DEFAULT_URL: &str = "http://127.0.0.1:10130";

const ABOUT: &str =
    "Barograph is a database for metrics. It accepts line protocol and remote write, and answers PromQL.";

const EXAMPLES: &str = "\
A first session:
  barograph serve --data-dir ./data &
  curl -d 'temperature,room=kitchen value=21.5' http://127.0.0.1:10130/write
  barograph query 'temperature{room=\"kitchen\"}'

`barograph help COMMAND` says more; `barograph config` prints every setting.";

/// The arguments of the program.
#[derive(Debug, Parser)]
#[command(name = "barograph", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: writes, queries and everything else on one HTTP port.
    #[command(after_help = "\
A setting comes from its flag, its environment variable or the --config file;
the first of these that has it wins, and if none has it, the default applies.
SIGHUP reads the file again. SIGTERM and SIGINT let running requests finish,
then flush and stop.

Examples:
  barograph serve --data-dir /var/lib/barograph
  barograph serve --config /etc/barograph.toml --udp-listen 127.0.0.1:8089
  barograph serve --listen 0.0.0.0:10130 --token-file /etc/barograph.tokens

Prometheus writes here with `remote_write: [{url: http://HOST:10130/api/v1/write}]`
and reads back with `remote_read: [{url: http://HOST:10130/api/v1/read}]`;
docs/prometheus.md has the details.")]
    Serve(ServeArgs),
    /// Evaluate a PromQL expression on a server or in a data directory.
    #[command(after_help = "\
Examples:
  barograph query up
  barograph query 'rate(requests_total[5m])' --start -1h --step 1m --format csv
  barograph query 'sum by (host) (cpu)' --time 2026-01-01T00:00:00Z
  barograph query 'count({job=\"api\"})' --data-dir ./data
  barograph query 'sum(rate(requests_total[5m]))' --start -6h --explain")]
    Query(QueryArgs),
    /// List the functions and aggregations of the query language, or explain one.
    Functions {
        /// The function or aggregation to explain.
        name: Option<String>,
    },
    /// Load files of line protocol, plain or gzip; `-` is standard input.
    #[command(after_help = "\
A file is sent in batches, and each batch is durable before the next one is
sent. Bad lines are reported with file, line and column. All other lines are
stored.

Examples:
  barograph import metrics.lp more.lp.gz
  zcat old.lp.gz | barograph import - --precision s --db legacy
  barograph import metrics.lp --data-dir ./data")]
    Import(ImportArgs),
    /// Write samples and events as line protocol, which `import` reads back.
    #[command(after_help = "\
Examples:
  barograph export --match 'cpu_usage{host=\"a\"}' --start -1d > cpu.lp
  barograph export --match '{__name__=~\".+\"}' --data-dir ./data --output all.lp")]
    Export(ExportArgs),
    /// Show statistics of a database, and the metrics and labels with the most series.
    #[command(after_help = "\
Examples:
  barograph inspect
  barograph inspect cardinality /var/lib/barograph --top 20
  barograph inspect cardinality --url http://HOST:10130 --start -1d")]
    Inspect(InspectArgs),
    /// Create a consistent copy of a database, or restore a database from one.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Read everything in an idle data directory and verify every checksum.
    Verify(VerifyArgs),
    /// Report what keeps a data directory from opening; with --apply, repair it.
    #[command(after_help = "\
`serve` makes the same repairs when it starts. Without --apply, nothing changes,
and the exit status is 1 if there is something to repair. Bytes that a repair
removes are kept beside the file as NAME.OFFSET.bad. To open a database with a
damaged log, use `serve --recover-damaged-wal`.")]
    Repair {
        /// The data directory; no server may be using it.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Make the repairs instead of only reporting them.
        #[arg(long)]
        apply: bool,
    },
    /// Create a random token and print it, with the line for the server's --token-file.
    Token,
    /// Print a configuration file with every setting, its meaning and its default.
    Config,
}

/// The database that a command uses.
#[derive(Debug, Args, Clone)]
pub struct Target {
    /// URL of the server.
    #[arg(long, value_name = "URL", env = "BAROGRAPH_URL", default_value = DEFAULT_URL)]
    pub url: String,
    /// Token for the server.
    #[arg(long, value_name = "TOKEN", env = "BAROGRAPH_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Data directory to open instead of using a server; no server may be using it.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Read a data directory even if it is damaged: intact data is shown, the damage is reported on standard error, and
    /// the exit status is 1. Nothing in the directory changes.
    #[arg(long)]
    pub allow_damage: bool,
}

/// `barograph query`
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The PromQL expression.
    pub query: String,
    /// Time of an instant query: seconds, RFC 3339, `now`, or relative to now, such as `-5m`.
    #[arg(long, allow_hyphen_values = true, default_value = "now", conflicts_with_all = ["start", "end", "step"])]
    pub time: String,
    /// Start of a range query, in the same format as --time.
    #[arg(long, allow_hyphen_values = true)]
    pub start: Option<String>,
    /// End of a range query; now by default.
    #[arg(long, allow_hyphen_values = true, requires = "start")]
    pub end: Option<String>,
    /// Step of a range query, such as 1m; by default a sixtieth of the range.
    #[arg(long, requires = "start")]
    pub step: Option<String>,
    /// Print the estimated and actual cost of each part of the query instead of the answer.
    #[arg(long)]
    pub explain: bool,
    /// Format of the answer.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// The database to query.
    #[command(flatten)]
    pub target: Target,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Readable text.
    Table,
    /// One line per sample: a column for each label, then time and value.
    Csv,
    /// The answer of the HTTP API.
    Json,
}

/// `barograph import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files of line protocol, or - for standard input; gzip is recognised by its first bytes. Lines of an export of
    /// InfluxDB 1 go into the databases that the export names.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Unit of the timestamps: ns, us, ms, s, m, h, or auto, which derives the unit from the size of each timestamp.
    #[arg(long, default_value = "ns")]
    pub precision: String,
    /// Value of the label `db` for every series.
    #[arg(long, value_name = "NAME")]
    pub db: Option<String>,
    /// Number of lines in a batch.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Exit with status 0 even if lines were refused.
    #[arg(long)]
    pub skip_bad: bool,
    /// New file for all refused lines, each preceded by a comment with the reason. You can correct and import it.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Number of seconds to keep sending a batch again while the server restarts or is busy.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u64,
    /// The database to write to.
    #[command(flatten)]
    pub target: Target,
}

/// `barograph export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Selector of the series; may be repeated.
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    pub selectors: Vec<String>,
    /// Start of the range: seconds, RFC 3339, `now`, or relative to now, such as `-1d`; by default the oldest sample.
    #[arg(long, allow_hyphen_values = true)]
    pub start: Option<String>,
    /// End of the range; by default the newest sample.
    #[arg(long, allow_hyphen_values = true)]
    pub end: Option<String>,
    /// File to write instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The database to read.
    #[command(flatten)]
    pub target: Target,
}

/// `barograph inspect`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct InspectArgs {
    /// A more detailed report.
    #[command(subcommand)]
    pub report: Option<InspectCommand>,
    /// Number of entries in each list.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: u32,
    /// The database to inspect.
    #[command(flatten)]
    pub target: Target,
}

/// The reports of `barograph inspect`.
#[derive(Debug, Subcommand)]
pub enum InspectCommand {
    /// Count series by metric, by label and by label pair.
    ///
    /// In a data directory, the report counts everything stored, or all partitions that overlap --start and --end. On
    /// a server, it counts the series in memory; with --start or --end, it also counts the stored ones.
    Cardinality(CardinalityArgs),
}

/// `barograph inspect cardinality`
#[derive(Debug, Args)]
pub struct CardinalityArgs {
    /// Data directory to open; no server may be using it. Without it, the command uses a server.
    #[arg(value_name = "DIR", conflicts_with = "data_dir")]
    pub dir: Option<PathBuf>,
    /// Number of entries in each list.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: u32,
    /// Start of the range: seconds, RFC 3339, `now`, or relative to now, such as `-1d`.
    #[arg(long, allow_hyphen_values = true)]
    pub start: Option<String>,
    /// End of the range, in the same format as --start.
    #[arg(long, allow_hyphen_values = true)]
    pub end: Option<String>,
    /// The database to inspect.
    #[command(flatten)]
    pub target: Target,
}

/// `barograph snapshot`
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Copy the database of a server, which needs --enable-admin, or copy an idle data directory to DEST.
    Create {
        /// Directory to create; only with --data-dir. A server chooses a name below its own data directory.
        #[arg(value_name = "DEST", requires = "data_dir")]
        dest: Option<PathBuf>,
        /// The database to copy.
        #[command(flatten)]
        target: Target,
    },
    /// Create a data directory from a snapshot.
    Restore {
        /// The snapshot's directory.
        snapshot: PathBuf,
        /// Directory to create; it must be empty or not exist.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// `barograph verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// The flags of `serve`.
#[derive(Debug, Clone)]
pub struct ServeArgs {
    /// File and flags; environment variables are read when the configuration is built.
    pub sources: Sources,
}

impl Args for ServeArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env("BAROGRAPH_CONFIG")
            .value_parser(clap::value_parser!(PathBuf))
            .help("TOML file of settings; see `barograph config`.");
        SETTINGS.iter().fold(command.arg(config), |command, setting| command.arg(flag(setting)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let default = if setting.default.is_empty() { "unset" } else { setting.default };
    let reload = if setting.reloadable { ", reloadable" } else { "" };
    let help = format!("{} [default: {default}; {}{reload}]", setting.doc, setting.variable());
    // The parser needs names with a static lifetime. This function runs once per setting, so leaking is bounded.
    let long: &'static str = setting.flag().leak();
    let arg = Arg::new(setting.key).long(long).help(help).help_heading(setting.group);
    let arg = arg.action(ArgAction::Set);
    if setting.is_switch() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
    } else {
        arg.value_name(setting.value_name).allow_hyphen_values(true)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = BTreeMap::new();
        for setting in SETTINGS {
            if let Some(text) = matches.get_one::<String>(setting.key) {
                flags.insert(setting.key, text.clone());
            }
        }
        let file = matches.get_one::<PathBuf>("config").cloned();
        Ok(ServeArgs { sources: Sources { file, flags, ..Sources::default() } })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_come_from_the_table() {
        let cli = Cli::try_parse_from([
            "barograph",
            "serve",
            "--max-body",
            "1MiB",
            "--insecure",
            "--enable-admin=false",
        ])
        .unwrap();
        let Command::Serve(args) = cli.command else { panic!("serve") };
        let config = args.sources.build().unwrap();
        assert_eq!((config.max_body, config.insecure, config.enable_admin), (1 << 20, true, false));
        assert!(Cli::try_parse_from(["barograph", "serve", "--max-bodi", "1"]).is_err());
    }

    #[test]
    fn help_names_each_setting_and_its_variable() {
        let mut command = Cli::command();
        let serve = command.find_subcommand_mut("serve").unwrap();
        let help = serve.render_long_help().to_string();
        for setting in SETTINGS {
            assert!(help.contains(&setting.flag()), "{}", setting.key);
            assert!(help.contains(&setting.variable()), "{}", setting.key);
        }
    }
}
