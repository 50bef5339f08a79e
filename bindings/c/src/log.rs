//! What the library and ONNX Runtime have to say while they work.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Once, PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::arguments::unknown;
use crate::failure::Failure;
use crate::fence::fence;
use crate::status::SegvolStatus;

/// How much is told: a level and all above it.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolLogLevel {
    /// Nothing.
    Off = 0,
    /// What went wrong.
    Error = 1,
    /// What may be wrong.
    Warn = 2,
    /// What was decided, such as which provider `auto` passed over.
    Info = 3,
    /// How it is done.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// Is told a message: its SegvolLogLevel, and a line of UTF-8 that lives until it returns.
///
/// It may run in any thread, in several at once, and must return: no longjmp, no C++ exception may leave it. It may call
/// this library, whose messages are then lost, but not segvol_log_set().
pub type SegvolLog = Option<unsafe extern "C" fn(level: i32, message: *const c_char, user_data: *mut c_void)>;

/// Says where messages go, for the whole process; by default nowhere. `level`: the highest SegvolLogLevel that is told.
/// `log`: NULL for nowhere. When this returns, the function that was set before runs no more: its `user_data` may be freed.
///
/// ARGUMENT; CALLBACK when called by a log function. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_log_set(level: i32, log: SegvolLog, user_data: *mut c_void) -> SegvolStatus {
    fence(|| {
        if !(SegvolLogLevel::Off as i32..=SegvolLogLevel::Trace as i32).contains(&level) {
            return Err(unknown("level", "one of SegvolLogLevel, 0 to 5", level));
        }
        if LOGGING.get() {
            let message = "segvol_log_set: a log function must not call it: it would wait for itself";
            return Err(Failure::new(SegvolStatus::Callback, message));
        }
        static INSTALLED: Once = Once::new();
        // A library of its own: no one else can have set a subscriber for the copy of `tracing` in it.
        INSTALLED.call_once(|| drop(tracing::subscriber::set_global_default(Sink)));
        let mut target = TARGET.write().unwrap_or_else(PoisonError::into_inner);
        *target = log.map(|function| Target { function, user_data });
        LEVEL.store(if log.is_some() { level } else { 0 }, Ordering::Relaxed);
        drop(target);
        // `tracing` remembers who asked for nothing.
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    })
}

struct Target {
    function: unsafe extern "C" fn(i32, *const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: `segvol_log_set` asks for a function that may run in any thread, in several at once, with this data.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

static TARGET: RwLock<Option<Target>> = RwLock::new(None);
static LEVEL: AtomicI32 = AtomicI32::new(0);

thread_local! {
    /// Whether the thread is inside the log function.
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Hands events to the log function.
struct Sink;

impl Subscriber for Sink {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes() // The level changes.
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(*metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if LOGGING.replace(true) {
            return;
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        line.0.retain(|c| c != '\0');
        let message = CString::new(line.0).unwrap_or_default();
        if let Some(target) = &*TARGET.read().unwrap_or_else(PoisonError::into_inner) {
            // SAFETY: the caller's function, with the caller's data; a writer waits until it is done.
            unsafe { (target.function)(number(*event.metadata().level()), message.as_ptr(), target.user_data) };
        }
        LOGGING.set(false);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn number(level: Level) -> i32 {
    let level = match level {
        Level::ERROR => SegvolLogLevel::Error,
        Level::WARN => SegvolLogLevel::Warn,
        Level::INFO => SegvolLogLevel::Info,
        Level::DEBUG => SegvolLogLevel::Debug,
        _ => SegvolLogLevel::Trace,
    };
    level as i32
}

/// The message, then what else the event carries, as `name=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => {
                let rest = std::mem::take(&mut self.0);
                write!(self.0, "{value:?}{rest}")
            }
            name => write!(self.0, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
