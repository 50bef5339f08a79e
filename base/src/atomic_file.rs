//! Atomic file writes: a file appears whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::temporaries;

/// Writes a file atomically: `fill` writes a temporary file beside `path`, which is then synced and renamed to `path`.
///
/// If `path` is a symbolic link, it stays a link, and the file that it points to is replaced. A pipe or a device is
/// written to directly.
///
/// # Errors
/// The error of `fill`, or an [`io::Error`] if the file cannot be created, synced or renamed. In each case the file at
/// `path` is unchanged.
pub fn write(path: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return fill(&OpenOptions::new().write(true).open(path)?);
    }
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".segvol-").suffix(".part");
    let permissions = new_permissions(0o666);
    if let Some(permissions) = permissions {
        builder.permissions(permissions);
    }
    // Declared first, so dropped last: the file is removed before its registration.
    let (_registered, temporary) = temporaries::create(|| builder.tempfile_in(folder), NamedTempFile::path)?;
    fill(temporary.as_file())?;
    temporary.as_file().sync_all()?;
    temporaries::commit(|| temporary.persist(&path).map_err(|error| error.error))?;
    Ok(())
}

/// The permissions of an ordinary new file or folder, before the umask applies. Without them, `tempfile` makes
/// temporary files private. `None` if the system is not Unix.
#[cfg(unix)]
pub(crate) fn new_permissions(mode: u32) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn new_permissions(_: u32) -> Option<Permissions> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        write(&path, |mut file| file.write_all(b"old")).expect("written");
        let error = write(&path, |mut file| {
            file.write_all(b"ne")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(error.expect_err("a failure").to_string(), "disk full");
        assert_eq!(std::fs::read(&path).expect("read"), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        std::fs::write(&file, "old").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        write(&link, |mut file| file.write_all(b"new")).expect("written");
        assert!(link.symlink_metadata().expect("a link").is_symlink());
        assert_eq!(std::fs::read(&file).expect("read"), b"new");

        // `/dev/full` behaves like a full disk.
        let error = write(Path::new("/dev/full"), |mut file| file.write_all(b"new")).expect_err("the disk is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(std::fs::metadata("/dev/full").is_ok_and(|found| !found.is_file()));
    }
}
