//! `manifest.json`: what a bundle holds, where it came from, and the hash of every file in it.
//!
//! A bundle is a folder with this file, the ONNX graphs and one weights file per precision and stage, and
//! `tokenizer.json`. Precisions share the files of a stage that is the same in both. Every file that the manifest names
//! is directly in the folder. A bundle with a missing, resized or changed file is refused ([`Manifest::verify`]). The
//! manifest ends with the hash of the text before it, so that one flipped bit anywhere in a bundle is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use rayon::prelude::*;
use segvol_base::Orientation;
use segvol_names::Names;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::architecture::Architecture;
pub use crate::error::{BundleError, MANIFEST_FILE};
use crate::precision::Precision;
use crate::stage::{Stage, TensorSpec, Variant};

/// The layout of `manifest.json` that this version writes.
pub const SCHEMA_VERSION: u32 = 4;

/// The oldest layout that can still be read. Fields that it lacks are absent.
pub const OLDEST_VERSION: u32 = 3;

/// Longest manifest accepted; a real one has a few kilobytes.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The program that wrote the bundle, with its version.
    pub tool: String,
    /// The checkpoint that the bundle was made from.
    pub source: Source,
    /// The model's sizes.
    pub architecture: Architecture,
    /// The axes that the model was trained with: a code such as `RAS`, or `stored` if scans were not turned. `None`, and absent
    /// from the JSON, if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "in_upper_case")]
    pub axes: Option<Orientation>,
    /// ONNX operator set of the graphs.
    pub opset: i64,
    /// ONNX file format version of the graphs.
    pub ir_version: i64,
    /// The precisions that the bundle has, at least one; all have the same stages.
    pub precisions: BTreeMap<Precision, PrecisionFiles>,
    /// The tokenizer, when the checkpoint has a text encoder.
    pub tokenizer: Option<Tokenizer>,
    /// The names that the model was trained with; `None` if they are not known, or the bundle was made before version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Names>,
    /// Checkpoint tensors that no graph uses, each with the reason.
    pub not_exported: Vec<NotExported>,
    /// The terms under which the weights may be used, as far as the converter can know.
    pub license_note: String,
}

/// A code as it is in other programs, `RAS`.
fn in_upper_case<S: Serializer>(axes: &Option<Orientation>, serializer: S) -> Result<S::Ok, S::Error> {
    match axes {
        Some(Orientation::Axes(codes)) => serializer.collect_str(codes),
        Some(Orientation::Stored) => serializer.serialize_str("stored"),
        None => serializer.serialize_none(),
    }
}

/// The checkpoint that a bundle was made from: one file, or an index and the files that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The checkpoint's file name, without its folder; of several files, that of the index.
    pub file: String,
    /// The size of all its files in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal; of several files, that of the list of their hashes ([`sha256_files`]).
    pub sha256: String,
    /// Its file format, such as `torch zip`.
    pub container: String,
    /// The layout of its tensor names, such as `GitHub SegVol_v1.pth`.
    pub layout: String,
    /// Number of tensors per element type, by PyTorch's name of the type.
    pub dtypes: BTreeMap<String, usize>,
}

/// One precision of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionFiles {
    /// The stages that the bundle has; from an encoder-only checkpoint only the image encoder.
    pub stages: BTreeMap<Stage, StageFiles>,
    /// The parts that stay in float32 although the precision is another, and why.
    pub kept_in_float32: Vec<Kept>,
    /// The scans that int8's activation ranges were measured on; `None` if ranges are measured at run time.
    pub calibration: Option<Calibration>,
}

/// A part of the model that stays in float32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The part, by its name in the checkpoint if it has one; `*` means any name.
    pub part: String,
    /// Why.
    pub reason: String,
}

/// The scans that int8's activation ranges were measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The scans' file names, without their folders, sorted.
    pub scans: Vec<String>,
    /// Number of windows of these scans that were run.
    pub windows: usize,
}

/// The files of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageFiles {
    /// The inputs of every graph of the stage.
    pub inputs: Vec<TensorSpec>,
    /// The outputs of every graph of the stage.
    pub outputs: Vec<TensorSpec>,
    /// Number of scalars that the stage's graphs use from the checkpoint.
    pub parameters: u64,
    /// The weights that the stage's graphs share.
    pub weights: FileEntry,
    /// The stage's graphs. Every stage has a [`Variant::Portable`] one.
    pub graphs: BTreeMap<Variant, FileEntry>,
}

