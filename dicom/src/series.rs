//! Which series of a folder is the scan.

use segvol_base::{Warning, WarningCode, printable};

use crate::decode::are_same;
use crate::error::DicomError;
use crate::image::ImageFile;
use crate::places::mm;
use crate::stack::{Plane, Stack, arrange};
use crate::study::{Series, Study};

/// A series that is a regular stack.
pub(crate) struct Scan<'a> {
    pub(crate) series: &'a Series<'a>,
    /// The images; [`Stack::order`] counts them.
    pub(crate) images: Vec<(&'a ImageFile, usize)>,
    pub(crate) names: Vec<String>,
    pub(crate) stack: Stack,
}

/// Orders the images of a series.
///
/// # Errors
///
/// Why the series is no scan.
pub(crate) fn examine<'a>(series: &'a Series<'a>, fill_gaps: bool) -> Result<Scan<'a>, String> {
    let faults: Vec<(&ImageFile, &String)> =
        series.files.iter().filter_map(|file| Some((*file, file.fault.as_ref()?))).collect();
    if let Some((file, reason)) = faults.first() {
        let others = match faults.len() - 1 {
            0 => String::new(),
            1 => "; 1 other file has such a fault".to_owned(),
            count => format!("; {count} other files have such faults"),
        };
        return Err(format!("`{}`: {reason}{others}", file.input.shown()));
    }
    let images = series.images();
    if images.is_empty() {
        return Err(nothing_in(series));
    }
    let names: Vec<String> = images
        .iter()
        .map(|(file, frame)| match file.has_frames {
            true => format!("{} frame {}", file.input.shown(), file.frames[*frame].number),
            false => file.input.shown(),
        })
        .collect();
    let planes: Option<Vec<Plane<'_>>> = images
        .iter()
        .zip(&names)
        .map(|((file, frame), name)| {
            let format = file.format?;
            Some(Plane { frame: &file.frames[*frame], columns: format.columns, rows: format.rows, name })
        })
        .collect();
    let planes = planes.ok_or("its images have no pixels")?;
    let stack = arrange(&planes, fill_gaps, |first, second| are_same(images[first], images[second]))?;
    Ok(Scan { series, images, names, stack })
}

/// What a series without usable images holds.
pub(crate) fn nothing_in(series: &Series<'_>) -> String {
    let localizers = series.localizers();
    if localizers > 0 {
        return format!("a localizer (Image Type): {}", counted(localizers, "overview picture"));
    }
    let what = series.passed_over.iter().map(|(what, files)| format!("{what} ({})", counted(files.len(), "file")));
    what.collect::<Vec<_>>().join(", ")
}

fn counted(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// `1 file was`, `2 files were`
fn counted_were(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "was" } else { "were" })
}

/// A series in one line: UID, number, description, images.
pub(crate) fn shown(series: &Series<'_>) -> String {
    let uid = if series.uid.is_empty() { "images without Series Instance UID".into() } else { printable(series.uid) };
    let mut parts = Vec::new();
    if let Some(number) = series.number() {
        parts.push(format!("number {}", printable(number)));
    }
    if let Some(modality) = series.modality() {
        parts.push(printable(modality).into_owned());
    }
    if let Some(description) = series.first().and_then(|file| file.description.as_ref()) {
        parts.push(format!("\"{}\"", printable(description)));
    }
    let images = series.files.iter().map(|file| file.frames.len()).sum::<usize>();
    parts.push(counted(images, "image"));
    format!("{uid} ({})", parts.join(", "))
}

/// The scan of a study, and what is unusual.
///
/// # Errors
///
/// [`DicomError`] as [`read`](crate::read) says.
pub(crate) fn choose<'a>(
    study: &'a Study,
    series: &'a [Series<'a>],
    wanted: Option<&str>,
    fill_gaps: bool,
) -> Result<(Scan<'a>, Vec<Warning>), DicomError> {
    study.check_readable()?;
    let path = || study.path.clone();
    let refused = |series: &Series<'_>, reason| {
        let series = format!("the series {}", shown(series));
        DicomError::Refused { path: path(), series, reason }
    };
    let mut warnings = Vec::new();
    let scan = if let Some(wanted) = wanted {
        let chosen = named(series, wanted);
        let &[chosen] = chosen.as_slice() else {
            let listed = if chosen.is_empty() { series.iter().collect() } else { chosen.clone() };
            let listed = listed.into_iter().map(shown).collect();
            let wanted = wanted.to_owned();
            return Err(DicomError::Choice { path: path(), wanted, found: chosen.len(), series: listed });
        };
        examine(chosen, fill_gaps).map_err(|reason| refused(chosen, reason))?
    } else {
        let candidates: Vec<&Series<'_>> = series.iter().filter(|series| series.is_candidate()).collect();
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for series in &candidates {
            match examine(series, fill_gaps) {
                Ok(scan) => usable.push(scan),
                Err(reason) => unusable.push((*series, reason)),
            }
        }
        // Beside a CT, such as that of a PET/CT, another modality is not what is looked for.
        let is_ct = |series: &Series<'_>| series.modality().is_none_or(|modality| modality == "CT");
        if usable.iter().any(|scan| is_ct(scan.series)) {
            usable.retain(|scan| is_ct(scan.series));
        }
        if usable.len() > 1 {
            let listed = usable.iter().map(|scan| listed(scan.series, &scan.stack)).collect();
            return Err(DicomError::Several { path: path(), series: listed });
        }
        match (usable.pop(), unusable.as_slice()) {
            (Some(scan), _) => {
                for (series, reason) in unusable.iter().filter(|(series, _)| is_ct(series)) {
                    let message = format!("another series was not used, {}: {reason}", shown(series));
                    warnings.push(Warning::new(WarningCode::DicomImagesUnused, message));
                }
                scan
            }
            (None, [(series, reason)]) => return Err(refused(series, reason.clone())),
            (None, []) => return Err(DicomError::NoScan { path: path(), reason: contents(study, series) }),
            (None, several) => {
                let reasons = several.iter().map(|(series, reason)| format!("{}: {reason}", shown(series)));
                let reasons: Vec<String> = reasons.collect();
                let reason = format!("no series is usable: {}", reasons.join("; "));
                return Err(DicomError::NoScan { path: path(), reason });
            }
        }
    };
    warnings.extend(unused(study, &scan));
    warnings.extend(unusual(&scan));
    Ok((scan, warnings))
}

