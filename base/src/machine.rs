//! Facts about the machine: processor, cores, load, free memory.
//!
//! Most are read from Linux's `/proc` and `/sys`. A function returns `None` if its fact is not available, as on other
//! systems.

use std::collections::BTreeSet;
use std::fs;

use crate::control_group;

/// The name of this machine in its network; `unknown` if it has none.
#[must_use]
pub fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// The processor's model name.
#[must_use]
pub fn processor_name() -> Option<String> {
    cpuinfo_field(&cpuinfo()?, "model name").map(str::to_owned)
}

/// The display controllers of the machine's PCI bus, each as `VENDOR:DEVICE` in hexadecimal, such as `10de:2330`, sorted. Empty if
/// there are none, or if they are not available.
#[must_use]
pub fn graphics_devices() -> Vec<String> {
    let devices = fs::read_dir("/sys/bus/pci/devices").into_iter().flatten().flatten();
    let mut found: Vec<String> = devices
        .filter_map(|device| {
            let read = |name: &str| fs::read_to_string(device.path().join(name)).ok();
            graphics_device(&read("class")?, &read("vendor")?, &read("device")?)
        })
        .collect();
    found.sort();
    found
}

/// The name of a device whose class is 0x03, display controller, in the kernel's spelling.
fn graphics_device(class: &str, vendor: &str, device: &str) -> Option<String> {
    let number = |text: &str| text.trim().strip_prefix("0x").map(str::to_owned);
    let is_display = class.trim().starts_with("0x03");
    is_display.then(|| Some(format!("{}:{}", number(vendor)?, number(device)?)))?
}

/// The processor's instruction set features, spelled as in Linux's `/proc/cpuinfo`. Empty if they are not available.
#[must_use]
pub fn processor_features() -> BTreeSet<String> {
    let Some(cpuinfo) = cpuinfo() else { return BTreeSet::new() };
    let features = cpuinfo_field(&cpuinfo, "flags").or_else(|| cpuinfo_field(&cpuinfo, "Features"));
    features.into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The processors that this process may use, and why it may not use more.
#[derive(Debug, Clone, PartialEq)]
pub struct Processors {
    /// How many the machine has.
    pub online: usize,
    /// How many this thread may run on: its affinity, which a cpuset limits too. A thread that it starts may run on the same.
    pub allowed: usize,
    /// How many cores these are. Two processors can be one core (hyper-threads).
    pub cores: usize,
    /// How many cores the quota of the process's control groups is worth, such as 0.5; `None` without a quota.
    pub quota: Option<f64>,
}

impl Processors {
    /// What this process may use at the moment.
    #[must_use]
    pub fn now() -> Self {
        let allowed = allowed_processors();
        // On other systems, the standard library knows a number.
        let known = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if allowed.is_empty() { known() } else { allowed.len() };
        let online = fs::read_to_string("/sys/devices/system/cpu/online").ok().and_then(|list| parse_list(&list));
        let cores: BTreeSet<String> = allowed.iter().map(|&processor| core_of(processor)).collect();
        Self {
            online: online.map_or(count, |online| online.len().max(count)),
            allowed: count,
            cores: if cores.is_empty() { count } else { cores.len() },
            quota: control_group::cpu_quota(),
        }
    }

    /// The number of threads for small work: one for each processor, but no more than the quota, rounded down, at least 1.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.within_quota(self.allowed)
    }

    /// The number of threads for work that keeps a core busy: one for each core, but no more than the quota, rounded down, at
    /// least 1.
    #[must_use]
    pub fn usable_cores(&self) -> usize {
        self.within_quota(self.cores)
    }

    fn within_quota(&self, count: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // A quota is positive, and rounded down on purpose.
        let quota = self.quota.map_or(usize::MAX, |quota| quota as usize);
        count.min(quota).max(1)
    }

    /// Why this process uses fewer processors than the machine has, in words; `None` if it uses all.
    #[must_use]
    pub fn limit(&self) -> Option<String> {
        let mut reasons = Vec::new();
        if self.allowed < self.online {
            reasons.push(format!("affinity or cpuset allows {} of {} processors", self.allowed, self.online));
        }
        if self.cores < self.allowed {
            reasons.push(format!("{} processors are {} cores", self.allowed, self.cores));
        }
        #[allow(clippy::cast_precision_loss)] // At most some thousands.
        if let Some(quota) = self.quota.filter(|&quota| quota < self.cores as f64) {
            reasons.push(format!("the control group's quota is {quota} cores"));
        }
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }
}

