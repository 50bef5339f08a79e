//! Interruption: removes temporary files, then ends the process.

use std::io;

/// Exit code of a process that is ended by a signal, minus the signal's number.
#[cfg(unix)]
const BY_SIGNAL: i32 = 128;

#[cfg(unix)]
mod signals {
    use std::io::{self, Write as _};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, OnceLock};
    use std::thread;

    use segvol::Cancellation;
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::{flag, low_level};

    /// What the first signal stops, if the command ends by itself then.
    static GRACEFUL: OnceLock<Cancellation> = OnceLock::new();

    /// The first signal, if the command ends by itself.
    static SIGNAL: OnceLock<i32> = OnceLock::new();

    /// Set when the first signal arrives.
    static ARRIVED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

    pub(crate) fn watch(signals: &[i32]) -> io::Result<()> {
        let arrived = ARRIVED.get_or_init(Arc::default);
        for &signal in signals {
            // A second signal ends the process at once, without waiting for files to be removed.
            flag::register_conditional_shutdown(signal, super::BY_SIGNAL + signal, Arc::clone(arrived))?;
            flag::register(signal, Arc::clone(arrived))?;
        }
        let mut signals = Signals::new(signals)?;
        let wait = move || {
            let Some(signal) = signals.forever().next() else { return };
            match GRACEFUL.get() {
                Some(cancellation) => {
                    let _ = SIGNAL.set(signal);
                    cancellation.request();
                }
                None => end(super::BY_SIGNAL + signal, "error: interrupted\n"),
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
        Ok(())
    }

    pub(crate) fn command() -> io::Result<()> {
        watch(&[SIGINT, SIGTERM])
    }

    pub(crate) fn measuring_process() -> io::Result<()> {
        // A terminal sends SIGINT to both processes. This one ignores it, and ends when its parent does.
        flag::register(SIGINT, Arc::default())?;
        watch(&[SIGTERM])
    }

    /// No destructors: graphs may be running on other threads.
    pub(crate) fn end(code: i32, message: &str) -> ! {
        let _removed = segvol_base::temporaries::remove_all();
        // If standard error is closed, there is nowhere to report it.
        let _ = io::stderr().write_all(message.as_bytes());
        low_level::exit(code)
    }

    pub(crate) fn gracefully(cancellation: &Cancellation) {
        let _ = GRACEFUL.set(cancellation.clone());
        // A signal between the start of the program and here has ended it.
    }

    pub(crate) fn ended() -> Option<u8> {
        SIGNAL.get().and_then(|signal| u8::try_from(super::BY_SIGNAL + signal).ok())
    }

    pub(crate) fn settle() {
        if GRACEFUL.get().is_some() {
            return;
        }
        while ARRIVED.get().is_some_and(|arrived| arrived.load(Ordering::SeqCst)) {
            thread::park();
        }
    }
}

/// On SIGINT or SIGTERM, removes temporary files and ends the process with 128 plus the signal's number.
///
/// On systems other than Unix the operating system ends the process, and temporary files are left behind.
pub(crate) fn watch() -> io::Result<()> {
    #[cfg(unix)]
    signals::command()?;
    Ok(())
}

/// As [`watch`], for a process that was started by this program.
pub(crate) fn watch_measuring_process() -> io::Result<()> {
    #[cfg(unix)]
    signals::measuring_process()?;
    Ok(())
}

/// Ends a process whose parent has ended.
pub(crate) fn abandoned() {
    #[cfg(unix)]
    signals::end(BY_SIGNAL + signal_hook::consts::SIGTERM, "");
    #[cfg(not(unix))]
    {
        let _removed = segvol_base::temporaries::remove_all();
        std::process::exit(1);
    }
}

/// From now on, the first signal only makes this request: the command stops its work and ends by itself. A second one ends the process
/// at once.
pub(crate) fn gracefully(cancellation: &segvol::Cancellation) {
    #[cfg(unix)]
    signals::gracefully(cancellation);
    #[cfg(not(unix))]
    let _ = cancellation;
}

/// The exit code of a command that a signal has stopped gracefully; `None` if there was none.
pub(crate) fn ended() -> Option<u8> {
    #[cfg(unix)]
    return signals::ended();
    #[cfg(not(unix))]
    None
}

/// If a signal has arrived, waits for the end of the process: errors about removed files must not be reported then.
pub(crate) fn settle() {
    #[cfg(unix)]
    signals::settle();
}
