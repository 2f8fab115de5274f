//! Open files: each connection uses one, and so does each file of the database. If connections use up the limit, the
//! database cannot open another segment of its log, and writes fail. Connections therefore get only what storage does
//! not need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Number of files reserved for everything but connections: 512 tables that RocksDB keeps open, segments of the log,
/// files that flushes, merges and snapshots write, files of the runtime, and connections that are being refused.
const RESERVE: u64 = 704;

/// The limit of open files; `None` if there is none.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(e) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("the soft limit of open files could not be raised to the hard one: {e}");
        }
    }
}

/// Maximum number of connections of each listener: `max_connections`, or what the limit of open files leaves.
pub fn connections_max(config: &Config, limit: Option<u64>) -> usize {
    let listeners = 1 + usize::from(config.tcp_listen.is_some());
    let wanted = config.max_connections;
    let most = limit.map_or(usize::MAX, |limit| left(limit, listeners as u64));
    if wanted > most {
        tracing::warn!(
            "max_connections is {wanted}, but the limit of open files, {}, leaves {most} for each of {listeners} \
             listeners beside those of the database: it is {most}; raise the hard limit (LimitNOFILE, ulimit -Hn)",
            limit.unwrap_or(u64::MAX)
        );
    }
    wanted.min(most)
}

fn left(limit: u64, listeners: u64) -> usize {
    // If the limit is too low for the reserve, connections get a quarter.
    let left = limit - RESERVE.min(limit - limit / 4);
    usize::try_from(left / listeners).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_storage_does_not_need() {
        for (limit, listeners, most) in [
            (1024, 1, 320),
            (1024, 2, 160),
            (1_048_576, 1, 1_047_872),
            (512, 1, 128),
            (4, 1, 1),
            (1, 2, 1),
            (0, 1, 1),
        ] {
            assert_eq!(left(limit, listeners), most, "{limit} {listeners}");
        }
    }
}
