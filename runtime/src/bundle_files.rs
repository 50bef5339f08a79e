//! The files of an open bundle. ONNX Runtime may read them as long as the model is open.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use segvol_onnx::manifest::FileEntry;
use segvol_onnx::{BundleError, Manifest};

/// Open handles of a bundle's files. They detect files that were modified in place.
///
/// If the bundle's folder is replaced or removed, an open model still works: its files exist as long as their handles.
#[derive(Debug)]
pub(crate) struct BundleFiles(Vec<OpenFile>);

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: File,
    opened: (u64, Option<SystemTime>),
}

impl BundleFiles {
    /// Opens every file of the manifest. An empty file that is missing is left out: see [`FileEntry::open`].
    ///
    /// # Errors
    ///
    /// [`BundleError::Io`] or [`BundleError::Link`] with the first file that cannot be opened.
    pub(crate) fn open(dir: &Path, manifest: &Manifest) -> Result<Self, BundleError> {
        let open = |entry: &FileEntry| {
            let Some(file) = entry.open(dir)? else { return Ok(None) };
            let path = dir.join(&entry.name);
            match stamp(&file) {
                Ok(opened) => Ok(Some(OpenFile { path, file, opened })),
                Err(source) => Err(BundleError::Io { path, source }),
            }
        };
        manifest.files().filter_map(|entry| open(entry).transpose()).collect::<Result<_, _>>().map(Self)
    }

    /// Checks that no file was modified since it was opened: ONNX Runtime might read its old or its new content.
    ///
    /// # Errors
    ///
    /// [`BundleError::Changed`] with the first modified file; [`BundleError::Io`] if a file's metadata cannot be read.
    pub(crate) fn check(&self) -> Result<(), BundleError> {
        for OpenFile { path, file, opened } in &self.0 {
            let found = stamp(file).map_err(|source| BundleError::Io { path: path.clone(), source })?;
            if found != *opened {
                let expected = format!("{} bytes, not modified while the model is open", opened.0);
                let found = format!("{} bytes, modified since the model was opened", found.0);
                return Err(BundleError::Changed { path: path.clone(), expected, found });
            }
        }
        Ok(())
    }
}

/// A file's size in bytes, and the time of its last modification if the file system records it.
fn stamp(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}
