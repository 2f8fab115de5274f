//! The examples, each run as a program.

use std::io::Read as _;
use std::path::Path;

use crate::Outcome;
use crate::process::part;

#[path = "../../examples/cron.rs"]
mod cron;
#[path = "../../examples/daemon.rs"]
mod daemon;
#[path = "../../examples/embed.rs"]
mod embed;
#[path = "../../examples/many.rs"]
mod many;
#[path = "../../examples/service.rs"]
mod service;
#[path = "../../examples/subscriber.rs"]
mod subscriber;

/// Changes the directory, because their paths are relative.
fn run_in(dir: &Path, main: impl FnOnce() -> Outcome) -> Outcome {
    std::env::set_current_dir(dir)?;
    main()
}

/// Each run finds the data of earlier runs.
pub fn example_cron(dir: &Path) -> Outcome {
    run_in(dir, || Ok((0..3).try_for_each(|_| cron::main())?))?;
    let db = barograph::Database::open(dir.join("load-data"))?;
    let mut samples = 0;
    let matchers = barograph::parse_selector("load1")?;
    db.export(&matchers, barograph::TimeRange::ALL, |series| {
        samples += series.values.len();
        true
    })?;
    assert_eq!(samples, 3);
    // A run that overlaps another one skips its minute.
    run_in(dir, || Ok(cron::main()?))
}

pub fn example_embed(dir: &Path) -> Outcome {
    run_in(dir, || Ok(embed::main()?))?;
    let db = barograph::Database::open(dir.join("weather-data"))?;
    let mut samples = 0;
    db.export(&barograph::parse_selector("temperature")?, .., |series| {
        samples += series.values.len();
        true
    })?;
    assert_eq!(samples, 120);
    Ok(())
}

pub fn example_many(dir: &Path) -> Outcome {
    run_in(dir, || Ok(many::main()?))
}

pub fn example_service(dir: &Path) -> Outcome {
    run_in(dir, || Ok(service::main()?))
}

pub fn example_subscriber(dir: &Path) -> Outcome {
    run_in(dir, || Ok(subscriber::main()?))
}

/// The parent ends at once; the daemon keeps the other end of the pipe.
pub fn example_daemon(dir: &Path) -> Outcome {
    let (mut reads, writes) = std::io::pipe()?;
    let mut parent = part("daemon", dir)?.stdout(writes).spawn()?;
    let mut said = String::new();
    reads.read_to_string(&mut said)?;
    assert!(parent.wait()?.success());
    assert_eq!(said, "the daemon stored 10 samples\n");
    Ok(())
}

/// Part of another program: it ends in a daemon.
pub fn daemon(dir: &Path) -> Outcome {
    run_in(dir, || Ok(daemon::main()?))
}
