//! Which files a command reads and writes. An output never replaces an input, and two outputs never share a file: this is
//! checked before any work, whatever the paths look like.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use segvol::probe;
use segvol_base::file_identity::{self, FileIdentity};
use segvol_base::{Warning, atomic_file, printable_path};
use segvol_onnx::Manifest;
use segvol_onnx::manifest::MANIFEST_FILE;

use crate::exit::Usage;

/// The files of a command: each with the option that names it.
#[derive(Default)]
pub(crate) struct Files(Vec<Entry>);

struct Entry {
    /// The option, and what the file is to it.
    option: String,
    path: PathBuf,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A file that is read.
    Input,
    /// A folder with DICOM images that are read.
    Images,
    /// A file that is written, in a folder that must exist.
    Output,
    /// A file to which lines are added, in a folder that must exist.
    Appended,
    /// A folder to which files are added; it is made if it does not exist.
    Folder,
    /// A file in such a folder.
    InFolder,
    /// A folder that is replaced with everything in it.
    Replaced,
    /// A folder with files that can be computed again; it is made if it does not exist, and need not be writable.
    Cache,
}

impl Files {
    /// A file that is read. Of a header, this includes the files with its voxels; of a folder, or one slice in it, the images of
    /// DICOM. Other files may be written there, segmentations of the scan too.
    pub(crate) fn input(&mut self, option: impl Into<String>, path: &Path) {
        let option = option.into();
        match path.parent() {
            _ if path.is_dir() => self.add(option.clone(), path, Role::Images),
            Some(folder) if crate::segment_files::is_image(path) => {
                let here = folder.as_os_str().is_empty();
                self.add(option.clone(), if here { Path::new(".") } else { folder }, Role::Images);
            }
            _ => {}
        }
        for file in segvol::volume::files_of(path) {
            self.add(option.clone(), &file, Role::Input);
        }
    }

    /// A file that is read, if the option is given.
    pub(crate) fn input_if(&mut self, option: &str, path: Option<&PathBuf>) {
        if let Some(path) = path {
            self.input(option, path);
        }
    }

    /// The files of a bundle, as its manifest lists them; only the manifest if it cannot be read.
    pub(crate) fn bundle(&mut self, option: &str, dir: &Path) {
        let option = format!("{option} (a file of the bundle)");
        self.input(&option, &dir.join(MANIFEST_FILE));
        if let Ok(manifest) = Manifest::read(dir) {
            for file in manifest.files() {
                self.input(&option, &dir.join(&file.name));
            }
        }
    }

    /// A file that is written.
    pub(crate) fn output(&mut self, option: impl Into<String>, path: &Path) {
        self.add(option, path, Role::Output);
    }

    /// A file that is written, if the option is given.
    pub(crate) fn output_if(&mut self, option: &str, path: Option<&PathBuf>) {
        if let Some(path) = path {
            self.output(option, path);
        }
    }

    /// A file to which lines are added.
    pub(crate) fn appended(&mut self, option: impl Into<String>, path: &Path) {
        self.add(option, path, Role::Appended);
    }

    /// A folder to which `files` are written; it is made if it does not exist.
    pub(crate) fn folder(&mut self, option: &str, dir: &Path, files: impl IntoIterator<Item = PathBuf>) {
        self.add(option, dir, Role::Folder);
        for file in files {
            self.add(option, &file, Role::InFolder);
        }
    }

    /// A folder that is replaced with everything in it.
    pub(crate) fn replaced(&mut self, option: &str, dir: &Path) {
        self.add(option, dir, Role::Replaced);
    }

    /// A folder with files that can be computed again, if the option is given. It is no folder of a bundle.
    pub(crate) fn cache_if(&mut self, option: &str, dir: Option<&PathBuf>) {
        if let Some(dir) = dir {
            self.add(option, dir, Role::Cache);
        }
    }

    fn add(&mut self, option: impl Into<String>, path: &Path, role: Role) {
        self.0.push(Entry { option: option.into(), path: path.to_owned(), role });
    }

