//! Benchmarks alone: see `benches/host.rs`.
