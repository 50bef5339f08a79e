//! Why a call fails: a status and a message.

use segvol::mask::MaskError;
use segvol::{Error, PromptError, TokenizerError, VolumeError};
use segvol_base::ErrorKind;

use crate::status::SegvolStatus;

/// Why a call fails: its status, and the message that `segvol_last_error` returns.
#[derive(Debug)]
pub struct Failure {
    pub(crate) status: SegvolStatus,
    pub(crate) message: String,
}

impl Failure {
    /// The status that the call returns.
    #[must_use]
    pub fn status(&self) -> SegvolStatus {
        self.status
    }

    /// The message that `segvol_last_error` returns.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn new(status: SegvolStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Puts the argument's name before the message.
    pub(crate) fn of(self, argument: &str) -> Self {
        Self { message: format!("{argument}: {}", self.message), ..self }
    }
}

/// Names the argument that an error is about.
pub(crate) trait Named<T> {
    fn named(self, argument: &str) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Named<T> for Result<T, E> {
    fn named(self, argument: &str) -> Result<T, Failure> {
        self.map_err(|error| error.into().of(argument))
    }
}

// The kind of an error decides its status. Where C has several statuses for one kind, the error itself chooses among them.

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Usage => usage(&error),
            ErrorKind::Input => input(&error),
            ErrorKind::Bundle => SegvolStatus::Bundle,
            ErrorKind::Provider => provider(&error),
            ErrorKind::Memory => SegvolStatus::Memory,
            ErrorKind::Cancelled => SegvolStatus::Cancelled,
            ErrorKind::Runtime => runtime(&error),
        };
        Self::new(status, message(&error))
    }
}

impl From<VolumeError> for Failure {
    fn from(error: VolumeError) -> Self {
        Self::new(volume(&error), error.to_string())
    }
}

impl From<MaskError> for Failure {
    fn from(error: MaskError) -> Self {
        Self::new(mask(&error), error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(SegvolStatus::Internal, error.to_string())
    }
}

fn usage(error: &Error) -> SegvolStatus {
    match error {
        Error::Mask(error) => mask(error),
        _ => SegvolStatus::Option,
    }
}

fn input(error: &Error) -> SegvolStatus {
    match error {
        Error::Volume(error) => volume(error),
        Error::Intensity(_) => SegvolStatus::Intensity,
        Error::TooSheared(_) => SegvolStatus::Affine,
        Error::Prompt(PromptError::OutsideScan { .. }) => SegvolStatus::OutsideScan,
        Error::Prompt(_) => SegvolStatus::Prompt,
        Error::Tokenizer(TokenizerError::BadFile { .. }) => SegvolStatus::Bundle,
        Error::Tokenizer(_) => SegvolStatus::Text,
        // A truth, which no function of the C interface reads.
        _ => SegvolStatus::Run,
    }
}

fn provider(error: &Error) -> SegvolStatus {
    match error {
        Error::Library { .. } => SegvolStatus::Library,
        Error::ProviderMissing { .. } => SegvolStatus::ProviderMissing,
        _ => SegvolStatus::ProviderFailed,
    }
}

fn runtime(error: &Error) -> SegvolStatus {
    match error {
        Error::NotFinite { .. } => SegvolStatus::NotFinite,
        Error::Mask(error) => mask(error),
        _ => SegvolStatus::Run,
    }
}

fn volume(error: &VolumeError) -> SegvolStatus {
    // The lack of memory may be inside another error.
    if error.kind() == ErrorKind::Memory {
        return SegvolStatus::Memory;
    }
    match error {
        VolumeError::Shape { .. } | VolumeError::Length { .. } => SegvolStatus::Shape,
        VolumeError::Strides { .. } => SegvolStatus::Stride,
        VolumeError::Scaling { .. } => SegvolStatus::Argument,
        VolumeError::Affine(_) => SegvolStatus::Affine,
        _ => SegvolStatus::File,
    }
}

fn mask(error: &MaskError) -> SegvolStatus {
    if error.kind() == ErrorKind::Memory { SegvolStatus::Memory } else { SegvolStatus::Write }
}

/// The error's message, in the terms of C: the next step and the field that a C program can set.
fn message(error: &Error) -> String {
    match error {
        Error::Library { path, reason } => format!(
            "ONNX Runtime `{}`: {reason}; set `library` of SegvolOptions or ORT_DYLIB_PATH to the library or its folder, or \
             put the library beside libsegvol",
            path.display()
        ),
        Error::Setting { name, expected, found } => {
            let field = if *name == "stage provider" { "stage_providers" } else { name };
            format!("options.{field}: expected {expected}, found {found}")
        }
        error => error.to_string(),
    }
}