    /// Refuses what would replace an input, or the same output twice, or cannot be written. Returns warnings about outputs that are
    /// written in place.
    pub(crate) fn check(&self) -> Result<Vec<Warning>, Usage> {
        let outputs = || self.0.iter().filter(|entry| !matches!(entry.role, Role::Input | Role::Images));
        for entry in outputs() {
            not_standard_output(&entry.option, &entry.path)?;
        }
        let mut known: BTreeMap<FileIdentity, String> = BTreeMap::new();
        if let Some(identity) = standard_output() {
            known.insert(identity, "standard output".to_owned());
        }
        // The library that is loaded if no option names another.
        let places = probe::places(None, &[]);
        let used = probe::chosen(&places);
        let library = used.library.clone().filter(|_| used.path.is_some());
        let library = library.map(|path| Entry { option: used.name.clone(), path, role: Role::Input });
        for entry in self.0.iter().filter(|entry| entry.role == Role::Input).chain(&library) {
            if let Ok(Some(identity)) = FileIdentity::of(&entry.path) {
                known.entry(identity).or_insert_with(|| entry.other());
            }
        }
        for entry in outputs() {
            let identity = FileIdentity::of(&entry.path).map_err(|error| entry.refused(&error))?;
            let Some(identity) = identity else { continue }; // A device, such as /dev/null.
            if let Some(other) = known.get(&identity) {
                let other = other.strip_suffix(&format!(" `{}`", printable_path(&entry.path))).unwrap_or(other);
                let kind = if entry.path.is_dir() { "folder" } else { "file" };
                let message = format!("{}: is the same {kind} as {other}; choose another name", entry.other());
                return Err(Usage(message));
            }
            known.insert(identity, entry.other());
        }
        let mut warnings = Vec::new();
        for entry in outputs() {
            self.check_images(entry)?;
            self.check_contents(entry)?;
            warnings.extend(entry.check_writable()?);
        }
        Ok(warnings)
    }

    /// Refuses to replace an image of a scan.
    fn check_images(&self, entry: &Entry) -> Result<(), Usage> {
        let folders = self.0.iter().filter(|other| other.role == Role::Images);
        for folder in folders.filter(|folder| file_identity::is_within(&entry.path, &folder.path)) {
            if entry.path.is_file() && crate::segment_files::is_image(&entry.path) {
                let message = "is a DICOM image in the folder of";
                return Err(Usage(format!("{}: {message} {}; choose another name", entry.other(), folder.other())));
            }
        }
        Ok(())
    }

    /// Refuses a folder whose replacement would delete an input, and a folder inside a file that is yet to be written.
    fn check_contents(&self, entry: &Entry) -> Result<(), Usage> {
        let is_role = |role: Role| self.0.iter().filter(move |other| other.role == role);
        match entry.role {
            Role::Replaced => {
                match is_role(Role::Input).find(|input| file_identity::is_within(&input.path, &entry.path)) {
                    Some(input) => {
                        let message = "which would be deleted; choose another folder";
                        Err(Usage(format!("{}: contains {}, {message}", entry.other(), input.other())))
                    }
                    None => Ok(()),
                }
            }
            Role::Folder | Role::Cache => {
                let bundles = is_role(Role::Input).filter(|input| input.path.ends_with(MANIFEST_FILE));
                let inside = |bundle: &&Entry| {
                    bundle.path.parent().is_some_and(|folder| file_identity::is_within(&entry.path, folder))
                };
                if let Some(bundle) = bundles.filter(|_| entry.role == Role::Cache).find(inside) {
                    let message = "which is read only; choose another folder";
                    return Err(Usage(format!("{}: is in the folder of {}, {message}", entry.other(), bundle.other())));
                }
                let folder = file_identity::resolve(&entry.path).map_err(|error| entry.refused(&error))?;
                let above = |output: &&Entry| {
                    file_identity::resolve(&output.path).is_ok_and(|output| folder.starts_with(output))
                };
                match is_role(Role::Output).chain(is_role(Role::Appended)).find(above) {
                    Some(output) => {
                        let message = "which is a file; choose another folder";
                        Err(Usage(format!("{}: is inside {}, {message}", entry.other(), output.other())))
                    }
                    None => Ok(()),
                }
            }
            Role::Input | Role::Images | Role::Output | Role::Appended | Role::InFolder => Ok(()),
        }
    }
}

impl Entry {
    /// The option with its path.
    fn other(&self) -> String {
        format!("{} `{}`", self.option, printable_path(&self.path))
    }

    fn refused(&self, error: &io::Error) -> Usage {
        Usage(format!("{}: {error}", self.other()))
    }

