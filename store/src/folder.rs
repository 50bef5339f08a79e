//! The folder: which files in it are this crate's, and which are deleted first.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::record::{MAGIC, is_own_beginning, is_own_name};

/// The beginning of the names of unfinished files.
pub(crate) const UNFINISHED: &str = ".segvol-store-";
/// How old an unfinished file is that nobody finishes any more: its process was killed.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Makes the folder, for its user alone, if it does not exist.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The names of the regular files in the folder; none if it does not exist.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(name) = entry.file_name().into_string()
        {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// A file with a name of this crate's.
struct Kept {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

/// Deletes the least recently used files until the others have at most `limit_bytes` together, and files that a killed process
/// did not finish. Returns how many bytes are left. Files that vanish meanwhile were deleted by another process.
pub(crate) fn shrink(folder: &Path, limit_bytes: u64) -> io::Result<u64> {
    let mut kept = Vec::new();
    for name in names(folder)? {
        let path = folder.join(&name);
        // Not through a link, should it have become one.
        let Ok(found) = path.symlink_metadata() else { continue };
        if !found.is_file() {
            continue;
        }
        let used = found.modified()?;
        if is_own_name(&name) {
            kept.push(Kept { used, path, bytes: found.len() });
        } else if name.starts_with(UNFINISHED)
            && name.ends_with(".part")
            && used.elapsed().is_ok_and(|age| age > ABANDONED)
        {
            let _ = std::fs::remove_file(&path);
        }
    }
    kept.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let mut total: u64 = kept.iter().map(|file| file.bytes).sum();
    for file in &kept {
        if total <= limit_bytes {
            break;
        }
        if !is_foreign(&file.path) {
            match std::fs::remove_file(&file.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // A foreign file is no part of what is bounded.
        total -= file.bytes;
    }
    Ok(total)
}

/// Whether a file has another beginning than this crate's, so that it must not be deleted whatever its name. A file that cannot be
/// read may be one.
fn is_foreign(path: &Path) -> bool {
    let mut first = Vec::new();
    match File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut first)) {
        Ok(_) => !is_own_beginning(&first),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
