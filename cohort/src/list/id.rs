//! Ids of scans.

use std::path::{Component, Path};

use segvol::volume::format::scan_stem;

use super::scan::Ids;

/// The longest part of an id, in bytes: names of files have 255, and outputs add to them.
const MAX_PART: usize = 200;

/// The id of a scan that was found in the folder `base`.
pub(super) fn id_of(path: &Path, base: &Path, ids: Ids) -> String {
    let name = stem(path);
    match (ids, path.parent().and_then(|parent| parent.strip_prefix(base).ok())) {
        (Ids::Path, Some(folders)) => {
            let folders = folders.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
            folders.chain([name]).collect::<Vec<_>>().join("/")
        }
        _ => name,
    }
}

/// The name of a file without the extension of a scan, or of a folder.
pub(super) fn stem(path: &Path) -> String {
    let name = || path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.is_dir() {
        // A folder that is given as `.` has no name of its own.
        let absolute = || std::path::absolute(path).ok()?.file_name().map(|name| name.to_string_lossy().into_owned());
        return Some(name()).filter(|name| !name.is_empty()).or_else(absolute).unwrap_or_default();
    }
    let zip = |name: &str| name.len() > 4 && name.to_ascii_lowercase().ends_with(".zip");
    scan_stem(path).filter(|stem| !stem.is_empty()).unwrap_or_else(|| {
        let name = name();
        if zip(&name) || name.to_ascii_lowercase().ends_with(".dcm") { name[..name.len() - 4].to_owned() } else { name }
    })
}

/// Why an id cannot be part of the names of files; `None` if it can.
pub(super) fn problem_of(id: &str) -> Option<String> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.len() <= MAX_PART
            && !part.starts_with('.')
            && !part.starts_with('-')
            && part.trim() == part
            && !part.chars().any(|c| c.is_control() || "\\:*?\"<>|".contains(c))
            && Path::new(part).components().all(|component| matches!(component, Component::Normal(_)))
    };
    let plain = id.split('/').all(is_plain);
    (!plain).then(|| format!("the id {id:?} cannot name files: give another one in a list"))
}
