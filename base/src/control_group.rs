//! What the control groups of this process allow, on Linux: versions 1 and 2, in containers and outside.
//!
//! A limit holds for a group and for all groups inside it. So every group from that of the process up to the top that is
//! visible is looked at, and the lowest limit counts.

use std::fs;
use std::path::{Path, PathBuf};

/// Version 1 of control groups has no word for "no limit" of memory, only this number, rounded down to pages.
const UNLIMITED: u64 = 1 << 62;

/// The number of cores that the quota of the process's groups is worth, such as 0.5 or 2. `None` if there is no quota.
pub(crate) fn cpu_quota() -> Option<f64> {
    cpu_quota_at(Path::new("/"))
}

/// Bytes of memory that the limits of the process's groups leave. Files that the system can drop from memory at any time count as
/// free. `None` if there is no limit.
pub(crate) fn free_memory() -> Option<u64> {
    free_memory_at(Path::new("/"))
}

fn cpu_quota_at(root: &Path) -> Option<f64> {
    let quotas = groups(root, "cpu").into_iter().filter_map(|group| match group {
        Group::V2(folder) => {
            let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            share(quota, period) // Without a quota, its first word is `max`.
        }
        Group::V1(folder) => {
            let read = |name| fs::read_to_string(folder.join(name)).ok();
            share(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?) // Without a quota, it is -1.
        }
    });
    quotas.min_by(f64::total_cmp)
}

/// A quota per period, both in microseconds.
fn share(quota: &str, period: &str) -> Option<f64> {
    let [quota, period] = [quota.trim().parse::<u32>().ok()?, period.trim().parse::<u32>().ok()?];
    (quota > 0 && period > 0).then(|| f64::from(quota) / f64::from(period))
}

fn free_memory_at(root: &Path) -> Option<u64> {
    let left = groups(root, "memory").into_iter().filter_map(|group| {
        let (folder, [limit, used, droppable]) = match group {
            Group::V2(folder) => (folder, ["memory.max", "memory.current", "inactive_file"]),
            Group::V1(folder) => (folder, ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"]),
        };
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let (limit, used) = (number(limit).filter(|&limit| limit < UNLIMITED)?, number(used)?);
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let line = statistics.lines().find_map(|line| line.strip_prefix(droppable)?.strip_prefix(' '));
        let droppable = line.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(droppable)))
    });
    left.min()
}

/// The folder of a group.
enum Group {
    V1(PathBuf),
    V2(PathBuf),
}

