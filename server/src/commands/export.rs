//! `barograph export`

use std::fs::File;
use std::io::{self, BufWriter, Write};

use anyhow::Context;
use barograph::budget::Work;
use barograph::{TimeRange, Timestamp};

use crate::api::{export, selectors};
use crate::cli::ExportArgs;
use crate::client::Client;
use crate::clock;
use crate::commands::reader::Reader;
use crate::commands::time_ms;
use crate::json;
use crate::json::Sink;

/// Writes line protocol to the output.
///
/// # Errors
/// Invalid arguments, no database, or an output that cannot be written.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let mut output: Box<dyn Write> = match &args.output {
        Some(path) => {
            Box::new(File::create_new(path).with_context(|| format!("--output {}", path.display()))?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let mut output = BufWriter::with_capacity(1 << 20, &mut output);
    let now_ms = clock::now_ns() / 1_000_000;
    let bound = |text: &Option<String>| text.as_deref().map(|text| time_ms(text, now_ms)).transpose();
    let (start, end) = (bound(&args.start)?, bound(&args.end)?);
    match &args.target.data_dir {
        Some(dir) => {
            let wanted = args
                .selectors
                .iter()
                .map(|text| selectors::parse(text).map_err(anyhow::Error::msg))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let range = TimeRange::from(
                start.map_or(Timestamp::MIN, Timestamp::from_millis)
                    ..=end.map_or(Timestamp::MAX, Timestamp::from_millis),
            );
            let opened = Reader::open(dir, args.target.allow_damage)?;
            let reader = opened.database.reader(&Work::unbounded());
            export::write_all(&reader, &wanted, range, &mut Output { to: &mut output, piece: Vec::new() })?;
            output.flush().context("cannot write the output")?;
            drop(reader);
            return opened.finish();
        }
        None => {
            let mut form: Vec<(&str, String)> =
                args.selectors.iter().map(|selector| ("match[]", selector.clone())).collect();
            for (name, ms) in [("start", start), ("end", end)] {
                if let Some(ms) = ms {
                    let mut text = Vec::new();
                    json::time(&mut text, ms);
                    form.push((name, String::from_utf8_lossy(&text).into_owned()));
                }
            }
            let client = Client::new(&args.target)?;
            let mut body = client.stream("/api/v1/export", &form)?;
            io::copy(&mut body, &mut output)
                .context("the export was interrupted; the output is incomplete")?;
        }
    }
    output.flush().context("cannot write the output")
}

/// An output that passes everything on at once.
struct Output<W> {
    to: W,
    piece: Vec<u8>,
}

impl<W: Write> Sink for Output<W> {
    type Error = anyhow::Error;

    fn put(&mut self, _: usize, write: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<()> {
        self.piece.clear();
        write(&mut self.piece);
        self.to.write_all(&self.piece).context("cannot write the output")
    }
}
