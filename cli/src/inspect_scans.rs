//! `segvol inspect` of scans: the series of a folder of DICOM, or the grid and the intensities of one scan.

#[cfg(feature = "dicom")]
use std::io;
use std::io::Write;
use std::path::Path;

use segvol::volume::Intensities;
#[cfg(feature = "dicom")]
use segvol::volume::dicom::{self, Catalogue, SeriesEntry};
use segvol::volume::format::{Kind, recognise_path};
use segvol::volume::orientation::stored_axes;
use segvol::{ReadOptions, Volume};
#[cfg(feature = "dicom")]
use segvol_base::printable;
use segvol_base::printable_path;
use serde_json::json;

use crate::measuring::print_json;
use crate::warnings;

/// Shows what is at `path` if it is a scan or DICOM; `false` if it is neither.
pub(crate) fn show(out: &mut impl Write, path: &Path, as_json: bool) -> anyhow::Result<bool> {
    #[cfg(feature = "dicom")]
    if dicom::is_dicom(path) {
        let catalogue = dicom::catalogue(path, &ReadOptions::default()).map_err(segvol::VolumeError::from);
        show_catalogue(out, path, &catalogue.map_err(segvol::Error::from)?, as_json)?;
        return Ok(true);
    }
    let found = recognise_path(path).ok().flatten();
    let format = match found.map(|found| found.kind) {
        Some(Kind::Nifti) => "nifti",
        Some(Kind::Nrrd) => "nrrd",
        Some(Kind::MetaImage) => "metaimage",
        _ => return Ok(false),
    };
    let volume = Volume::open_with(path, &ReadOptions::default()).map_err(segvol::Error::from)?;
    volume.warnings().iter().for_each(|warning| warnings::say("", warning));
    show_volume(out, path, format, &volume, as_json)?;
    Ok(true)
}

fn show_volume(out: &mut impl Write, path: &Path, format: &str, volume: &Volume, as_json: bool) -> anyhow::Result<()> {
    let (shape, spacing) = (volume.shape_xyz(), volume.grid().spacing_mm());
    let axes = stored_axes(volume.grid());
    let Intensities { minimum, maximum, .. } = volume.intensities();
    if as_json {
        return print_json(
            out,
            &json!({
                "format": format,
                "shape_xyz": shape,
                "spacing_mm": spacing,
                "axes": axes.to_string(),
                "affine_ras": volume.grid().affine().rows(),
                "minimum": minimum,
                "maximum": maximum,
                "warnings": volume.warnings(),
            }),
        );
    }
    writeln!(out, "scan {}", printable_path(path))?;
    writeln!(out, "  voxels      {}", times(&shape))?;
    writeln!(out, "  spacing     {} mm", times(&spacing.map(rounded)))?;
    writeln!(out, "  axes        {axes}")?;
    writeln!(out, "  intensities {minimum} to {maximum}")?;
    Ok(())
}

#[cfg(feature = "dicom")]
fn show_catalogue(out: &mut impl Write, path: &Path, catalogue: &Catalogue, as_json: bool) -> anyhow::Result<()> {
    catalogue.warnings.iter().for_each(|warning| warnings::say("", warning));
    if as_json {
        return print_json(
            out,
            &json!({
                "format": "dicom",
                "files": catalogue.files,
                "other_files": catalogue.other_files,
                "patients": catalogue.patients(),
                "series": catalogue.series,
                "warnings": catalogue.warnings,
            }),
        );
    }
    writeln!(out, "DICOM {}", printable_path(path))?;
    writeln!(out, "  files       {}, and {} that are not DICOM", catalogue.files, catalogue.other_files)?;
    let mut shown = (None, None);
    for series in &catalogue.series {
        let place = (Some(&series.patient), Some(&series.study_instance_uid));
        if place != shown {
            let or_none = |text: &Option<String>| {
                text.as_deref().map_or("not stated".into(), |text| printable(text).into_owned())
            };
            writeln!(out, "study {}", or_none(&series.study_instance_uid))?;
            writeln!(out, "  patient     {} (the start of a hash)", or_none(&series.patient))?;
            shown = place;
        }
        show_series(out, series)?;
    }
    Ok(())
}

#[cfg(feature = "dicom")]
fn show_series(out: &mut impl Write, series: &SeriesEntry) -> io::Result<()> {
    let uid = match series.series_instance_uid.as_str() {
        "" => "without UID".into(),
        uid => printable(uid),
    };
    writeln!(out, "  series {uid}")?;
    let number = series.number.as_ref().map(|number| format!("number {}", printable(number)));
    let modality = series.modality.as_ref().map(|modality| printable(modality).into_owned());
    let description = series.description.as_ref().map(|text| format!("\"{}\"", printable(text)));
    let about: Vec<String> = [number, modality, description].into_iter().flatten().collect();
    if !about.is_empty() {
        writeln!(out, "    {}", about.join(", "))?;
    }
    if let (Some(columns), Some(rows), Some(slices), Some(spacing)) =
        (series.columns, series.rows, series.slices, series.spacing_mm)
    {
        let tilt = series.tilt_degrees.filter(|tilt| *tilt > 0.01);
        let tilt = tilt.map(|tilt| format!(", tilted by {} degrees", rounded(tilt))).unwrap_or_default();
        let spacing = times(&spacing.map(rounded));
        writeln!(out, "    {} voxels of {spacing} mm{tilt}", times(&[columns, rows, slices]))?;
    } else {
        writeln!(out, "    {} images", series.images)?;
    }
    writeln!(out, "    {}", printable(&series.transfer_syntaxes.join(", ")))?;
    for passed_over in &series.passed_over {
        writeln!(out, "    passed over {}: {} files", printable(&passed_over.what), passed_over.files)?;
    }
    if let Some(problem) = &series.problem {
        writeln!(out, "    no scan: {}", printable(problem))?;
    }
    Ok(())
}

fn times<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(" x ")
}

/// A number with at most three decimals.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
