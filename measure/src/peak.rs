//! The machine's float32 matrix-product peak with ONNX Runtime's CPU kernels. It gives a lower limit for a stage's time.
//!
//! It is measured with a graph of one `MatMul`, whose right side is constant, on the CPU provider with the same number of
//! threads. The best of several large shapes and several runs counts.

use std::path::Path;
use std::time::Instant;

use segvol::{GraphSession, Options, Provider, Tensor};
use segvol_onnx::save::save_model;
use segvol_onnx::{Dim, Graph, Stage, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::error::{Error, temporary_folder};

/// `[m, k] x [k, n]`: products of the released image encoder, and a square one.
const SHAPES: [[usize; 3]; 4] = [[2048, 768, 3072], [2048, 3072, 768], [2048, 768, 2304], [1536, 1536, 1536]];

/// Runs of each shape, the first of which is not counted.
const RUNS: usize = 8;

/// The best measured rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// The requested threads. `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// Floating-point operations per second, in units of 10^9.
    pub gflops: f64,
    /// The shape with the best rate: `m`, `k`, `n`.
    pub shape: [usize; 3],
}

/// Measures the peak of the CPU provider with the threads and the library of `options`.
///
/// # Errors
///
/// As for [`GraphSession::open`]; [`Error::Io`] if the temporary graph cannot be written.
pub fn measure(options: &Options) -> Result<Peak, Error> {
    let options = options.clone().provider(Provider::Cpu);
    let dir = temporary_folder()?;
    let mut best = Peak { threads: options.threads, gflops: 0.0, shape: SHAPES[0] };
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let name = format!("{index}.onnx");
        write_product(dir.path(), &name, shape).map_err(|source| Error::Io { path: dir.path().join(&name), source })?;
        let session = GraphSession::open(&dir.path().join(&name), Stage::ImageEncoder, &options)?;
        let [m, k, n] = shape;
        let inputs = [("a".to_owned(), Tensor::float(&[m, k], vec![0.5; m * k]))];
        for run in 0..RUNS {
            let start = Instant::now();
            session.run(&inputs)?;
            let gflops = 2e-9 * (m * k * n) as f64 / start.elapsed().as_secs_f64();
            if run > 0 && gflops > best.gflops {
                best = Peak { gflops, shape, ..best };
            }
        }
    }
    Ok(best)
}

/// Writes a graph of one product, `[m, k] x [k, n]`. Only one row of the result is an output, so that the time for copying
/// the whole result is not included.
fn write_product(dir: &Path, name: &str, [m, k, n]: [usize; 3]) -> std::io::Result<()> {
    let graph = Graph::new("peak");
    let a = graph.input(&TensorSpec::float("a", [Dim::Fixed(m), Dim::Fixed(k)]));
    // Not zeros, which some processors multiply faster.
    let b: Vec<f32> = (0..k * n).map(|index| (index % 7) as f32 * 0.125 - 0.375).collect();
    let product = graph.mat_mul(&a, &graph.floats("b", &[k, n], &b));
    let row = graph.gather(0, &product, &graph.ints(&[0]));
    graph.output(&TensorSpec::float("c", [Dim::Fixed(1), Dim::Fixed(n)]), &row);
    save_model(dir, name, &graph.to_model())?;
    Ok(())
}
