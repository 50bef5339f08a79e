//! Encodes the zoom-out window of a scan as soon as it is there, while its user looks at it: the first coarse mask then needs only the
//! decoder. Masks do not depend on it.

use std::ops::ControlFlow;
use std::sync::Arc;

use segvol::WindowKey;

use crate::app::Shared;
use crate::call::on_a_thread;
use crate::error::ApiError;
use crate::session::OpenScan;
use crate::turns::Turn;

/// Begins it. It has its turn behind those who wait now, and ends with the scan.
pub(crate) fn begin(app: &Shared, scan: &Arc<OpenScan>) {
    let options = scan.study.options();
    if options.cache_bytes == 0 && options.embeddings.is_none() {
        return; // The window would be encoded for nothing.
    }
    let turn = app.turns.turn();
    // Until then, it keeps nothing of the scan.
    let (app, scan) = (Arc::clone(app), Arc::downgrade(scan));
    tokio::spawn(async move {
        let turn = turn.await;
        let Some(scan) = scan.upgrade() else { return };
        if let Err(error) = on_a_thread(move || encode(&app, scan, turn)).await {
            // A call has the same error, and says so.
            tracing::debug!(error = error.message, "the zoom-out window could not be encoded before the first call");
        }
    });
}

fn encode(app: &Shared, scan: Arc<OpenScan>, turn: Turn) -> Result<(), ApiError> {
    let before = scan.study.statistics();
    let ignore = &mut |_: usize, _: &[f32]| ControlFlow::Continue(());
    let result = scan.study.embed_cancellable(&[WindowKey::ZoomOut], ignore, &scan.look_ahead);
    app.metrics.worked(&before, &scan.study.statistics());
    // The next scan may need its memory.
    drop(scan);
    drop(turn);
    Ok(result?)
}
