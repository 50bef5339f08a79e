//! Finds scans in folders and by patterns of names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use segvol::volume::files_of;
use segvol::volume::format::is_scan_name;
use segvol_base::file_identity::FileIdentity;
use segvol_base::{is_leftover, printable};

use crate::error::CohortError;

/// How deep folders are searched.
const MAX_DEPTH: usize = 32;

/// A scan that was found.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// The folder that its id is relative to.
    pub(super) base: PathBuf,
    /// Why it cannot be segmented: it is a folder that cannot be searched.
    pub(super) problem: Option<String>,
}

/// The scans at a path: all that are in a folder but not in `out`; one file; or what a pattern matches.
pub(super) fn scans_at(images: &Path, out: &Path) -> Result<Vec<Found>, CohortError> {
    let parent = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
    if images.is_dir() {
        return Walk::new(images, out).scans();
    }
    if images.exists() {
        return Ok(vec![Found { path: images.to_owned(), base: parent(images), problem: None }]);
    }
    let text = images.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        let source = images.metadata().err().unwrap_or_else(|| io::ErrorKind::NotFound.into());
        return Err(CohortError::Unreadable { path: images.to_owned(), source });
    }
    let refused = |error: &dyn std::fmt::Display| {
        CohortError::List(format!("`{}`: expected a pattern such as scans/*.nii.gz: {error}", printable(&text)))
    };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let base = fixed_part(images);
    let mut found = Vec::new();
    for path in glob::glob_with(&text, options).map_err(|error| refused(&error))? {
        let path =
            path.map_err(|error| CohortError::Unreadable { path: error.path().to_owned(), source: error.into() })?;
        if path.is_dir() {
            let inside = Walk::new(&path, out).scans()?;
            found.extend(inside.into_iter().map(|scan| Found { base: base.clone(), ..scan }));
        } else {
            found.push(Found { path, base: base.clone(), problem: None });
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
    /// The folders that were searched: a link can lead to one of them, even to one above itself.
    seen: BTreeSet<FileIdentity>,
    found: Vec<Found>,
}

impl<'a> Walk<'a> {
    fn new(base: &'a Path, out: &Path) -> Self {
        let out = out.is_dir().then(|| FileIdentity::of(out).ok().flatten()).flatten();
        Self { base, out, parts: BTreeSet::new(), seen: BTreeSet::new(), found: Vec::new() }
    }

    fn scans(mut self) -> Result<Vec<Found>, CohortError> {
        self.look(self.base, 0).map_err(|source| CohortError::Unreadable { path: self.base.to_owned(), source })?;
        let Self { parts, mut found, .. } = self;
        found.retain(|scan| !parts.contains(&scan.path));
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn add(&mut self, path: PathBuf, problem: Option<String>) {
        self.found.push(Found { path, base: self.base.to_owned(), problem });
    }

    fn look(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        if FileIdentity::of(folder)?.is_some_and(|identity| !self.seen.insert(identity)) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("is more than {MAX_DEPTH} folders deep")));
        }
        let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
        entries.sort();
        let mut is_series = false;
        for path in entries {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') || is_leftover(&path) {
                continue;
            }
            if path.is_dir() {
                if self.is_out(&path) {
                    continue;
                }
                // The others are found all the same.
                if let Err(error) = self.look(&path, depth + 1) {
                    let problem = format!("the folder `{}` cannot be searched: {error}", path.display());
                    self.add(path, Some(problem));
                }
            } else if is_scan_name(&path) {
                self.parts.extend(files_of(&path).into_iter().skip(1));
                self.add(path, None);
            } else if is_archive(&path) {
                self.add(path, None);
            } else if !is_series {
                is_series = is_dicom(&path);
            }
        }
        if is_series {
            self.add(folder.to_owned(), None);
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
