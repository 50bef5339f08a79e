//! Files of `torch.save`: zip archives, the stream of pickles of PyTorch before 1.6, tar archives; and plain pickles.
//!
//! | container    | the pickle                   | the numbers                                                     |
//! |--------------|------------------------------|-----------------------------------------------------------------|
//! | zip          | `NAME/data.pkl`              | `NAME/data/KEY`                                                 |
//! | torch legacy | the fourth of five pickles   | after the fifth, which lists their keys: for each the number of elements, then the elements |
//! | torch tar    | `pickle`                     | `storages` (`super::tar`)                                       |
//! | pickle       | the file                     | NumPy arrays have theirs in the pickle                          |
//!
//! # Source
//!
//! PyTorch 2.9, `torch/serialization.py` (`_save`, `_load`, `_legacy_save`, `_legacy_load`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::Crc;

use super::rebuild::{Container, Reference};
use super::tensor::Tensor;
use super::{foreign, state, tar};
use segvol_archive::pickle::{self, Node, Objects, Value};
use segvol_archive::region::{Region, Storage};
use segvol_archive::zip::Archive;

/// Longest compressed pickle that is read: uncompressed ones are not kept in memory.
const MAX_PICKLE: u64 = 100 << 20;

/// What a legacy file begins with: this number, in binary or in decimal.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const MAGIC_TEXT: &[u8] = b"119547037146038801333356";

/// The number is this near to the start in every protocol.
const MAGIC_WITHIN: usize = 64;

/// Protocol of legacy files.
const LEGACY_PROTOCOL: i64 = 1001;

/// The name of the file format, and the file's tensors by the dotted path through its dictionaries.
pub(super) fn tensors(path: &Path) -> Result<(&'static str, BTreeMap<String, Tensor>), String> {
    let region = File::open(path).and_then(Region::of_file).map_err(sentence)?;
    let head = region.read(0, region.length().min(BLOCK) as usize).map_err(sentence)?;
    let start = &head[..head.len().min(MAGIC_WITHIN)];
    let has = |magic: &[u8]| start.windows(magic.len()).any(|window| window == magic);
    let (container, (objects, stored)) = if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        ("torch zip", zip(region)?)
    } else if tar::begins(&head) {
        ("torch tar", tar::checkpoint(&region)?)
    } else if has(&MAGIC) || has(MAGIC_TEXT) {
        ("torch legacy", legacy(&region)?)
    } else if matches!(head.first(), Some(0x80 | b'(' | b'}' | b']' | b'c')) {
        ("pickle", (pickle::read(&region)?, Container::default()))
    } else {
        let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let start = start.join(" ");
        return Err(format!("expected a file of PyTorch or safetensors, found one that begins with the bytes {start}"));
    };
    Ok((container, state::tensors(&objects, &stored)?))
}

/// The part of a file that its container is recognised by.
const BLOCK: u64 = 512;

fn sentence(error: io::Error) -> String {
    error.to_string()
}

fn zip(region: Region) -> Result<(Objects, Container), String> {
    let archive = Archive::read(region.clone()).map_err(|error| expected_bytes(&region).unwrap_or(error))?;
    if let Some(found) = foreign::archive(archive.names()) {
        return Err(format!("expected a checkpoint, found {found}"));
    }
    let roots = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
    let roots = roots.filter(|root| root.is_empty() || root.ends_with('/'));
    let root = roots.min_by_key(|root| root.len()).ok_or("the zip archive has no data.pkl")?.to_owned();
    let pickle = match archive.storage(&format!("{root}data.pkl"))? {
        Storage::Raw { region, crc32 } => {
            if crc32.is_some_and(|expected| crc(&region).ok() != Some(expected)) {
                return Err("the checksum of its data.pkl is wrong; the file is damaged".to_owned());
            }
            region
        }
        stored if stored.length() > MAX_PICKLE => {
            return Err(format!(
                "its data.pkl is compressed and has {} bytes; pack it without compression",
                stored.length()
            ));
        }
        stored => {
            let bytes = stored.read(0, stored.length() as usize).map_err(|error| format!("data.pkl: {error}"))?;
            Region::of_memory(bytes)
        }
    };
    let prefix = format!("{root}data/");
    let mut container = Container::default();
    for name in archive.names() {
        if let Some(key) = name.strip_prefix(&prefix) {
            container.storages.insert(key.to_owned(), Arc::new(archive.storage(name)?));
        }
    }
    let order = format!("{root}byteorder");
    if archive.names().any(|name| name == order) {
        let order = archive.storage(&order)?;
        let length = usize::try_from(order.length()).unwrap_or(usize::MAX).min(8);
        container.big_endian = order.read(0, length).map_err(sentence)?.starts_with(b"big");
    }
    Ok((pickle::read(&pickle)?, container))
}

