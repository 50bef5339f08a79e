//! Recognises what is at a path: a file by its contents, a folder by its files.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::content::{CONVERT_DICOM, Kind, RECOGNISED_BYTES, Recognised, recognise};

/// The first two bytes of a gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The most files of a folder that are looked into, and the most levels of folders in it.
const MAX_FILES: usize = 64;
const MAX_DEPTH: usize = 3;

/// What the file or folder at `path` is, from its contents. `None` if that cannot be told.
///
/// At most a few hundred bytes of a file are read, and unpacked if they are compressed. Of a folder, at most 64 files are
/// looked into.
///
/// # Errors
/// The error of the operating system if `path` cannot be read.
pub fn recognise_path(path: &Path) -> io::Result<Option<Recognised>> {
    if fs::metadata(path)?.is_dir() {
        return Ok(Some(recognise_folder(path)));
    }
    let mut bytes = [0; RECOGNISED_BYTES];
    let mut reader = BufReader::with_capacity(1 << 14, File::open(path)?);
    let head = io::BufRead::fill_buf(&mut reader)?;
    if head.starts_with(&GZIP) {
        let found = fill(GzDecoder::new(reader), &mut bytes).unwrap_or(0);
        return Ok(recognise_unpacked(&bytes[..found]));
    }
    let found = fill(reader, &mut bytes)?;
    Ok(recognise(&bytes[..found]))
}

/// What a gzip file is whose unpacked contents begin with `bytes`.
#[must_use]
pub fn recognise_unpacked(bytes: &[u8]) -> Option<Recognised> {
    if bytes.is_empty() {
        return None; // The stream may be damaged.
    }
    if bytes.starts_with(&GZIP) {
        return Some(Recognised::new("a gzip file inside a gzip file", "unpack it once, with gunzip"));
    }
    let inside = recognise(bytes)?;
    if inside.kind == Kind::Nifti {
        return Some(inside);
    }
    let what = Cow::Owned(format!("a gzip file that holds {}", inside.what));
    // These formats compress only their voxels.
    let is_raster = matches!(inside.kind, Kind::Nrrd | Kind::MetaImage);
    let next = if is_raster { Cow::Borrowed("unpack it, with gunzip") } else { inside.next };
    Some(Recognised { kind: inside.kind, what, next })
}

/// The pointer file or link that stands where data should be; `None` if it is no such link.
///
/// git-annex and DataLad leave links to files that have not been downloaded.
#[must_use]
pub fn recognise_missing(path: &Path) -> Option<Recognised> {
    let target = fs::read_link(path).ok()?;
    if target.to_string_lossy().replace('\\', "/").contains(".git/annex/objects/") {
        return Some(Recognised::new(
            "a git-annex link, whose contents have not been downloaded",
            "run `git annex get` (or `datalad get`) on it",
        ));
    }
    let what = format!("a link to `{}`, which does not exist", segvol_base::printable(&target.to_string_lossy()));
    Some(Recognised { kind: Kind::Other, what: Cow::Owned(what), next: Cow::Borrowed("check the path") })
}

/// What the files of a folder are.
#[derive(Default)]
struct Contents {
    looked_at: usize,
    /// Everything but folders.
    all: usize,
    /// The names of NIfTI files, only those in the folder itself.
    nifti: Vec<String>,
    dicom: usize,
}

fn recognise_folder(path: &Path) -> Recognised {
    if path.join("manifest.json").is_file() {
        return Recognised::of(Kind::Bundle, "a folder with a manifest.json, as a bundle has", "give a scan here");
    }
    let mut contents = Contents::default();
    look_into(path, 0, &mut contents);
    if contents.dicom > 0 {
        return Recognised::of(Kind::Dicom, "a folder of DICOM files", CONVERT_DICOM);
    }
    let Some(example) = contents.nifti.first() else {
        let what = if contents.all == 0 { "an empty folder" } else { "a folder" };
        return Recognised::new(what, "give a file");
    };
    let what = match contents.nifti.len() {
        1 => "a folder with one NIfTI file".to_owned(),
        count => format!("a folder with {count} NIfTI files"),
    };
    let next = format!("give a file, for example `{}` in it", segvol_base::printable(example));
    Recognised { kind: Kind::Other, what: Cow::Owned(what), next: Cow::Owned(next) }
}

fn look_into(folder: &Path, depth: usize, contents: &mut Contents) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    // In the order of their names, so that the same folder is always described in the same way.
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if contents.looked_at >= MAX_FILES {
            return;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                look_into(&path, depth + 1, contents);
            }
            continue;
        }
        contents.all += 1;
        if !path.is_file() {
            continue;
        }
        contents.looked_at += 1;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match recognise_path(&path) {
            Ok(Some(Recognised { kind: Kind::Dicom, .. })) => contents.dicom += 1,
            Ok(Some(Recognised { kind: Kind::Nifti, .. })) if depth == 0 => contents.nifti.push(name),
            _ => {}
        }
    }
}

/// Fills `buffer`, or less if the reader ends or fails after some bytes. Returns the number of bytes read.
fn fill(mut reader: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if filled > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
