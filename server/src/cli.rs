//! The command line. Flags of `serve` come from the table of settings; the other commands
//! are few and written out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::Sources;
use crate::config::settings::{SETTINGS, Setting};

/// Where a server listens by default.
pub const DEFAULT_URL: &str = "http://127.0.0.1:10130";

const ABOUT: &str = "Barograph stores metrics: line protocol and remote write in, PromQL out.";

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
A setting is taken from its flag, else its variable, else the --config file,
else its default. SIGHUP reads the file again; SIGTERM and SIGINT finish
running requests, flush and stop.

Examples:
  barograph serve --data-dir /var/lib/barograph
  barograph serve --config /etc/barograph.toml --udp-listen 127.0.0.1:8089
  barograph serve --listen 0.0.0.0:10130 --token-file /etc/barograph.tokens

Prometheus writes here with `remote_write: [{url: http://HOST:10130/api/v1/write}]`
and reads back with `remote_read: [{url: http://HOST:10130/api/v1/read}]`;
docs/prometheus.md says more.")]
    Serve(ServeArgs),
    /// Ask a PromQL question of a server or of a data directory.
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
        /// The one to explain.
        name: Option<String>,
    },
    /// Load files of line protocol, plain or gzip; `-` is standard input.
    #[command(after_help = "\
A file is sent in batches; a batch is durable before the next one is sent.
Bad lines are reported with file, line and column; the good lines around them
are stored.

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
    /// Show what a database holds: figures, and the names with most series.
    #[command(after_help = "\
Examples:
  barograph inspect
  barograph inspect cardinality /var/lib/barograph --top 20
  barograph inspect cardinality --url http://HOST:10130 --start -1d")]
    Inspect(InspectArgs),
    /// Make a consistent copy of a database, or a database of such a copy.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Read everything in an idle data directory and check every sum.
    Verify(VerifyArgs),
    /// Say what keeps a data directory from opening, and repair it with --apply.
    #[command(after_help = "\
`serve` does the same repairs when it starts. Without --apply nothing changes and
the exit status is 1 where there is something to repair. What a repair takes away
is kept beside the file as NAME.OFFSET.bad. A damaged log is set aside by
`serve --recover-damaged-wal`.")]
    Repair {
        /// The data directory; no server may be using it.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Do it.
        #[arg(long)]
        apply: bool,
    },
    /// Make a random token: prints it, and the line for the server's --token-file.
    Token,
    /// Print a configuration file with every setting, its meaning and its default.
    Config,
}

/// Which database a command speaks to.
#[derive(Debug, Args, Clone)]
pub struct Target {
    /// Server to ask.
    #[arg(long, value_name = "URL", env = "BAROGRAPH_URL", default_value = DEFAULT_URL)]
    pub url: String,
    /// Token for the server.
    #[arg(long, value_name = "TOKEN", env = "BAROGRAPH_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Data directory to open instead; no server may be using it.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Read a data directory although its log is damaged: what is whole is shown, the damage goes to standard error, and
    /// the exit status is 1. Nothing in the directory changes.
    #[arg(long)]
    pub allow_damage: bool,
}

/// `barograph query`
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The PromQL expression.
    pub query: String,
    /// Time of an instant query: seconds, RFC 3339, `now`, or before now as `-5m`.
    #[arg(long, allow_hyphen_values = true, default_value = "now", conflicts_with_all = ["start", "end", "step"])]
    pub time: String,
    /// First time of a range query, written like --time.
    #[arg(long, allow_hyphen_values = true)]
    pub start: Option<String>,
    /// Last time of a range query; default now.
    #[arg(long, allow_hyphen_values = true, requires = "start")]
    pub end: Option<String>,
    /// Step of a range query, such as 1m; default the range divided by 60.
    #[arg(long, requires = "start")]
    pub step: Option<String>,
    /// Print what each part of the query was expected to cost and did, instead of its answer.
    #[arg(long)]
    pub explain: bool,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Where to ask.
    #[command(flatten)]
    pub target: Target,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One line a sample: a column for each label, then time and value.
    Csv,
    /// As the HTTP API answers.
    Json,
}

/// `barograph import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files of line protocol, or - for standard input; gzip is recognised by its first bytes. Of an export of
    /// InfluxDB 1 each line goes into the database that the export names.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Unit of the timestamps: ns, us, ms, s, m, h, or auto, which goes by the size of each.
    #[arg(long, default_value = "ns")]
    pub precision: String,
    /// Value of the label `db` for every series.
    #[arg(long, value_name = "NAME")]
    pub db: Option<String>,
    /// Lines of one batch.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Exit with success although lines were refused.
    #[arg(long)]
    pub skip_bad: bool,
    /// New file for all refused lines, each after a comment with the reason. It can be corrected and imported.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Seconds for which a batch is sent again while the server restarts or is busy.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u64,
    /// Where to write.
    #[command(flatten)]
    pub target: Target,
}

/// `barograph export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Selector of the series; may be given several times.
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    pub selectors: Vec<String>,
    /// First time: seconds, RFC 3339, `now`, or before now as `-1d`; default the oldest.
    #[arg(long, allow_hyphen_values = true)]
    pub start: Option<String>,
    /// Last time; default the newest.
    #[arg(long, allow_hyphen_values = true)]
    pub end: Option<String>,
    /// File to write instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where to read.
    #[command(flatten)]
    pub target: Target,
}

/// `barograph inspect`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct InspectArgs {
    /// A report of its own.
    #[command(subcommand)]
    pub report: Option<InspectCommand>,
    /// Entries of each list.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: u32,
    /// Where to look.
    #[command(flatten)]
    pub target: Target,
}

/// The reports of `barograph inspect`.
#[derive(Debug, Subcommand)]
pub enum InspectCommand {
    /// Count series by metric, by label and by label pair.
    ///
    /// In a data directory everything stored is counted, or what --start and --end choose, a whole partition
    /// at a time. From a server come the series in its memory, with --start or --end also for stored ones.
    Cardinality(CardinalityArgs),
}

/// `barograph inspect cardinality`
#[derive(Debug, Args)]
pub struct CardinalityArgs {
    /// Data directory to open; no server may be using it. Without one a server is asked.
    #[arg(value_name = "DIR", conflicts_with = "data_dir")]
    pub dir: Option<PathBuf>,
    /// Entries of each list.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: u32,
    /// First time: seconds, RFC 3339, `now`, or before now as `-1d`.
    #[arg(long, allow_hyphen_values = true)]
    pub start: Option<String>,
    /// Last time, written like --start.
    #[arg(long, allow_hyphen_values = true)]
    pub end: Option<String>,
    /// Where to look.
    #[command(flatten)]
    pub target: Target,
}

/// `barograph snapshot`
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Copy a database: ask a server (needs --enable-admin there), or copy an idle directory to DEST.
    Create {
        /// Directory to create; only with --data-dir. A server chooses a name below its own data directory.
        #[arg(value_name = "DEST", requires = "data_dir")]
        dest: Option<PathBuf>,
        /// What to copy.
        #[command(flatten)]
        target: Target,
    },
    /// Make a data directory of a snapshot.
    Restore {
        /// The snapshot's directory.
        snapshot: PathBuf,
        /// Directory to create; must not exist or be empty.
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

/// The flags of `serve`: where settings come from.
#[derive(Debug, Clone)]
pub struct ServeArgs {
    /// File and flags; variables are read when the settings are put together.
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
    // The parser wants names that live as long as the program; they are made once.
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
