//! Prompts: a text, points or a box that tell a model which object to segment; and where they are in a scan.
//!
//! [`parse_prompts`] reads the file of objects that people write. A [`Placer`] maps a prompt to voxels of a prepared scan.

#![forbid(unsafe_code)]

mod checks;
mod exact;
pub mod file;
mod names;
mod place;
mod profile;
mod prompt;

pub use checks::{position, prompt_warnings};
pub use exact::{BoxDhw, ExactBox};
pub use file::{PromptFileError, parse_prompts, prompts_of_scan};
pub use names::name_warnings;
pub use place::{PlacedPrompt, Placer};
pub use profile::Profile;
pub use prompt::{Prompt, PromptError, Space};
