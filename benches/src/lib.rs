//! Benchmarks of the code around ONNX Runtime. `segvol bench` measures stages and whole segmentations.
//!
//! - `benches/host.rs`: everything around ONNX Runtime, in about a minute;
//! - `benches/calls.rs`: the overhead of a call through C or Python, compared with Rust;
//! - `benches/decode_j2k.rs`: a series of JPEG 2000 slices, compared with OpenJPEG (`decode_j2k.py`).
