//! Atomic file writes: a file appears whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::file_identity::{is_mount_point, parent, resolve};
use crate::in_place::{self, Spool};
use crate::{Warning, WarningCode, printable_path, temporaries};

/// Writes a file atomically: `fill` writes a temporary file beside `path`, which is then synced and renamed to `path`.
///
/// | `path` is                       | what happens                                                            |
/// |---------------------------------|-------------------------------------------------------------------------|
/// | missing                         | the file appears, with the permissions of any new file                  |
/// | a file                          | it is replaced, and the new one has its permissions                     |
/// | a file without write permission | an error, and nothing is written                                        |
/// | a symbolic link                 | it stays a link, and the file that it points to is replaced or created  |
/// | a pipe or a device              | it is written to directly                                               |
/// | a mount point, or a file in a folder that takes no new files | it is written in place, see below          |
///
/// Where a rename is impossible, the new content is written to a temporary file elsewhere, and then copied into the file, which
/// keeps its owner, links and attributes. [`check()`] has a warning for it. An error leaves the old content, or says that it is lost. A
/// program that is killed at that moment leaves a file that begins with zeros.
///
/// Only the permissions of the old file are kept (on Unix, its mode). The new file belongs to the user who writes it, and
/// has no access lists, extended attributes or hard links of the old one.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`], which names the file, if it is write-protected; the error of `fill`; or another
/// [`io::Error`] if the file cannot be created, synced or renamed. In each case the file at `path` is unchanged, unless it is
/// written in place and the error says something else.
pub fn write(path: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    if is_written_directly(path) {
        return fill(&OpenOptions::new().write(true).open(path)?);
    }
    let path = resolve(path)?;
    check_replaceable(&path)?;
    if let Some(reason) = in_place_because(&path) {
        tracing::info!("`{}` is written in place, because {reason}", printable_path(&path));
        let spool = Spool::new(&path)?;
        spool.fill(fill)?;
        return in_place::copy(spool.file(), &path);
    }
    let old = old_permissions(&path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".segvol-").suffix(".part");
    // From the start, so that at no moment more users can read the new file than the old one.
    let permissions = old.clone().or_else(|| new_permissions(0o666));
    if let Some(permissions) = permissions {
        builder.permissions(permissions);
    }
    // Declared first, so dropped last: the file is removed before its registration.
    let (_registered, temporary) = temporaries::create(|| builder.tempfile_in(parent(&path)), NamedTempFile::path)?;
    fill(temporary.as_file())?;
    if let Some(old) = old {
        // The umask took permissions away when the file was created. A file system without permissions refuses to set
        // them, but then there are none to keep.
        let _ = temporary.as_file().set_permissions(old);
    }
    temporary.as_file().sync_all()?;
    match temporaries::commit(|| temporary.persist(&path)) {
        Ok(_) => Ok(()),
        // Something was mounted there that was not noticed before.
        Err(failed) if is_unmovable(&failed.error) && path.is_file() => {
            tracing::warn!(
                "`{}` is written in place, because it cannot be replaced: {}",
                printable_path(&path),
                failed.error
            );
            in_place::copy(failed.file.as_file(), &path)
        }
        Err(failed) => Err(failed.error),
    }
}

/// Adds a file that only this user can read to a folder: `fill` writes a hidden temporary file there, `PREFIX*.part`, which then gets
/// its `name`. Nothing is replaced and no link is followed: if something of that name is there, the result is `false`.
///
/// The file is not synced: after a crash of the machine it may be empty, or contain zeros. So this is for caches that check what they
/// read.
///
/// # Errors
/// The error of `fill`, or another [`io::Error`] if the file cannot be created or renamed. Then there is no new file.
pub fn add_private(
    folder: &Path,
    name: &str,
    prefix: &str,
    fill: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<bool> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(".part"); // Such files are private unless they get other permissions.
    let (_registered, temporary) = temporaries::create(|| builder.tempfile_in(folder), NamedTempFile::path)?;
    fill(temporary.as_file())?;
    match temporaries::commit(|| temporary.persist_noclobber(folder.join(name))) {
        Ok(_) => Ok(true),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(failed) => Err(failed.error),
    }
}

