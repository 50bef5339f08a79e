//! Options of pictures.

use clap::ValueEnum;
use segvol_overlay::{Axis, View, Window};

use crate::text::parse_numbers;

/// How pictures show the scan.
#[derive(clap::Args)]
pub(crate) struct ViewArguments {
    /// CT window of the picture, in HU: centre and width
    #[arg(long, value_name = "LEVEL,WIDTH", value_parser = parse_window, default_value = "40,400", allow_hyphen_values = true, help_heading = "Picture")]
    window: Window,
    /// Direction of the picture's slices
    #[arg(long, value_enum, default_value_t = OverlayAxis::Axial, help_heading = "Picture")]
    overlay_axis: OverlayAxis,
}

#[derive(Clone, Copy, ValueEnum)]
enum OverlayAxis {
    /// The patient's right on the left, front up
    Axial,
    /// The patient's right on the left, head up
    Coronal,
    /// The patient's front on the left, head up
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
    match parse_numbers(text).as_deref() {
        Some(&[level, width]) => Window::new(level, width).map_err(|error| error.to_string()),
        _ => Err("expected two numbers, level and width, for example 40,400".to_owned()),
    }
}
