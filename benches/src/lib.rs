//! Benchmarks of what is not ONNX Runtime, in `benches/host.rs`; a run takes about a minute. Stages and whole
//! segmentations are measured by `segvol bench`.
