//! Tar archives: their entries, and the checkpoints that PyTorch before 0.1.10 wrote as one.
//!
//! | entry      | contents                                                                                          |
//! |------------|---------------------------------------------------------------------------------------------------|
//! | `sys_info` | a pickle of the writer's byte order                                                                |
//! | `storages` | a count; for each a pickle `(key, location, class)`, the number of elements, the elements; at last a list of views `(key, root, offset, elements)` |
//! | `tensors`  | a count; for each a pickle `(key, storage, class)`, the rank in four bytes, four more, sizes, strides, the offset |
//! | `pickle`   | the saved object, whose persistent ids are keys of tensors                                          |
//!
//! Counts are pickles; other numbers have eight bytes, the least significant first.
//!
//! # Source
//!
//! PyTorch 2.9, `torch/serialization.py`, `legacy_load`; POSIX.1-1988 for the archive.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dtype::Dtype;
use super::rebuild::Container;
use segvol_archive::pickle::{self, MAX_RANK, Objects, Value};
use segvol_archive::region::{Region, Storage, View};

const BLOCK: u64 = 512;

/// Most entries that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Whether a file that begins with `head` is a tar archive.
pub(super) fn begins(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// The names and contents of an archive's entries, up to the first that is cut off.
pub(super) fn entries(region: &Region) -> Result<Vec<(String, Region)>, String> {
    let mut entries = Vec::new();
    let mut at = 0;
    while entries.len() < MAX_ENTRIES && at + BLOCK <= region.length() {
        let header = region.read(at, BLOCK as usize).map_err(|error| error.to_string())?;
        if header[0] == 0 {
            break;
        }
        let name = header[..100].split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).trim_start_matches("./").to_owned();
        let Some(length) = length(&header[124..136]) else { break };
        let Some(contents) = region.part(at + BLOCK, length) else { break };
        entries.push((name, contents));
        at += BLOCK + length.next_multiple_of(BLOCK);
    }
    Ok(entries)
}

/// A size in octal digits, or in binary if the first bit is set.
fn length(field: &[u8]) -> Option<u64> {
    let length = match field.split_first()? {
        (first, rest) if first & 0x80 != 0 => {
            rest.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256).map(|sum| sum + u64::from(*byte)))
        }
        _ => u64::from_str_radix(str::from_utf8(field).ok()?.trim_matches(['\0', ' ']), 8).ok(),
    };
    length.filter(|length| *length < 1 << 62)
}

/// The pickle and the tensors of a checkpoint.
///
/// # Errors
///
/// A sentence if the archive is none, or is damaged.
pub(super) fn checkpoint(region: &Region) -> Result<(Objects, Container), String> {
    let entries: BTreeMap<String, Region> = entries(region)?.into_iter().collect();
    let entry = |name: &str| entries.get(name).ok_or_else(|| format!("the tar archive has no entry `{name}`"));
    if let Some(info) = entries.get("sys_info") {
        check_byte_order(&pickle::read(info)?)?;
    }
    let storages = storages(entry("storages")?)?;
    let tensors = tensors(entry("tensors")?, &storages)?;
    let objects = pickle::read(entry("pickle")?)?;
    Ok((objects, Container { tensors, ..Container::default() }))
}

/// Refuses what was written with the most significant byte first, or does not say.
pub(super) fn check_byte_order(info: &Objects) -> Result<(), String> {
    let pairs = info.dict(info.root).unwrap_or_default();
    let order = pairs.iter().find(|(key, _)| info.text(*key) == Some("little_endian"));
    match order {
        Some((_, Value::Bool(true))) => Ok(()),
        Some((_, Value::Bool(false))) => {
            Err("it was written on a big-endian machine; save it anew with torch.save".to_owned())
        }
        Some(_) | None => Err("its header does not say in which byte order it was written".to_owned()),
    }
}

/// A table that is read from front to back.
struct Table {
    region: Region,
    at: u64,
}

impl Table {
    fn pickle(&mut self) -> Result<Objects, String> {
        let rest = self.region.part(self.at, self.region.length() - self.at).ok_or_else(damaged)?;
        let objects = pickle::read(&rest)?;
        self.at += objects.length;
        Ok(objects)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.region.read(self.at, N).map_err(|_| damaged())?;
        self.at += N as u64;
        bytes.try_into().map_err(|_| damaged())
    }

    fn size(&mut self) -> Result<usize, String> {
        Value::Int(i64::from_le_bytes(self.number()?)).size().ok_or_else(damaged)
    }

    fn count(&mut self) -> Result<usize, String> {
        let count = self.pickle()?;
        count.root.size().ok_or_else(damaged)
    }
}

fn damaged() -> String {
    "the tar archive's tables are damaged; the file may be truncated".to_owned()
}

type Storages = BTreeMap<String, (Dtype, Region)>;

fn storages(region: &Region) -> Result<Storages, String> {
    let mut table = Table { region: region.clone(), at: 0 };
    let mut storages = Storages::new();
    for _ in 0..table.count()? {
        let meta = table.pickle()?;
        let Some([name, _, class]) = meta.list(meta.root) else { return Err(damaged()) };
        let name = meta.key(*name).ok_or_else(damaged)?;
        let class = meta.global(*class).ok_or_else(damaged)?;
        let dtype = Dtype::of_storage(&class.name).ok_or_else(damaged)?;
        let bytes = table.size()?.checked_mul(dtype.size()).ok_or_else(damaged)? as u64;
        let numbers = region.part(table.at, bytes).ok_or_else(damaged)?;
        table.at += bytes;
        storages.insert(name, (dtype, numbers));
    }
    let views = table.pickle()?;
    for view in views.list(views.root).ok_or_else(damaged)? {
        let Some([name, root, offset, elements]) = views.list(*view) else { return Err(damaged()) };
        let (name, root) = (views.key(*name), views.key(*root));
        let (dtype, numbers) = root.and_then(|root| storages.get(&root)).cloned().ok_or_else(damaged)?;
        let bytes = |value: Value| value.size().and_then(|n| n.checked_mul(dtype.size())).map(|n| n as u64);
        let (offset, length) = bytes(*offset).zip(bytes(*elements)).ok_or_else(damaged)?;
        let part = numbers.part(offset, length).ok_or_else(damaged)?;
        storages.insert(name.ok_or_else(damaged)?, (dtype, part));
    }
    Ok(storages)
}

fn tensors(region: &Region, storages: &Storages) -> Result<BTreeMap<String, (Dtype, View)>, String> {
    let mut table = Table { region: region.clone(), at: 0 };
    let mut tensors = BTreeMap::new();
    for _ in 0..table.count()? {
        let meta = table.pickle()?;
        let Some([name, storage, _]) = meta.list(meta.root) else { return Err(damaged()) };
        let (name, storage) = (meta.key(*name).ok_or_else(damaged)?, meta.key(*storage).ok_or_else(damaged)?);
        let rank = u32::from_le_bytes(table.number()?);
        table.number::<4>()?;
        if rank as usize > MAX_RANK {
            return Err(damaged());
        }
        let mut sizes = || (0..rank).map(|_| table.size()).collect::<Result<Vec<_>, _>>();
        let (shape, strides) = (sizes()?, sizes()?);
        let offset = table.size()?;
        let (dtype, numbers) = storages.get(&storage).cloned().ok_or_else(damaged)?;
        let reachable = numbers.length();
        let storage = Arc::new(Storage::Raw { region: numbers, crc32: None });
        let view = View::new(storage, reachable, dtype.size(), offset, &shape, &strides)?;
        tensors.insert(name, (dtype, view));
    }
    Ok(tensors)
}
