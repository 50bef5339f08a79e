//! The files of a graph, as ONNX Runtime takes them.
//!
//! ONNX Runtime reads weights only from the folder of their graph. It follows links before it compares folders, and its versions
//! differ in the links that they allow. In a bundle of links, every file may be in a folder of its own and have another name: the
//! caches of Hugging Face, DVC, git-annex, Nix and Bazel are such. A graph of such a bundle is passed in memory, with the folder
//! and the name that its weights really have. So ONNX Runtime sees no link, and maps the weights as it does without links.

use std::fs;
use std::path::{Path, PathBuf};

use segvol_base::memory;
use segvol_onnx::{BundleError, external};

use crate::error::Error;

/// Configuration entry with the folder of the weights of a graph that is passed in memory.
pub(super) const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// What ONNX Runtime opens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GraphSource {
    /// A graph with its weights beside it.
    File(PathBuf),
    /// A graph in memory.
    Memory {
        /// The bytes of an ONNX file.
        model: Vec<u8>,
        /// The absolute path of the folder with its weights.
        weights_folder: String,
    },
}

impl GraphSource {
    /// The graph `file`, and the weights that it names in its folder.
    ///
    /// # Errors
    ///
    /// [`Error::Bundle`] if a file is a link that leads nowhere, or that ONNX Runtime cannot use; [`Error::Memory`] if there is
    /// not enough memory for the graph.
    pub(super) fn of(file: &Path) -> Result<Self, Error> {
        if !is_among_links(file) {
            return Ok(Self::File(file.to_owned()));
        }
        let graph = followed(file)?;
        let bytes = fs::metadata(&graph).map_or(0, |graph| graph.len());
        // Read, decoded, encoded and compared, and encoded again.
        memory::check_available::<[u8; 4]>("a graph", usize::try_from(bytes).unwrap_or(usize::MAX))?;
        let bytes = fs::read(&graph).map_err(|source| BundleError::unreadable(file, source))?;
        // What is wrong with a file that is no graph, ONNX Runtime says.
        let names: Vec<String> = external::files(&bytes).unwrap_or_default().into_iter().collect();
        // Nor does a name that leads out of the folder lead anywhere through a link.
        if names.iter().any(|name| Path::new(name).file_name() != Some(name.as_ref())) {
            return Ok(Self::File(graph));
        }
        let links: Vec<PathBuf> = names.iter().map(|name| file.with_file_name(name)).collect();
        let weights = links.iter().map(|link| followed(link)).collect::<Result<Vec<_>, _>>()?;
        if names.iter().zip(&weights).all(|(name, weights)| graph.with_file_name(name) == *weights) {
            return Ok(Self::File(graph));
        }
        let unusable = |path: &Path, reason: &str| Err(BundleError::unusable_link(path, reason).into());
        let ([name], [link], [weights]) = (&names[..], &links[..], &weights[..]) else {
            return unusable(
                file,
                "whose weights are in several files, which ONNX Runtime does not find through links",
            );
        };
        let parts = (weights.parent().and_then(Path::to_str), weights.file_name().and_then(|name| name.to_str()));
        let (Some(folder), Some(real_name)) = parts else {
            return unusable(link, "whose path is not UTF-8, and ONNX Runtime takes no other");
        };
        match external::renamed(&bytes, name, real_name) {
            Some(model) => Ok(Self::Memory { model, weights_folder: folder.to_owned() }),
            None => {
                unusable(file, "which has parts of a newer format, so that its weights are not found through links")
            }
        }
    }
}

/// Whether the file or one beside it is a link. If the folder cannot be listed, one may be.
fn is_among_links(file: &Path) -> bool {
    let Some(Ok(entries)) = file.parent().map(fs::read_dir) else { return true };
    let is_link = |entry: fs::DirEntry| entry.file_type().is_ok_and(|found| found.is_symlink());
    entries.map_while(Result::ok).any(is_link)
}

/// The file that a path leads to through all links.
fn followed(path: &Path) -> Result<PathBuf, BundleError> {
    fs::canonicalize(path).map_err(|source| BundleError::unreadable(path, source))
}
