//! Which files are the checkpoint at a path: one file, an index with its shards, or what is in a folder.
//!
//! A folder is one that Hugging Face's `save_pretrained` or `snapshot_download` made, or any other with one checkpoint in it. A
//! cache's `models--ORG--NAME` has folders of its own: `refs/main` names the one below `snapshots/` that is in use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use segvol_base::{is_leftover, memory};

use super::foreign;
use super::layout::{self, Place};
use super::shards::{Index, part_of};
use super::stored::{self, Stored};
use super::tensor::Tensor;
use crate::error::CheckpointError;

/// Endings of names of checkpoints, in lower case.
const ENDINGS: [&str; 9] = [".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".th", ".pth.tar", ".pt.tar", ".ckpt.tar"];

/// What names of files begin with that programs save beside a model, and that end as a checkpoint does.
const NEIGHBOURS: [&str; 13] = [
    "args",
    "config",
    "history",
    "hparams",
    "log",
    "optimizer",
    "random_states",
    "rng_state",
    "scaler",
    "scheduler",
    "tokenizer",
    "trainer_state",
    "training_args",
];

/// The most files of a folder that are opened to find the one with the model.
const MAX_OPENED: usize = 16;

/// The most folders of a folder that are searched for a message.
const MAX_SEARCHED: usize = 64;

/// Longest name of a snapshot accepted; a commit has 40 characters.
const MAX_REF_BYTES: u64 = 256;

/// The files of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The checkpoint: a file, or the index of several. `config.json` and the tokenizer are beside it.
    pub path: PathBuf,
    /// Every file that has a part of it, sorted: the file itself, or the index and its shards.
    pub files: Vec<PathBuf>,
    /// Files of the same folder that have the same model in another format, and were not taken.
    pub passed_over: Vec<PathBuf>,
}

impl Location {
    /// Finds the checkpoint at `path`: a file, an index, or a folder with exactly one checkpoint. Where a folder has the same
    /// model as safetensors and in PyTorch's format, safetensors are taken.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if the path cannot be read, [`CheckpointError::NoCheckpoint`] or
    /// [`CheckpointError::SeveralFiles`] if a folder has none or several, [`CheckpointError::Part`] for a shard without its
    /// index, [`CheckpointError::Malformed`] for an index that cannot be used.
    pub fn of(path: &Path) -> Result<Self, CheckpointError> {
        let metadata = fs::metadata(path).map_err(io_error(path))?;
        if metadata.is_dir() {
            let folder = snapshot(path)?.unwrap_or_else(|| path.to_owned());
            return in_folder(&folder);
        }
        if metadata.is_file()
            && let Some(index) = Index::read(path)?
        {
            return Self::of_index(path, &index);
        }
        if let Some((part, parts)) = path.file_name().and_then(|name| part_of(&name.to_string_lossy())) {
            let index =
                index_of(path).map(|index| index.file_name().unwrap_or_default().to_string_lossy().into_owned());
            return Err(CheckpointError::Part { path: path.to_owned(), part, parts, index });
        }
        Ok(Self::of_file(path))
    }

    fn of_file(path: &Path) -> Self {
        Self { path: path.to_owned(), files: vec![path.to_owned()], passed_over: Vec::new() }
    }

    fn of_index(path: &Path, index: &Index) -> Result<Self, CheckpointError> {
        let mut files = index.paths(path)?;
        files.push(path.to_owned());
        files.sort();
        Ok(Self { path: path.to_owned(), files, passed_over: Vec::new() })
    }

    /// Whether the checkpoint has an index.
    #[must_use]
    pub fn is_sharded(&self) -> bool {
        self.files.len() > 1
    }