/// The tokenizer of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenizer {
    /// `tokenizer.json`, in the format of Hugging Face's `tokenizers`.
    pub file: FileEntry,
    /// The sentence around a name, with `{}` in place of the name.
    pub prompt_template: String,
    /// Id of the token that ends every sequence and fills up shorter ones in a batch.
    pub end_id: u32,
}

/// A file in the bundle's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// The file's name, without a folder: only ASCII letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl FileEntry {
    /// Opens the file in `dir`. `None` if there is no file and the manifest says that it is empty: object stores and release
    /// pages drop empty files, and bundles of earlier versions have one.
    ///
    /// # Errors
    ///
    /// [`BundleError::Io`] if the file cannot be opened, [`BundleError::Link`] if it is a link that leads to no readable file.
    pub fn open(&self, dir: &Path) -> Result<Option<File>, BundleError> {
        let path = dir.join(&self.name);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_empty() && !path.is_symlink() => Ok(None),
            Err(source) => Err(BundleError::unreadable(&path, source)),
        }
    }

    /// Whether the manifest says that the file has no bytes.
    fn is_empty(&self) -> bool {
        self.bytes == 0 && self.sha256 == hex(&Sha256::digest([]))
    }

    /// Compares size and SHA-256 of the file in `dir` with the manifest.
    fn verify(&self, dir: &Path) -> Result<(), BundleError> {
        let Some(file) = self.open(dir)? else { return Ok(()) };
        self.verify_open(&dir.join(&self.name), &file)
    }

    /// Compares size and SHA-256 of the file that was opened at `path` with the manifest.
    pub(crate) fn verify_open(&self, path: &Path, mut file: &File) -> Result<(), BundleError> {
        self.verify_size(path, file)?;
        let found = file.rewind().and_then(|()| sha256_of(file));
        let found = found.map_err(|source| BundleError::unreadable(path, source))?;
        if found == self.sha256 {
            return Ok(());
        }
        let (expected, found) = (format!("sha256 {}", self.sha256), format!("sha256 {found}"));
        Err(BundleError::Changed { path: path.to_owned(), expected, found })
    }

    /// Compares the size of the file that was opened at `path` with the manifest.
    pub(crate) fn verify_size(&self, path: &Path, file: &File) -> Result<(), BundleError> {
        let found = file.metadata().map_err(|source| BundleError::unreadable(path, source))?.len();
        if found == self.bytes {
            return Ok(());
        }
        let (expected, found) = (format!("{} bytes", self.bytes), format!("{found} bytes"));
        Err(BundleError::Changed { path: path.to_owned(), expected, found })
    }
}

/// A checkpoint tensor that no graph uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotExported {
    /// The tensor's name, without the layout's prefix.
    pub name: String,
    /// Why no graph uses it.
    pub reason: String,
}

