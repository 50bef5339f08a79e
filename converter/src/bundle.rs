//! Writes a bundle atomically: to a temporary folder next to the output path, which is renamed at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use segvol_base::{TemporaryFolder, Warning, check_folder_replaceable, file_identity};
use segvol_onnx::manifest::{FileEntry, MANIFEST_FILE, Manifest, StageFiles};
use segvol_onnx::save::{HashedFile, save_bytes, save_model};
use segvol_onnx::{Architecture, Precision, Stage};

use crate::annotate::{About, annotate};
use crate::error::{CheckpointError, ConvertError, TensorFault, TensorFaults};
use crate::readme::{README_FILE, readme};
use crate::stages::{PlannedStage, graph_file, weights_file};
use segvol_checkpoint::Checkpoint;

/// The tokenizer's name in a bundle.
pub(crate) const TOKENIZER_FILE: &str = "tokenizer.json";

/// An output path where a bundle may be written.
#[derive(Debug)]
pub(crate) struct Place {
    target: PathBuf,
    /// Says that a bundle at `target` is written in place.
    pub(crate) warning: Option<Warning>,
}

impl Place {
    /// Refuses a path that exists, unless it is an empty folder, or `force` is set and it is a bundle.
    pub(crate) fn check(target: &Path, force: bool) -> Result<Self, ConvertError> {
        // A link to a folder remains a link: the folder that it points to is replaced.
        let target = match fs::canonicalize(target) {
            Ok(target) => target,
            // A link to a folder that does not exist yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && target.is_symlink() => {
                file_identity::resolve(target).map_err(output(target))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => target.to_owned(),
            Err(source) => return Err(ConvertError::Output { path: target.to_owned(), source }),
        };
        let mut warning = None;
        if target.symlink_metadata().is_ok() {
            // First what `force` does not change.
            let is_empty = match content(&target) {
                Ok(found) => found == Content::Nothing,
                Err(found) => return Err(ConvertError::OutputNotABundle { path: target, found }),
            };
            warning = check_folder_replaceable(&target).map_err(output(&target))?;
            if !force && !is_empty {
                return Err(ConvertError::OutputExists { path: target });
            }
        }
        if target.file_name().is_none() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "expected a path that ends with a folder's name");
            return Err(ConvertError::Output { path: target, source });
        }
        Ok(Self { target, warning })
    }

    /// Creates the temporary folder to write to.
    pub(crate) fn draft(self) -> Result<Draft, ConvertError> {
        let target = self.target;
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(output(parent))?;
        }
        let folder = TemporaryFolder::beside(&target).map_err(output(&target))?;
        Ok(Draft { target, folder })
    }
}

/// A bundle that is being written. If it is dropped before [`Draft::publish`], nothing is left.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The output path.
    target: PathBuf,
    /// The temporary folder.
    folder: TemporaryFolder,
}

impl Draft {
    /// Writes a stage's weights and graphs.
    pub(crate) fn write_stage(
        &self,
        (precision, stage): (Precision, Stage),
        planned: &PlannedStage,
        checkpoint: &Checkpoint,
        architecture: &Architecture,
        about: &About<'_>,
    ) -> Result<StageFiles, ConvertError> {
        let weights = self.write_weights(&weights_file(stage, precision), planned, checkpoint)?;
        let mut graphs = BTreeMap::new();
        for (&variant, model) in &planned.graphs {
            let mut model = model.clone();
            annotate(&mut model, (precision, stage, variant), about);
            let name = graph_file(stage, precision, variant);
            let entry =
                save_model(self.folder.path(), &name, &model).map_err(output(&self.folder.path().join(&name)))?;
            graphs.insert(variant, entry);
        }
        Ok(StageFiles {
            inputs: stage.inputs(architecture, precision),
            outputs: stage.outputs(architecture, precision),
            parameters: planned.parameters,
            weights,
            graphs,
        })
    }

    /// Converts one tensor while the previous one is hashed and written; at most three are in memory.
    fn write_weights(
        &self,
        name: &str,
        planned: &PlannedStage,
        checkpoint: &Checkpoint,
    ) -> Result<FileEntry, ConvertError> {
        let path = self.folder.path().join(name);
        let mut file = HashedFile::create(&path).map_err(output(&path))?;
        let (sender, receiver) = sync_channel::<(u64, Vec<u8>)>(1);
        let (faults, written) = thread::scope(|scope| {
            let writer = thread::Builder::new().spawn_scoped(scope, move || -> io::Result<HashedFile> {
                for (offset, bytes) in receiver {
                    file.pad_to(offset)?;
                    file.write_all(&bytes)?;
                }
                if planned.weights.is_empty() {
                    file.write_all(NO_WEIGHTS)?;
                }
                Ok(file)
            });
            let mut faults = Vec::new();
            for tensor in &planned.weights {
                match tensor.read(checkpoint) {
                    // If the writer has stopped, its error is returned below.
                    Ok(values) if faults.is_empty() => {
                        if sender.send((tensor.external.offset, values)).is_err() {
                            break;
                        }
                    }
                    Ok(_) => {}
                    Err(fault @ TensorFault::Float16 { .. }) => faults.push(fault), // Look for others too.
                    Err(fault) => {
                        faults.push(fault);
                        break;
                    }
                }
            }
            drop(sender);
            let panicked = |_| Err(io::Error::other("the writing thread panicked"));
            let no_thread =
                |error: io::Error| io::Error::other(format!("not enough memory for a thread that writes: {error}"));
            (faults, writer.map_err(no_thread).and_then(|writer| writer.join().unwrap_or_else(panicked)))
        });
        if !faults.is_empty() {
            let (path, faults) = (checkpoint.path.clone(), TensorFaults(faults));
            return Err(CheckpointError::Tensors { path, faults }.into());
        }
        written.and_then(|file| file.finish(name)).map_err(output(&path))
    }