    /// Refuses an output that the operating system would refuse after the work.
    fn check_writable(&self) -> Result<Option<Warning>, Usage> {
        let checked = match self.role {
            Role::Output | Role::Appended => {
                check_folder_of(&self.path).map_err(|error| self.refused(&error))?;
                let warning = atomic_file::check(&self.path);
                // Lines are always added in place.
                if self.role == Role::Appended { warning.map(|_| None) } else { warning }
            }
            Role::InFolder if self.path.symlink_metadata().is_ok() => atomic_file::check(&self.path),
            Role::Cache if self.path.is_dir() => Ok(None),
            Role::Folder | Role::Cache => check_new_folder(&self.path, |folder| Some(folder)).map(|()| None),
            // A new bundle is made beside the old one, or in its folder.
            Role::Replaced => segvol_base::check_folder_replaceable(&self.path).and_then(|warning| match warning {
                None => check_new_folder(&self.path, Path::parent).map(|()| None),
                in_place => Ok(in_place),
            }),
            Role::Input | Role::Images | Role::InFolder => Ok(None),
        };
        checked.map_err(|error| self.refused(&error))
    }
}

/// A folder that does not exist, in the user's words: `atomic_file` knows only the whole path.
fn check_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) if !parent.exists() => {
            Err(io::Error::other(format!("the folder `{}` does not exist", parent.display())))
        }
        _ => Ok(()),
    }
}

/// Checks whether a folder can be made, or files in it: `first` is the folder that must exist or be made.
fn check_new_folder(path: &Path, first: impl Fn(&Path) -> Option<&Path>) -> io::Result<()> {
    let path = file_identity::resolve(path)?;
    let existing = first(&path).into_iter().flat_map(Path::ancestors).find(|ancestor| ancestor.exists());
    match existing {
        Some(existing) if existing.is_dir() => atomic_file::check_folder(existing),
        Some(existing) => Err(io::Error::other(format!("expected a folder, but `{}` is a file", existing.display()))),
        None => Ok(()),
    }
}

/// Whether an output goes to standard output.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

/// Refuses standard output for an output that cannot go there.
pub(crate) fn not_standard_output(option: &str, path: &Path) -> Result<(), Usage> {
    if is_standard_output(path) {
        let message = "cannot go to standard output; name a file (`./-` is a file called `-`)";
        return Err(Usage(format!("{option} `{}`: {message}", path.display())));
    }
    Ok(())
}

