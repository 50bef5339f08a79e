//! Atomic folders: a folder appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::atomic_file::{self, check_folder, is_unmovable, new_permissions, old_permissions};
use crate::file_identity::{is_mount_point, parent, resolve};
use crate::temporaries::{self, Registered};
use crate::{Warning, WarningCode, is_leftover, printable_path};

/// A temporary folder. It is removed with all its contents when this value is dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    temporary: TempDir,
    _registered: Registered,
}

impl TemporaryFolder {
    /// Creates a folder in the system's temporary folder. Only this user can read it.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] if the folder cannot be created.
    pub fn new() -> io::Result<Self> {
        Self::registered(|| tempfile::Builder::new().prefix("segvol-").tempdir())
    }

    /// Creates a folder in `dir`, with a hidden name. Only this user can read it.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] if the folder cannot be created.
    pub fn new_in(dir: &Path) -> io::Result<Self> {
        Self::registered(|| tempfile::Builder::new().prefix(".segvol-").tempdir_in(dir))
    }

    /// Creates a folder that will become `target` when it is [published](Self::publish). It is next to `target`, is
    /// called `.NAME.new-RANDOM`, and has the permissions of any new folder. If `target` is a link, this is next to what the
    /// link points to. If `target` exists and cannot be replaced, as a mount point, this is inside it, with a hidden name.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if `target` does not end in a name; any other [`io::Error`] if the folder cannot
    /// be created.
    pub fn beside(target: &Path) -> io::Result<Self> {
        if target.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a path that ends in a folder name"));
        }
        let target = resolve(target)?;
        if in_place_because(&target).is_some() {
            return Self::new_in(&target);
        }
        let name = target.file_name().unwrap_or_default();
        let prefix = format!(".{}.new-", name.to_string_lossy());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        let permissions = new_permissions(0o777);
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        Self::registered(|| builder.tempdir_in(parent(&target)))
    }

    fn registered(make: impl FnOnce() -> io::Result<TempDir>) -> io::Result<Self> {
        let (registered, temporary) = temporaries::create(make, TempDir::path)?;
        Ok(Self { temporary, _registered: registered })
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Syncs the folder and renames it to `target`. If a folder of that name exists, it is replaced and then removed. If
    /// `target` is a link, it stays a link, and the folder that it points to is replaced or created. The new folder has the
    /// permissions of the one that it replaces.
    ///
    /// On Linux and macOS the old folder and the new one are exchanged in one step if the file system supports it: at
    /// every moment `target` is either the old folder or the new one. The files in the folder are not synced here: the
    /// caller must sync each file after writing it.
    ///
    /// A folder that cannot be replaced, as a mount point, is written in place: its files are exchanged one by one. `last` is the
    /// name of the file without which the folder is worth nothing. It is removed first and put there last, so a program that is killed
    /// in between leaves a folder without it. After an error, the old files are put back. Folders and hidden files in `target` stay.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::PermissionDenied`] if the old folder or a file in it is write-protected; another [`io::Error`] if the folder cannot be
    /// synced or renamed, or if the old folder cannot be removed. In the last
    /// case `target` is already the new folder; otherwise it is unchanged.
    pub fn publish(self, target: &Path, last: &str) -> io::Result<()> {
        let target = resolve(target)?;
        check_folder_replaceable(&target)?;
        if self.path().parent() == Some(&*target) {
            return self.move_into(&target, last);
        }
        if let Some(old) = old_permissions(&target) {
            // As for a file: where permissions cannot be set, there are none to keep.
            let _ = fs::set_permissions(self.path(), old);
        }
        sync(self.path())?;
        let replaced = match temporaries::commit(|| put(self.path(), &target, exchange)) {
            Err(error) if is_unmovable(&error) && target.is_dir() => {
                tracing::warn!(
                    "`{}` is written in place, because it cannot be replaced: {error}",
                    printable_path(&target)
                );
                let inside = Self::new_in(&target)?;
                for name in file_names(self.path())? {
                    move_or_copy(&self.path().join(&name), &inside.path().join(&name))?;
                }
                return inside.move_into(&target, last);
            }
            done => done?,
        };
        sync(parent(&target))?;
        if replaced {
            // After the exchange, the old folder has the temporary name.
            return self.temporary.close();
        }
        let _ = self.temporary.keep(); // The folder was renamed, so the temporary name no longer exists.
        Ok(())
    }
}