/// The groups of this process that may limit `controller`, each with the groups above it. `root` is the root of the file system.
fn groups(root: &Path, controller: &str) -> Vec<Group> {
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let (own, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let mut found = Vec::new();
    for line in own.lines() {
        // `4:cpu,cpuacct:/path`; version 2 names no controller: `0::/path`.
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let second = controllers.is_empty();
        if !second && !controllers.split(',').any(|name| name == controller) {
            continue;
        }
        let Some(mount) = mounts.lines().filter_map(Mount::parse).find(|mount| match second {
            true => mount.kind == "cgroup2",
            false => mount.kind == "cgroup" && mount.options.split(',').any(|option| option == controller),
        }) else {
            continue;
        };
        let top = root.join(mount.at.strip_prefix("/").unwrap_or(&mount.at));
        // In a container, the path can be that of the host, and what is mounted is the container's own group.
        let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
        let is_plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let own = if is_plain { top.join(below) } else { top.clone() };
        let group = if second { Group::V2 } else { Group::V1 };
        found.extend(own.ancestors().take_while(|folder| folder.starts_with(&top)).map(|at| group(at.to_owned())));
    }
    found
}

/// A line of `/proc/self/mountinfo`.
struct Mount<'a> {
    /// Which folder of the file system is mounted.
    root: PathBuf,
    /// Where it is mounted.
    at: PathBuf,
    /// The kind of file system.
    kind: &'a str,
    /// The options of the file system.
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /at options optional… - kind source options`.
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, at) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        Some(Self { root: unescaped(root), at: unescaped(at), kind, options })
    }
}

/// The kernel writes blanks and backslashes of a path in octal: `\040`.
fn unescaped(path: &str) -> PathBuf {
    let mut text = path.to_owned();
    for (written, meant) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(written, meant);
    }
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root folder with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (name, contents) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, contents).expect("written");
        }
        root
    }

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw shared:3 - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
38 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn the_lowest_quota_from_the_own_group_up_counts() {
        let own = ("proc/self/cgroup", "0::/a.slice/b.scope/c\n");
        let mounts = ("proc/self/mountinfo", V2);
        for (files, expected) in [
            (vec![], None),
            (vec![("sys/fs/cgroup/a.slice/cpu.max", "max 100000\n")], None),
            (vec![("sys/fs/cgroup/a.slice/cpu.max", "50000 100000\n")], Some(0.5)),
            (
                vec![
                    ("sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n"),
                    ("sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n"),
                    ("sys/fs/cgroup/a.slice/b.scope/c/cpu.max", "800000 200000\n"),
                ],
                Some(1.5),
            ),
            // In a container, its own group is the top one.
            (vec![("sys/fs/cgroup/cpu.max", "20000 10000\n")], Some(2.0)),
            (vec![("sys/fs/cgroup/other/cpu.max", "50000 100000\n")], None),
        ] {
            let root = root(&[&[own, mounts], &files[..]].concat());
            assert_eq!(cpu_quota_at(root.path()), expected, "{files:?}");
        }
    }

    #[test]
    fn version_1_is_found_where_it_is_mounted() {
        let own = "9:name=systemd:/\n4:memory:/docker/x\n3:cpuset:/\n1:cpu,cpuacct:/docker/x\n0::/\n";
        let cpu = |folder: &str, quota: &str| {
            let at = |name: &str| format!("sys/fs/cgroup/cpu,cpuacct/{folder}{name}");
            [(at("cpu.cfs_quota_us"), format!("{quota}\n")), (at("cpu.cfs_period_us"), "100000\n".to_owned())]
        };
        // Seen from the host; and in a container that sees the paths of the host, but only its own group.
        let inside = V1.replace("0:29 / ", "0:29 /docker/x ");
        for (mounts, files, expected) in [
            (V1, vec![cpu("", "-1"), cpu("docker/x/", "150000")], Some(1.5)),
            (V1, vec![cpu("docker/", "30000"), cpu("docker/x/", "-1")], Some(0.3)),
            (&inside, vec![cpu("", "50000")], Some(0.5)),
            (V1, vec![cpu("", "-1")], None),
            ("", vec![cpu("", "50000")], None),
        ] {
            let mut all = vec![("proc/self/cgroup", own), ("proc/self/mountinfo", mounts)];
            let files = files.concat();
            all.extend(files.iter().map(|(name, contents)| (&**name, &**contents)));
            assert_eq!(cpu_quota_at(root(&all).path()), expected, "{all:?}");
        }
    }

    #[test]
    fn the_least_memory_that_is_left_counts_and_cached_files_are_free() {
        let two = ("proc/self/cgroup", "0::/a/b\n");
        let files = [
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/memory.current", "900\n"),
            ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 300\nactive_file 5\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "1\n"),
        ];
        let made = root(&[&[two, ("proc/self/mountinfo", V2)], &files[..]].concat());
        assert_eq!(free_memory_at(made.path()), Some(400));
        let one = ("proc/self/cgroup", "4:memory:/docker/x\n0::/\n");
        let files = [
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5\n"),
            ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "500\n"),
            ("sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "400\n"),
            ("sys/fs/cgroup/memory/docker/x/memory.stat", "inactive_file 7\ntotal_inactive_file 10\n"),
        ];
        let made = root(&[&[one, ("proc/self/mountinfo", V1)], &files[..]].concat());
        assert_eq!(free_memory_at(made.path()), Some(110));
        assert_eq!(free_memory_at(root(&[]).path()), None);
    }
}