/// The number of threads that a graph gets if nobody says: [`Processors::usable_cores`] at the moment.
#[must_use]
pub fn usable_cores() -> usize {
    Processors::now().usable_cores()
}

/// The numbers of the processors that this thread may run on. Empty if they are not available.
fn allowed_processors() -> BTreeSet<usize> {
    let status = |path| fs::read_to_string(path).ok();
    let Some(status) = status("/proc/thread-self/status").or_else(|| status("/proc/self/status")) else {
        return BTreeSet::new();
    };
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(parse_list).unwrap_or_default()
}

/// A list of the kernel, such as `0-3,8`.
fn parse_list(list: &str) -> Option<BTreeSet<usize>> {
    let mut found = BTreeSet::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let [first, last] = [first, last].map(|number| number.trim().parse::<usize>().ok());
        let range = first?..=last?;
        if *range.end() > MAX_PROCESSORS {
            return None;
        }
        found.extend(range);
    }
    Some(found)
}

/// More processors than a kernel can be built for.
const MAX_PROCESSORS: usize = 1 << 16;

/// A name for the core that a processor belongs to: the list of its processors.
fn core_of(processor: usize) -> String {
    let siblings = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    fs::read_to_string(siblings).unwrap_or_else(|_| processor.to_string()).trim().to_owned()
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

/// Bytes of memory that this process can still allocate: the machine's available memory or what the limits of its control
/// groups leave, whichever is less.
#[must_use]
pub fn free_memory_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
    });
    machine.into_iter().chain(control_group::free_memory()).min()
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
    fn only_display_controllers_are_graphics_devices() {
        assert_eq!(graphics_device("0x030200\n", "0x10de\n", "0x2330\n").as_deref(), Some("10de:2330"));
        assert_eq!(graphics_device("0x020000\n", "0x10de\n", "0x2330\n"), None);
        assert_eq!(graphics_device("0x030000\n", "", "0x2330\n"), None);
    }

    #[test]
    fn the_peak_is_in_kibibytes() {
        assert_eq!(parse_peak("VmPeak:\t  99 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 << 10));
        assert_eq!(parse_peak("VmRSS:\t 7 kB\n"), None);
    }

    #[test]
    fn threads_follow_what_is_allowed_and_the_quota() {
        let of = |allowed, cores, quota| Processors { online: 16, allowed, cores, quota };
        for (found, threads, reason) in [
            (of(16, 16, None), (16, 16), None),
            (of(1, 1, None), (1, 1), Some("affinity or cpuset allows 1 of 16 processors")),
            (of(16, 8, None), (16, 8), Some("16 processors are 8 cores")),
            (of(16, 16, Some(0.5)), (1, 1), Some("the control group's quota is 0.5 cores")),
            (of(16, 16, Some(2.9)), (2, 2), Some("the control group's quota is 2.9 cores")),
            (of(16, 8, Some(12.0)), (12, 8), Some("16 processors are 8 cores")),
            (of(16, 16, Some(64.0)), (16, 16), None),
        ] {
            assert_eq!((found.usable(), found.usable_cores()), threads, "{found:?}");
            assert_eq!(found.limit().as_deref(), reason, "{found:?}");
        }
    }

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(parse_list("\t0-2,8\n"), Some([0, 1, 2, 8].into()));
        assert_eq!(parse_list(""), Some([].into()));
        assert_eq!((parse_list("a"), parse_list("0-99999999999")), (None, None));
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
