//! Warnings on standard error, and the exit code for those who want none.

use std::collections::BTreeSet;
use std::str::FromStr;

use segvol::{Warning, WarningCode};
use segvol_base::printable;
use serde_json::json;

use crate::exit::Warned;
use crate::log::{self, Level};

/// The option that turns warnings into a failure.
#[derive(clap::Args)]
pub(crate) struct WarningArguments {
    /// Fail with exit code 7 after a warning: any, or only these codes (docs/report.md has them; a list with commas). All outputs
    /// are still written
    #[arg(
        long,
        value_name = "CODES",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "any",
        help_heading = "Output"
    )]
    fail_on_warning: Vec<Watched>,
}

/// Which warnings fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Any,
    Code(WarningCode),
}

impl FromStr for Watched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "any" { Ok(Self::Any) } else { text.parse().map(Self::Code) }
    }
}

impl WarningArguments {
    /// A printer of warnings that notes which codes were printed.
    pub(crate) fn printer(&self) -> Printer {
        Printer { watched: self.fail_on_warning.clone(), failing: BTreeSet::new() }
    }
}

/// Prints warnings, and notes those that fail the command.
pub(crate) struct Printer {
    watched: Vec<Watched>,
    failing: BTreeSet<WarningCode>,
}

impl Printer {
    /// Prints a warning on standard error, with its code. `about` comes before the message; it may be empty.
    pub(crate) fn print(&mut self, about: &str, warning: &Warning) {
        say(about, warning);
        let code = &warning.code;
        if self.watched.iter().any(|watched| [Watched::Any, Watched::Code(*code)].contains(watched)) {
            self.failing.insert(*code);
        }
    }

    /// Prints several warnings.
    pub(crate) fn print_all<'a>(&mut self, warnings: impl IntoIterator<Item = &'a Warning>) {
        warnings.into_iter().for_each(|warning| self.print("", warning));
    }

    /// Fails if a warning was printed that the user does not accept.
    pub(crate) fn finish(self) -> Result<(), Warned> {
        if self.failing.is_empty() {
            return Ok(());
        }
        let codes: Vec<&str> = self.failing.iter().map(|code| code.name()).collect();
        Err(Warned(codes.join(", ")))
    }
}

/// Prints a warning on standard error, with its code.
pub(crate) fn say(about: &str, Warning { code, message }: &Warning) {
    let message = format!("{}{message}", printable(about));
    log::say(Level::Warning, &format!("warning: {message} [{code}]"), &message, json!({"code": code.name()}));
}
