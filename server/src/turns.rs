//! Who may use the model now: one call at a time, in the order of arrival, and every call makes way after each window.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// The queue of all calls. Whoever waits gets a turn in the order of arrival; a call that needs many windows goes to the end of the
/// queue after each of them, so that a long call delays a short one by one window.
#[derive(Clone)]
pub(crate) struct Turns {
    semaphore: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
}

/// The right to use the model, until it is dropped.
pub(crate) struct Turn {
    turns: Turns,
    permit: Option<OwnedSemaphorePermit>,
    runtime: Handle,
}

/// One who waits; counted until dropped.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A place in the queue.
pub(crate) struct Place {
    turns: Turns,
    _waiting: Waiting,
    /// How many were before it.
    pub(crate) position: usize,
}

impl Turns {
    pub(crate) fn new(most_waiting: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(1)), waiting: Arc::default(), most_waiting }
    }

    /// A place at the end of the queue.
    ///
    /// # Errors
    ///
    /// If it is full.
    pub(crate) fn queue(&self) -> Result<Place, ApiError> {
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(Arc::clone(&self.waiting));
        if before >= self.most_waiting {
            return Err(ApiError::queue_full());
        }
        let at_work = usize::from(self.semaphore.available_permits() == 0);
        Ok(Place { turns: self.clone(), _waiting: waiting, position: before + at_work })
    }

    /// A turn behind those who wait now. Nobody makes way for it, and it takes no place in the queue: for work that nobody waits for.
    pub(crate) fn turn(&self) -> impl Future<Output = Turn> + Send + use<> {
        let turns = self.clone();
        async move {
            let permit = Arc::clone(&turns.semaphore).acquire_owned().await.ok();
            Turn { turns, permit, runtime: Handle::current() }
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

impl Place {
    /// Waits for the turn. To stop waiting, drop the future.
    pub(crate) async fn turn(self) -> Turn {
        self.turns.turn().await
    }
}

impl Turn {
    /// Lets whoever waits go first. On a thread of its own, never on one of the runtime.
    pub(crate) fn make_way(&mut self) {
        if self.turns.waiting() == 0 {
            return;
        }
        self.permit = None;
        let _waiting = {
            self.turns.waiting.fetch_add(1, Ordering::SeqCst);
            Waiting(Arc::clone(&self.turns.waiting))
        };
        self.permit = self.runtime.block_on(Arc::clone(&self.turns.semaphore).acquire_owned()).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime")
    }

    #[test]
    fn a_long_call_makes_way_after_each_window() {
        let runtime = runtime();
        let turns = Turns::new(10);
        let order = Mutex::new(Vec::new());
        let first = runtime.block_on(turns.queue().expect("room").turn());
        thread::scope(|scope| {
            let place = turns.queue().expect("room");
            assert_eq!(place.position, 1);
            scope.spawn(|| {
                let mut turn = runtime.block_on(place.turn());
                for _ in 0..3 {
                    order.lock().expect("lock").push("long");
                    turn.make_way();
                }
            });
            while turns.semaphore.available_permits() > 0 || turns.waiting() < 1 {
                thread::yield_now();
            }
            thread::sleep(std::time::Duration::from_millis(50));
            let place = turns.queue().expect("room");
            scope.spawn(|| {
                let _turn = runtime.block_on(place.turn());
                order.lock().expect("lock").push("short");
            });
            thread::sleep(std::time::Duration::from_millis(50));
            drop(first);
        });
        assert_eq!(*order.lock().expect("lock"), ["long", "short", "long", "long"]);
        assert_eq!(turns.waiting(), 0);
    }

    #[test]
    fn the_queue_ends_somewhere() {
        let turns = Turns::new(2);
        let _places = [turns.queue().expect("room"), turns.queue().expect("room")];
        assert_eq!(turns.queue().err().map(|error| error.code), Some("queue_full"));
        assert_eq!(turns.waiting(), 2, "who was turned away does not count");
    }
}
