//! Checkpoints of several files: an index, `NAME.index.json`, says which file (shard) has which tensor.
//!
//! | index                              | shards                                                        |
//! |------------------------------------|---------------------------------------------------------------|
//! | `model.safetensors.index.json`     | `model-00001-of-00002.safetensors`, ..                        |
//! | `pytorch_model.bin.index.json`     | `pytorch_model-00001-of-00002.bin`, ..                        |
//!
//! Index and shards must agree on every tensor. Shards are beside the index: an index that names a file elsewhere is refused.
//! A link is followed wherever it leads, since the user's own disk has it: a Hugging Face cache consists of links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use segvol_base::json::{Document, JsonError};

use super::dtype::Dtype;
use super::stored::{self, Stored};
use super::tensor::{Reopen, Source, Tensor};
use crate::error::CheckpointError;

/// Longest index accepted; that of a model with 1,000 tensors has 100 kB.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// The most shards that are accepted.
const MAX_SHARDS: usize = 10_000;

/// The most shards that are open at the same time. A process may have as few as 256 open files.
const MAX_OPEN: usize = 16;

/// The most names that an error lists.
const MAX_LISTED: usize = 8;

/// The index of a checkpoint of several files.
#[derive(Debug)]
pub(super) struct Index {
    /// The file of each tensor.
    files: BTreeMap<String, String>,
    /// The index file's size.
    bytes: u64,
}

impl Index {
    /// The index at `path`; `None` if the file is no index.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.to_owned(), source };
        let malformed = |reason| CheckpointError::Malformed { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        if bytes > MAX_INDEX_BYTES {
            return Ok(None);
        }
        let mut head = Vec::new();
        file.by_ref().take(64).read_to_end(&mut head).map_err(io)?;
        let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
        if !start.starts_with(b"{") {
            return Ok(None);
        }
        file.take(MAX_INDEX_BYTES).read_to_end(&mut head).map_err(io)?;
        let Ok(text) = std::str::from_utf8(&head) else { return Ok(None) };
        if !text.contains("\"weight_map\"") {
            return Ok(None);
        }
        let files = parse(text).map_err(|error| malformed(error.to_string()))?;
        if let Some(name) = files.values().find(|name| !is_plain(name)) {
            let reason =
                format!("expected names of files in the index's own folder, found {name:?}, which may lead elsewhere");
            return Err(malformed(reason));
        }
        let index = Self { files, bytes };
        match index.shards().len() {
            0 => Err(malformed("expected an index of tensors, found no tensor in it".to_owned())),
            count if count > MAX_SHARDS => {
                Err(malformed(format!("expected at most {MAX_SHARDS} files, found {count}")))
            }
            _ => Ok(Some(index)),
        }
    }

    /// The names of the shards, sorted.
    pub(super) fn shards(&self) -> BTreeSet<&str> {
        self.files.values().map(String::as_str).collect()
    }

    /// The paths of the shards of the index at `path`, sorted by name.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`] if some are missing.
    pub(super) fn paths(&self, path: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
        let shards = self.shards();
        let missing: Vec<&str> = shards.iter().copied().filter(|name| !path.with_file_name(name).is_file()).collect();
        if missing.is_empty() {
            return Ok(shards.iter().map(|name| path.with_file_name(name)).collect());
        }
        let reason = format!(
            "expected the {} files that it names beside it, found {} of them missing: {}; download them too",
            shards.len(),
            missing.len(),
            listed(missing.iter().map(|name| format!("`{name}`")).collect())
        );
        Err(CheckpointError::Malformed { path: path.to_owned(), reason })
    }

    /// The tensors of all shards of the index at `path`.
    pub(super) fn load(&self, path: &Path) -> Result<Stored, CheckpointError> {
        let paths = self.paths(path)?;
        let pool = (paths.len() > MAX_OPEN).then(|| Arc::new(Pool::default()));
        let mut all = Stored { bytes: self.bytes, container: String::new(), tensors: BTreeMap::new() };
        let (mut containers, mut faults) = (BTreeSet::new(), Vec::new());
        // Tensors in another file than the index says.
        let mut elsewhere = BTreeMap::new();
        for (name, shard) in self.shards().into_iter().zip(&paths) {
            let Stored { bytes, container, tensors } = stored::read(shard)?;
            all.bytes += bytes;
            containers.insert(container);
            for (key, tensor) in tensors {
                match self.files.get(&key) {
                    Some(file) if file == name => {
                        let tensor = match &pool {
                            Some(pool) => Pool::reopened(pool, shard, &key, &tensor),
                            None => tensor,
                        };
                        all.tensors.insert(key, tensor);
                    }
                    Some(_) => _ = elsewhere.insert(key, name),
                    None => faults.push(format!("tensor `{key}` of `{name}`: expected in the index, found no entry")),
                }
            }
        }
        for (key, file) in &self.files {
            match (all.tensors.contains_key(key), elsewhere.get(key)) {
                (true, None) => {}
                (true, Some(other)) => {
                    faults.push(format!("tensor `{key}`: expected only in `{file}`, found in `{other}` too"));
                }
                (false, Some(other)) => {
                    faults.push(format!("tensor `{key}`: expected in `{file}`, found in `{other}`"));
                }
                (false, None) => faults.push(format!("tensor `{key}`: expected in `{file}`, found no such tensor")),
            }
        }
        if !faults.is_empty() {
            let reason = format!("index and files contradict each other: {}", listed(faults));
            return Err(CheckpointError::Malformed { path: path.to_owned(), reason });
        }
        let containers: Vec<String> = containers.into_iter().collect();
        let count = match paths.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        all.container = format!("{} in {count}", containers.join(" and "));
        Ok(all)
    }
}

