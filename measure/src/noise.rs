//! Whether the machine is quiet enough for its times to mean something, and how to quiet it.

use segvol_base::machine;
use serde::{Deserialize, Serialize};

use crate::statistics::Summary;

/// Samples that scatter by more than this share of their mean say more of the machine than of the work.
pub const MAX_VARIATION: f64 = 0.05;

/// Other programs that keep this share of the cores busy are felt.
const MAX_LOAD_PER_CORE: f64 = 0.25;

/// What the operating system tells of the machine before a benchmark begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: Option<String>,
    /// Threads that can run at once.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Programs that wanted to run, on average over the last minute.
    pub load: Option<f64>,
    /// How the processor's frequency is chosen: `performance`, `powersave`, ..
    pub governor: Option<String>,
}

impl Machine {
    /// Looks at this machine. What is not known is `None`; most is known on Linux only.
    #[must_use]
    pub fn look() -> Self {
        Self {
            processor: machine::processor_name(),
            cores: machine::usable_cores(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            load: machine::load(),
            governor: machine::frequency_governor(),
        }
    }

    /// What of the machine, before anything ran, makes times doubtful.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(load) = self.load.filter(|load| *load > MAX_LOAD_PER_CORE * self.cores as f64) {
            let cores = self.cores;
            warnings.push(format!(
                "other programs were running: a load of {load:.2} on {cores} cores; stop them (`top` shows which), wait until \
                 the first number of /proc/loadavg is near 0, and measure again"
            ));
        }
        if let Some(governor) = self.governor.as_deref().filter(|governor| *governor != "performance") {
            warnings.push(format!(
                "the processor's frequency governor is `{governor}`, so its speed changes while it is measured; as root: \
                 cpupower frequency-set --governor performance"
            ));
        }
        warnings
    }
}

/// Says that a row's samples scatter too much, where they do.
#[must_use]
pub fn scatter_warning(row: &str, summary: &Summary) -> Option<String> {
    let variation = summary.variation();
    (variation > MAX_VARIATION).then(|| {
        format!(
            "{row}: samples scatter by {:.0} % of their mean ({:.0} % is quiet); close other programs, give more --runs, \
             or pin the command to cores of its own (`taskset -c 0,1 segvol bench ..`)",
            100.0 * variation,
            100.0 * MAX_VARIATION
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_or_a_changing_clock_is_told() {
        let quiet =
            Machine { cores: 4, load: Some(0.9), governor: Some("performance".to_owned()), ..Machine::default() };
        assert_eq!(quiet.warnings(), Vec::<String>::new());
        assert_eq!(Machine { cores: 4, ..Machine::default() }.warnings(), Vec::<String>::new());
        let busy = Machine { load: Some(1.1), ..quiet.clone() }.warnings();
        assert!(busy.len() == 1 && busy[0].contains("1.10 on 4 cores"), "{busy:?}");
        let slow = Machine { governor: Some("powersave".to_owned()), ..quiet }.warnings();
        assert!(slow.len() == 1 && slow[0].contains("powersave"), "{slow:?}");
    }

    #[test]
    fn samples_beyond_five_percent_are_told_and_those_within_are_not() {
        let within = Summary::of(&[96.0, 100.0, 104.0]).expect("samples");
        let beyond = Summary::of(&[94.0, 100.0, 106.0]).expect("samples");
        assert_eq!(scatter_warning("row", &within), None);
        assert!(scatter_warning("row", &beyond).is_some_and(|text| text.starts_with("row: samples scatter by 6 %")));
    }
}
