//! Writing a file in place, where a rename cannot replace it: a file that a container mounts, or one in a folder that takes no new
//! files.
//!
//! The new content is first written whole to a temporary file without a name. Only then is the file touched:
//!
//! 1. Space is reserved. If there is too little, the old content stays.
//! 2. The old content is copied to another temporary file, if there is room for it.
//! 3. The beginning of the file is filled with zeros, so that nobody takes what follows for a whole file.
//! 4. The rest is written and synced, then the beginning. After an error, the old content is written back.
//!
//! So a program that is killed in the middle leaves a file that begins with zeros, which is no picture, scan or text.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::file_identity::parent;
use crate::temporaries;

/// How many bytes at the beginning of a file are written last.
const HEAD: u64 = 4096;

/// A temporary file without a name: nothing is left of it when it is closed.
pub(crate) struct Spool {
    file: File,
    /// Its folder; `None` if it is in memory.
    folder: Option<PathBuf>,
}

impl Spool {
    /// A file in the folder of `path` if that takes new files, else in the system's temporary folder, else (on Linux) in memory.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let mut failure = None;
        for folder in [parent(path).to_owned(), std::env::temp_dir()] {
            match tempfile::tempfile_in(&folder) {
                Ok(file) => return Ok(Self { file, folder: Some(folder) }),
                Err(error) => failure = Some((folder, error)),
            }
        }
        if let Some(file) = in_memory() {
            return Ok(Self { file, folder: None });
        }
        let (folder, error) = failure.expect("two folders were tried");
        let message = format!("no temporary file can be made in `{}`: {error}", folder.display());
        Err(io::Error::new(error.kind(), message))
    }

    /// Lets `fill` write the file. An error about space names the folder, which may be on another disk than the output.
    pub(crate) fn fill(&self, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        fill(&self.file).map_err(|error| match &self.folder {
            Some(folder) if error.kind() == io::ErrorKind::StorageFull => {
                let message = format!("the temporary file in `{}`: {error}", folder.display());
                io::Error::new(error.kind(), message)
            }
            _ => error,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

#[cfg(target_os = "linux")]
fn in_memory() -> Option<File> {
    rustix::fs::memfd_create("segvol", rustix::fs::MemfdFlags::CLOEXEC).ok().map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn in_memory() -> Option<File> {
    None
}

/// Copies `new` over the file at `path`, which exists.
///
/// # Errors
/// An [`io::Error`] that says what has become of the old content.
pub(crate) fn copy(new: &File, path: &Path) -> io::Result<()> {
    copy_by(overwrite, new, path)
}

fn copy_by(overwrite_by: fn(&File, &File) -> io::Result<()>, new: &File, path: &Path) -> io::Result<()> {
    let readable = OpenOptions::new().read(true).write(true).open(path);
    let is_readable = readable.is_ok();
    let file = readable.or_else(|_| OpenOptions::new().write(true).open(path))?;
    let (old, length) = (file.metadata()?.len(), new.metadata()?.len());
    if let Err(error) = reserve(&file, old, length) {
        let message =
            format!("written in place, but there is no space for {length} bytes; the old content is unchanged");
        return Err(io::Error::new(error.kind(), format!("{message}: {error}")));
    }
    let backup = if is_readable { backup(&file, path) } else { None };
    // In one step for a program that is interrupted: it ends when this is done.
    temporaries::commit(|| {
        let Err(error) = overwrite_by(new, &file) else { return Ok(()) };
        let restored = backup.as_ref().map(|backup| overwrite(backup.file(), &file));
        let outcome = match restored {
            Some(Ok(())) => "its old content has been restored".to_owned(),
            Some(Err(error)) => format!("its old content could not be restored, the file is incomplete: {error}"),
            None => "its old content is lost, the file is incomplete".to_owned(),
        };
        Err(io::Error::new(error.kind(), format!("writing in place failed: {error}; {outcome}")))
    })
}

/// A copy of a file's content; `None` if there is no room for it, or it cannot be read.
fn backup(mut file: &File, path: &Path) -> Option<Spool> {
    let spool = Spool::new(path).ok()?;
    io::copy(&mut file, &mut spool.file()).ok()?;
    Some(spool)
}

/// Reserves space for `length` bytes in a file of `old` bytes, whose content and length stay.
fn reserve(file: &File, old: u64, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    match allocate(file, length) {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            // What was reserved before the space ran out is given back.
            let _ = file.set_len(old);
            Err(error)
        }
        Ok(()) => Ok(()),
        // The file system cannot reserve anything. What it has may do.
        Err(_) => match available(file) {
            Some(available) if available < length.saturating_sub(old) => {
                Err(io::Error::new(io::ErrorKind::StorageFull, "No space left on device"))
            }
            _ => Ok(()),
        },
    }
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    Ok(fallocate(file, FallocateFlags::KEEP_SIZE, 0, length)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Free bytes on the file's disk.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn available(file: &File) -> Option<u64> {
    let found = rustix::fs::fstatvfs(file).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn available(_: &File) -> Option<u64> {
    None
}

/// Writes the content of `new` over that of `file`, the beginning last.
fn overwrite(mut new: &File, mut file: &File) -> io::Result<()> {
    let (old, length) = (file.metadata()?.len(), new.metadata()?.len());
    file.rewind()?;
    file.write_all(&[0; HEAD as usize][..old.max(length).min(HEAD) as usize])?;
    file.set_len(length)?;
    file.sync_data()?;
    let head = length.min(HEAD);
    new.seek(SeekFrom::Start(head))?;
    file.seek(SeekFrom::Start(head))?;
    io::copy(&mut new, &mut file)?;
    file.sync_all()?;
    let mut beginning = Vec::new();
    new.rewind()?;
    new.take(head).read_to_end(&mut beginning)?;
    file.rewind()?;
    file.write_all(&beginning)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize, seed: u8) -> Vec<u8> {
        (0..length).map(|n| (n % 251) as u8 ^ seed | 1).collect()
    }

    fn spool(path: &Path, content: &[u8]) -> Spool {
        let spool = Spool::new(path).expect("a temporary file");
        spool.fill(|mut file| file.write_all(content)).expect("written");
        spool
    }

    #[test]
    fn a_file_of_any_length_replaces_one_of_any_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mask.nii");
        for old in [0, 1, 4096, 100_000] {
            for new in [0, 1, 4095, 4096, 4097, 50_000, 200_000] {
                std::fs::write(&path, content(old, 2)).expect("written");
                let contents = content(new, 0);
                copy(spool(&path, &contents).file(), &path).expect("copied");
                assert!(std::fs::read(&path).expect("read") == contents, "{old} to {new}");
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn an_error_in_the_middle_restores_the_old_content_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mask.nii");
        let failing = |_: &File, mut file: &File| {
            file.rewind()?;
            file.write_all(&[0; 5000])?;
            file.set_len(6000)?;
            Err(io::Error::other("Input/output error"))
        };
        for old in [0, 100, 10_000] {
            std::fs::write(&path, content(old, 2)).expect("written");
            let error = copy_by(failing, spool(&path, &content(7000, 0)).file(), &path).expect_err("a failure");
            let message = error.to_string();
            assert!(message.contains("Input/output error; its old content has been restored"), "{message}");
            assert!(std::fs::read(&path).expect("read") == content(old, 2), "{old}");
        }
    }

    /// What a program that is killed in the middle leaves.
    #[test]
    fn half_a_file_begins_with_zeros() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mask.nii");
        std::fs::write(&path, content(10_000, 2)).expect("written");
        // `new` cannot be read, so the copy ends when the beginning has been cleared.
        let unreadable = OpenOptions::new().append(true).open(&path).expect("opened");
        let file = OpenOptions::new().write(true).open(&path).expect("opened");
        overwrite(&unreadable, &file).expect_err("it cannot be read");
        let left = std::fs::read(&path).expect("read");
        assert!(left.len() == 10_000 && left[..4096].iter().all(|&byte| byte == 0));
    }
}