/// The first of a list, and how many more there are.
pub(super) fn listed(mut list: Vec<String>) -> String {
    let more = list.len().saturating_sub(MAX_LISTED);
    list.truncate(MAX_LISTED);
    let list = list.join(", ");
    if more == 0 { list } else { format!("{list}, and {more} more") }
}

/// `weight_map`: the file of each tensor. The other fields are about sizes.
fn parse(text: &str) -> Result<BTreeMap<String, String>, JsonError> {
    let document = Document::parse(text)?;
    let root = document.root();
    let fields = root.fields("an object with `weight_map`", &["weight_map"], |_| true)?;
    let map = fields.require("weight_map", "{\"weight_map\": {\"a.weight\": \"model-00001-of-00002.safetensors\"}}")?;
    let entries = map.entries("the file of every tensor")?;
    entries.map(|(key, at)| Ok((key.to_owned(), at.text("the name of a file")?.to_owned()))).collect()
}

/// Whether a name can only mean a file in its folder.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    one && !name.contains(['/', '\\', ':', '\0'])
}

/// Which part of how many a file's name says it is, as `save_pretrained` writes it: `NAME-00001-of-00002.safetensors` or
/// `.bin`. `None` for other names, and for the only part.
pub(super) fn part_of(name: &str) -> Option<(u32, u32)> {
    let stem = name.strip_suffix(".safetensors").or_else(|| name.strip_suffix(".bin"))?;
    let (rest, parts) = stem.rsplit_once("-of-")?;
    let (_, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| {
        let is_number = digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let (part, parts) = (number(part)?, number(parts)?);
    (parts > 1).then_some((part, parts))
}

/// Shards that were opened last. The others are opened again when a tensor of them is read.
#[derive(Debug, Default)]
struct Pool(Mutex<VecDeque<(PathBuf, Arc<Stored>)>>);

impl Pool {
    fn reopened(pool: &Arc<Self>, shard: &Path, key: &str, tensor: &Tensor) -> Tensor {
        let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
        let (pool, shard, key) = (Arc::clone(pool), shard.to_owned(), key.to_owned());
        let place = Pooled { pool, shard, key, dtype, shape: shape.clone() };
        Tensor { dtype, shape, source: Source::Reopen(Box::new(place)) }
    }

    fn get(&self, shard: &Path) -> io::Result<Arc<Stored>> {
        let mut open = self.0.lock().map_err(|_| io::Error::other("another read of the files panicked"))?;
        if let Some((_, stored)) = open.iter().find(|(path, _)| path == shard) {
            return Ok(Arc::clone(stored));
        }
        let stored = Arc::new(stored::read(shard).map_err(|error| match error {
            CheckpointError::Io { source, .. } => source,
            error => io::Error::other(error.to_string()),
        })?);
        if open.len() == MAX_OPEN {
            open.pop_front();
        }
        open.push_back((shard.to_owned(), Arc::clone(&stored)));
        Ok(stored)
    }
}

/// A tensor of a shard that may be closed.
#[derive(Debug)]
struct Pooled {
    pool: Arc<Pool>,
    shard: PathBuf,
    key: String,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl Reopen for Pooled {
    fn read(&self) -> io::Result<Vec<u8>> {
        let stored = self.pool.get(&self.shard)?;
        match stored.tensors.get(&self.key) {
            Some(tensor) if (tensor.dtype, &tensor.shape) == (self.dtype, &self.shape) => tensor.read(),
            _ => Err(io::Error::other(format!("`{}` was changed while it was read", self.shard.display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_no_plain_names() {
        for name in ["model-00001-of-00002.safetensors", "a b.bin", "..a", "a..b"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a/..", "a\\b", "C:x", "a/", "a\0b", "./x"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }

    #[test]
    fn parts_are_known_by_their_names() {
        assert_eq!(part_of("model-00001-of-00002.safetensors"), Some((1, 2)));
        assert_eq!(part_of("pytorch_model.fp16-00012-of-00100.bin"), Some((12, 100)));
        for whole in
            ["model.safetensors", "model-00001-of-00001.safetensors", "epoch-00001-of-00100.pth", "a-1-of-2.bin"]
        {
            assert_eq!(part_of(whole), None, "{whole}");
        }
    }

    fn index(text: &str) -> Result<Option<Index>, CheckpointError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("model.safetensors.index.json");
        std::fs::write(&path, text).expect("written");
        Index::read(&path)
    }

    #[test]
    fn an_index_is_known_by_its_content_and_mistakes_are_named() {
        let found =
            index("\u{feff} {\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"a\": \"x.bin\", \"b\": \"x.bin\"}}");
        let found = found.expect("an index").expect("an index");
        assert_eq!(found.shards(), BTreeSet::from(["x.bin"]));
        for other in ["{\"error\": \"Repository not found\"}", "weight_map", "", "\u{0}\u{0}{\"weight_map\""] {
            assert!(index(other).expect("no error").is_none(), "{other}");
        }
        for (text, part) in [
            ("{\"weight_map\": {\"a\": \"../x.bin\"}}", "\"../x.bin\""),
            ("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "/etc/passwd"),
            ("{\"weight_map\": {}}", "no tensor"),
            ("{\"weight_map\": [\"a\"]}", "weight_map"),
            ("{\"weight_map\": {\"a\": 1}}", "the name of a file"),
            ("{\"weight_map\": {\"a\": \"x\", \"a\": \"y\"}}", "a"),
            ("{\"weight_map\": {\"a\": \"x\"}", "line 1"),
        ] {
            let error = index(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
