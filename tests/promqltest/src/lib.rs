//! Runs PromQL test scripts: plain text files that load samples and state the expected answers of queries over them.
//! The same scripts run over any storage, so memory and engine must give the same answers.
//!
//! ```
//! use promqltest::{MemoryStorage, Script};
//!
//! let script = Script::parse(
//!     "load 1m\n\
//!      \x20 requests{job=\"a\"} 0+60x5\n\
//!      \n\
//!      eval instant at 5m requests\n\
//!      \x20 requests{job=\"a\"} 300\n",
//! )
//! .unwrap();
//! assert_eq!(script.cases().count(), 1);
//! let report = promqltest::run(&script, &mut MemoryStorage::default());
//! assert_eq!(report.cases.len(), 1);
//! ```
//!
//! # Grammar
//! A script is a list of commands. Each line is trimmed, and a line that then begins with `#` counts as empty. The
//! first word of a command is case-insensitive.
//!
//! | command | meaning |
//! |---|---|
//! | `clear` | empties the storage |
//! | `load STEP` and series lines ([`series`]) | adds samples, the i-th at `i * STEP` |
//! | `load_with_nhcb STEP` | the same, and custom-bucket histograms from classic ones ([`nhcb`]) |
//! | `delete from A to B SELECTOR` | removes the samples in `(A, B]` of matching series |
//! | `eval instant at T QUERY` and expectations ([`expect`]) | one case |
//! | `eval range from A to B step S QUERY` and expectations | one case |
//!
//! `delete`, and the units `us` and `ns` in a step, are extensions; the rest is the language of the Prometheus
//! project's scripts. A block ends with an empty line.
//!
//! # Not here
//! The meaning of PromQL, which is in `barograph-query`. This crate never computes an answer.

pub mod compare;
pub mod engine;
pub mod expect;
pub mod histogram;
pub mod nhcb;
pub mod pin;
pub mod reference;
pub mod report;
pub mod run;
pub mod scan;
pub mod script;
pub mod series;
pub mod storage;

pub use engine::EngineStorage;
pub use report::{CaseReport, FileReport};
pub use run::{run, run_dir, run_file};
pub use script::{Script, ScriptError};
pub use storage::{MemoryStorage, Sample, Storage};
