//! Whether other programs or a changing clock speed make the measured times doubtful.

use segvol_base::machine;
use serde::{Deserialize, Serialize};

use crate::statistics::Summary;

/// If the standard deviation of the samples is a larger share of their mean, the times are doubtful.
pub const MAX_VARIATION: f64 = 0.05;

/// Other programs that keep a larger share of the cores busy affect the times.
const MAX_LOAD_PER_CORE: f64 = 0.25;

/// The machine as the operating system describes it before a benchmark begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: Option<String>,
    /// Number of cores that this process may use.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Average number of programs that wanted to run during the last minute.
    pub load: Option<f64>,
    /// The processor's frequency governor: `performance`, `powersave`, or another.
    pub governor: Option<String>,
}

impl Machine {
    /// Describes this machine. Most facts are known on Linux only, and `None` elsewhere.
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

    /// Reasons to doubt the times that are known before anything has run.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(load) = self.load.filter(|load| *load > MAX_LOAD_PER_CORE * self.cores as f64) {
            let cores = self.cores;
            warnings.push(format!(
                "other programs were running: the load was {load:.2} on {cores} cores; stop them (`top` lists them), wait until \
                 the first number of /proc/loadavg is near 0, and measure again"
            ));
        }
        if let Some(governor) = self.governor.as_deref().filter(|governor| *governor != "performance") {
            warnings.push(format!(
                "the processor's frequency governor is `{governor}`, so its speed changes during the measurement; as root, run: \
                 cpupower frequency-set --governor performance"
            ));
        }
        warnings
    }
}

/// A warning if the samples of a row scatter too much.
#[must_use]
pub fn scatter_warning(row: &str, summary: &Summary) -> Option<String> {
    let variation = summary.variation();
    (variation > MAX_VARIATION).then(|| {
        format!(
            "{row}: the samples scatter by {:.0} % of their mean (up to {:.0} % is normal); close other programs, measure \
             more runs, or reserve cores for the program",
            100.0 * variation,
            100.0 * MAX_VARIATION
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_or_a_changing_clock_is_reported() {
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
    fn samples_beyond_five_percent_are_reported_and_those_within_are_not() {
        let within = Summary::of(&[96.0, 100.0, 104.0]).expect("samples");
        let beyond = Summary::of(&[94.0, 100.0, 106.0]).expect("samples");
        assert_eq!(scatter_warning("row", &within), None);
        assert!(
            scatter_warning("row", &beyond).is_some_and(|text| text.starts_with("row: the samples scatter by 6 %"))
        );
    }
}
