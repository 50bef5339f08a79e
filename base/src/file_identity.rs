//! Which file a path means: two paths can lead to the same file.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::file_names::folded;

/// How many symbolic links are followed before they count as a loop; Linux follows as many.
const MAX_LINKS: usize = 40;

/// How many names of a folder are tried when it is asked whether it ignores upper and lower case.
const MAX_PROBES: usize = 64;

/// The identity of a file that exists, or that a write would create. Equal identities are the same file.
///
/// | the file   | identity                                                             | finds                                  |
/// |------------|----------------------------------------------------------------------|----------------------------------------|
/// | exists     | device and inode (Unix), otherwise its canonical path                | links, hard links, `./x`, `a/../x`      |
/// | is missing | canonical path of its folder, and the name                           | links, links to missing files, `./x`   |
///
/// Where a folder ignores upper and lower case, the names of missing files are compared without them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIdentity(Kind);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// Of a file that exists.
    #[cfg(unix)]
    Inode { device: u64, inode: u64 },
    /// Of a missing file, or of any file on other systems.
    Path(PathBuf),
}

impl FileIdentity {
    /// The identity of the file that is read from, or written to, at `path`. `None` for a device, a pipe or a socket: these
    /// may be used several times, as `/dev/null` is.
    ///
    /// # Errors
    /// An error of the operating system if the path leads nowhere: a loop of links, or a file where a folder is expected.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() && !found.is_dir() => Ok(None),
            Ok(found) => Self::of_existing(path, &found).map(Some),
            Err(_) => Ok(Some(Self(Kind::Path(as_compared(&resolve(path)?))))),
        }
    }

    /// The identity of an open file. `None` if it is not a regular file, or if the system is not Unix.
    #[must_use]
    pub fn of_open(file: &Metadata) -> Option<Self> {
        #[cfg(unix)]
        if file.is_file() {
            return Some(Self::inode(file));
        }
        let _ = file;
        None
    }

    #[cfg(unix)]
    fn inode(found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self(Kind::Inode { device: found.dev(), inode: found.ino() })
    }

    #[cfg(unix)]
    #[expect(clippy::unnecessary_wraps, reason = "other systems ask for the canonical path, which can fail")]
    fn of_existing(_: &Path, found: &Metadata) -> io::Result<Self> {
        Ok(Self::inode(found))
    }

    #[cfg(not(unix))]
    fn of_existing(path: &Path, _: &Metadata) -> io::Result<Self> {
        Ok(Self(Kind::Path(fs::canonicalize(path)?)))
    }
}

/// Whether both paths lead to the same file, which may be missing. `false` for devices and pipes, and for a path that leads
/// nowhere.
#[must_use]
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    match (FileIdentity::of(a), FileIdentity::of(b)) {
        (Ok(Some(a)), Ok(Some(b))) => a == b,
        _ => false,
    }
}

/// Whether the file at `path` is in `folder` or in a folder inside it, or is `folder` itself. This is so for a link in
/// `folder`, and for a file in `folder` that a link elsewhere points to.
#[must_use]
pub fn is_within(path: &Path, folder: &Path) -> bool {
    let Ok(Some(folder)) = FileIdentity::of(folder) else { return false };
    // The link itself, with its folder resolved; and what it points to.
    let link = path.file_name().and_then(|name| Some(resolve(parent(path)).ok()?.join(name)));
    let target = resolve(path).ok();
    let is_folder = |path: &Path| FileIdentity::of(path).is_ok_and(|found| found.as_ref() == Some(&folder));
    let through_link = link.iter().any(|link| parent(link).ancestors().any(is_folder));
    through_link || target.iter().any(|target| target.ancestors().any(is_folder))
}

/// Whether something is mounted at `path`, as containers do with single files too. A rename cannot replace it. `false` if this is not
/// known (on Linux before 5.8, and on systems other than Linux and macOS).
#[must_use]
pub fn is_mount_point(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        statx(CWD, path, AtFlags::empty(), StatxFlags::TYPE)
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
    #[cfg(target_os = "macos")]
    {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        device(path).zip(device(parent(path))).is_some_and(|(own, above)| own != above)
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = path;
        false
    }
}

