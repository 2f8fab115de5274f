//! The files that RocksDB writes for people: its log, and its options.
//!
//! Nothing reads them: options are passed at each opening, and the log goes to `tracing`. RocksDB keeps two files of
//! options of 32 KiB each, and a log of some 100 KiB for each of the last openings, which is most of the size of a
//! small database.

use std::path::Path;

use rocksdb::{InfoLogger, LogLevel};

/// Passes RocksDB's log messages to `tracing`.
pub(super) fn logger(dir: &Path) -> InfoLogger {
    let dir = dir.display().to_string();
    InfoLogger::new_callback_logger(LogLevel::Warn, move |level, message| {
        let message = message.trim_end();
        match level {
            LogLevel::Error | LogLevel::Fatal => tracing::warn!(dir, "RocksDB: {message}"),
            _ => tracing::debug!(dir, "RocksDB: {message}"),
        }
    })
}

/// Removes the options and logs of earlier openings. The opening that follows writes its options again.
pub(super) fn remove_unused(dir: &Path) {
    for file in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = file.file_name();
        let is_unused =
            |name: &str| name.starts_with("OPTIONS-") || name == "LOG" || name.starts_with("LOG.old.");
        if name.to_str().is_some_and(is_unused) {
            // A file that cannot be removed does no harm.
            let _ = std::fs::remove_file(file.path());
        }
    }
}
