//! Listens, answers, and stops.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use segvol::{Cancellation, Model};
use segvol_base::ErrorKind;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use crate::app::{App, Shared};
use crate::routes;
use crate::settings::{Exposed, Settings};
use crate::warm_up::warm_up;

/// How often the server looks whether it should stop, and whether sessions have expired.
const TICK: Duration = Duration::from_millis(100);

/// How long answers may take after the server has been told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// A pause after a connection could not be accepted, as when there are too many open files.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Why a server does not start, or has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Other machines could use the server without a token.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The address cannot be used.
    #[error("{address}: {source}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
    /// The folder for uploads cannot be used.
    #[error("folder for uploads `{}`: {source}", path.display())]
    Uploads {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system refuses what a server needs.
    #[error("the server cannot start: {0}")]
    System(io::Error),
    /// The model does not run.
    #[error("the model does not run: {0}")]
    Model(segvol::Error),
}

impl ServeError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Exposed(_) => ErrorKind::Usage,
            Self::Bind { .. } | Self::Uploads { .. } | Self::System(_) => ErrorKind::Runtime,
            Self::Model(error) => error.kind(),
        }
    }
}

/// A server that listens, and does not answer yet.
pub struct Server {
    listener: TcpListener,
    app: Shared,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// [`ServeError::Exposed`] if other machines can reach the address and there is no token, unless
    /// [`Settings::insecure`]; [`ServeError::Bind`] if the address cannot be used; [`ServeError::Uploads`].
    pub fn bind(model: Model, mut settings: Settings) -> Result<Self, ServeError> {
        let address = settings.bind;
        settings.check()?;
        if let Some(path) = &settings.uploads {
            let failed = |source| ServeError::Uploads { path: path.clone(), source };
            tempfile::tempfile_in(path).map_err(failed)?;
        }
        let failed = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        settings.bind = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, app: Arc::new(App::new(model, settings)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.app.settings.bind
    }

    /// Warms the model up, and answers until `stop` is requested. Then, sessions end, and answers that are under way have ten seconds.
    ///
    /// # Errors
    ///
    /// [`ServeError::System`] if threads cannot be started; [`ServeError::Model`] if the model does not run.
    pub fn run(self, stop: &Cancellation) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(ServeError::System)?;
        let result = runtime.block_on(self.answer(stop));
        // Threads that still segment see that their sessions are gone, and end.
        runtime.shutdown_timeout(GRACE);
        result
    }

    async fn answer(self, stop: &Cancellation) -> Result<(), ServeError> {
        let Self { listener, app } = self;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::System)?;
        let mut warming = begin_to_warm_up(&app)?;
        let router = routes::router(Arc::clone(&app));
        let connections = Arc::new(Semaphore::new(app.settings.limits.connections));
        let graceful = GracefulShutdown::new();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    if stop.is_requested() {
                        break;
                    }
                    app.sessions.sweep();
                    if !app.is_warm() && let Ok(result) = warming.try_recv() {
                        result.map_err(ServeError::Model)?;
                        app.set_warm();
                        tracing::info!("ready");
                    }
                }
                accepted = accept(&listener, &connections) => match accepted {
                    Ok((stream, permit)) => serve(stream, permit, &router, &app, &graceful),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(BACK_OFF).await;
                    }
                },
            }
        }
        drop(listener);
        app.stop();
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
        Ok(())
    }
}

fn begin_to_warm_up(app: &Shared) -> Result<tokio::sync::oneshot::Receiver<Result<(), segvol::Error>>, ServeError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let shared = Arc::clone(app);
    let named = std::thread::Builder::new().name("warm-up".to_owned());
    let work = move || {
        let _ = sender.send(warm_up(&shared.model, &shared.settings.study));
    };
    named.spawn(work).map_err(ServeError::System)?;
    Ok(receiver)
}

type Accepted = (tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit);

/// The next connection, when there is room for it.
async fn accept(listener: &tokio::net::TcpListener, connections: &Arc<Semaphore>) -> io::Result<Accepted> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and waited for.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

fn serve(
    stream: tokio::net::TcpStream,
    permit: tokio::sync::OwnedSemaphorePermit,
    router: &Router,
    app: &Shared,
    graceful: &GracefulShutdown,
) {
    let service = TowerToHyperService::new(router.clone());
    // A client that does not take its answer is not waited for. One that waits for an answer sends nothing, and that is right.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(app.settings.limits.pause));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.settings.limits.pause)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let _permit = permit;
        // A client that goes away is nothing to report.
        let _ = connection.await;
    });
}
