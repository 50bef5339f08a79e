//! Where ONNX Runtime's library is looked for. The order is the same in every command, in a Rust program and in C:
//!
//! 1. what the caller names: a file, or a folder that has the library;
//! 2. what the environment variable `ORT_DYLIB_PATH` names, in the same way;
//! 3. the folder of the shared library that this code is in, such as `libsegvol.so` (only on Linux);
//! 4. the folder of the running program, and `../lib` if that folder is called `bin`;
//! 5. `$SEGVOL_HOME/onnxruntime/FLAVOUR/`; if the variable is not set, the same in the user's data folder;
//! 6. `.onnxruntime/FLAVOUR/` in the working folder (only on Linux, and only if nobody else can have put it there);
//! 7. where the system's dynamic loader looks.
//!
//! A path that is named is used, or it is an error. Of the other places, the first that has a library is used. Of the
//! flavours, the one with the requested provider comes first, then `cpu`, `openvino` and `gpu`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The name of the library file that the operating system's dynamic loader searches for.
pub const LIBRARY_NAME: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// What the names of libraries with a version in their name begin and end with, such as `libonnxruntime.so.1.32.0`.
const VERSIONED: (&str, &str) = if cfg!(target_os = "windows") {
    ("onnxruntime.1", ".dll")
} else if cfg!(target_os = "macos") {
    ("libonnxruntime.1", ".dylib")
} else {
    ("libonnxruntime.so.1", "")
};

/// The names that the system's dynamic loader is asked for, in this order.
pub const LOADER_NAMES: &[&str] =
    if cfg!(target_os = "linux") { &[LIBRARY_NAME, "libonnxruntime.so.1"] } else { &[LIBRARY_NAME] };

/// The environment variable that names the library, or its folder, if the caller names none.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The environment variable that names the folder for what is installed for segvol, instead of the user's data folder.
pub const HOME_VARIABLE: &str = "SEGVOL_HOME";

/// The folder, below the working folder, with a folder per flavour.
pub const FETCHED_FOLDER: &str = ".onnxruntime";

/// The folder, below the one for what is installed for segvol, with a folder per flavour.
const INSTALLED: &str = "onnxruntime";

/// Builds of ONNX Runtime with different providers. Each has a folder of its own.
pub const FLAVOURS: [&str; 3] = ["cpu", "openvino", "gpu"];

/// [`Place::name`] of the path that the caller named.
pub const REQUESTED: &str = "requested";

/// [`Place::name`] of the system's dynamic loader.
pub const LOADER: &str = "the system's loader";

/// A place where the library is looked for, and what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What the place is: `requested`, a name of a variable, or a description in words.
    pub name: String,
    /// The file or folder; `None` if there is none, such as that of a variable that is not set, or of the loader.
    pub path: Option<PathBuf>,
    /// The library there; `None` if there is none. For the system's loader, the name that it is asked for.
    pub library: Option<PathBuf>,
    /// Why a library there is not used, or why a named path has none; `None` if there is nothing to say.
    pub problem: Option<String>,
}

impl Place {
    /// Whether a caller or a variable names the place, so that no other one may be used.
    fn is_named(&self) -> bool {
        self.path.is_some() && (self.name == REQUESTED || self.name == LIBRARY_VARIABLE)
    }

    fn folder(name: &str, folder: PathBuf) -> Self {
        let (library, problem) = match in_folder(&folder) {
            Ok(library) => (library, None),
            Err(problem) => (None, Some(problem)),
        };
        Self { name: name.to_owned(), path: Some(folder), library, problem }
    }

    /// A path that a caller or a variable names.
    fn named(name: &str, path: Option<PathBuf>) -> Self {
        let name = name.to_owned();
        let Some(path) = path else { return Self { name, path: None, library: None, problem: None } };
        let path = std::path::absolute(&path).unwrap_or(path);
        if path.is_dir() {
            let mut place = Self::folder(&name, path);
            if place.library.is_none() && place.problem.is_none() {
                place.problem = Some(format!("there is no {LIBRARY_NAME} in this folder"));
            }
            return place;
        }
        let library = path.is_file().then(|| path.clone());
        let problem = library.is_none().then(|| "there is no such file".to_owned());
        Self { name, path: Some(path), library, problem }
    }

