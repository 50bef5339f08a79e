//! How a scan is shown in pictures, and what they are compared with.

use std::collections::BTreeMap;

use clap::ValueEnum;
use segvol_overlay::{Axis, View, Window};

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

fn parse_window(text: &str) -> Result<Window, String> {
    let numbers = super::segment::parse_numbers(text);
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
