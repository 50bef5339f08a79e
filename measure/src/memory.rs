//! How much memory a process has held, in the machine and on its GPUs.

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;

/// The most bytes of memory that this process has held so far (`VmHWM`, pages of mapped files among them); none where
/// the operating system does not tell it as Linux does.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The bytes that this process holds on NVIDIA's GPUs, as their driver counts them: the context, weights, and what ONNX
/// Runtime's arena has grown to, which it keeps between runs; none where there is no such driver, or it does not tell
/// (Windows, containers that hide process numbers).
#[must_use]
pub fn device_bytes() -> Option<u64> {
    let driver = Nvml::init().ok()?;
    let of_device = |index| driver.device_by_index(index).and_then(|device| device.running_compute_processes());
    let processes = (0..driver.device_count().ok()?).filter_map(|index| of_device(index).ok()).flatten();
    let own = processes.filter(|process| process.pid == std::process::id());
    let told = own.filter_map(|process| match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    });
    told.reduce(|sum, bytes| sum.saturating_add(bytes))
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_in_kibibytes() {
        assert_eq!(parse("VmPeak:\t  99 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 << 10));
        assert_eq!(parse("VmRSS:\t 7 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_was_freed_stays_in_the_peak() {
        let held = vec![1_u8; 64 << 20];
        assert!(held.iter().map(|&byte| u64::from(byte)).sum::<u64>() > 0);
        drop(held);
        assert!(peak_resident_bytes().is_some_and(|bytes| bytes > 64 << 20));
    }
}
