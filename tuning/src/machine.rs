//! The machine that a measurement is valid for.

use segvol_base::machine;
use serde::{Deserialize, Serialize};

/// The longest part of a file name that describes a machine.
const MAX_NAME: usize = 80;

/// What decides how fast a bundle is on a machine, as far as the operating system says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor's name; `None` if it is not available.
    pub processor: Option<String>,
    /// Number of cores that the process may use.
    pub cores: usize,
    /// Graphics devices, as [`machine::graphics_devices`] names them.
    pub graphics: Vec<String>,
    /// Operating system and architecture.
    pub system: String,
}

impl Machine {
    /// The machine that this process runs on, with the cores that it may use now.
    #[must_use]
    pub fn this() -> Self {
        Self {
            processor: machine::processor_name(),
            cores: machine::usable_cores(),
            graphics: machine::graphics_devices(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }

    /// The machine in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let processor = self.processor.as_deref().unwrap_or("unknown processor");
        let cores = if self.cores == 1 { "1 core".to_owned() } else { format!("{} cores", self.cores) };
        let graphics = if self.graphics.is_empty() { String::new() } else { format!(", {}", self.graphics.join(", ")) };
        format!("{processor}, {cores}{graphics}, {}", self.system)
    }

    /// The machine as part of a file name. Two machines may have the same name; the file says which one is meant.
    pub(crate) fn file_name(&self) -> String {
        let mut name = String::new();
        for c in self.describe().chars() {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() => name.push(c),
                _ if name.ends_with('-') => {}
                _ => name.push('-'),
            }
        }
        name.truncate(MAX_NAME);
        name.trim_matches('-').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_short_plain_and_says_the_machine() {
        let machine = Machine {
            processor: Some("AMD EPYC 9B45 (R)/../é".to_owned()),
            cores: 2,
            graphics: vec!["10de:2330".to_owned()],
            system: "linux x86_64".to_owned(),
        };
        assert_eq!(machine.describe(), "AMD EPYC 9B45 (R)/../é, 2 cores, 10de:2330, linux x86_64");
        assert_eq!(machine.file_name(), "amd-epyc-9b45-r-2-cores-10de-2330-linux-x86-64");
        let long = Machine { processor: Some("x".repeat(500)), ..machine };
        assert_eq!(long.file_name().len(), MAX_NAME);
    }
}
