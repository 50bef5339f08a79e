//! What `segvol cohort` and `segvol cohort summary` write about a whole cohort: tables and pictures.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use segvol::{ReadOptions, Volume};
use segvol_base::file_names::unique_stems;
use segvol_cohort::review::{self, Pick};
use segvol_cohort::{Limits, PictureError, Record, read_mask, table};
use segvol_overlay::{Picture, View};

use crate::exit::Usage;
use crate::outputs::Files;

/// Tables with a row for each scan and object.
#[derive(clap::Args)]
pub(crate) struct TableArguments {
    /// CSV file with a row for each scan and object: volume, box, warnings, times, or why the scan failed
    #[arg(long, value_name = "FILE", help_heading = "Tables")]
    csv: Option<PathBuf>,
    /// The same table as Apache Parquet
    #[cfg(feature = "parquet")]
    #[arg(long, value_name = "FILE", help_heading = "Tables")]
    parquet: Option<PathBuf>,
}

impl TableArguments {
    fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf, table::Format)> {
        let csv = self.csv.as_ref().map(|path| ("--csv", path, table::Format::Csv));
        #[cfg(feature = "parquet")]
        let parquet = self.parquet.as_ref().map(|path| ("--parquet", path, table::Format::Parquet));
        #[cfg(not(feature = "parquet"))]
        let parquet = None;
        csv.into_iter().chain(parquet)
    }

    /// Refuses a file whose name says that it is another table.
    pub(crate) fn check(&self) -> Result<(), Usage> {
        let other = |(_, path, format): &(_, &PathBuf, _)| table::Format::of_name(path) != Some(*format);
        let Some((option, path, _)) = self.files().find(other) else { return Ok(()) };
        let extension = &option[1..].replace('-', ".");
        Err(Usage(format!("{option} `{}`: expected a name that ends in {extension}", path.display())))
    }

    /// Whether there is any.
    pub(crate) fn is_absent(&self) -> bool {
        self.files().next().is_none()
    }

    pub(crate) fn add_to(&self, files: &mut Files) {
        self.files().for_each(|(option, path, _)| files.output(option, path));
    }

    pub(crate) fn save(&self, records: &[Record]) -> anyhow::Result<()> {
        for (_, path, format) in self.files() {
            table::save(records, format, path).with_context(|| format!("table `{}`", path.display()))?;
        }
        Ok(())
    }
}

/// Limits of volumes from a file.
pub(crate) fn limits(path: Option<&PathBuf>, records: &[Record]) -> anyhow::Result<Limits> {
    let Some(path) = path else { return Ok(Limits::default()) };
    let bad = |reason: String| crate::exit::BadInput { path: path.display().to_string(), reason };
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let text = segvol_base::text::decode(&bytes).map_err(|found| bad(format!("expected JSON; found {found}")))?;
    Ok(Limits::parse(text, &segvol_cohort::object_names(records)).map_err(|error| bad(error.to_string()))?)
}

/// A picture of a scan with the masks that are most worth a look.
pub(crate) fn picture(
    out: &Path,
    pick: &Pick<'_>,
    scan: &Path,
    read: &ReadOptions,
    view: View,
) -> Result<Picture, PictureError> {
    let volume = Volume::open_with(scan, read)?;
    let grid = volume.grid().clone();
    review::draw(&volume, &pick.objects(usize::MAX), view, |object| read_mask(out, pick.done, object, &grid))
}

/// The pictures of a review in a folder, `RANK_ID.png`.
pub(crate) fn picture_files(folder: &Path, picks: &[Pick<'_>]) -> Vec<PathBuf> {
    let names: Vec<String> =
        picks.iter().zip(1..).map(|(pick, rank)| format!("{rank:02}_{}", pick.record.id)).collect();
    let stems = unique_stems(names.iter().map(String::as_str), ".png");
    stems.into_iter().map(|stem| folder.join(stem.text + ".png")).collect()
}

/// Refuses a number of pictures that is no number of scans.
pub(crate) fn check_review(review: Option<usize>) -> Result<(), Usage> {
    match review {
        Some(0) => Err(Usage("--review: expected at least 1 scan, found 0".to_owned())),
        _ => Ok(()),
    }
}
