//! One file of the folder: its name, and its bytes.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use sha2::{Digest as _, Sha256};

/// The first bytes of every file.
pub(crate) const MAGIC: [u8; 8] = *b"SGVSTORE";
const VERSION: u32 = 1;
/// The length of everything before the item.
const HEADER: usize = 88;
/// The last part of every file's name.
const EXTENSION: &str = ".segvol";
/// The length of a group in a file's name: half of it. Nobody can find two groups with the same half by accident, and the file
/// has all of it.
const NAME_BYTES: usize = 16;

/// What a value is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    group: [u8; 32],
    item: String,
}

impl Key {
    /// The key of one item of a group.
    ///
    /// | value   | what it is                                                                          |
    /// |---------|-------------------------------------------------------------------------------------|
    /// | `group` | a [`digest`] of everything that the values of the group have in common              |
    /// | `item`  | which of them: letters, digits, `-` and `_`, short enough for a file name; others are replaced by `_` |
    #[must_use]
    pub fn new(group: [u8; 32], item: &str) -> Self {
        let plain = |c: char| if is_plain(c) { c } else { '_' };
        Self { group, item: item.chars().map(plain).collect() }
    }

    /// The name of the file.
    pub(crate) fn file_name(&self) -> String {
        format!("{}{}{EXTENSION}", prefix(&self.group), self.item)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// The beginning of the names of a group's files.
fn prefix(group: &[u8; 32]) -> String {
    hex(&group[..NAME_BYTES]) + "."
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The item of a file of a group; `None` for a file of another name.
pub(crate) fn item_of<'a>(name: &'a str, group: &[u8; 32]) -> Option<&'a str> {
    is_own_name(name).then(|| name.strip_prefix(&prefix(group))?.strip_suffix(EXTENSION)).flatten()
}

/// Whether a file has a name that this crate gives.
pub(crate) fn is_own_name(name: &str) -> bool {
    let parts = name.strip_suffix(EXTENSION).and_then(|name| name.split_once('.'));
    parts.is_some_and(|(group, item)| {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        group.len() == 2 * NAME_BYTES && group.bytes().all(is_hex) && !item.is_empty() && item.chars().all(is_plain)
    })
}

/// SHA-256 of several parts, one after the other.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Why a file is not used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is none of this crate's, whatever its name.
    Foreign(String),
    /// It is this crate's, and damaged or of another version.
    Damaged(String),
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The length of a value's file.
pub(crate) fn length(key: &Key, value: &[u8]) -> u64 {
    (HEADER + key.item.len()) as u64 + value.len() as u64
}

/// Bytes 0 to 55, which do not depend on the value's contents.
fn beginning(key: &Key, value_bytes: u64) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(key.item.len() as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&value_bytes.to_le_bytes());
    bytes[24..].copy_from_slice(&key.group);
    bytes
}

/// Writes a value with its key and checksum.
pub(crate) fn write(mut file: &File, key: &Key, value: &[u8]) -> io::Result<()> {
    let beginning = beginning(key, value.len() as u64);
    let checksum = digest(&[&beginning[8..], key.item.as_bytes(), value]);
    file.write_all(&[&beginning[..], &checksum, key.item.as_bytes()].concat())?;
    file.write_all(value)
}

/// Whether the first bytes of a file are this crate's. A file that begins with zeros, or ends early, is what a crash of the machine
/// leaves of a new file.
pub(crate) fn is_own_beginning(first: &[u8]) -> bool {
    let first = &first[..first.len().min(MAGIC.len())];
    MAGIC.starts_with(first) || first.iter().all(|&byte| byte == 0)
}

/// Reads the value of a key of at most `max_bytes` from a file of `length` bytes.
pub(crate) fn read(file: &File, length: u64, key: &Key, max_bytes: usize) -> Result<Vec<u8>, Fault> {
    let damaged = |reason: String| Err(Fault::Damaged(reason));
    let mut found = Vec::new();
    let begin = HEADER + key.item.len();
    file.take(begin as u64).read_to_end(&mut found)?;
    if !is_own_beginning(&found) {
        let first = String::from_utf8_lossy(&found[..found.len().min(MAGIC.len())]).into_owned();
        return Err(Fault::Foreign(format!(
            "expected a file of embeddings, which begins with SGVSTORE, found {first:?}"
        )));
    }
    if found.len() < begin || !found.starts_with(&MAGIC) {
        return damaged(format!("expected at least {begin} bytes that begin with SGVSTORE, found {length} bytes"));
    }
    let version = u32::from_le_bytes(found[8..12].try_into().expect("4 bytes"));
    if version != VERSION {
        return damaged(format!("expected version {VERSION} of the format, found {version}"));
    }
    let value_bytes = u64::from_le_bytes(found[16..24].try_into().expect("8 bytes"));
    let whole = value_bytes.saturating_add(begin as u64);
    if whole != length || value_bytes > max_bytes as u64 {
        return damaged(format!(
            "expected {whole} bytes, of which at most {max_bytes} are the value, found {length} bytes"
        ));
    }
    if found[..56] != beginning(key, value_bytes) || found[HEADER..] != *key.item.as_bytes() {
        return damaged("expected the key that belongs to the name, found another one".to_owned());
    }
    let mut value = Vec::new();
    // The file has as many bytes, and the caller takes as many.
    value.try_reserve_exact(value_bytes as usize).map_err(|error| Fault::Io(io::Error::other(error)))?;
    file.take(value_bytes).read_to_end(&mut value)?;
    let (expected, checksum) = (&found[56..HEADER], digest(&[&found[8..56], key.item.as_bytes(), &value]));
    if expected != checksum {
        return damaged(format!("expected SHA-256 {}, found {}", hex(expected), hex(&checksum)));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_only_those_that_keys_give() {
        let group = digest(&[b"a scan", b"a bundle"]);
        let key = Key::new(group, "in_-4_0_12/../x.y");
        let name = key.file_name();
        assert!(name.starts_with(&hex(&group)[..32]) && name.ends_with(".in_-4_0_12____x_y.segvol"), "{name}");
        assert_eq!(item_of(&name, &group), Some("in_-4_0_12____x_y"));
        assert_eq!(item_of(&name, &[0; 32]), None, "another group");
        assert!(is_own_name(&name));
        let dot = name.find('.').expect("a dot");
        for other in [
            "ct.nii.gz".to_owned(),
            name.to_uppercase(),
            name[1..].to_owned(),
            name.replace(".segvol", ""),
            name.replace(".segvol", ".segvol.part"),
            format!("{}.segvol", &name[..dot]),
            format!("{}..segvol", &name[..dot]),
            format!("{}.a.b.segvol", &name[..dot]),
            format!("g{}", &name[1..]),
        ] {
            assert!(!is_own_name(&other), "{other}");
        }
    }
}