fn crc(region: &Region) -> io::Result<u32> {
    let (mut reader, mut crc, mut buffer) = (region.reader(), Crc::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(crc.sum()),
            count => crc.update(&buffer[..count]),
        }
    }
}

/// For an archive that is cut off, how many bytes its pickle promises. PyTorch writes the pickle first.
fn expected_bytes(region: &Region) -> Option<String> {
    let header = region.read(0, 30).ok()?;
    let field = |at: usize| header.get(at..at + 2).map(|two| u64::from(u16::from_le_bytes([two[0], two[1]])));
    let (name, extra) = (field(26)?, field(28)?);
    let text = String::from_utf8(region.read(30, name as usize).ok()?).ok()?;
    let start = 30 + name + extra;
    let pickle = region.part(start, region.length().checked_sub(start)?)?;
    let objects = text.ends_with("data.pkl").then(|| pickle::read(&pickle).ok())??;
    let numbers: u64 = declared(&objects).ok()?.values().map(|(bytes, _)| *bytes).fold(0, u64::saturating_add);
    let (expected, found) = (numbers.saturating_add(start + objects.length), region.length());
    (expected > found).then(|| truncated(expected, found))
}

fn truncated(expected: u64, found: u64) -> String {
    format!("expected more than {expected} bytes, found {found}; the file is truncated, download it again")
}

/// The storages that a pickle refers to: bytes of each, and bytes of an element.
fn declared(objects: &Objects) -> Result<BTreeMap<String, (u64, u64)>, String> {
    let mut storages = BTreeMap::new();
    for node in objects.all() {
        let Node::Persistent(id) = node else { continue };
        let reference = Reference::read(objects, *id).map_err(|unread| unread.to_string())?;
        let bytes = reference.bytes().ok_or("its storages are too large")?;
        let size = (bytes, reference.size());
        if storages.insert(reference.key, size).is_some_and(|known| known != size) {
            return Err("it gives one storage two sizes; the file is damaged".to_owned());
        }
    }
    Ok(storages)
}

fn legacy(region: &Region) -> Result<(Objects, Container), String> {
    let mut at = 0;
    let mut next = || {
        let rest = region.part(at, region.length() - at).ok_or("its pickles end early; the file may be truncated")?;
        let objects = pickle::read(&rest)?;
        at += objects.length;
        Ok::<_, String>(objects)
    };
    let _magic = next()?;
    let protocol = next()?;
    if protocol.root != Value::Int(LEGACY_PROTOCOL) {
        return Err("it has another protocol than that of PyTorch before 1.6".to_owned());
    }
    tar::check_byte_order(&next()?)?;
    let objects = next()?;
    let keys = next()?;
    let declared = declared(&objects)?;
    let mut container = Container::default();
    let list = keys.list(keys.root).ok_or("it has no list of storages")?;
    let keys: Option<Vec<String>> = list.iter().map(|value| keys.key(*value)).collect();
    let all = declared.values().fold(at, |sum, (bytes, _)| sum.saturating_add(*bytes));
    for key in keys.ok_or("its list of storages is damaged")? {
        let (bytes, size) = *declared.get(&key).ok_or("its list of storages has one that nothing uses")?;
        let numbers = at.checked_add(8).and_then(|start| region.part(start, bytes));
        let Some(numbers) = numbers else {
            return Err(truncated(all, region.length()));
        };
        let count = region.read(at, 8).map_err(sentence)?;
        if count != (bytes / size).to_le_bytes() {
            return Err("a storage has another size than its pickle says; the file is damaged".to_owned());
        }
        at += 8 + bytes;
        container.storages.insert(key, Arc::new(Storage::Raw { region: numbers, crc32: None }));
    }
    Ok((objects, container))
}
