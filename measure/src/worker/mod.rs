//! Worker processes: the program starts itself again, and sends the new process one request per line.
//!
//! A process can load only one ONNX Runtime library, and its peak of memory and its threads are shared by all that it
//! does. So everything that needs its own library, thread pool or memory figure runs in a worker.
//!
//! The program must have the hidden subcommand [`SUBCOMMAND`], which calls [`serve()`]. [`Worker`] is the side that asks.

mod message;
mod process;
mod serve;

pub use message::{Reply, Request};
pub use process::Worker;
pub use serve::serve;

/// The hidden subcommand that serves requests.
pub const SUBCOMMAND: &str = "measure-worker";