    /// Writes the tokenizer.
    pub(crate) fn write_tokenizer(&self, json: &[u8]) -> Result<FileEntry, ConvertError> {
        let folder = self.folder.path();
        save_bytes(folder, TOKENIZER_FILE, json).map_err(output(&folder.join(TOKENIZER_FILE)))
    }

    /// Writes README and manifest and moves the bundle to the output path; a previous bundle is removed afterwards.
    pub(crate) fn publish(self, manifest: &Manifest) -> Result<(), ConvertError> {
        let folder = self.folder.path();
        save_bytes(folder, README_FILE, readme(manifest).as_bytes()).map_err(output(&folder.join(README_FILE)))?;
        let path = folder.join(MANIFEST_FILE);
        let json = manifest.to_json().map_err(|error| output(&path)(error.into()))?;
        save_bytes(folder, MANIFEST_FILE, json.as_bytes()).map_err(output(&path))?;
        self.folder.publish(&self.target, MANIFEST_FILE).map_err(output(&self.target))
    }
}

/// The weights file of a stage whose weights are all in its graphs. It is not empty, because object stores and release pages
/// drop empty files.
const NO_WEIGHTS: &[u8] = b"The weights of this stage are in its graphs.\n";

fn output(path: &Path) -> impl Fn(io::Error) -> ConvertError + use<> {
    let path = path.to_owned();
    move |source| ConvertError::Output { path: path.clone(), source }
}

/// What is in a folder where a bundle may be written.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    /// A bundle, or what is left of one whose replacement was interrupted.
    Bundle,
}

/// The content of a folder, or else what in it is neither.
fn content(target: &Path) -> Result<Content, String> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let names: io::Result<Vec<String>> = fs::read_dir(target).and_then(|entries| entries.map(name).collect());
    let names = match names {
        Ok(names) => names,
        Err(error) => return Err(error.to_string()), // What cannot be listed is not replaced.
    };
    // The temporary folder of a conversion that was killed while it wrote in place.
    let interrupted = names.iter().any(|name| name.starts_with(TEMPORARY));
    let is_mount_point = file_identity::is_mount_point(target);
    // What macOS and Windows put into every folder is nobody's content.
    let left = |name: &String| {
        name.starts_with("._")
            || name.starts_with(TEMPORARY)
            || [".DS_Store", "Thumbs.db", "desktop.ini"].contains(&&**name)
            || (is_mount_point && name == "lost+found") // In the root of a disk; what is written in place leaves it there.
    };
    let names: Vec<String> = names.into_iter().filter(|name| !left(name)).collect();
    let of_a_stage =
        |name: &String| name.starts_with("segvol_") && (name.ends_with(".onnx") || name.ends_with(".weights"));
    // Many folders have a README, so it takes more than that and a manifest to be a bundle.
    let readme_is_ours = names.iter().any(of_a_stage);
    let ours = |name: &String| {
        name == MANIFEST_FILE || name == TOKENIZER_FILE || of_a_stage(name) || (name == README_FILE && readme_is_ours)
    };
    match names.iter().find(|name| !ours(name)) {
        Some(name) => Err(format!("`{name}` in it")),
        None if names.is_empty() => Ok(Content::Nothing),
        None if interrupted || names.iter().any(|name| name == MANIFEST_FILE) => Ok(Content::Bundle),
        None => Err(format!("no {MANIFEST_FILE} in it")),
    }
}

/// How the names of temporary folders inside another one begin ([`TemporaryFolder::new_in`]).
const TEMPORARY: &str = ".segvol-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::check(&dir.path().join("bundle"), false).expect("a place");
        let draft = place.draft().expect("a draft");
        draft.write_tokenizer(b"{}").expect("written");
        drop(draft);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
    }

    #[test]
    fn force_replaces_a_bundle_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("bundle");
        fs::create_dir(&target).expect("made");
        for force in [false, true] {
            Place::check(&target, force).expect("empty");
        }

        fs::write(target.join(".DS_Store"), "").expect("written");
        fs::write(target.join("._manifest.json"), "").expect("written");
        Place::check(&target, true).expect("as good as empty");

        fs::write(target.join("notes.txt"), "mine").expect("written");
        for force in [false, true] {
            let error = Place::check(&target, force).expect_err("not a bundle");
            assert!(error.to_string().contains("`notes.txt`"), "{error}");
        }

        fs::remove_file(target.join("notes.txt")).expect("removed");
        fs::write(target.join("segvol_mask_decoder.weights"), "").expect("written");
        assert!(matches!(Place::check(&target, true), Err(ConvertError::OutputNotABundle { .. })));
        fs::create_dir(target.join(".segvol-1")).expect("made");
        Place::check(&target, true).expect("an interrupted conversion");
        assert!(matches!(Place::check(&target, false), Err(ConvertError::OutputExists { .. })));
        fs::remove_dir(target.join(".segvol-1")).expect("removed");
        fs::write(target.join(MANIFEST_FILE), "{}").expect("written");
        Place::check(&target, true).expect("a bundle");
        assert!(matches!(Place::check(&target, false), Err(ConvertError::OutputExists { .. })));

        fs::write(target.join(README_FILE), "edited").expect("written");
        Place::check(&target, true).expect("a bundle with a README");
        fs::remove_file(target.join("segvol_mask_decoder.weights")).expect("removed");
        let error = Place::check(&target, true).expect_err("any project has a README");
        assert!(error.to_string().contains("`README.md`"), "{error}");
    }
}
