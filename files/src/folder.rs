//! A folder that appears whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::list::{self, Listed};
use crate::whole_file::new_permissions;

/// A temporary folder, removed with all that is in it when this goes out of scope.
#[derive(Debug)]
pub struct Folder {
    temporary: TempDir,
    _listed: Listed,
}

impl Folder {
    /// A folder for this user alone among the system's temporary files.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn new() -> io::Result<Self> {
        Self::listed(|| tempfile::Builder::new().prefix("segvol-").tempdir())
    }

    /// A folder for this user alone in `dir`, under a hidden name.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn new_in(dir: &Path) -> io::Result<Self> {
        Self::listed(|| tempfile::Builder::new().prefix(".segvol-").tempdir_in(dir))
    }

    /// A folder that is to become `target`: beside it, `.NAME.new-RANDOM`, with the permissions of any new folder.
    ///
    /// # Errors
    ///
    /// What the operating system says; [`io::ErrorKind::InvalidInput`] if `target` ends in no name.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a folder's name"));
        };
        let prefix = format!(".{}.new-", name.to_string_lossy());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        let permissions = new_permissions(0o777);
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        Self::listed(|| builder.tempdir_in(parent(target)))
    }

    fn listed(make: impl FnOnce() -> io::Result<TempDir>) -> io::Result<Self> {
        let (listed, temporary) = list::make(make, TempDir::path)?;
        Ok(Self { temporary, _listed: listed })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Syncs the folder and gives it the name `target`; a folder that stood there is removed afterwards.
    ///
    /// On Linux and macOS the two change places in one step, where the file system can do that: `target` is the old
    /// folder or the new one at every moment. The files in it are synced by who wrote them.
    ///
    /// # Errors
    ///
    /// What the operating system says; `target` is as it was then, unless only the old folder could not be removed.
    pub fn publish(self, target: &Path) -> io::Result<()> {
        sync(self.path())?;
        let replaced = list::settle(|| put(self.path(), target, exchange))?;
        sync(parent(target))?;
        if replaced {
            // The old folder has this one's temporary name now.
            return self.temporary.close();
        }
        let _ = self.temporary.keep(); // Nothing has that name any more.
        Ok(())
    }
}

/// Renames `from` to `target`; whether something stood there, which has the name `from` then.
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

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a folder last. Only Unix can open a folder to do so.
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
        let folder = Folder::beside(&dir.path().join("bundle")).expect("a folder");
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
            let folder = Folder::beside(&target).expect("a folder");
            fs::write(folder.path().join("file"), contents).expect("written");
            folder.publish(&target).expect("published");
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

        // A folder that is not there any more takes nothing's place.
        put(&dir.path().join("gone"), &target, |_, _| false).expect_err("nothing to rename");
        assert_eq!(contents(&target), "new");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_published_folder_can_be_read_as_any_new_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let [target, plain] = ["bundle", "plain"].map(|name| dir.path().join(name));
        Folder::beside(&target).expect("a folder").publish(&target).expect("published");
        fs::create_dir(&plain).expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("a folder").permissions().mode();
        assert_eq!(mode(&target), mode(&plain));
    }
}
