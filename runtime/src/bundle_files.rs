//! The files of an open bundle, which ONNX Runtime may read as long as the model is open.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use segvol_onnx::{BundleError, Manifest};

/// Handles of a bundle's files, by which a change in place is noticed.
///
/// A bundle that is replaced or removed goes on as it was opened: its files live as long as their handles.
#[derive(Debug)]
pub(crate) struct BundleFiles(Vec<OpenFile>);

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: File,
    opened: (u64, Option<SystemTime>),
}

impl BundleFiles {
    /// Opens every file of the manifest.
    ///
    /// # Errors
    ///
    /// [`BundleError::Io`] for one that cannot be opened.
    pub(crate) fn open(dir: &Path, manifest: &Manifest) -> Result<Self, BundleError> {
        let open = |path: PathBuf| {
            let opened = File::open(&path).and_then(|file| Ok((stamp(&file)?, file)));
            match opened {
                Ok((opened, file)) => Ok(OpenFile { path, file, opened }),
                Err(source) => Err(BundleError::Io { path, source }),
            }
        };
        manifest.files().map(|entry| open(dir.join(&entry.name))).collect::<Result<_, _>>().map(Self)
    }

    /// Refuses files that were written to since they were opened: of those, ONNX Runtime may see either state.
    ///
    /// # Errors
    ///
    /// [`BundleError::Changed`] for the first of them.
    pub(crate) fn check(&self) -> Result<(), BundleError> {
        for OpenFile { path, file, opened } in &self.0 {
            let found = stamp(file).map_err(|source| BundleError::Io { path: path.clone(), source })?;
            if found != *opened {
                let expected = format!("{} bytes, untouched while the model is open", opened.0);
                let found = format!("{} bytes, written to since", found.0);
                return Err(BundleError::Changed { path: path.clone(), expected, found });
            }
        }
        Ok(())
    }
}

/// Size, and time of the last change where the file system has one.
fn stamp(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}
