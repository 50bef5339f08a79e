//! nnU-Net's layout, and that of the Medical Segmentation Decathlon from which it comes.
//!
//! ```text
//! dataset.json             "labels": {"background": 0, "liver": 1}, or {"0": "background", "1": "liver"}
//! imagesTr/X_0000.nii.gz   channel 0 of the scan X; X.nii.gz in the Decathlon
//! labelsTr/X.nii.gz
//! imagesTs/  labelsTs/     the same for the test split, often without label maps
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol::{Warning, WarningCode};
use segvol_base::json::{At, Document, JsonError};

use super::entries::{file_name, image_files, read_text, some};
use super::layout::{Data, Split, scans};
use super::names::read_names;
use super::{Advice, Case, CaseListError, Structure};

const DATASET: &str = "dataset.json";

/// The label whose voxels nnU-Net leaves out of training and of its scores.
const IGNORE: &str = "ignore";

fn folders(split: Split) -> [&'static str; 2] {
    match split {
        Split::Train => ["imagesTr", "labelsTr"],
        Split::Test => ["imagesTs", "labelsTs"],
    }
}

/// Whether a folder has nnU-Net's folders of scans.
pub(super) fn is_there(folder: &Path) -> bool {
    [Split::Train, Split::Test].into_iter().any(|split| folder.join(folders(split)[0]).is_dir())
}

/// The cases of a data set. A scan without a label map, and a label map without a scan, are cases that fail.
pub(super) fn read(folder: &Path, split: Option<Split>, names: Option<&Path>) -> Result<Data, CaseListError> {
    let has = |split: &Split| folders(*split).iter().all(|name| folder.join(name).is_dir());
    let chosen = match (split, [Split::Train, Split::Test].into_iter().filter(has).collect::<Vec<_>>().as_slice()) {
        (Some(split), _) => split,
        (None, [one]) => *one,
        (None, []) => {
            let reason = "expected the folders imagesTr and labelsTr, or imagesTs and labelsTs";
            return Err(CaseListError::new(folder, format!("{reason}; one of each pair is missing")));
        }
        (None, _) => {
            let reason = "two splits with label maps, imagesTr with labelsTr and imagesTs with labelsTs: expected one";
            return Err(CaseListError::new(folder, reason).advising(Advice::Split));
        }
    };
    let description = folder.join(DATASET);
    let mut warnings = Vec::new();
    let structures = match names {
        Some(names) => read_names(names)?,
        None if !description.is_file() => {
            let reason = format!("no {DATASET}, which says what the values of the label maps mean");
            return Err(CaseListError::new(folder, reason).advising(Advice::Names));
        }
        None => without_ignored(read_names(&description)?, &mut warnings),
    };
    if description.is_file() {
        check_description(&description)?;
    }
    let [images, labels] = folders(chosen).map(|name| folder.join(name));
    let scans_of = channel_0(&images)?;
    let maps = image_files(&labels)?;
    let names: std::collections::BTreeSet<&String> = scans_of.keys().chain(maps.keys()).collect();
    let case = |name: &String| Case {
        name: name.clone(),
        image: scans_of.get(name).cloned().unwrap_or_else(|| images.join(format!("{name}_0000.nii.gz"))),
        labels: Some(maps.get(name).cloned().unwrap_or_else(|| labels.join(format!("{name}.nii.gz")))),
        structures: Arc::clone(&structures),
    };
    let cases: Vec<Case> = names.into_iter().map(case).collect();
    let other = if chosen == Split::Train { Split::Test } else { Split::Train };
    let [other_images, other_labels] = folders(other).map(|name| folder.join(name));
    if split.is_none() && other_images.is_dir() && !other_labels.is_dir() {
        let count = image_files(&other_images)?.len();
        let [images, labels] = [&other_images, &other_labels].map(|path| file_name(path));
        let message = format!("the {} of {images} are not used: there is no {labels}", scans(count));
        if count > 0 {
            warnings.push(Warning::new(WarningCode::DataUnused, message));
        }
    }
    let [images, labels] = folders(chosen);
    let description = format!("{} of nnU-Net's layout, {images} with {labels}", scans(cases.len()));
    Ok(Data { warnings, ..Data::new(description, cases) })
}

/// The structures without nnU-Net's ignored label.
fn without_ignored(all: Arc<[Structure]>, warnings: &mut Vec<Warning>) -> Arc<[Structure]> {
    let Some(ignored) = all.iter().find(|structure| structure.name == IGNORE) else { return all };
    let message = format!(
        "the data set's label {IGNORE:?} ({}) is no structure; its voxels count as background, where nnU-Net leaves them out",
        ignored.value
    );
    warnings.push(Warning::new(WarningCode::DataUnused, message));
    all.iter().filter(|structure| structure.name != IGNORE).cloned().collect()
}

/// The scans by the names of their cases: their files have the channel's number, or none of them has.
fn channel_0(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CaseListError> {
    let files = image_files(folder)?;
    let refused = |reason: String| Err(CaseListError::new(folder, reason).advising(Advice::List));
    let (mut numbered, mut plain, mut others) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (stem, path) in files {
        match stem.rsplit_once('_').filter(|(_, n)| n.len() == 4 && n.bytes().all(|byte| byte.is_ascii_digit())) {
            Some((name, "0000")) => drop(numbered.insert(name.to_owned(), path)),
            Some(_) => others.push(file_name(&path)),
            None => drop(plain.insert(stem, path)),
        }
    }
    if !others.is_empty() {
        let files = some(others.iter().map(String::as_str));
        return refused(format!("expected one channel, a CT, whose files end in _0000; found other channels: {files}"));
    }
    if numbered.is_empty() || plain.is_empty() {
        return Ok(if numbered.is_empty() { plain } else { numbered });
    }
    let [a, b] = [&plain, &numbered]
        .map(|files| some(files.values().map(|path| file_name(path)).collect::<Vec<_>>().iter().map(String::as_str)));
    refused(format!("expected names that end in _0000, the number of the channel; {a} do not, and {b} do"))
}

/// Refuses a data set that cannot be one CT for each case.
fn check_description(path: &Path) -> Result<(), CaseListError> {
    const CHANNELS: &str = "one channel, a CT, as in {\"0\": \"CT\"}";
    let text = read_text(path)?;
    let check = |document: Document<'_>| -> Result<(), JsonError> {
        let root = document.root();
        let fields: Vec<(&str, At<'_>)> = root.entries("an object")?.collect();
        for (name, value) in &fields {
            match *name {
                "channel_names" | "modality" if value.entries(CHANNELS)?.len() != 1 => {
                    return Err(value.refuse(CHANNELS));
                }
                "file_ending" => {
                    const ENDING: &str =
                        "the ending of scans, \".nii.gz\", \".nii\", \".nrrd\", \".nhdr\", \".mha\" or \".mhd\"";
                    if !segvol::volume::format::SCAN_EXTENSIONS.contains(&value.text(ENDING)?) {
                        return Err(value.refuse(ENDING));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    };
    Document::parse(&text).and_then(check).map_err(|error| CaseListError::new(path, error.to_string()))
}