    /// The place in words, with what is there.
    #[must_use]
    pub fn describe(&self) -> String {
        match (&self.path, &self.problem) {
            (Some(path), Some(problem)) => format!("{} (`{}`: {problem})", self.name, path.display()),
            (Some(path), None) => format!("{} (`{}`)", self.name, path.display()),
            (None, _) if self.name == LOADER => self.name.clone(),
            (None, _) => format!("{} (not set)", self.name),
        }
    }
}

/// Every place, in the order of the search. `asked` is the path that the caller names; `preferred` are the flavours that come before
/// the others.
#[must_use]
pub fn places(asked: Option<&Path>, preferred: &[&'static str]) -> Vec<Place> {
    let mut places = vec![
        Place::named(REQUESTED, asked.map(Path::to_owned)),
        Place::named(LIBRARY_VARIABLE, variable(LIBRARY_VARIABLE)),
    ];
    let program = std::env::current_exe().ok();
    let of = |file: &Option<PathBuf>| file.as_deref().and_then(Path::parent).map(Path::to_owned);
    let library = this_library().filter(|library| Some(library) != program.as_ref());
    places.extend(of(&library).map(|folder| Place::folder("beside the library", folder)));
    if let Some(folder) = of(&program) {
        let beside_bin = folder.parent().filter(|_| folder.ends_with("bin")).map(|above| above.join("lib"));
        places.push(Place::folder("beside the program", folder));
        places.extend(beside_bin.map(|folder| Place::folder("lib beside the program's bin", folder)));
    }
    places.extend(flavour_places(&in_order(preferred)));
    let loader = Some(PathBuf::from(LIBRARY_NAME));
    places.push(Place { name: LOADER.to_owned(), path: None, library: loader, problem: None });
    places
}

/// The place that is used: the first that a caller or a variable names, else the first that has a library.
///
/// # Panics
///
/// Never, for the places of [`places`]: the system's loader is always one of them.
#[must_use]
pub fn chosen(places: &[Place]) -> &Place {
    let named = places.iter().find(|place| place.is_named());
    let found = || places.iter().find(|place| place.library.is_some());
    named.or_else(found).expect("the system's loader is a place with a name to load")
}

/// The library of a flavour, where [`places`] looks for flavours; `None` if there is none.
#[must_use]
pub fn of_flavour(flavour: &'static str) -> Option<PathBuf> {
    flavour_places(&[flavour]).into_iter().find_map(|place| place.library)
}

/// The places of the given flavours: in the folder for what is installed, then in the working folder.
fn flavour_places(flavours: &[&'static str]) -> Vec<Place> {
    let mut places = Vec::new();
    if let Some((name, home)) = home() {
        places.extend(flavours.iter().map(|flavour| Place::folder(name, home.join(INSTALLED).join(flavour))));
    }
    if let Ok(fetched) = std::path::absolute(FETCHED_FOLDER) {
        places.extend(flavours.iter().map(|flavour| in_working_folder(&fetched, flavour)));
    }
    places
}

/// The preferred flavours, then the others.
fn in_order(preferred: &[&'static str]) -> Vec<&'static str> {
    let mut flavours: Vec<&str> = Vec::new();
    for flavour in preferred.iter().copied().chain(FLAVOURS) {
        if !flavours.contains(&flavour) {
            flavours.push(flavour);
        }
    }
    flavours
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder for what is installed for segvol, with its name: that of the variable, else the user's data folder. `None` if the
/// user has no home folder.
fn home() -> Option<(&'static str, PathBuf)> {
    if let Some(folder) = variable(HOME_VARIABLE) {
        return Some((HOME_VARIABLE, std::path::absolute(&folder).unwrap_or(folder)));
    }
    let data = if cfg!(target_os = "windows") {
        variable("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        std::env::home_dir()?.join("Library/Application Support")
    } else {
        // A path that is not absolute must be ignored: XDG Base Directory Specification, "Basics".
        let home = || Some(std::env::home_dir()?.join(".local/share"));
        variable("XDG_DATA_HOME").filter(|folder| folder.is_absolute()).or_else(home)?
    };
    data.is_absolute().then(|| ("the user's data folder", data.join("segvol")))
}

/// The folder in which a library of this flavour is installed for this user; `None` if the user has no home folder.
#[must_use]
pub fn installed_folder(flavour: &str) -> Option<PathBuf> {
    user_folder(INSTALLED).map(|folder| folder.join(flavour))
}

/// A folder for what segvol keeps for this user: NAME in the folder of the variable [`HOME_VARIABLE`], else in `segvol` in the user's
/// data folder. `None` if the user has no home folder.
#[must_use]
pub fn user_folder(name: &str) -> Option<PathBuf> {
    home().map(|(_, home)| home.join(name))
}

/// The library in a folder: the file with the plain name, else the only one with a version in its name, as in PyPI's wheels.
///
/// # Errors
///
/// The names, if there are several different ones.
fn in_folder(folder: &Path) -> Result<Option<PathBuf>, String> {
    let plain = folder.join(LIBRARY_NAME);
    if plain.is_file() {
        return Ok(Some(plain));
    }
    // Links to one file are one library. The map keeps the shortest name of each.
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !(name.starts_with(VERSIONED.0) && name.ends_with(VERSIONED.1) && entry.path().is_file()) {
            continue;
        }
        let kept = files.entry(entry.path().canonicalize().unwrap_or_else(|_| entry.path())).or_insert(name.clone());
        if name.len() < kept.len() {
            *kept = name;
        }
    }
    if files.len() > 1 {
        let names: Vec<String> = files.into_values().collect();
        return Err(format!("expected one library, found {}; name one of them", names.join(", ")));
    }
    Ok(files.into_values().next().map(|name| folder.join(name)))
}

/// The shared library, or the program, that this code is in; `None` if the system does not say.
///
/// Linux lists what is mapped, with absolute paths. `dladdr` would not do: for a program it gives the first argument, which
/// may be a bare name.
fn this_library() -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let here = this_library as fn() -> Option<PathBuf> as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| mapped_at(line, here)).map(PathBuf::from)
}

/// The file of a line of `/proc/self/maps`, if its addresses include `address`: `start-end permissions offset device inode path`.
fn mapped_at(line: &str, address: usize) -> Option<&str> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let [start, end] = [start, end].map(|number| usize::from_str_radix(number, 16).ok());
    if !(start?..end?).contains(&address) {
        return None;
    }
    Some(&line[line.find('/')?..])
}

/// A flavour's folder in the working folder, which may be a stranger's: loading a library runs its code.
fn in_working_folder(fetched: &Path, flavour: &str) -> Place {
    let mut place = Place::folder("the working folder", fetched.join(flavour));
    if let Some(library) = &place.library
        && let Err(problem) = only_ours(&[fetched, &fetched.join(flavour), library])
    {
        (place.library, place.problem) = (None, Some(problem));
    }
    place
}

/// Checks that no other user, except the system's administrator, can have made or can replace the files: each, and what it
/// links to, with the folder of that, belongs to this user or root, and is not writable by others.
#[cfg(target_os = "linux")]
fn only_ours(files: &[&Path]) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let user = std::fs::metadata("/proc/self").map_err(|error| format!("/proc/self: {error}"))?.uid();
    let check = |path: &Path, found: std::io::Result<std::fs::Metadata>| {
        let path = path.display();
        let found = found.map_err(|error| format!("{path}: {error}"))?;
        if found.uid() != user && found.uid() != 0 {
            return Err(format!("not used, because `{path}` belongs to another user"));
        }
        // The group of a user that has the user's own number has no other member.
        let others = if found.gid() == user { 0o002 } else { 0o022 };
        if !found.is_symlink() && found.mode() & others != 0 {
            return Err(format!("not used, because other users may write to `{path}`"));
        }
        Ok(())
    };
    for path in files {
        check(path, path.symlink_metadata())?;
        let target = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        check(&target, target.metadata())?;
        // Whoever can write to the folder can replace the file. The working folder itself may be shared: what another user
        // puts there belongs to that user.
        if let Some(folder) = target.parent().filter(|_| target.is_file()) {
            check(folder, folder.metadata())?;
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn only_ours(_: &[&Path]) -> Result<(), String> {
    Err("not used: on this system, a library in the working folder must be named".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, path: Option<&str>, library: Option<&str>) -> Place {
        Place { name: name.to_owned(), path: path.map(Into::into), library: library.map(Into::into), problem: None }
    }

    #[test]
    fn a_named_place_is_chosen_even_if_nothing_is_there() {
        let loader = place(LOADER, None, Some(LIBRARY_NAME));
        let beside = place("beside the program", Some("/bin"), Some("/bin/libonnxruntime.so"));
        let unset = place(LIBRARY_VARIABLE, None, None);
        let order = [unset.clone(), beside.clone(), loader.clone()];
        assert_eq!(chosen(&order), &beside);
        let named = place(LIBRARY_VARIABLE, Some("/nowhere"), None);
        assert_eq!(chosen(&[named.clone(), beside, loader.clone()]), &named);
        assert_eq!(chosen(&[unset, place("beside the program", Some("/bin"), None), loader.clone()]), &loader);
    }

    #[test]
    fn preferred_flavours_come_first_and_once() {
        assert_eq!(in_order(&[]), FLAVOURS);
        assert_eq!(in_order(&["gpu", "gpu", "openvino"]), ["gpu", "openvino", "cpu"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_has_the_plain_name_or_the_only_one_with_a_version() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str| std::fs::write(dir.path().join(name), "").expect("written");
        let found = || {
            in_folder(dir.path())
                .map(|found| found.map(|path| path.strip_prefix(dir.path()).expect("in it").to_owned()))
        };
        assert_eq!(found(), Ok(None));
        file("libonnxruntime_providers_shared.so");
        assert_eq!(found(), Ok(None));
        file("libonnxruntime.so.1.32.0");
        assert_eq!(found(), Ok(Some("libonnxruntime.so.1.32.0".into())));
        std::os::unix::fs::symlink("libonnxruntime.so.1.32.0", dir.path().join("libonnxruntime.so.1")).expect("linked");
        assert_eq!(found(), Ok(Some("libonnxruntime.so.1".into())), "a link to the same file");
        file("libonnxruntime.so.1.24.1");
        let several = found().expect_err("two libraries");
        assert!(several.contains("found libonnxruntime.so.1.24.1, libonnxruntime.so.1;"), "{several}");
        file("libonnxruntime.so");
        assert_eq!(found(), Ok(Some("libonnxruntime.so".into())));
        let place = Place::named(REQUESTED, Some(dir.path().join("empty")));
        assert_eq!(place.problem.as_deref(), Some("there is no such file"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_others_may_write_to_is_not_ours() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let [fetched, flavour] = [dir.path().join(FETCHED_FOLDER), dir.path().join(FETCHED_FOLDER).join("cpu")];
        std::fs::create_dir_all(&flavour).expect("made");
        let library = flavour.join(LIBRARY_NAME);
        std::fs::write(&library, "").expect("written");
        let set = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
        for path in [&fetched, &flavour, &library] {
            set(path, 0o755);
        }
        assert_eq!(in_working_folder(&fetched, "cpu").library.as_deref(), Some(&*library));
        for path in [&fetched, &flavour, &library] {
            set(path, 0o757);
            let place = in_working_folder(&fetched, "cpu");
            assert_eq!(place.library, None);
            assert!(place.problem.is_some_and(|problem| problem.contains("other users may write")));
            set(path, 0o755);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_file_of_this_code_is_found() {
        assert_eq!(this_library(), std::env::current_exe().ok());
        let line = "7f0e1000-7f0e3000 r-xp 00001000 08:01 42    /opt/a b/libsegvol.so.0.1.0";
        assert_eq!(mapped_at(line, 0x7f0e_2fff), Some("/opt/a b/libsegvol.so.0.1.0"));
        assert_eq!(mapped_at(line, 0x7f0e_3000), None);
        assert_eq!(mapped_at("7f0e1000-7f0e3000 rw-p 00000000 00:00 0", 0x7f0e_1000), None);
    }
}
