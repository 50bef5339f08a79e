//! Google's XNNPACK, for ARM and x86 processors.

use std::num::NonZeroUsize;

use ort::ep::{self, ExecutionProviderDispatch};

use super::option::provider_options;

provider_options! {
    /// Options of the XNNPACK provider.
    XnnpackOptions {
        /// Threads of XNNPACK's own pool, if not as many as `--threads` says.
        threads: Option<u32> = None, "intra_op_num_threads (the session's)";
    }
}

/// XNNPACK has its own threads; the session's would fight them for the cores, so it gets one ([`super::Settings`]).
pub(super) fn dispatch(options: &XnnpackOptions, threads: Option<usize>) -> Vec<ExecutionProviderDispatch> {
    let cores = std::thread::available_parallelism().ok();
    let asked = options.threads.map(|threads| threads as usize).or(threads).and_then(NonZeroUsize::new);
    let mut provider = ep::XNNPACK::default();
    if let Some(threads) = asked.or(cores) {
        provider = provider.with_intra_op_num_threads(threads);
    }
    vec![provider.build().error_on_failure()]
}