/// Whether a rename was refused because of where its paths are, not because of what they are.
pub(crate) fn is_unmovable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices)
}

/// Why an existing file that this user may write to must be written in place; `None` if it can be replaced.
fn in_place_because(path: &Path) -> Option<&'static str> {
    if !path.is_file() {
        return None;
    }
    if is_mount_point(path) {
        return Some("it is a mount point");
    }
    probe(parent(path)).is_err().then_some("its folder takes no new files")
}

/// Checks whether [`write()`] may write to `path`, for callers with long work before it. Nothing is changed. The warning, if any, says
/// that the file will be written in place ([`WarningCode::WrittenInPlace`]).
///
/// # Errors
/// - [`io::ErrorKind::PermissionDenied`] or [`io::ErrorKind::ReadOnlyFilesystem`], which names the file or the folder, if it
///   is write-protected;
/// - [`io::ErrorKind::IsADirectory`] if `path` is a folder;
/// - [`io::ErrorKind::NotFound`] if its folder does not exist;
/// - another error of the operating system if the path leads nowhere, as a link to itself does.
pub fn check(path: &Path) -> io::Result<Option<Warning>> {
    if is_written_directly(path) {
        return Ok(None);
    }
    let path = resolve(path)?;
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
    }
    let folder = parent(&path);
    if !folder.is_dir() {
        let message = format!("the folder `{}` does not exist", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    check_replaceable(&path)?;
    if let Some(reason) = in_place_because(&path) {
        Spool::new(&path)?;
        let message = format!(
            "file `{}`: {reason}, so it is written in place after the work; a crash while it is written leaves it without its \
             beginning",
            path.display()
        );
        return Ok(Some(Warning::new(WarningCode::WrittenInPlace, message)));
    }
    match probe(folder)? {
        Some(probe) if !may_rename_over(&path, folder, &probe) => {
            let message = format!("the file `{}` belongs to another user, who alone may replace it", path.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
        }
        _ => Ok(None),
    }
}

/// Checks whether files can be created in a folder that exists.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] or [`io::ErrorKind::ReadOnlyFilesystem`], which names the folder.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    probe(folder).map(drop)
}

/// A file that exists only to show that the folder takes new files. It has no name, and is gone when it is closed.
fn probe(folder: &Path) -> io::Result<Option<File>> {
    match tempfile::tempfile_in(folder) {
        Ok(probe) => Ok(Some(probe)),
        Err(error) if is_protection(&error) => {
            Err(io::Error::new(error.kind(), format!("the folder `{}` is write-protected: {error}", folder.display())))
        }
        // Another error, such as a full disk, may be over when the file is written.
        Err(_) => Ok(None),
    }
}

/// In a folder such as /tmp (with the sticky bit), a file is replaced only by its owner, the folder's, or root.
#[cfg(unix)]
fn may_rename_over(path: &Path, folder: &Path, own: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(path), Ok(folder), Ok(own)) = (std::fs::metadata(path), std::fs::metadata(folder), own.metadata()) else {
        return true;
    };
    let user = own.uid();
    folder.mode() & 0o1000 == 0 || [0, path.uid(), folder.uid()].contains(&user)
}

#[cfg(not(unix))]
fn may_rename_over(_: &Path, _: &Path, _: &File) -> bool {
    true
}

