//! Facts about the machine: processor, cores, load, free memory.
//!
//! Most are read from Linux's `/proc` and `/sys`. A function returns `None` if its fact is not available, as on other
//! systems.

use std::collections::BTreeSet;
use std::fs;

/// The processor's model name.
#[must_use]
pub fn processor_name() -> Option<String> {
    cpuinfo_field(&cpuinfo()?, "model name").map(str::to_owned)
}

/// The processor's instruction set features, spelled as in Linux's `/proc/cpuinfo`. Empty if they are not available.
#[must_use]
pub fn processor_features() -> BTreeSet<String> {
    let Some(cpuinfo) = cpuinfo() else { return BTreeSet::new() };
    let features = cpuinfo_field(&cpuinfo, "flags").or_else(|| cpuinfo_field(&cpuinfo, "Features"));
    features.into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The number of threads that can run at once: the cores that this process may use, limited by its CPU affinity and its
/// control group's quota. 1 if that number is not available.
#[must_use]
pub fn usable_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The system's load average over the last minute: the mean number of runnable tasks.
#[must_use]
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The CPU frequency governor: `performance`, `powersave` and so on.
#[must_use]
pub fn frequency_governor() -> Option<String> {
    let text = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").ok()?;
    Some(text.trim().to_owned())
}

/// Bytes of memory that this process can still allocate: the machine's available memory or the rest of the control
/// group's limit, whichever is less.
#[must_use]
pub fn free_memory_bytes() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
    });
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(limit, used)| limit.saturating_sub(used));
    machine.into_iter().chain(group).min()
}

/// The process's peak resident memory so far, in bytes (`VmHWM`; pages of mapped files count).
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    parse_peak(&fs::read_to_string("/proc/self/status").ok()?)
}

fn cpuinfo() -> Option<String> {
    fs::read_to_string("/proc/cpuinfo").ok()
}

fn cpuinfo_field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_cpuinfo_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: A: processor\nflags\t\t: fpu avx2\n";
        assert_eq!(cpuinfo_field(text, "model name"), Some("A: processor"));
        assert_eq!(cpuinfo_field(text, "flags"), Some("fpu avx2"));
        assert_eq!(cpuinfo_field(text, "Features"), None);
    }

    #[test]
    fn the_peak_is_in_kibibytes() {
        assert_eq!(parse_peak("VmPeak:\t  99 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 << 10));
        assert_eq!(parse_peak("VmRSS:\t 7 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn freed_memory_stays_in_the_peak() {
        let held = vec![1_u8; 64 << 20];
        assert!(held.iter().map(|&byte| u64::from(byte)).sum::<u64>() > 0);
        drop(held);
        assert!(peak_resident_bytes().is_some_and(|bytes| bytes > 64 << 20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_everything_but_the_governor() {
        assert!(usable_cores() > 0);
        assert!(load().is_some_and(|load| load >= 0.0));
        assert!(free_memory_bytes().is_some_and(|bytes| bytes > 0));
    }
}
