//! Standard error: what is logged, and warnings and errors, as text or as JSON.

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

use clap::ValueEnum;
use segvol_base::printable_json;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// The environment variable with more directives.
const VARIABLE: &str = "RUST_LOG";

/// The layout of standard error: lines for people, or one JSON object per line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or_default()
}

/// Begins to log. `verbose` is how often `-v` was given; the directives of `RUST_LOG` come on top and win. Fails, with the
/// reason, if these are not directives.
pub(crate) fn begin(verbose: u8, format: LogFormat) -> Result<(), String> {
    FORMAT.get_or_init(|| format);
    let level = match verbose {
        0 => "error,segvol_base=warn",
        1 => "segvol=info,warn",
        _ => "debug",
    };
    let named = std::env::var_os(VARIABLE).unwrap_or_default();
    let named = named.to_string_lossy();
    // ONNX Runtime logs errors that are none, such as a provider that `auto` passes over; the causes of failures are in the
    // messages of the failures. So its messages are printed only on request: by `-vv`, or by a level for everything.
    let is_level = |directive: &str| {
        let directive = directive.trim();
        !directive.is_empty() && directive.parse::<LevelFilter>().is_ok()
    };
    let quiet = if verbose < 2 && !named.split(',').any(is_level) { ",ort=off" } else { "" };
    let directives = match named.trim() {
        "" => format!("{level}{quiet}"),
        named => format!("{level}{quiet},{named}"),
    };
    let filter = EnvFilter::builder().parse(directives).map_err(|error| {
        format!("{VARIABLE}={named}: {error}; expected directives such as `debug` or `segvol=info,ort=warn`")
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.with_ansi(has_colours()).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// Colours are for a terminal whose user has not turned them off (<https://no-color.org>).
fn has_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How serious a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

/// Prints a message on standard error. As text it is `text`; in JSON it is `message` with more fields.
///
/// If standard error is closed, there is nowhere to print it.
pub(crate) fn say(level: Level, text: &str, message: &str, fields: Value) {
    let line = match format() {
        LogFormat::Text => text.to_owned(),
        LogFormat::Json => json_line(level, message, fields),
    };
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line with the fields that `tracing-subscriber` gives its own.
fn json_line(level: Level, message: &str, fields: Value) -> String {
    let mut timestamp = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let level = match level {
        Level::Info => "INFO",
        Level::Warning => "WARN",
        Level::Error => "ERROR",
    };
    let mut line = json!({"timestamp": timestamp, "level": level, "fields": fields, "target": "segvol"});
    line["fields"]["message"] = message.into();
    printable_json(&line.to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_is_one_line() {
        let line = json_line(Level::Warning, "a\nb\u{9b}", json!({"code": "mask_empty"}));
        assert!(!line.contains(['\n', '\u{9b}']), "{line}");
        let found: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(found["level"], "WARN");
        assert_eq!(found["fields"], json!({"code": "mask_empty", "message": "a\nb\u{9b}"}));
        assert!(found["timestamp"].as_str().is_some_and(|time| time.len() > 19), "{line}");
    }
}
