//! Benchmarks of what is not ONNX Runtime: `benches/host.rs`, about a minute; and `benches/c_call.rs`, what a call through C
//! costs beyond Rust's. Stages and whole segmentations are measured by `segvol bench`.