fn is_written_directly(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Refuses a file that this user may not write to. A rename would replace it all the same.
fn check_replaceable(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if is_protection(&error) && path.is_file() => {
            Err(io::Error::new(error.kind(), format!("the file `{}` is write-protected: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

fn is_protection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The permissions of an ordinary new file or folder, before the umask applies. Without them, `tempfile` makes
/// temporary files private. `None` if the system is not Unix.
#[cfg(unix)]
pub(crate) fn new_permissions(mode: u32) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(mode))
}

/// The permissions of what a new file or folder replaces. `None` if there is nothing, or if the system is not Unix.
#[cfg(unix)]
pub(crate) fn old_permissions(path: &Path) -> Option<Permissions> {
    std::fs::metadata(path).ok().map(|found| found.permissions())
}

#[cfg(not(unix))]
pub(crate) fn old_permissions(_: &Path) -> Option<Permissions> {
    None
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
        check(&path).expect("a file that may be replaced");
        assert_eq!(std::fs::read(&path).expect("read"), b"old", "the check changes nothing");
        check(folder.path()).expect_err("a folder");
        let error = check(&folder.path().join("missing/report.json")).expect_err("no folder");
        assert!(error.to_string().contains("missing` does not exist"), "{error}");
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

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_missing_file_is_written_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("data")).expect("made");
        std::os::unix::fs::symlink("data/file", at("link")).expect("linked");
        std::os::unix::fs::symlink("link", at("chain")).expect("linked");
        for contents in ["new", "newer"] {
            check(&at("chain")).expect("writable");
            write(&at("chain"), |mut file| file.write_all(contents.as_bytes())).expect("written");
            assert_eq!(std::fs::read_to_string(at("data/file")).expect("read"), contents);
            for link in ["link", "chain"] {
                assert!(at(link).symlink_metadata().expect("a link").is_symlink(), "{link}");
            }
        }
        std::os::unix::fs::symlink("gone/file", at("nowhere")).expect("linked");
        write(&at("nowhere"), |_| Ok(())).expect_err("no folder");
        std::os::unix::fs::symlink("loop", at("loop")).expect("linked");
        check(&at("loop")).expect_err("a loop");
        write(&at("loop"), |_| Ok(())).expect_err("a loop");
        assert!(at("loop").symlink_metadata().expect("a link").is_symlink());
    }

    #[test]
    fn an_added_file_is_private_and_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let add = |text: &str| add_private(folder.path(), "a", ".new-", |mut file| file.write_all(text.as_bytes()));
        assert!(add("first").expect("added") && !add("second").expect("refused"));
        assert_eq!(std::fs::read(at("a")).expect("read"), b"first");
        add_private(folder.path(), "b", ".new-", |_| Err(io::Error::other("disk full"))).expect_err("a failure");
        add_private(&at("missing"), "b", ".new-", |_| Ok(())).expect_err("no folder");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(at("a")).expect("a file").permissions().mode() & 0o777, 0o600);
            std::os::unix::fs::symlink("target", at("link")).expect("linked");
            assert!(!add_private(folder.path(), "link", ".new-", |_| Ok(())).expect("refused"));
            assert!(!at("target").exists(), "a link that leads nowhere is not followed");
            std::fs::remove_file(at("link")).expect("removed");
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_of_a_replaced_file_is_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        for mode in [0o600, 0o664, 0o640, 0o777] {
            std::fs::write(&path, "old").expect("written");
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            write(&path, |mut file| file.write_all(b"new")).expect("written");
            let found = std::fs::metadata(&path).expect("a file").permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{found:o}");
        }
    }

    /// What a user without the rights of root meets; root may write everywhere, so the test cannot refuse anything then.
    #[cfg(unix)]
    #[test]
    fn a_write_protected_file_is_refused_unless_the_system_allows_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("raw.nii");
        std::fs::write(&path, "old").expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("set");
        let allowed = OpenOptions::new().append(true).open(&path).is_ok();
        let written = write(&path, |mut file| file.write_all(b"new"));
        assert_eq!((check(&path).is_ok(), written.is_ok()), (allowed, allowed));
        if let Err(error) = written {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("raw.nii` is write-protected"), "{error}");
        }
        assert_eq!(std::fs::read(&path).expect("read") == b"old", !allowed);
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o444);
    }
}