impl Manifest {
    /// Reads and checks `DIR/manifest.json`, without the other files: for these see [`Manifest::verify`].
    ///
    /// # Errors
    ///
    /// [`BundleError::NotABundle`] if there is no manifest, [`BundleError::BadManifest`] if it has another schema
    /// version, an unknown, missing or contradictory field, or names a file outside the folder,
    /// [`BundleError::Changed`] if its own hash does not match, [`BundleError::Io`] if it cannot be read,
    /// [`BundleError::Link`] if it or the folder is a link that leads nowhere.
    pub fn read(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join(MANIFEST_FILE);
        let bad = |reason: String| BundleError::BadManifest { path: path.clone(), reason };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(source) if path.is_symlink() => return Err(BundleError::unreadable(&path, source)),
            Err(source) if dir.is_symlink() && !dir.exists() => return Err(BundleError::unreadable(dir, source)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(BundleError::NotABundle { path: dir.to_owned() });
            }
            Err(source) => return Err(BundleError::Io { path: path.clone(), source }),
        };
        let mut text = Vec::new();
        let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut text);
        read.map_err(|source| BundleError::Io { path: path.clone(), source })?;
        if text.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(bad(format!("expected at most {MAX_MANIFEST_BYTES} bytes, found a larger file")));
        }

        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let found: Version = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        let found = found.schema_version;
        if !(OLDEST_VERSION..=SCHEMA_VERSION).contains(&found) {
            let expected = format!("expected schema_version {OLDEST_VERSION} or {SCHEMA_VERSION}, found {found}");
            let next = if found > SCHEMA_VERSION {
                "the bundle needs a newer version of this program"
            } else {
                "convert again"
            };
            return Err(bad(format!("{expected}; {next}")));
        }
        let body = unsealed(&text).map_err(|(expected, found)| BundleError::Changed {
            path: path.clone(),
            expected,
            found,
        })?;
        let manifest: Self = serde_json::from_str(&body).map_err(|error| bad(error.to_string()))?;
        manifest.check().map_err(bad)?;
        Ok(manifest)
    }

    /// The text of `manifest.json`: the same manifest gives the same bytes.
    ///
    /// # Errors
    ///
    /// Never in practice, because every field can be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(sealed(&serde_json::to_string_pretty(self)?))
    }

    /// Every file that the bundle must have besides the manifest, each once.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let mut seen = BTreeSet::new();
        self.entries().filter(move |entry| seen.insert(&entry.name))
    }

    /// Every mention of a file.
    fn entries(&self) -> impl Iterator<Item = &FileEntry> {
        let files = self.stages().flat_map(|stage| stage.graphs.values().chain([&stage.weights]));
        files.chain(self.tokenizer.iter().map(|tokenizer| &tokenizer.file))
    }

    /// Every mention of a file that is not weights.
    pub(crate) fn graphs_and_tokenizer(&self) -> impl Iterator<Item = &FileEntry> {
        let graphs = self.stages().flat_map(|stage| stage.graphs.values());
        graphs.chain(self.tokenizer.iter().map(|tokenizer| &tokenizer.file))
    }

    fn stages(&self) -> impl Iterator<Item = &StageFiles> {
        self.precisions.values().flat_map(|precision| precision.stages.values())
    }

    /// The files of a precision.
    ///
    /// # Errors
    ///
    /// [`BundleError::MissingPrecision`] if the bundle does not have it.
    pub fn precision(&self, dir: &Path, asked: Precision) -> Result<&PrecisionFiles, BundleError> {
        self.precisions.get(&asked).ok_or_else(|| BundleError::MissingPrecision {
            path: dir.to_owned(),
            asked,
            held: self.precisions.keys().copied().collect(),
        })
    }

    /// The files of a stage at a precision.
    ///
    /// # Errors
    ///
    /// [`BundleError::MissingPrecision`] if the bundle does not have the precision,
    /// [`BundleError::MissingStage`] if it was made from an encoder-only checkpoint.
    pub fn stage(&self, dir: &Path, precision: Precision, stage: Stage) -> Result<&StageFiles, BundleError> {
        let stages = &self.precision(dir, precision)?.stages;
        stages.get(&stage).ok_or_else(|| BundleError::MissingStage { path: dir.to_owned(), stage })
    }

    /// Compares size and SHA-256 of every file of the bundle in `dir` with the manifest, several files at a time.
    ///
    /// # Errors
    ///
    /// [`BundleError::Changed`] for the first file that differs, [`BundleError::Io`] or [`BundleError::Link`] for one that
    /// cannot be read.
    pub fn verify(&self, dir: &Path) -> Result<(), BundleError> {
        let files: Vec<&FileEntry> = self.files().collect();
        let found: Vec<_> = files.par_iter().with_max_len(1).map(|entry| entry.verify(dir)).collect();
        found.into_iter().collect()
    }

    /// Finds contradictions that a hand-edited or hostile manifest can have although every field is present.
    fn check(&self) -> Result<(), String> {
        let mut known: BTreeMap<&str, &FileEntry> = BTreeMap::new();
        for entry in self.entries() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if entry.name.is_empty() || entry.name.starts_with('.') || !entry.name.chars().all(plain) {
                return Err(format!(
                    "file name {:?}: expected letters, digits, `.`, `_` and `-` only, and no folder",
                    entry.name
                ));
            }
            if *known.entry(&entry.name).or_insert(entry) != entry {
                return Err(format!("file `{}`: expected one size and hash, found two", entry.name));
            }
        }
        let architecture = &self.architecture;
        for axis in 0..3 {
            let (window, patch) = (architecture.window_dhw[axis], architecture.patch_dhw[axis]);
            if patch == 0 || window == 0 || window % patch != 0 || window > 4096 {
                let (window, patch) = (architecture.window_dhw, architecture.patch_dhw);
                return Err(format!(
                    "window_dhw {window:?}: expected multiples of patch_dhw {patch:?}, at most 4096 voxels per axis"
                ));
            }
        }
        if architecture.channels == 0 || !architecture.channels.is_multiple_of(8) || architecture.channels > 1 << 16 {
            return Err(format!("channels: expected a multiple of 8 up to 65536, found {}", architecture.channels));
        }
        let Some(first) = self.precisions.values().next() else {
            return Err("precisions: expected at least one, found an empty list".to_owned());
        };
        for (&precision, files) in &self.precisions {
            if !files.stages.keys().eq(first.stages.keys()) {
                return Err(format!("precision {precision}: expected the same stages as the other precisions"));
            }
            for (stage, files) in &files.stages {
                let follows = files.inputs == stage.inputs(architecture, precision)
                    && files.outputs == stage.outputs(architecture, precision);
                if !follows {
                    return Err(format!(
                        "precision {precision}, stage `{stage}`: expected the inputs and outputs that follow from `architecture`, found others"
                    ));
                }
                if !files.graphs.contains_key(&Variant::Portable) {
                    return Err(format!("precision {precision}, stage `{stage}`: the portable graph is missing"));
                }
            }
        }
        if first.stages.contains_key(&Stage::TextEncoder) && self.tokenizer.is_none() {
            return Err("tokenizer: expected one, because there is a text encoder; found null".to_owned());
        }
        if let Some(tokenizer) = &self.tokenizer {
            if tokenizer.prompt_template.matches("{}").count() != 1 {
                return Err(format!("prompt_template {:?}: expected {{}} exactly once", tokenizer.prompt_template));
            }
            // The text encoder reads its result at the greatest id.
            let vocabulary = architecture.text_encoder.vocabulary;
            if (tokenizer.end_id as usize).checked_add(1) != Some(vocabulary) {
                let end = tokenizer.end_id;
                return Err(format!(
                    "end_id: expected {}, the last id of the text encoder's vocabulary, found {end}: the tokenizer belongs to another model; convert again with the model's own",
                    vocabulary.saturating_sub(1)
                ));
            }
        }
        Ok(())
    }
}

