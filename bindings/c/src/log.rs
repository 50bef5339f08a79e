//! Log messages of the library and of ONNX Runtime.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
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
use crate::strings::c_string;

/// The level of a log message. A program that asks for a level also gets the more severe ones, which have lower
/// numbers.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolLogLevel {
    /// No messages.
    Off = 0,
    /// Errors.
    Error = 1,
    /// Possible problems.
    Warn = 2,
    /// Decisions, such as which providers `auto` skipped.
    Info = 3,
    /// Details of each step.
    Debug = 4,
    /// All messages.
    Trace = 5,
}

/// A callback that receives log messages.
///
/// - `level`: the level of the message, a SegvolLogLevel.
/// - `message`: the message in UTF-8. It is valid until the callback returns.
/// - `user_data`: the pointer that was passed to segvol_log_set().
///
/// It may be called in any thread, and in several threads at the same time. It must return: it must not call longjmp(),
/// and no C++ exception may leave it. It may call this library, except segvol_log_set(). Messages of such calls are
/// dropped.
pub type SegvolLog = Option<unsafe extern "C" fn(level: i32, message: *const c_char, user_data: *mut c_void)>;

/// Sets the log callback of the whole process. By default there is none, and messages are dropped.
///
/// - `level`: a SegvolLogLevel; messages of this level and of all lower numbers are passed on.
/// - `log`: the callback, or NULL for none.
/// - `user_data`: a pointer that the callback receives. It must stay valid until another callback is set.
///
/// When this function returns, the previous callback is no longer running and will not be called again, so its
/// `user_data` may be freed.
///
/// Errors: ARGUMENT, CALLBACK if called from a log callback. On failure the previous callback stays.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_log_set(level: i32, log: SegvolLog, user_data: *mut c_void) -> SegvolStatus {
    fence(|| {
        if !(SegvolLogLevel::Off as i32..=SegvolLogLevel::Trace as i32).contains(&level) {
            return Err(unknown("level", "one of SegvolLogLevel, 0 to 5", level));
        }
        if LOGGING.get() {
            let message =
                "segvol_log_set: must not be called from a log callback, because it waits for that callback to return";
            return Err(Failure::new(SegvolStatus::Callback, message));
        }
        static INSTALLED: Once = Once::new();
        // This cannot fail: the library contains its own copy of `tracing`, for which nothing else sets a subscriber.
        INSTALLED.call_once(|| drop(tracing::subscriber::set_global_default(Sink)));
        let mut target = TARGET.write().unwrap_or_else(PoisonError::into_inner);
        *target = log.map(|function| Target { function, user_data });
        LEVEL.store(if log.is_some() { level } else { 0 }, Ordering::Relaxed);
        drop(target);
        // `tracing` caches which messages were not wanted before.
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    })
}

struct Target {
    function: unsafe extern "C" fn(i32, *const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: `segvol_log_set` requires a function that may run in any thread, and in several at once, with this data.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

static TARGET: RwLock<Option<Target>> = RwLock::new(None);
static LEVEL: AtomicI32 = AtomicI32::new(0);

thread_local! {
    /// Whether the thread is inside the log callback.
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Passes events of `tracing` to the log callback.
struct Sink;

impl Subscriber for Sink {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes() // The level can change.
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
        let message = c_string(line.0);
        if let Some(target) = &*TARGET.read().unwrap_or_else(PoisonError::into_inner) {
            // SAFETY: the function and the data belong together, and stay valid: replacing them waits for this lock.
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

/// The message of an event, followed by its other fields as `name=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
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
