//! The boundary between Rust and C: catches panics, and keeps the message of a failure for the thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::failure::Failure;
use crate::status::SegvolStatus;
use crate::strings::c_string;

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
    /// How many calls of `caught` the thread is inside. More than one, if a callback calls the library.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the thread panicked last.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the body of a function that C calls, and returns its status.
pub(crate) fn fence(body: impl FnOnce() -> Result<(), Failure>) -> SegvolStatus {
    match caught(body) {
        Ok(Ok(())) => SegvolStatus::Ok,
        Ok(Err(Failure { status, message })) => {
            remember(message);
            status
        }
        Err(message) => {
            remember(message);
            SegvolStatus::Internal
        }
    }
}

/// As [`fence`], for a function that returns a value; it returns `otherwise` if the body panics.
pub(crate) fn fence_value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or_else(|message| {
        remember(message);
        otherwise
    })
}

/// Returns the message of the thread's last failure.
pub(crate) fn last_error() -> *const c_char {
    // A thread that is ending has no message any more.
    let message = LAST_ERROR.try_with(|message| message.try_borrow().map(|message| message.as_ptr()));
    message.ok().and_then(Result::ok).unwrap_or(c"".as_ptr())
}

fn remember(message: String) {
    let message = c_string(message);
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = message);
}

/// Returns the value of the body, or the message and the place of its panic.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    quiet();
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    // `AssertUnwindSafe`: the state that a handle shares is behind locks, which notice a panic.
    let result = catch_unwind(AssertUnwindSafe(body));
    DEPTH.with(|depth| depth.set(depth.get() - 1));
    result.map_err(|payload| {
        let place = PLACE.try_with(RefCell::take).unwrap_or_default();
        format!("a fault in libsegvol {}: panic{place}: {}", env!("CARGO_PKG_VERSION"), said(&*payload))
    })
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Keeps panics inside a fence from being printed, because a library does not print. Their place goes into the message.
fn quiet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let otherwise = take_hook();
        set_hook(Box::new(move |panic| {
            if DEPTH.with(Cell::get) == 0 {
                otherwise(panic);
            } else if let Some(place) = panic.location() {
                let place = format!(" at {}:{}", place.file(), place.line());
                let _ = PLACE.try_with(|kept| *kept.borrow_mut() = place);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn message() -> String {
        // SAFETY: the message is valid until this thread's next failure.
        unsafe { CStr::from_ptr(last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_is_a_status_with_its_message_and_place() {
        assert_eq!(fence(|| panic!("odd {}", 7)), SegvolStatus::Internal);
        assert!(message().contains("odd 7") && message().contains("fence.rs:"), "{}", message());
        assert_eq!(fence_value(3, || panic!("even")), 3);
        assert!(message().contains("even"), "{}", message());
    }

    #[test]
    fn each_thread_has_its_own_message() {
        assert_eq!(fence(|| Err(Failure::new(SegvolStatus::Shape, "a\0b"))), SegvolStatus::Shape);
        assert_eq!(message(), "ab");
        std::thread::spawn(|| assert_eq!(message(), "")).join().expect("joined");
        assert_eq!(fence(|| Ok(())), SegvolStatus::Ok);
        assert_eq!(message(), "ab", "a success does not change it");
    }

    #[test]
    fn fences_can_be_nested() {
        let outer = fence(|| {
            assert_eq!(fence(|| panic!("inner")), SegvolStatus::Internal);
            Ok(())
        });
        assert_eq!(outer, SegvolStatus::Ok);
        assert_eq!(DEPTH.with(Cell::get), 0);
    }
}
