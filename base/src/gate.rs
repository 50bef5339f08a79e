//! How much work fits into memory at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::machine;

/// The share of the machine's free memory that may be filled, in percent. The rest is a reserve for everything else.
const SHARE_PERCENT: u64 = 75;

/// Bytes that work which is done at the same time may fill by default: three quarters of the memory that this process may still allocate; `None` where that
/// is not known (outside Linux).
#[must_use]
pub fn share_of_free_memory() -> Option<u64> {
    machine::free_memory_bytes().map(|free| free / 100 * SHARE_PERCENT)
}

/// Lets work start as long as its bytes fit. What does not fit beside others waits until it is alone.
pub struct Gate {
    budget: Option<u64>,
    inside: Mutex<Inside>,
    left: Condvar,
}

#[derive(Default)]
struct Inside {
    works: usize,
    bytes: u64,
}

/// The memory reserved for a piece of work, released when it is dropped.
struct Place<'a> {
    gate: &'a Gate,
    bytes: u64,
}

impl Gate {
    /// A gate for this many bytes; `None` is no limit.
    #[must_use]
    pub fn new(budget: Option<u64>) -> Self {
        Self { budget, inside: Mutex::default(), left: Condvar::new() }
    }

    /// Waits until this many bytes are available, and does the work on a thread of its own.
    ///
    /// Allocators keep what a thread has freed for this thread. If the callers did the work themselves, each of them would keep as much as
    /// its largest work took, whatever the budget; a thread that ends leaves it to the next.
    pub fn run<T: Send>(&self, bytes: u64, work: impl Fn() -> T + Sync) -> T {
        let _place = self.enter(bytes);
        std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, &work) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No more threads can be started.
            Err(_) => work(),
        })
    }

    fn enter(&self, bytes: u64) -> Place<'_> {
        let fits = |inside: &Inside| {
            inside.works == 0 || self.budget.is_none_or(|budget| inside.bytes.saturating_add(bytes) <= budget)
        };
        let mut inside = self.lock();
        while !fits(&inside) {
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        inside.works += 1;
        inside.bytes = inside.bytes.saturating_add(bytes);
        Place { gate: self, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.works -= 1;
        inside.bytes = inside.bytes.saturating_sub(self.bytes);
        drop(inside);
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Most bytes that were inside at once.
    fn peak(budget: Option<u64>, bytes: &[u64]) -> u64 {
        let (gate, now, most) = (Gate::new(budget), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for &bytes in bytes {
                let (gate, now, most) = (&gate, &now, &most);
                let work = move || {
                    most.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(30));
                    now.fetch_sub(bytes, Ordering::SeqCst);
                };
                scope.spawn(move || gate.run(bytes, work));
            }
        });
        most.into_inner()
    }

    #[test]
    fn works_share_the_budget_and_a_larger_one_goes_alone() {
        assert!(peak(Some(25), &[10; 6]) <= 20);
        assert_eq!(peak(Some(25), &[100, 10, 10]), 100);
        assert!(peak(None, &[10; 6]) > 20);
    }

    #[test]
    fn work_that_panics_leaves_its_place_and_panics_in_the_caller() {
        let gate = Gate::new(Some(1));
        let caught = std::panic::catch_unwind(|| gate.run(1, || panic!("as asked")));
        assert_eq!(caught.expect_err("a panic").downcast_ref(), Some(&"as asked"));
        let caller = std::thread::current().id();
        assert_ne!(gate.run(1, || std::thread::current().id()), caller);
    }
}
