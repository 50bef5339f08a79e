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
/// XNNPACK's threads for the cores.
pub(super) fn dispatch(options: &XnnpackOptions, threads: usize) -> Vec<ExecutionProviderDispatch> {
    let threads = NonZeroUsize::new(options.threads.map_or(threads, |threads| threads as usize));
    let mut provider = ep::XNNPACK::default();
    if let Some(threads) = threads {
        provider = provider.with_intra_op_num_threads(threads);
    }
    vec![provider.build().error_on_failure()]
}