/// Where a write to `path` ends: an absolute path without links. Neither the file nor its folders must exist.
///
/// A link to a file that does not exist is followed too, so that a write creates that file and keeps the link.
///
/// # Errors
/// An error of the operating system if the path leads nowhere: a loop of links, or a file where a folder is expected.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::canonicalize(&path) {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // The path, or a part of it, is missing. The longest part that exists may be a link to something missing.
        let (existing, rest) = split_at_missing(&path)?;
        match fs::read_link(&existing) {
            Ok(target) => {
                path = fs::canonicalize(parent(&existing))?.join(target);
                path.extend(rest.components());
            }
            Err(_) => return Ok(without_dots(&fs::canonicalize(&existing)?, &rest)),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// The longest part of a path that exists, links included, and the rest.
fn split_at_missing(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let path = std::path::absolute(path)?;
    // `ancestors` leaves out a final `.` or `/`, which is right here.
    for ancestor in path.ancestors() {
        if ancestor.symlink_metadata().is_ok() {
            let rest = path.strip_prefix(ancestor).map_or_else(|_| PathBuf::new(), Path::to_owned);
            return Ok((ancestor.to_owned(), rest));
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// `rest`, whose parts do not exist yet, below `folder`.
fn without_dots(folder: &Path, rest: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    for part in rest.components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// The folder of a path; `.` if the path is only a name.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path as it is compared with others: the part that does not exist yet is folded if its folder ignores case.
fn as_compared(path: &Path) -> PathBuf {
    let Some(existing) = path.ancestors().skip(1).find(|ancestor| ancestor.is_dir()) else { return path.to_owned() };
    let missing = path.strip_prefix(existing).unwrap_or(path);
    if ignores_case(existing) { existing.join(folded(&missing.to_string_lossy())) } else { path.to_owned() }
}

/// Whether a folder ignores upper and lower case, as far as the names show that exist in it, or its own name.
fn ignores_case(folder: &Path) -> bool {
    let names: Vec<String> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().take(MAX_PROBES).map(|entry| entry.file_name()).map(lossless).collect(),
        Err(_) => Vec::new(),
    };
    let finds = |name: &str| folder.join(name).symlink_metadata().is_ok();
    finds_swapped(&names, finds).unwrap_or_else(|| {
        // Nothing in the folder shows it. Its own name can, if it is on the same disk.
        let own = folder.file_name().map(|name| lossless(name.to_owned()));
        let (Some(own), Some(above)) = (own, folder.parent()) else { return false };
        let swapped = above.join(swap_case(&own));
        swapped != folder && is_same_folder(&swapped, folder)
    })
}

fn is_same_folder(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
        || matches!((fs::metadata(a), fs::metadata(b)), (Ok(a), Ok(b)) if same_inode(&a, &b))
}

#[cfg(unix)]
fn same_inode(a: &Metadata, b: &Metadata) -> bool {
    FileIdentity::inode(a) == FileIdentity::inode(b)
}

#[cfg(not(unix))]
fn same_inode(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// Names that are not UTF-8 are no use for a probe.
fn lossless(name: std::ffi::OsString) -> String {
    name.into_string().unwrap_or_default()
}

/// Whether a folder finds its files under names in swapped case. `None` if no name shows it.
fn finds_swapped(names: &[String], finds: impl Fn(&str) -> bool) -> Option<bool> {
    let swapped = names.iter().map(|name| (name, swap_case(name)));
    // A name whose swapped form is a file of its own shows at once that case matters.
    let probe = swapped.filter(|(name, swapped)| *name != swapped).map(|(_, swapped)| swapped).next()?;
    Some(!names.contains(&probe) && finds(&probe))
}

/// Upper-case ASCII letters for lower-case ones, and the other way round.
fn swap_case(name: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    name.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    use std::os::unix::fs::symlink;

    #[test]
    fn spellings_of_a_path_are_one_file_and_names_are_different_files() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("a")).expect("made");
        for exists in [false, true] {
            if exists {
                fs::write(at("x"), "").expect("written");
                fs::write(at("y"), "").expect("written");
            }
            for same in ["x", "./x", "a/../x", "a/.././x"] {
                assert!(is_same_file(&at("x"), &at(same)), "{same}, {exists}");
            }
            assert!(!is_same_file(&at("x"), &at("y")));
        }
        // Folders that do not exist yet.
        assert!(is_same_file(&at("new/b/../x"), &at("new/x")));
        assert!(!is_same_file(&at("new/x"), &at("x")));
        assert!(is_within(&at("a/b/c"), &at("a")) && is_within(&at("a"), &at("a")));
        assert!(!is_within(&at("ab/c"), &at("a")) && !is_within(&at("x"), &at("a")));
    }

    #[cfg(unix)]
    #[test]
    fn links_of_every_kind_lead_to_their_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("a")).expect("made");
        fs::write(at("x"), "").expect("written");
        fs::hard_link(at("x"), at("a/hard")).expect("linked");
        symlink("../x", at("a/soft")).expect("linked");
        symlink("soft", at("a/chain")).expect("linked");
        symlink("a", at("folder")).expect("linked");
        for same in ["a/hard", "a/soft", "a/chain", "folder/soft", "folder/hard"] {
            assert!(is_same_file(&at("x"), &at(same)), "{same}");
        }
        // Links to a file that does not exist, one of them through a link to a folder that does not exist.
        symlink("a/missing", at("dangling")).expect("linked");
        symlink(at("dangling"), at("a/again")).expect("linked");
        symlink("later", at("later_folder")).expect("linked");
        for same in ["a/missing", "dangling", "a/again", "folder/missing", "folder/again"] {
            assert!(is_same_file(&at("a/missing"), &at(same)), "{same}");
        }
        assert!(is_same_file(&at("later/x"), &at("later_folder/x")));
        assert!(is_within(&at("folder/soft"), &at("a")), "the link is in it");
        assert!(is_within(&at("dangling"), &at("a")), "what it points to is in it");
        assert!(!is_same_file(Path::new("/dev/null"), Path::new("/dev/null")), "a device may be used twice");

        symlink("one", at("two")).expect("linked");
        symlink("two", at("one")).expect("linked");
        resolve(&at("one")).expect_err("a loop");
        FileIdentity::of(&at("one")).expect_err("a loop");
    }

    #[test]
    fn a_folder_shows_whether_it_ignores_case() {
        let names = ["1", "Scan.nii", "b"].map(str::to_owned);
        assert_eq!(finds_swapped(&names, |name| name == "sCAN.NII"), Some(true));
        assert_eq!(finds_swapped(&names, |_| false), Some(false));
        assert_eq!(finds_swapped(&["1".to_owned()], |_| true), None);
        let both = ["a", "A"].map(str::to_owned);
        assert_eq!(finds_swapped(&both, |_| true), Some(false), "two files, not one");

        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("Name"), "").expect("written");
        let expected = dir.path().join("nAME").exists();
        assert_eq!(ignores_case(dir.path()), expected);
        assert_eq!(is_same_file(&dir.path().join("new"), &dir.path().join("NEW")), expected);
    }
}