/// The series with this UID, or else those with this number.
fn named<'a>(series: &'a [Series<'a>], wanted: &str) -> Vec<&'a Series<'a>> {
    let wanted = wanted.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if let Some(found) = series.iter().find(|series| series.uid == wanted) {
        return vec![found];
    }
    let same = |number: &str| match (number.parse::<i64>(), wanted.parse::<i64>()) {
        (Ok(number), Ok(wanted)) => number == wanted,
        _ => number == wanted,
    };
    series.iter().filter(|series| series.number().is_some_and(same)).collect()
}

/// A usable series in one line.
fn listed(series: &Series<'_>, stack: &Stack) -> String {
    let slices = counted(stack.order.len(), "slice");
    format!("{}, {slices} of {} x {}", shown(series), stack.columns, stack.rows)
}

/// What there is instead of a scan.
fn contents(study: &Study, series: &[Series<'_>]) -> String {
    if series.is_empty() {
        return match study.others + study.empty.len() {
            0 => "there are no files".to_owned(),
            others => format!("there is no DICOM among {}", counted(others, "file")),
        };
    }
    let shown = series.iter().take(8).map(|series| format!("{}: {}", shown(series), nothing_in(series)));
    let shown: Vec<String> = shown.collect();
    let more = series.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!("; and {more} more series") };
    format!("{}{more}", shown.join("; "))
}

/// Files and images that are not part of the scan although they might be.
fn unused(study: &Study, scan: &Scan<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    let copies = &scan.stack.copies;
    if let Some((copy, of)) = copies.first() {
        let (copy, of) = (&scan.names[*copy], &scan.names[*of]);
        let message = format!(
            "{} left out: `{copy}` has the place and the voxels of `{of}`",
            counted_were(copies.len(), "exact copy")
        );
        warn(WarningCode::DicomCopies, message);
    }
    let localizers = scan.series.localizers();
    if localizers > 0 {
        let message = format!("{} left out of the series", counted_were(localizers, "localizer"));
        warn(WarningCode::DicomImagesUnused, message);
    }
    for (what, files) in &scan.series.passed_over {
        let example = files.first().map(|file| file.input.shown()).unwrap_or_default();
        let message =
            format!("{} left out of the series: {what}, for example `{example}`", counted_were(files.len(), "file"));
        warn(WarningCode::DicomImagesUnused, message);
    }
    if let Some(example) = study.empty.first() {
        let message = format!(
            "{} left out because nothing is in it, for example `{example}`",
            counted_were(study.empty.len(), "file")
        );
        warn(WarningCode::DicomImagesUnused, message);
    }
    warnings
}

/// What may be wrong with the scan.
fn unusual(scan: &Scan<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    let frames = || scan.images.iter().map(|(file, frame)| &file.frames[*frame]);
    match scan.series.modality() {
        Some("CT") => {}
        Some(other) => {
            let message = format!("the modality is {other}: expected CT, whose voxels are Hounsfield units");
            warn(WarningCode::DicomModality, message);
        }
        None => warn(WarningCode::DicomModality, "the images do not state a modality: expected CT".to_owned()),
    }
    if let Some(other) = frames().find_map(|frame| frame.rescale_type.as_ref().filter(|kind| *kind != "HU")) {
        let message = format!("the Rescale Type is {other}: expected HU, Hounsfield units");
        warn(WarningCode::DicomRescale, message);
    }
    let without = frames().filter(|frame| !frame.has_rescale).count();
    if without > 0 {
        let images = counted(without, "image");
        let message = format!(
            "{images} without Rescale Slope or Rescale Intercept: 1 and 0 were taken, so that stored values are Hounsfield units"
        );
        warn(WarningCode::DicomRescale, message);
    }
    let lossy = scan.images.iter().filter(|(file, _)| file.is_lossy).count();
    if lossy > 0 {
        let message =
            format!("{} compressed with loss: the voxels are not those of the scanner", counted_were(lossy, "image"));
        warn(WarningCode::DicomLossy, message);
    }
    if !scan.stack.missing.is_empty() {
        let missing = scan.stack.order.iter().filter(|slice| slice.is_none()).count();
        let where_ = scan.stack.missing.join("; ");
        let message = format!("{} interpolated between neighbours: {where_}", counted_were(missing, "missing slice"));
        warn(WarningCode::DicomSlicesFilled, message);
    }
    if scan.stack.tilt_degrees > 0.01 {
        let message = format!(
            "the slices are tilted by {} degrees against the axis along which they lie: the axes of the voxels are not perpendicular",
            mm((scan.stack.tilt_degrees * 100.0).round() / 100.0)
        );
        warn(WarningCode::AxesSheared, message);
    }
    warnings
}
