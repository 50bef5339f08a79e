//! How a scan is shown in pictures, and what they are compared with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use segvol::Volume;
use segvol_evaluation::{Case, Found, Kind, Watcher};
use segvol_overlay::{Axis, MAX_OBJECTS, Montage, Object, View, Window};

use crate::text::{file_stem, parse_numbers};

/// How pictures show the scan.
#[derive(clap::Args)]
pub(crate) struct ViewArguments {
    /// CT window of the picture, in HU: its middle and its width
    #[arg(long, value_name = "LEVEL,WIDTH", value_parser = parse_window, default_value = "40,400", allow_hyphen_values = true, help_heading = "Picture")]
    window: Window,
    /// Which way the picture's slices cut the patient
    #[arg(long, value_enum, default_value_t = OverlayAxis::Axial, help_heading = "Picture")]
    overlay_axis: OverlayAxis,
}

#[derive(Clone, Copy, ValueEnum)]
enum OverlayAxis {
    /// Right on the left, front up
    Axial,
    /// Right on the left, head up
    Coronal,
    /// Front on the left, head up
    Sagittal,
}

impl ViewArguments {
    pub(crate) fn view(&self) -> View {
        let axis = match self.overlay_axis {
            OverlayAxis::Axial => Axis::Axial,
            OverlayAxis::Coronal => Axis::Coronal,
            OverlayAxis::Sagittal => Axis::Sagittal,
        };
        View { axis, window: self.window }
    }
}

/// Pictures of an evaluation: one per case and kind of prompt, `CASE.KIND.png`.
pub(crate) struct Pictures {
    dir: PathBuf,
    view: View,
    pending: Mutex<BTreeMap<(String, Kind), Montage>>,
}

impl Pictures {
    pub(crate) fn new(dir: PathBuf, view: View) -> Self {
        Self { dir, view, pending: Mutex::default() }
    }
}

impl Watcher for Pictures {
    fn object(&self, found: &Found<'_>) -> Result<(), String> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let montage = pending
            .entry((found.case.name.clone(), found.kind))
            .or_insert_with(|| Montage::new(found.volume.grid(), self.view));
        let truth = Some((found.truth, found.structure.value));
        let object =
            Object { name: &found.structure.name, mask: (found.zoom_in, 1), marks: &found.marks, truth, note: "" };
        montage.add(object).map_err(|error| format!("pictures (of {MAX_OBJECTS} structures at most): {error}"))
    }

    fn case(&self, case: &Case, volume: &Volume) -> Result<(), String> {
        let mut done = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mine: Vec<_> = done.extract_if(.., |(name, _), _| *name == case.name).collect();
        drop(done);
        for ((name, kind), montage) in mine {
            let path = self.dir.join(format!("{}.{kind}.png", file_stem(&name)));
            let picture = montage.draw(volume).map_err(|error| error.to_string())?;
            picture.save(&path).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn parse_window(text: &str) -> Result<Window, String> {
    let numbers = parse_numbers(text);
    match numbers.as_deref() {
        Some(&[level, width]) => Window::new(level, width).map_err(|error| error.to_string()),
        _ => Err("expected two numbers, level and width, as in 40,400".to_owned()),
    }
}

/// `NAME=LABEL`: an object's name and its value in a label map.
pub(crate) fn parse_label(text: &str) -> Result<(String, u16), String> {
    let named = text.rsplit_once('=').and_then(|(name, label)| Some((name.to_owned(), label.trim().parse().ok()?)));
    match named {
        Some((_, 0)) | None => Err("expected NAME=LABEL with a label from 1 to 65535, as in liver=1".to_owned()),
        Some(named) => Ok(named),
    }
}

/// The labels by name; the name that has two is an error.
pub(crate) fn labels(named: &[(String, u16)]) -> Result<BTreeMap<String, u16>, String> {
    let mut labels = BTreeMap::new();
    for (name, label) in named {
        if labels.insert(name.clone(), *label).is_some_and(|other| other != *label) {
            return Err(name.clone());
        }
    }
    Ok(labels)
}
