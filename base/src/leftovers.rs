//! Files that an operating system leaves in a folder beside what people put there.

use std::path::Path;

/// Whether a file is none of the user's: hidden (`.DS_Store`, and `._NAME`, in which macOS keeps attributes of NAME), or one of
/// those that Windows makes (`Thumbs.db`, `desktop.ini`).
///
/// A folder's listing leaves such files out. A file that the user names is never left out.
#[must_use]
pub fn is_leftover(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    let name = name.to_string_lossy().to_lowercase();
    name.starts_with('.') || ["thumbs.db", "ehthumbs.db", "desktop.ini"].contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_systems_leave_is_a_leftover() {
        for name in ["._a.nii.gz", ".DS_Store", "Thumbs.db", "DESKTOP.INI", ".hidden.nii"] {
            assert!(is_leftover(&Path::new("scans").join(name)), "{name}");
        }
        for path in ["scans/a.nii.gz", ".hidden/a.nii", "scans/_a.nii", "scans/thumbs.db.nii", "..", "/"] {
            assert!(!is_leftover(Path::new(path)), "{path}");
        }
    }
}
