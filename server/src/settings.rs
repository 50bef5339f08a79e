//! What a server allows, and how long it waits.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use segvol::StudyOptions;
use segvol::volume::AxisCodes;

use crate::token::Token;

/// How a server listens, what it allows, and how it segments.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where to listen. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// What a client has to present; `None` for no check, which is refused for an address that other machines can reach.
    pub token: Option<Token>,
    /// Listen without a token on an address that other machines can reach.
    pub insecure: bool,
    /// How scans are segmented. Its cache of embeddings is that of one session.
    pub study: StudyOptions,
    /// What clients may take.
    pub limits: Limits,
    /// The directions in which the axes of an array of nnInteractive's clients grow: its protocol does not say them. The default is
    /// SPL, `[k, j, i]` of a scan that is stored as LPS, which 3D Slicer sends for most scans.
    pub array_axes: AxisCodes,
    /// The folder for uploads while they arrive. Their files have no name there, so that nothing is left behind, however the
    /// process ends. `None` for the system's folder for temporary files.
    pub uploads: Option<PathBuf>,
    /// A scan that the page offers for a first try; `None` for none.
    pub demo_scan: Option<PathBuf>,
}

/// What clients may take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Sessions at the same time.
    pub sessions: usize,
    /// Bytes of an upload.
    pub upload_bytes: u64,
    /// Bytes of all sessions together: scans, embeddings, masks, and the work of their calls. `None` for no limit.
    pub memory_bytes: Option<u64>,
    /// Objects of a session.
    pub objects: usize,
    /// Calls that wait for their turn at the same time.
    pub queue: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// A session from which nothing at all has come for this long is freed.
    pub liveness: Duration,
    /// A session from which nothing but heartbeats has come for this long is freed.
    pub idle: Duration,
    /// The longest pause within a request.
    pub pause: Duration,
    /// The longest time for the body of a request.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 8,
            upload_bytes: 2 << 30,
            memory_bytes: segvol_base::gate::share_of_free_memory(),
            objects: 255,
            queue: 32,
            connections: 256,
            liveness: Duration::from_secs(120),
            idle: Duration::from_secs(600),
            pause: Duration::from_secs(30),
            body: Duration::from_secs(600),
        }
    }
}

impl Settings {
    /// The settings of a server that only this machine can reach, on port 8787.
    #[must_use]
    pub fn new(study: StudyOptions) -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8787)),
            token: None,
            insecure: false,
            study,
            limits: Limits::default(),
            array_axes: AxisCodes::SPL,
            uploads: None,
            demo_scan: None,
        }
    }

    /// Refuses settings with which other machines could use the server without a token.
    ///
    /// # Errors
    ///
    /// [`Exposed`], unless [`Settings::insecure`].
    pub fn check(&self) -> Result<(), Exposed> {
        let is_open = self.token.is_none() && !self.insecure && !is_loopback(self.bind.ip());
        if is_open { Err(Exposed { address: self.bind }) } else { Ok(()) }
    }

    /// Whether only this machine can reach the server.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(self.bind.ip())
    }
}

/// Other machines could use the server without a token.
#[derive(Debug, thiserror::Error)]
#[error("{address}: other machines can reach this address, and there is no token")]
pub struct Exposed {
    /// Where it was to listen.
    pub address: SocketAddr,
}

/// Whether other machines cannot reach this address.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
