//! `segvol serve`

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use segvol::volume::AxisCodes;
use segvol::{Cancellation, Model};
use segvol_server::{ServeError, Server, Token, TokenError};

use crate::exit::{BadInput, Usage};
use crate::interrupt;
use crate::measured::MeasuredArguments;
use crate::settings::StudyArguments;
use crate::warnings::WarningArguments;

const EXAMPLES: &str = "\
Examples:
  For this machine only, http://127.0.0.1:8787 with a page in the browser:
    segvol serve -m bundle
  For other machines, with a token that clients must present, behind a proxy that does TLS:
    segvol serve -m bundle --bind 0.0.0.0:8787 --token /etc/segvol/token
  Is it alive, is it ready, what has it done?
    curl http://127.0.0.1:8787/health/ready
    curl http://127.0.0.1:8787/metrics
  The interface, for programs that make clients:
    segvol serve --openapi > openapi.json";

/// The share of memory for the embeddings of one session, if no option says it: about 80 windows of the released model.
const CACHE_BYTES: usize = 512 << 20;

/// Serve a model over HTTP: a page in the browser, and an interface for programs
///
/// Research software, not a medical device: do not use it for diagnosis or treatment.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR", required_unless_present = "openapi")]
    model: Option<PathBuf>,
    /// Address and port to listen on. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8787", help_heading = "Server")]
    bind: SocketAddr,
    /// A file with the token that clients must present: at least 16 characters, as of `openssl rand -hex 32`. Without it, only this
    /// machine may be served
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    token: Option<PathBuf>,
    /// Serve other machines without a token: whoever reaches the port can use the model
    #[arg(long, help_heading = "Server")]
    insecure: bool,
    /// Sessions at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Server")]
    max_sessions: u32,
    /// Calls that may wait for the model at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Server")]
    max_queue: u32,
    /// The largest upload
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    max_upload_mib: u32,
    /// Memory for scans, embeddings and masks of all sessions together [default: three quarters of what is free at the start]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    memory_mib: Option<u32>,
    /// End a session from which nothing has come for this long: its client is gone
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    liveness_s: u32,
    /// End a session from which only heartbeats have come for this long: its user is gone
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    idle_s: u32,
    /// The folder for uploads while they arrive; nothing of them stays there [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR", help_heading = "Server")]
    uploads: Option<PathBuf>,
    /// A scan that the page offers for a first try
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    demo_scan: Option<PathBuf>,
    /// The directions in which the three axes of an array grow that a client of nnInteractive sends, such as 3D Slicer: its protocol
    /// does not say them. SPL: slices to the head, rows to the back, columns to the left
    #[arg(long, value_name = "AXES", default_value_t = AxisCodes::SPL, help_heading = "Server")]
    array_axes: AxisCodes,
    /// Print the interface under /v1 as an OpenAPI 3.1 document, and stop
    #[arg(long, help_heading = "Server")]
    openapi: bool,

    #[command(flatten)]
    warnings: WarningArguments,
    #[command(flatten)]
    study: StudyArguments,
    #[command(flatten)]
    measured: MeasuredArguments,
}

impl Serve {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        if self.openapi {
            return Ok(writeln!(out, "{}", segvol_server::openapi()?)?);
        }
        let bundle = self.model.as_ref().ok_or_else(|| Usage("--model: expected a bundle".to_owned()))?;
        let mut study = self.study.study_options()?;
        if !self.study.machine().has_cache() {
            study = study.cache_bytes(CACHE_BYTES);
        }
        let mut settings = segvol_server::Settings::new(study);
        settings.bind = self.bind;
        settings.insecure = self.insecure;
        settings.uploads = self.uploads.clone();
        settings.demo_scan = self.demo_scan.clone();
        settings.array_axes = self.array_axes;
        settings.token = self.token.as_deref().map(Token::read).transpose().map_err(|error| match error {
            TokenError::File { path, source } => {
                BadInput { path: format!("--token `{path}`"), reason: source.to_string() }.into()
            }
            TokenError::Unfit { .. } => anyhow::Error::from(Usage(format!("--{error}"))),
        })?;
        settings.limits.sessions = self.max_sessions as usize;
        settings.limits.queue = self.max_queue as usize;
        settings.limits.upload_bytes = u64::from(self.max_upload_mib) << 20;
        if let Some(mebibytes) = self.memory_mib {
            settings.limits.memory_bytes = Some(u64::from(mebibytes) << 20);
        }
        settings.limits.liveness = Duration::from_secs(self.liveness_s.into());
        settings.limits.idle = Duration::from_secs(self.idle_s.into());
        settings.check().map_err(|error| Usage(format!("--bind {error}: give --token FILE, or --insecure")))?;
        let mut warnings = self.warnings.printer();
        let options = self.measured.apply(bundle, self.study.machine().options()?, &mut warnings)?;
        let model = Model::open(bundle, &options)?;
        warnings.print_all(&model.stages().precision_warning());
        let server = Server::bind(model, settings)?;
        let stop = Cancellation::new();
        interrupt::gracefully(&stop);
        writeln!(out, "listening on http://{}", server.address())?;
        out.flush()?;
        server.run(&stop).map_err(|error| match error {
            ServeError::Model(error) => anyhow::Error::from(error),
            other => other.into(),
        })?;
        Ok(warnings.finish()?)
    }
}