/// The file that standard output was redirected to; `None` for a terminal or a pipe.
fn standard_output() -> Option<FileIdentity> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        let copy = io::stdout().as_fd().try_clone_to_owned().ok()?;
        FileIdentity::of_open(&std::fs::File::from(copy).metadata().ok()?)
    }
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[track_caller]
    fn refused(files: &Files, parts: &[&str]) {
        let Usage(message) = files.check().expect_err("a conflict");
        for part in parts {
            assert!(message.contains(part), "no {part:?} in: {message}");
        }
    }

    #[test]
    fn every_pair_with_an_output_is_compared() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "").expect("written");
        for name in ["a", "new"] {
            let mut files = Files::default();
            files.input("--input", &at(name));
            files.input("--truth", &at(name));
            files.check().expect("an input may be used twice");
            files.output("--output", &at("other"));
            files.check().expect("different files");
            files.output("--report", &at(name));
            refused(&files, &["--report `", "is the same file as --input; choose another name"]);

            let mut files = Files::default();
            files.output("--output", &at(name));
            files.output("--logits", &at(&format!("./{name}")));
            refused(&files, &["--logits `", "is the same file as --output `"]);
        }
        let mut files = Files::default();
        files.output("--output", Path::new("/dev/null"));
        files.output("--report", Path::new("/dev/null"));
        files.check().expect("a device may be used twice");
    }

    #[test]
    fn files_in_a_folder_are_compared_too() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        let mut files = Files::default();
        files.input("--input", &at("new/liver.nii"));
        files.folder("--per-object", &at("new"), [at("new/spleen.nii"), at("new/liver.nii")]);
        refused(&files, &["--per-object `", "new/liver.nii`", "--input"]);

        // A name that is a file and a folder.
        let mut files = Files::default();
        files.output("--output", &at("a.nii"));
        files.folder("--per-object", &at("a.nii/b"), []);
        refused(&files, &["--per-object", "is inside --output `"]);
        let mut files = Files::default();
        files.output("--output", &at("a.nii"));
        files.folder("--per-object", &at("a.nii"), []);
        refused(&files, &["--per-object", "--output"]);

        fs::write(at("file"), "").expect("written");
        let mut files = Files::default();
        files.folder("--per-object", &at("file"), []);
        refused(&files, &["--per-object", "expected a folder"]);
        let mut files = Files::default();
        files.output("--output", folder.path());
        refused(&files, &["--output", "is a folder"]);
    }

    #[cfg(feature = "dicom")]
    #[test]
    fn an_image_of_the_scan_is_not_replaced_but_its_folder_takes_other_files() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("scan")).expect("made");
        fs::write(at("scan/IM1"), [&[0; 128][..], b"DICM"].concat()).expect("written");
        // A data set without a preamble: group length and version.
        fs::write(at("scan/bare"), b"\x08\0\0\0UL\x04\0\x10\0\0\0\x08\0\x05\0CS\x0a\0ISO_IR 100").expect("written");
        fs::write(at("scan/notes.txt"), "text").expect("written");
        for scan in ["scan", "scan/IM1"] {
            let files = |output: &str| {
                let mut files = Files::default();
                files.input("--input", &at(scan));
                files.output("--report", &at(output));
                files
            };
            for name in ["scan/new.dcm", "scan/notes.txt", "other"] {
                files(name).check().expect(name);
            }
            for name in ["scan/IM1", "scan/../scan/IM1", "scan/bare"] {
                let Usage(message) = files(name).check().expect_err(name);
                assert!(message.contains("--report") && message.contains("--input"), "{message}");
            }
        }
        let mut files = Files::default();
        files.input("--input", &at("scan"));
        files.folder("--per-object", &at("masks"), [at("scan/IM1")]);
        refused(&files, &["--per-object", "is a DICOM image in the folder of --input"]);
    }

    #[test]
    fn a_cache_is_a_folder_of_its_own_outside_of_bundles() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("bundle")).expect("made");
        fs::write(at("bundle").join(MANIFEST_FILE), "").expect("written");
        fs::write(at("ct.nii"), "").expect("written");
        let files = |cache: &str| {
            let mut files = Files::default();
            files.input("--input", &at("ct.nii"));
            files.bundle("--model", &at("bundle"));
            files.output("--output", &at("liver.nii"));
            files.folder("--per-object", &at("masks"), [at("masks/liver.nii.gz")]);
            files.cache_if("--embeddings", Some(&at(cache)));
            files
        };
        for name in ["new", "new/deep", "masks/embeddings", "."] {
            assert_eq!(files(name).check().expect("allowed"), vec![], "{name}");
        }
        assert!(!at("new").exists(), "a check makes nothing");
        for name in ["bundle", "bundle/", "bundle/new/deep", "./bundle/../bundle/new"] {
            refused(&files(name), &["--embeddings `", "is in the folder of --model (a file of the bundle)"]);
        }
        refused(&files("masks"), &["--embeddings `", "is the same", "--per-object"]);
        refused(&files("ct.nii"), &["--embeddings `", "is the same file as --input"]);
        refused(&files("ct.nii/new"), &["--embeddings `"]);
        refused(&files("liver.nii/new"), &["--embeddings `", "is inside --output"]);
        fs::write(at("file"), "").expect("written");
        refused(&files("file"), &["--embeddings `", "expected a folder"]);
    }

    #[test]
    fn a_folder_is_not_replaced_if_an_input_is_in_it() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("bundle")).expect("made");
        fs::write(at("bundle/tokenizer.json"), "").expect("written");
        let mut files = Files::default();
        files.input("the checkpoint", &at("model.pth"));
        files.replaced("--output", &at("bundle"));
        files.check().expect("nothing of it is read");
        files.input("--tokenizer", &at("bundle/tokenizer.json"));
        refused(&files, &["--output", "contains --tokenizer", "deleted"]);
        let mut files = Files::default();
        files.input("the checkpoint", &at("model.pth"));
        files.replaced("--output", &at("model.pth"));
        refused(&files, &["--output", "the checkpoint"]);
    }

    #[test]
    fn standard_output_is_not_a_file() {
        let mut files = Files::default();
        files.output("--output", Path::new("-"));
        refused(&files, &["--output `-`", "standard output"]);
        assert!(is_standard_output(Path::new("-")) && !is_standard_output(Path::new("./-")));
    }
}
