//! Messages of ONNX Runtime. They go to `tracing`, and errors are kept while a session is opened: some causes, such as a library
//! that a provider needs and that is missing, are only logged.

use std::cell::RefCell;
use std::sync::Arc;

use ort::logging::{LogLevel, LoggerFunction};

/// How many messages are kept. The first ones are the causes.
const MAX_KEPT: usize = 3;

thread_local! {
    /// The errors that were logged on this thread, while somebody wants them.
    static ERRORS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// The logger for the environment. Messages have the target `ort::logging`.
pub(super) fn logger() -> LoggerFunction {
    Arc::new(|level, _category, id, location, message| {
        const TARGET: &str = "ort::logging";
        match level {
            LogLevel::Verbose => tracing::trace!(target: TARGET, id, location, "{message}"),
            LogLevel::Info => tracing::info!(target: TARGET, id, location, "{message}"),
            LogLevel::Warning => tracing::warn!(target: TARGET, id, location, "{message}"),
            LogLevel::Error | LogLevel::Fatal => {
                tracing::error!(target: TARGET, id, location, "{message}");
                keep(message);
            }
        }
    })
}

fn keep(message: &str) {
    ERRORS.with_borrow_mut(|errors| {
        if let Some(errors) = errors.as_mut().filter(|errors| errors.len() < MAX_KEPT) {
            errors.push(message.to_owned());
        }
    });
}

/// Does `work`. The reason of its failure gets the errors that ONNX Runtime only logged meanwhile, on this thread.
pub(super) fn with_logged<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    add: impl FnOnce(E, &dyn Fn(&str) -> String) -> E,
) -> Result<T, E> {
    let before = ERRORS.replace(Some(Vec::new()));
    let done = work();
    let logged = ERRORS.replace(before).unwrap_or_default();
    done.map_err(|error| add(error, &|reason| joined(reason, &logged)))
}

/// A reason with the logged messages that it does not repeat.
fn joined(reason: &str, logged: &[String]) -> String {
    let mut text = reason.to_owned();
    for message in logged {
        let message = without_place(message.trim());
        let said = |text: &str| text.contains(message) || message.contains(reason);
        if !message.is_empty() && !said(&text) {
            text = format!("{text}; ONNX Runtime also said: {message}");
        }
    }
    text
}

/// A message without what ONNX Runtime puts before the text of an error: `FILE:LINE FUNCTION [ONNXRuntimeError] : 1 : FAIL : TEXT`.
fn without_place(message: &str) -> &str {
    let text = message.split_once("[ONNXRuntimeError] : ").and_then(|(_, rest)| rest.splitn(3, " : ").nth(2));
    text.unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_only_logged_is_added_to_the_reason_once() {
        let failing = || {
            let missing = "file.cc:1 Get() [ONNXRuntimeError] : 1 : FAIL : cannot open libcublas.so.12";
            for message in [missing, missing, "file.cc:1 provider failed"] {
                logger()(LogLevel::Error, "", "", "", message);
            }
            logger()(LogLevel::Warning, "", "", "", "only a warning");
            Err::<(), _>("provider failed".to_owned())
        };
        let error = with_logged(failing, |reason, joined| joined(&reason)).expect_err("a failure");
        assert_eq!(error, "provider failed; ONNX Runtime also said: cannot open libcublas.so.12");
        logger()(LogLevel::Error, "", "", "", "later");
        let error = with_logged(|| Err::<(), _>("other".to_owned()), |reason, joined| joined(&reason));
        assert_eq!(error.expect_err("a failure"), "other");
    }
}
