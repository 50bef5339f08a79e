//! GPU memory of this process.

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;

/// The bytes that this process holds on NVIDIA GPUs, as their driver counts them: the context, the weights, and ONNX
/// Runtime's arena, which keeps its size between runs.
///
/// `None` without an NVIDIA driver, or if the driver does not know (Windows, containers that hide process ids).
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
