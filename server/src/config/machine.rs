//! How much memory the process can use: that of the machine, or the limit of its control group.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that the process can use: the minimum of the machine's memory and the limits of its control group and all
/// parent groups, of both versions. `None` if the system does not report them.
pub fn available() -> Option<u64> {
    below(Path::new("/"))
}

/// Like [`available`], with the system's files under `root`.
fn below(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok().as_deref().and_then(total);
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_limit(root, line));
    machine.into_iter().chain(limits).min()
}

/// Bytes of the line `MemTotal:  24737380 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit between a group and the root. `line` has the form `ID:CONTROLLERS:PATH`.
fn group_limit(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let mount = root.join(mount);
    // Inside a container, the path may be that of the host, which is not mounted. The container's own limit is at the
    // root.
    let group = PathBuf::from(path.trim_start_matches('/'));
    let limit = |dir: &Path| fs::read_to_string(mount.join(dir).join(file)).ok()?.trim().parse::<u64>().ok();
    group.ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system of these files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const MACHINE: (&str, &str) =
        ("proc/meminfo", "MemFree: 5 kB\nMemTotal:       4096 kB\nMemAvailable: 9 kB\n");

    #[test]
    fn the_least_limit_counts() {
        let found = |files: &[(&str, &str)]| below(system(files).path());
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[MACHINE]), Some(4 << 20));
        // Version 2: the group has no limit, but its parent has.
        let own = ("proc/self/cgroup", "0::/a.slice/b.service\n");
        let files = [
            MACHINE,
            own,
            ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
            ("sys/fs/cgroup/a.slice/memory.max", "1048576\n"),
        ];
        assert_eq!(found(&files), Some(1 << 20));
        // In a container, its own limit is at the root of the mount.
        assert_eq!(found(&[MACHINE, own, ("sys/fs/cgroup/memory.max", "2097152\n")]), Some(2 << 20));
        // Version 1: no limit is a number larger than any machine's memory.
        let own = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/docker/1\n0::/x\n");
        let one = ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "65536\n");
        let none = ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
        let cpu = ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
        assert_eq!(found(&[MACHINE, own, one, cpu]), Some(64 << 10));
        assert_eq!(found(&[MACHINE, own, none]), Some(4 << 20));
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available().is_none_or(|bytes| bytes > 1 << 20));
    }
}