    /// Names, shapes and element types of all tensors.
    pub(super) fn load(&self) -> Result<Stored, CheckpointError> {
        if !self.is_sharded() {
            return stored::read(&self.path);
        }
        match Index::read(&self.path)? {
            Some(index) => index.load(&self.path),
            None => stored::read(&self.path),
        }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_owned();
    |source| CheckpointError::Io { path, source }
}

/// The entries of a folder, sorted by name, without what systems leave in it.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(io_error(folder))?;
    paths.retain(|path| !is_leftover(path));
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file's name is one of a checkpoint. A link that leads nowhere counts: the checkpoint is missing, not absent.
fn is_candidate(path: &Path) -> bool {
    let name = name_of(path).to_lowercase();
    let is_file = path.is_file() || (path.is_symlink() && !path.exists());
    let is_neighbour = NEIGHBOURS.iter().any(|start| name.starts_with(start));
    is_file && !is_neighbour && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The indexes among these files, with their paths. An index of files in other formats, such as Flax's, is not one.
fn indexes(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Index)>, CheckpointError> {
    let mut found = Vec::new();
    for path in paths {
        let name = name_of(path);
        if name.contains(".index.") && name.ends_with(".json") && path.is_file() {
            let of_ours = |index: &Index| {
                index.shards().iter().any(|shard| ENDINGS.iter().any(|ending| shard.to_lowercase().ends_with(ending)))
            };
            found.extend(Index::read(path)?.filter(of_ours).map(|index| (path.clone(), index)));
        }
    }
    Ok(found)
}

/// The index beside a shard that names it.
fn index_of(shard: &Path) -> Option<PathBuf> {
    let folder = shard.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = name_of(shard);
    let found = indexes(&entries(folder).ok()?).ok()?;
    found.into_iter().find(|(_, index)| index.shards().contains(name.as_str())).map(|(path, _)| path)
}

/// The snapshot in use of a cache's folder `models--ORG--NAME`; `None` for any other folder.
fn snapshot(cache: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    let snapshots = cache.join("snapshots");
    if !snapshots.is_dir() || !(cache.join("refs").is_dir() || cache.join("blobs").is_dir()) {
        return Ok(None);
    }
    let held: Vec<PathBuf> = entries(&snapshots)?.into_iter().filter(|path| path.is_dir()).collect();
    let names = |held: &[PathBuf]| held.iter().map(|path| name_of(path)).collect::<Vec<_>>();
    let none = |found: String| CheckpointError::NoCheckpoint { path: cache.to_owned(), found };
    let main = fs::File::open(cache.join("refs").join("main")).and_then(|file| {
        let mut text = String::new();
        file.take(MAX_REF_BYTES).read_to_string(&mut text).map(|_| text.trim().to_owned())
    });
    match main {
        Ok(main) => {
            let plain = matches!(Path::new(&main).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
            match held.iter().find(|path| plain && name_of(path) == main) {
                Some(path) => Ok(Some(path.clone())),
                None => {
                    let held = names(&held).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                    let held = if held.is_empty() { "no snapshot".to_owned() } else { format!("only {held}") };
                    let next = "download the model again, or give the folder of a snapshot";
                    Err(none(format!(
                        "a cache whose refs/main names the snapshot {main:?}, and {held} in snapshots/; {next}"
                    )))
                }
            }
        }
        Err(_) => match &held[..] {
            [] => Err(none("a cache without a snapshot; download the model again".to_owned())),
            [one] => Ok(Some(one.clone())),
            _ => Err(CheckpointError::SeveralFiles { path: snapshots, found: names(&held) }),
        },
    }
}

/// The one checkpoint in a folder.
fn in_folder(folder: &Path) -> Result<Location, CheckpointError> {
    let paths = entries(folder)?;
    let indexes = indexes(&paths)?;
    let shards: BTreeSet<&str> = indexes.iter().flat_map(|(_, index)| index.shards()).collect();
    let files = paths.iter().filter(|path| is_candidate(path) && !shards.contains(name_of(path).as_str()));
    let (parts, files): (Vec<&PathBuf>, Vec<&PathBuf>) = files.partition(|path| part_of(&name_of(path)).is_some());
    if let Some(part) = parts.first() {
        // Without its index, nothing shows that the parts are whole and belong together.
        return Location::of(part);
    }
    let names = || indexes.iter().map(|(path, _)| path).chain(files.iter().copied()).map(|path| name_of(path));
    match (&indexes[..], &files[..]) {
        ([], []) => Err(CheckpointError::NoCheckpoint { path: folder.to_owned(), found: instead(folder, &paths) }),
        ([(path, index)], []) => Location::of_index(path, index),
        ([], [file]) => Ok(Location::of_file(file)),
        (indexes, files) if indexes.len() + files.len() > MAX_OPENED => {
            Err(CheckpointError::SeveralFiles { path: folder.to_owned(), found: names().collect() })
        }
        (indexes, files) => {
            let sharded = indexes.iter().map(|(path, index)| Location::of_index(path, index));
            let locations = sharded.chain(files.iter().map(|path| Ok(Location::of_file(path))));
            one_with_the_model(folder, locations.collect::<Result<Vec<_>, _>>()?)
        }
    }
}

/// Of several checkpoints in a folder, the one that has the model.
fn one_with_the_model(folder: &Path, locations: Vec<Location>) -> Result<Location, CheckpointError> {
    let several = |held: &[(Location, Stored)]| CheckpointError::SeveralFiles {
        path: folder.to_owned(),
        found: held.iter().map(|(location, _)| name_of(&location.path)).collect(),
    };
    let mut held = Vec::new();
    let mut last = None;
    for location in locations {
        let stored = location.load()?;
        match layout::detect(&location.path, stored.tensors.keys().map(String::as_str), None) {
            Err(error @ CheckpointError::NotSegVol { .. }) => last = Some((location, error)),
            _ => held.push((location, stored)),
        }
    }
    if held.is_empty() {
        // Adapters without their model have an error of their own.
        return last.map_or_else(
            || Err(CheckpointError::NoCheckpoint { path: folder.to_owned(), found: "no file".to_owned() }),
            |(location, _)| Ok(location),
        );
    }
    let is_safe = |stored: &Stored| stored.container.starts_with("safetensors");
    let mut safe = held.iter().filter(|(_, stored)| is_safe(stored));
    let taken = match (&held[..], safe.next(), safe.next()) {
        ([one], _, _) => one,
        (_, Some(one), None) => one,
        _ => return Err(several(&held)),
    };
    for other in held.iter().filter(|other| other.0 != taken.0) {
        if !same_model(taken, other)? {
            return Err(several(&held));
        }
    }
    let passed_over = held.iter().filter(|other| other.0 != taken.0).map(|other| other.0.path.clone()).collect();
    Ok(Location { passed_over, ..taken.0.clone() })
}

/// Whether two checkpoints have the same model: names, shapes, element types and all bytes.
fn same_model(a: &(Location, Stored), b: &(Location, Stored)) -> Result<bool, CheckpointError> {
    let (Ok(weights_a), Ok(weights_b)) = (weights(a), weights(b)) else { return Ok(false) };
    let alike = |a: &Tensor, b: &Tensor| (a.dtype, &a.shape) == (b.dtype, &b.shape);
    let same_names = weights_a.keys().eq(weights_b.keys());
    if !same_names || !weights_a.iter().zip(&weights_b).all(|((_, a), (_, b))| alike(a, b)) {
        return Ok(false);
    }
    for (name, tensor) in &weights_a {
        memory::check_available_if_large::<[f64; 2]>(format!("tensor `{name}`"), tensor.elements())
            .map_err(CheckpointError::Memory)?;
        let bytes = |tensor: &Tensor, location: &Location| tensor.read().map_err(io_error(&location.path));
        if bytes(tensor, &a.0)? != bytes(weights_b[name], &b.0)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The model's weights by SegVol's names. Numbers of positions are no weights: not every format keeps them.
fn weights((location, stored): &(Location, Stored)) -> Result<BTreeMap<String, &Tensor>, CheckpointError> {
    let layout = layout::detect(&location.path, stored.tensors.keys().map(String::as_str), None)?;
    let placed = stored.tensors.iter().filter(|(_, tensor)| tensor.dtype.is_float()).filter_map(|(key, tensor)| {
        match layout.place(key) {
            Place::Model(name) => Some((name, tensor)),
            Place::Copy | Place::Beside | Place::Stray => None,
        }
    });
    Ok(placed.collect())
}

/// What a folder without a checkpoint has instead, as the end of a sentence, with the next step.
fn instead(folder: &Path, paths: &[PathBuf]) -> String {
    let has = |name: &str| folder.join(name).exists();
    let names: Vec<String> = paths.iter().map(|path| name_of(path)).collect();
    if has("manifest.json") && names.iter().any(|name| name.ends_with(".onnx")) {
        return "a bundle, which is converted already".to_owned();
    }
    if let Some(found) = foreign::folder(&names) {
        return found;
    }
    let folders = paths.iter().filter(|path| path.is_dir()).take(MAX_SEARCHED);
    let with_one = folders.filter(|path| {
        let inside = entries(path).unwrap_or_default();
        path.join("snapshots").is_dir() || inside.iter().any(|path| is_candidate(path))
    });
    let with_one: Vec<String> = with_one.map(|path| format!("`{}`", name_of(path))).collect();
    if !with_one.is_empty() {
        return format!(
            "none, but there are files of that kind in its folders {}; give one of these",
            with_one.join(", ")
        );
    }
    match names.len() {
        0 => "an empty folder".to_owned(),
        1 => format!("only `{}`", names[0]),
        count => format!("{count} other files, such as `{}`", names[0]),
    }
}
