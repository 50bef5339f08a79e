//! Google's XNNPACK, for ARM and x86 processors.

use std::num::NonZeroUsize;

use ort::ep::{self, ExecutionProviderDispatch};

use super::option::provider_options;

provider_options! {
    /// Options of the XNNPACK provider.
    XnnpackOptions {
        /// Number of threads of XNNPACK's own pool; if unset, the number that is set for all graphs.
        threads: Option<u32> = None, "intra_op_num_threads (the session's)";
    }
}

/// XNNPACK with its own threads. The session gets only one thread ([`super::Settings`]), because more would compete with
/// XNNPACK's threads for the cores. If no number of threads is set, XNNPACK gets one per core.
pub(super) fn dispatch(options: &XnnpackOptions, threads: Option<usize>) -> Vec<ExecutionProviderDispatch> {
    let cores = std::thread::available_parallelism().ok();
    let asked = options.threads.map(|threads| threads as usize).or(threads).and_then(NonZeroUsize::new);
    let mut provider = ep::XNNPACK::default();
    if let Some(threads) = asked.or(cores) {
        provider = provider.with_intra_op_num_threads(threads);
    }
    vec![provider.build().error_on_failure()]
}