/// The text between a JSON object without its last brace and the hash.
const SEAL: &str = ",\n  \"sha256\": \"";
/// The text after the hash.
const SEAL_END: &str = "\"\n}\n";

/// The text of a JSON object with one more field, `sha256`: the hash of the text without it.
#[doc(hidden)]
#[must_use]
pub fn sealed(object: &str) -> String {
    // Any other text is not a manifest either way, and reading it says so.
    let open = object.trim_end().strip_suffix('}').unwrap_or(object).trim_end();
    format!("{open}{SEAL}{}{SEAL_END}", hex(&Sha256::digest(format!("{open}\n}}\n"))))
}

/// Undoes [`sealed`]. The error is what was expected and what was found: the hash in the text, and that of the text.
fn unsealed(text: &[u8]) -> Result<String, (String, String)> {
    let whole = std::str::from_utf8(text).ok();
    let parts = whole.and_then(|text| text.strip_suffix(SEAL_END)?.rsplit_once(SEAL));
    let Some((open, expected)) = parts else {
        return Err(("a sha256 as the last field".to_owned(), "another ending".to_owned()));
    };
    let object = format!("{open}\n}}\n");
    let found = hex(&Sha256::digest(&object));
    if found == expected { Ok(object) } else { Err((format!("sha256 {expected}"), format!("sha256 {found}"))) }
}

/// SHA-256 of a file's bytes, in hexadecimal.
///
/// # Errors
///
/// The operating system's error if the file cannot be read.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    sha256_of(&File::open(path)?)
}

fn sha256_of(mut file: &File) -> io::Result<String> {
    let mut digest = Sha256::new();
    // On the stack: while ONNX Runtime makes its sessions, there may be no memory for an allocation, which would end the process.
    let mut buffer = [0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(&buffer[..n]);
    }
}

/// SHA-256 of a checkpoint's files, in hexadecimal. One file has its own hash. Several have that of a text with a line for each,
/// sorted by name: the file's hash, two spaces, its name without a folder. `sha256sum` prints the same text:
///
/// ```sh
/// LC_ALL=C; sha256sum model-*.safetensors model.safetensors.index.json | sha256sum
/// ```
///
/// # Errors
///
/// The operating system's error if a file cannot be read.
pub fn sha256_files(files: &[impl AsRef<Path>]) -> io::Result<String> {
    if let [file] = files {
        return sha256_file(file.as_ref());
    }
    let mut lines = files
        .iter()
        .map(|file| {
            let name = file.as_ref().file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, sha256_file(file.as_ref())?))
        })
        .collect::<io::Result<Vec<_>>>()?;
    lines.sort();
    let text: String = lines.into_iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect();
    Ok(hex(&Sha256::digest(text)))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
