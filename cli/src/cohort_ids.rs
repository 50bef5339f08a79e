//! `--ids`: what scans of a cohort are called.

use segvol_cohort::Ids;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum IdKind {
    /// The file's name without extension, or the folder's: two scans with one name are an error
    Name,
    /// With the folders in which it lies, such as patient1/ct
    Path,
}

impl From<IdKind> for Ids {
    fn from(kind: IdKind) -> Self {
        match kind {
            IdKind::Name => Self::Name,
            IdKind::Path => Self::Path,
        }
    }
}
