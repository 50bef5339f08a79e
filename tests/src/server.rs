//! A server with the tiny model, for tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segvol::{Cancellation, Model, Options, Provider, StudyOptions};
use segvol_server::{Server, Settings};
use serde_json::Value;

use crate::http::Client;
use crate::{bundle, models};

/// A server that runs until it is dropped.
pub struct Running {
    /// Its model.
    pub model: Model,
    /// Its address.
    pub address: SocketAddr,
    stop: Cancellation,
    thread: Option<JoinHandle<()>>,
}

/// Starts a server with a seeded model in `folder`.
///
/// # Panics
///
/// If it does not start.
#[must_use]
pub fn start(folder: &Path, change: impl FnOnce(&mut Settings)) -> Running {
    let bundle = bundle::seeded(folder, &models::tiny(), &BTreeMap::new());
    let model = Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle");
    let mut settings = Settings::new(StudyOptions::default().cache_bytes(64 << 20));
    settings.bind.set_port(0);
    change(&mut settings);
    let server = Server::bind(model.clone(), settings).expect("a free port");
    let (address, stop) = (server.address(), Cancellation::new());
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || server.run(&stopped).expect("a server that runs"));
    Running { model, address, stop, thread: Some(thread) }
}

impl Running {
    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Stops it, and waits for its end.
    ///
    /// # Panics
    ///
    /// If it has failed.
    pub fn stop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a server that ends");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Begins a session. The path of it.
///
/// # Panics
///
/// If the server refuses.
#[must_use]
pub fn session(client: &Client) -> String {
    let answer = client.send("POST", "/v1/sessions", b"");
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("/v1/sessions/{}", answer.json()["id"].as_str().expect("an id"))
}

/// Begins a session with this scan. The path of it.
///
/// # Panics
///
/// If the server refuses.
#[must_use]
pub fn session_with(client: &Client, scan: &[u8]) -> String {
    let path = session(client);
    let answer = client.send("PUT", &format!("{path}/scan"), scan);
    assert_eq!(answer.status, 200, "{:?}", answer.text());
    path
}

/// A figure of `/metrics`; `None` if it has none of this name.
///
/// # Panics
///
/// If it is no number.
#[must_use]
pub fn figure(client: &Client, name: &str) -> Option<u64> {
    let figures = client.send("GET", "/metrics", b"").text();
    let mut lines = figures.lines().filter_map(|line| line.rsplit_once(' '));
    lines.find(|(one, _)| *one == name).map(|(_, value)| value.parse().expect("a number"))
}

/// Waits until something is so.
///
/// # Panics
///
/// If it is not so within this time; `what` says what is wrong.
pub fn wait_until(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A document with prompts in voxels of the file.
#[must_use]
pub fn prompts(objects: Value) -> Vec<u8> {
    serde_json::json!({ "schema_version": 1, "space": "voxel", "objects": objects }).to_string().into_bytes()
}
