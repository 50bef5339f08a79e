//! The files of a bundle that is open, or is being opened: their hashes, and whether they are still the same files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use segvol_base::file_identity::FileIdentity;

use crate::error::BundleError;
use crate::manifest::{FileEntry, Manifest};

/// Open handles of a bundle's files. They are hashed through these handles, which also detect files that were modified in
/// place.
///
/// If the bundle's folder is replaced or removed, an open model still works: its files exist as long as their handles.
///
/// Graphs and tokenizer say how other bytes are read, so they are compared before anything reads them
/// ([`BundleFiles::verify_graphs`]). A weights file has only numbers that are computed with, at places that the graphs name. Once
/// its size is right, it may be read while it is still hashed ([`BundleFiles::verify_weights`]). Whoever does so must not keep
/// what was made of it if a hash is wrong, and must ask afterwards whether the files that were read are those that were hashed
/// ([`BundleFiles::check_opened`]).
#[derive(Debug)]
pub struct BundleFiles(Vec<OpenFile>);

#[derive(Debug)]
struct OpenFile {
    entry: FileEntry,
    path: PathBuf,
    file: File,
    opened: (u64, Option<SystemTime>),
    /// Whether nothing but weights is in the file.
    is_weights: bool,
}

impl BundleFiles {
    /// Opens every file of the manifest. An empty file that is missing is left out: see [`FileEntry::open`].
    ///
    /// # Errors
    ///
    /// [`BundleError::Io`] or [`BundleError::Link`] with the first file that cannot be opened.
    pub fn open(dir: &Path, manifest: &Manifest) -> Result<Self, BundleError> {
        let graphs: BTreeSet<&str> = manifest.graphs_and_tokenizer().map(|entry| entry.name.as_str()).collect();
        let open = |entry: &FileEntry| {
            let Some(file) = entry.open(dir)? else { return Ok(None) };
            let path = dir.join(&entry.name);
            match stamp(&file) {
                Ok(opened) => {
                    let is_weights = !graphs.contains(entry.name.as_str());
                    Ok(Some(OpenFile { entry: entry.clone(), path, file, opened, is_weights }))
                }
                Err(source) => Err(BundleError::Io { path, source }),
            }
        };
        manifest.files().filter_map(|entry| open(entry).transpose()).collect::<Result<_, _>>().map(Self)
    }

    /// Compares the sizes of all files with the manifest, and the hashes of those that are not weights.
    ///
    /// # Errors
    ///
    /// If one of them differs, the error of [`Manifest::verify`].
    pub fn verify_graphs(&self) -> Result<(), BundleError> {
        let differ = |file: &OpenFile| match file.is_weights {
            true => file.entry.verify_size(&file.path, &file.file),
            false => file.verify(),
        };
        match self.0.iter().try_for_each(differ) {
            Ok(()) => Ok(()),
            // An earlier file may have another hash, and is the first that differs.
            Err(found) => self.verify(|_| true).and(Err(found)),
        }
    }

    /// Compares the hashes of the weights with the manifest, several files at a time.
    ///
    /// # Errors
    ///
    /// [`BundleError::Changed`] with the first file that differs, [`BundleError::Io`] or [`BundleError::Link`] with one that cannot
    /// be read.
    pub fn verify_weights(&self) -> Result<(), BundleError> {
        self.verify(|file| file.is_weights)
    }

    /// Compares the files of a kind. The error is that of the first file.
    fn verify(&self, kind: impl Fn(&OpenFile) -> bool) -> Result<(), BundleError> {
        let files: Vec<&OpenFile> = self.0.iter().filter(|file| kind(file)).collect();
        let found: Vec<_> = files.par_iter().with_max_len(1).map(|file| file.verify()).collect();
        found.into_iter().collect()
    }

    /// Checks that whoever opened the files by their names meanwhile has read the files that were hashed: each name still leads
    /// to the same file, and none was modified.
    ///
    /// # Errors
    ///
    /// [`BundleError::Changed`] with the first file that was modified or replaced; [`BundleError::Io`] if a file's metadata cannot
    /// be read.
    pub fn check_opened(&self) -> Result<(), BundleError> {
        self.check()?;
        for OpenFile { path, file, .. } in &self.0 {
            let io = |source| BundleError::Io { path: path.clone(), source };
            // Only Unix tells which file an open one is.
            let Some(hashed) = FileIdentity::of_open(&file.metadata().map_err(io)?) else { continue };
            if FileIdentity::of(path).map_err(io)? != Some(hashed) {
                let expected = "the same file until the model is open".to_owned();
                let found = "another file, which replaced it meanwhile".to_owned();
                return Err(BundleError::Changed { path: path.clone(), expected, found });
            }
        }
        Ok(())
    }

    /// Checks that no file was modified since it was opened: ONNX Runtime might read its old or its new content.
    ///
    /// # Errors
    ///
    /// [`BundleError::Changed`] with the first modified file; [`BundleError::Io`] if a file's metadata cannot be read.
    pub fn check(&self) -> Result<(), BundleError> {
        for OpenFile { path, file, opened, .. } in &self.0 {
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

impl OpenFile {
    fn verify(&self) -> Result<(), BundleError> {
        self.entry.verify_open(&self.path, &self.file)
    }
}

/// A file's size in bytes, and the time of its last modification if the file system records it.
fn stamp(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}
