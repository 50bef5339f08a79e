//! `segvol --version`, and with `--verbose` what this build is and which versions of other things it takes.

use std::ffi::OsStr;

use clap::error::ErrorKind;
use segvol_onnx::manifest::{OLDEST_VERSION, SCHEMA_VERSION};

/// Ends the process with clap's answer: help, a mistake in the arguments, or the version.
pub(crate) fn answer(error: &clap::Error) -> ! {
    if error.kind() == ErrorKind::DisplayVersion && std::env::args_os().skip(1).any(|argument| is_verbose(&argument)) {
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), "{}", verbose());
        std::process::exit(0);
    }
    error.exit()
}

/// `--verbose`, or `v` among short options, as in `-v` and `-vV`.
fn is_verbose(argument: &OsStr) -> bool {
    let Some(argument) = argument.to_str() else { return false };
    let short = argument.strip_prefix('-').filter(|short| !short.is_empty());
    argument == "--verbose" || short.is_some_and(|short| short.contains('v') && short.chars().all(|c| "vV".contains(c)))
}

fn verbose() -> String {
    let manifests = match SCHEMA_VERSION - OLDEST_VERSION {
        0 => format!("{SCHEMA_VERSION}"),
        _ => format!("{SCHEMA_VERSION}; {OLDEST_VERSION} to {SCHEMA_VERSION} are read"),
    };
    let schemas = [
        ("a bundle's manifest", manifests),
        ("report of segment", segvol::report::SCHEMA_VERSION.to_string()),
        ("file of objects", segvol::PROMPTS_SCHEMA_VERSION.to_string()),
        ("list of cases", segvol_evaluation::cases::SCHEMA_VERSION.to_string()),
        ("report of bench", segvol_measure::bench::SCHEMA_VERSION.to_string()),
    ];
    let mut text = format!(
        "segvol {}\ncommit        {}\ntarget        {}\nONNX Runtime  1.{} or newer\nONNX          opset {}, IR version {}\nschema_version\n",
        env!("CARGO_PKG_VERSION"),
        env!("SEGVOL_COMMIT"),
        env!("SEGVOL_TARGET"),
        segvol::OLDEST_MINOR_VERSION,
        segvol_onnx::graph::OPSET,
        segvol_onnx::graph::IR_VERSION,
    );
    for (name, versions) in schemas {
        text.push_str(&format!("  {name:<20} {versions}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbose_is_asked_for_in_any_spelling() {
        for (argument, expected) in [
            ("--verbose", true),
            ("-v", true),
            ("-vV", true),
            ("-Vv", true),
            ("-V", false),
            ("--version", false),
            ("-", false),
        ] {
            assert_eq!(is_verbose(OsStr::new(argument)), expected, "{argument}");
        }
    }

    #[test]
    fn the_long_version_names_commit_schemas_and_onnx_runtime() {
        let text = verbose();
        for part in ["commit ", "manifest", "ONNX Runtime  1.24 or newer", "opset"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
