//! Figures for Prometheus. None of them says anything about a patient.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use segvol::Statistics;

/// Upper ends of the times of requests, in seconds.
const SECONDS: [f64; 12] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct From {
    from: &'static str,
}

type Seconds = Counter<f64, AtomicU64>;

/// What there is at one moment.
pub(crate) struct Now {
    pub(crate) sessions: usize,
    /// Calls that wait for their turn.
    pub(crate) waiting: usize,
    /// Promised to sessions.
    pub(crate) memory_bytes: u64,
}

/// The figures since the server started.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    request_seconds: Histogram,
    calls: Family<Ended, Counter>,
    windows: Family<From, Counter>,
    steps: Family<Step, Seconds>,
    sessions: Gauge,
    waiting: Gauge,
    memory: Gauge<u64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("segvol");
        let metrics = Self {
            requests: Family::default(),
            request_seconds: Histogram::new(SECONDS),
            calls: Family::default(),
            windows: Family::default(),
            steps: Family::default(),
            sessions: Gauge::default(),
            waiting: Gauge::default(),
            memory: Gauge::default(),
            registry: Registry::default(),
        };
        let Self { requests, request_seconds, calls, windows, steps, sessions, waiting, memory, .. } = &metrics;
        registry.register("requests", "Requests, by route and status", requests.clone());
        let help = "Time until a response began";
        registry.register_with_unit("request", help, Unit::Seconds, request_seconds.clone());
        registry.register("calls", "Calls to the model, by how they ended", calls.clone());
        registry.register("windows", "Windows, by where their embeddings came from", windows.clone());
        let help = "Time of the model's stages and of the steps around them; steps at the same time add up";
        registry.register_with_unit("step", help, Unit::Seconds, steps.clone());
        registry.register("sessions", "Sessions", sessions.clone());
        registry.register("waiting", "Calls that wait for their turn", waiting.clone());
        let help = "Memory that is promised to sessions";
        registry.register_with_unit("reserved_memory", help, Unit::Bytes, memory.clone());
        Self { registry, ..metrics }
    }

    /// A request to a route, as it is written in the code, so that there are few of them.
    pub(crate) fn requested(&self, route: &str, status: u16, seconds: f64) {
        self.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
        self.request_seconds.observe(seconds);
    }

    /// A call has ended: `done`, or the code of its error.
    pub(crate) fn call_ended(&self, end: &'static str) {
        self.calls.get_or_create(&Ended { end }).inc();
    }

    /// What a call has added to the figures of its study.
    pub(crate) fn worked(&self, before: &Statistics, after: &Statistics) {
        let windows = [
            ("encoder", before.windows_encoded, after.windows_encoded),
            ("cache", before.windows_reused, after.windows_reused),
            ("folder", before.windows_loaded, after.windows_loaded),
        ];
        for (from, before, after) in windows {
            self.windows.get_or_create(&From { from }).inc_by(after.saturating_sub(before) as u64);
        }
        for (&step, &after) in &after.times_ms {
            let more = (after - before.times_ms.get(step).copied().unwrap_or(0.0)).max(0.0);
            self.steps.get_or_create(&Step { step }).inc_by(more / 1e3);
        }
    }

    /// All figures in the text format of OpenMetrics, with what there is at this moment.
    pub(crate) fn text(&self, now: &Now) -> Result<String, std::fmt::Error> {
        self.sessions.set(now.sessions as i64);
        self.waiting.set(now.waiting as i64);
        self.memory.set(now.memory_bytes);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
