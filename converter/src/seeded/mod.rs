//! Weights and windows from a formula: every key and shape gives the same numbers on any machine. A model with such
//! weights segments nothing, but needs the time and memory of a trained one, and rounds like it.
//!
//! `value(key, i) = f32(lo + (hi - lo) * u)` with
//! `u = (mix(fnv1a64(key) + (i + 1) * GOLDEN) >> 11) * 2^-53`, where `mix` is splitmix64's finaliser, `i` the
//! row-major index of the element, and all integers wrap at 64 bits. [`bounds`] gives `lo` and `hi`.
//!
//! The released code was run with these weights, so nothing of the real ones is needed to compare with it.
//! Keys have no layout's prefix and no `text_model.`.

mod checkpoint;
mod formula;

pub use checkpoint::{write, write_tokenizer};
pub use formula::{bounds, elements, fnv1a64, tensor, uniform01, window};
pub use segvol_checkpoint::keys::{config_json, keys};
