//! The disk space of a database, by part.

use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::stats::DiskBytes;

/// Unit of a file's block count.
const DISK_BLOCK_BYTES: u64 = 512;

/// Walks a data directory. Files that come and go meanwhile are counted or not.
pub(in crate::engine) fn measure(dir: &Path) -> DiskBytes {
    let mut found = DiskBytes::default();
    let all = |place: &Path, count: &mut dyn FnMut(&str, u64)| {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if let Some((name, bytes)) = file(&entry) {
                count(&name, bytes);
            }
        }
    };
    all(dir, &mut |name, bytes| match name {
        "reserve" => found.reserve += bytes,
        _ => found.other += bytes,
    });
    all(&dir.join("wal"), &mut |name, bytes| match name {
        "reserve" => found.reserve += bytes,
        _ if name.ends_with(".bad") => found.other += bytes,
        _ => found.log += bytes,
    });
    all(&dir.join("store"), &mut |name, bytes| match name.ends_with(".sst") {
        true => found.tables += bytes,
        false => found.store += bytes,
    });
    all(&dir.join("staging"), &mut |_, bytes| found.staging += bytes);
    found
}

/// The name of a file and the size of its blocks, including those allocated in advance.
fn file(entry: &DirEntry) -> Option<(String, u64)> {
    let found = entry.metadata().ok().filter(fs::Metadata::is_file)?;
    Some((entry.file_name().to_string_lossy().into_owned(), found.blocks() * DISK_BLOCK_BYTES))
}

#[cfg(all(test, feature = "rocksdb"))]
mod tests {
    use crate::engine::tests::float_batch;
    use crate::{Engine, Options};

    /// Blocks of all files below a directory, by another way.
    fn blocks(dir: &std::path::Path) -> u64 {
        let said = std::process::Command::new("find")
            .args([dir.as_os_str(), "-type".as_ref(), "f".as_ref(), "-printf".as_ref(), "%b\n".as_ref()])
            .output()
            .expect("find");
        String::from_utf8(said.stdout)
            .expect("numbers")
            .lines()
            .map(|n| n.parse::<u64>().expect("a number"))
            .sum::<u64>()
            * 512
    }

    #[test]
    fn the_parts_are_all_that_is_on_the_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let engine =
            Engine::open(dir.path(), Options { background: false, ..Options::default() }).expect("open");
        engine.append(&float_batch(0, &[1, 2, 3])).expect("append");
        engine.flush().expect("flush");
        engine.append(&float_batch(0, &[4])).expect("append");
        let disk = engine.stats().disk;
        assert!(disk.tables > 0 && disk.log > 0 && disk.store > 0 && disk.reserve >= 32 << 10, "{disk:?}");
        assert_eq!(disk.total(), blocks(dir.path()), "{disk:?}");
    }

    #[test]
    fn an_empty_database_takes_less_than_100_kilobytes_however_often_it_is_opened() {
        for options in [Options::small(), Options::default()] {
            let dir = tempfile::tempdir().expect("a directory");
            for _ in 0..4 {
                let engine = Engine::open(dir.path(), options.clone()).expect("open");
                let open = engine.stats().disk;
                assert!(open.total() <= 100_000, "{open:?}");
                engine.close().expect("close");
                assert!(blocks(dir.path()) <= 100_000, "closed: {}", blocks(dir.path()));
            }
        }
    }
}
