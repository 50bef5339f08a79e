//! Finds scans in folders and by patterns of names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use segvol::volume::files_of;
use segvol::volume::format::is_scan_name;
use segvol_base::file_identity::FileIdentity;
use segvol_base::{is_leftover, printable};

use crate::error::CohortError;

/// How deep folders are searched.
const MAX_DEPTH: usize = 32;

/// A scan, and the folder that its id is relative to.
pub(super) type Found = (PathBuf, PathBuf);

/// The scans at a path: all that are in a folder but not in `out`; one file; or what a pattern matches.
pub(super) fn scans_at(images: &Path, out: &Path) -> Result<Vec<Found>, CohortError> {
    let parent = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
    if images.is_dir() {
        return Walk::new(images, out).scans();
    }
    if images.exists() {
        return Ok(vec![(images.to_owned(), parent(images))]);
    }
    let text = images.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(CohortError::Io { path: images.to_owned(), source });
    }
    let refused = |error: &dyn std::fmt::Display| {
        CohortError::List(format!("`{}`: expected a pattern such as scans/*.nii.gz: {error}", printable(&text)))
    };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let base = fixed_part(images);
    let mut found = Vec::new();
    for path in glob::glob_with(&text, options).map_err(|error| refused(&error))? {
        let path = path.map_err(|error| CohortError::Io { path: error.path().to_owned(), source: error.into() })?;
        if path.is_dir() {
            let inside = Walk::new(&path, out).scans()?;
            found.extend(inside.into_iter().map(|(scan, _)| (scan, base.clone())));
        } else {
            found.push((path, base.clone()));
        }
    }
    Ok(found)
}

/// The folders before the first part of a pattern that is not fixed.
fn fixed_part(pattern: &Path) -> PathBuf {
    let is_fixed = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    pattern.components().take_while(is_fixed).collect()
}

/// A walk through a folder.
struct Walk<'a> {
    base: &'a Path,
    out: Option<FileIdentity>,
    /// Files with the voxels of a header beside them, which are no scans by themselves.
    parts: BTreeSet<PathBuf>,
    found: Vec<PathBuf>,
}

impl<'a> Walk<'a> {
    fn new(base: &'a Path, out: &Path) -> Self {
        let out = out.is_dir().then(|| FileIdentity::of(out).ok().flatten()).flatten();
        Self { base, out, parts: BTreeSet::new(), found: Vec::new() }
    }

    fn scans(mut self) -> Result<Vec<Found>, CohortError> {
        self.look(self.base, 0)?;
        let Self { parts, mut found, base, .. } = self;
        found.retain(|path| !parts.contains(path));
        found.sort();
        Ok(found.into_iter().map(|path| (path, base.to_owned())).collect())
    }

    fn look(&mut self, folder: &Path, depth: usize) -> Result<(), CohortError> {
        let io = |source| CohortError::Io { path: folder.to_owned(), source };
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(io)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(io)?;
        entries.sort();
        let mut is_series = false;
        for path in entries {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') || is_leftover(&path) {
                continue;
            }
            if path.is_dir() {
                // A link to a folder above would lead in a circle.
                let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
                if !is_link && depth < MAX_DEPTH && !self.is_out(&path) {
                    self.look(&path, depth + 1)?;
                }
            } else if is_scan_name(&path) {
                self.parts.extend(files_of(&path).into_iter().skip(1));
                self.found.push(path);
            } else if is_archive(&path) {
                self.found.push(path);
            } else if !is_series {
                is_series = is_dicom(&path);
            }
        }
        if is_series {
            self.found.push(folder.to_owned());
        }
        Ok(())
    }

    fn is_out(&self, folder: &Path) -> bool {
        self.out.is_some() && FileIdentity::of(folder).ok().flatten() == self.out
    }
}

/// Whether a file is a zip archive of a DICOM series.
fn is_archive(path: &Path) -> bool {
    #[cfg(feature = "dicom")]
    {
        let is_zip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
        // One that cannot be looked into is listed: reading it says why.
        is_zip && segvol::volume::segvol_dicom::holds_dicom(path).unwrap_or(true)
    }
    #[cfg(not(feature = "dicom"))]
    {
        let _ = path;
        false
    }
}

/// Whether a file is an image of DICOM, or another object of it that is not a segmentation.
fn is_dicom(path: &Path) -> bool {
    #[cfg(feature = "dicom")]
    {
        segvol_segments::dicom::is_image(path)
    }
    #[cfg(not(feature = "dicom"))]
    {
        let _ = path;
        false
    }
}