/// In place: exchanges the files of a folder one by one.
impl TemporaryFolder {
    fn move_into(self, target: &Path, last: &str) -> io::Result<()> {
        sync(self.path())?;
        let old = Self::new_in(target)?;
        temporaries::commit(|| exchange_files(self.path(), old.path(), target, last))?;
        old.temporary.close()?;
        self.temporary.close()
    }
}

/// Moves the files of `target` to `old`, and those of `new` to `target`. Undoes everything after an error.
fn exchange_files(new: &Path, old: &Path, target: &Path, last: &str) -> io::Result<()> {
    let is_last = |name: &OsString| name == last;
    let mut leaving = file_names(target)?;
    leaving.retain(|name| !is_leftover(Path::new(name)));
    leaving.sort_by_key(|name| !is_last(name));
    let mut coming = file_names(new)?;
    coming.sort_by_key(is_last);
    let moves = leaving.iter().map(|name| (target.join(name), old.join(name)));
    let moves = moves.chain(coming.iter().map(|name| (new.join(name), target.join(name))));
    let mut done: Vec<(PathBuf, PathBuf)> = Vec::new();
    for (from, to) in moves {
        let is_last = to == target.join(last);
        // On disk, too, the last file comes after the others.
        let moved = if is_last { sync(target) } else { Ok(()) }.and_then(|()| fs::rename(&from, &to));
        if let Err(error) = moved {
            let undone = done.iter().rev().try_for_each(|(from, to)| fs::rename(to, from));
            let outcome = match undone {
                Ok(()) => "the folder is unchanged".to_owned(),
                Err(error) => format!("the old files could not be put back, the folder is incomplete: {error}"),
            };
            let message = format!("`{}` cannot be written in place: {error}; {outcome}", to.display());
            return Err(io::Error::new(error.kind(), message));
        }
        done.push((from, to));
    }
    sync(target)
}

/// The names of the files in a folder, and of links.
fn file_names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

/// Moves a file, also to another disk.
fn move_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        }
        done => done,
    }
}

/// Why an existing folder must be written in place; `None` if it can be replaced, or does not exist.
fn in_place_because(folder: &Path) -> Option<&'static str> {
    if !folder.is_dir() {
        return None;
    }
    if is_mount_point(folder) {
        return Some("it is a mount point");
    }
    check_folder(parent(folder)).is_err().then_some("the folder that it is in takes no new folders")
}

/// Renames `from` to `target`. Returns whether `target` existed; the old folder is then called `from`.
fn put(from: &Path, target: &Path, exchange: fn(&Path, &Path) -> bool) -> io::Result<bool> {
    if target.symlink_metadata().is_err() {
        fs::rename(from, target)?;
        return Ok(false);
    }
    if exchange(from, target) {
        return Ok(true);
    }
    let mut aside = from.as_os_str().to_owned();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    fs::rename(target, &aside)?;
    if let Err(error) = fs::rename(from, target) {
        fs::rename(&aside, target)?;
        return Err(error);
    }
    fs::rename(&aside, from)?;
    Ok(true)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(a: &Path, b: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> bool {
    false
}

/// Checks whether a folder may be replaced, for callers with long work before it. Nothing is changed. A folder that does not
/// exist may be. The warning, if any, says that the folder will be written in place ([`WarningCode::WrittenInPlace`]).
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`], which names the file, if a file in it is a mount point; [`io::ErrorKind::PermissionDenied`] or [`io::ErrorKind::ReadOnlyFilesystem`], which names the folder or the file in it that
/// is write-protected; another [`io::Error`] if the folder cannot be listed.
pub fn check_folder_replaceable(folder: &Path) -> io::Result<Option<Warning>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    check_folder(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            atomic_file::check(&path)?;
        }
        if is_mount_point(&path) {
            let message = format!("`{}` in it is a mount point, which cannot be replaced", path.display());
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
    }
    Ok(in_place_because(&resolve(folder)?).map(|reason| {
        let message = format!(
            "folder `{}`: {reason}, so its files are exchanged one by one after the work; a crash at that moment leaves it \
             incomplete, which is noticed when it is opened",
            folder.display()
        );
        Warning::new(WarningCode::WrittenInPlace, message)
    }))
}

/// Creates a folder and the folders above it, if they do not exist. A link to a missing folder stays a link, and the folder
/// that it points to is created.
///
/// # Errors
/// An [`io::Error`] if a folder cannot be created.
pub fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(resolve(path)?)
}

/// Syncs the names in a folder to disk. Only Unix can open a folder to do this; elsewhere nothing is done.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_folder_that_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = TemporaryFolder::beside(&dir.path().join("bundle")).expect("a folder");
        fs::write(folder.path().join("file"), "half").expect("written");
        assert!(names(dir.path())[0].starts_with(".bundle.new-"));
        drop(folder);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_published_folder_takes_the_place_of_the_old_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("bundle");
        for contents in ["first", "second"] {
            let folder = TemporaryFolder::beside(&target).expect("a folder");
            fs::write(folder.path().join("file"), contents).expect("written");
            folder.publish(&target, "file").expect("published");
            assert_eq!(fs::read_to_string(target.join("file")).expect("read"), contents);
            assert_eq!(names(dir.path()), ["bundle"]);
        }
    }

    #[test]
    fn without_an_exchange_the_old_folder_is_set_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        let [from, target] = ["from", "target"].map(|name| dir.path().join(name));
        for (name, contents) in [(&target, "old"), (&from, "new")] {
            fs::create_dir(name).expect("made");
            fs::write(name.join("file"), contents).expect("written");
        }
        let contents = |name: &Path| fs::read_to_string(name.join("file")).expect("read");
        assert!(put(&from, &target, |_, _| false).expect("renamed"));
        assert_eq!((contents(&target), contents(&from)), ("new".to_owned(), "old".to_owned()));

        // Publishing a folder that no longer exists fails and replaces nothing.
        put(&dir.path().join("gone"), &target, |_, _| false).expect_err("nothing to rename");
        assert_eq!(contents(&target), "new");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2);
    }

    #[test]
    fn files_are_exchanged_one_by_one_with_the_last_one_last() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("bundle");
        fs::create_dir(&target).expect("made");
        fs::create_dir(target.join("lost+found")).expect("made");
        for name in ["manifest", "a", "gone", ".DS_Store"] {
            fs::write(target.join(name), "old").expect("written");
        }
        let sorted = |dir: &Path| {
            let mut names = names(dir);
            names.sort();
            names
        };
        let draft = |names: &[&str]| {
            let folder = TemporaryFolder::new_in(&target).expect("a folder");
            names.iter().for_each(|name| fs::write(folder.path().join(name), "new").expect("written"));
            folder
        };
        draft(&["manifest", "a", "b"]).publish(&target, "manifest").expect("published");
        assert_eq!(sorted(&target), [".DS_Store", "a", "b", "lost+found", "manifest"]);
        for (name, contents) in [("manifest", "new"), ("a", "new"), ("b", "new"), (".DS_Store", "old")] {
            assert_eq!(fs::read_to_string(target.join(name)).expect("read"), contents, "{name}");
        }

        // A folder has the name of a new file, so the exchange fails in the middle.
        let before = sorted(&target);
        let error = draft(&["manifest", "c", "lost+found"]).publish(&target, "manifest").expect_err("a folder");
        assert!(error.to_string().contains("the folder is unchanged"), "{error}");
        assert_eq!(sorted(&target), before);
        assert_eq!(fs::read_to_string(target.join("a")).expect("read"), "new");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_stays_a_link() {
        let dir = tempfile::tempdir().expect("a folder");
        let [data, link, other] = ["data", "link", "other"].map(|name| dir.path().join(name));
        fs::create_dir(&data).expect("made");
        std::os::unix::fs::symlink("data/bundle", &link).expect("linked");
        // At first it points to nothing.
        for contents in ["first", "second"] {
            let folder = TemporaryFolder::beside(&link).expect("a folder");
            fs::write(folder.path().join("file"), contents).expect("written");
            folder.publish(&link, "file").expect("published");
            assert_eq!(fs::read_to_string(data.join("bundle/file")).expect("read"), contents);
            assert!(link.symlink_metadata().expect("a link").is_symlink());
            assert_eq!(names(&data), ["bundle"]);
            // The mode that the user gives it is kept, too.
            use std::os::unix::fs::PermissionsExt as _;
            let mode = || fs::metadata(data.join("bundle")).expect("a folder").permissions().mode() & 0o777;
            assert!(contents == "first" || mode() == 0o750, "{:o}", mode());
            fs::set_permissions(data.join("bundle"), fs::Permissions::from_mode(0o750)).expect("set");
        }
        std::os::unix::fs::symlink("data/masks", &other).expect("linked");
        create_folder(&other.join("deep")).expect("made");
        assert!(data.join("masks/deep").is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn a_published_folder_can_be_read_as_any_new_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let [target, plain] = ["bundle", "plain"].map(|name| dir.path().join(name));
        TemporaryFolder::beside(&target).expect("a folder").publish(&target, "file").expect("published");
        fs::create_dir(&plain).expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("a folder").permissions().mode();
        assert_eq!(mode(&target), mode(&plain));
    }
}
