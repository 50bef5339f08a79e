//! The CT window: the Hounsfield units that are shown as black and as white.

use crate::error::OverlayError;

/// A CT window, in Hounsfield units. The level is grey; half of the width below it is black, half of the width above it
/// is white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    level_hu: f64,
    width_hu: f64,
}

impl Window {
    /// The window with this level (its middle) and this width.
    ///
    /// # Errors
    /// [`OverlayError::Window`] if the level or the width is not finite, or the width is not above 0.
    pub fn new(level_hu: f64, width_hu: f64) -> Result<Self, OverlayError> {
        if level_hu.is_finite() && width_hu.is_finite() && width_hu > 0.0 {
            Ok(Self { level_hu, width_hu })
        } else {
            Err(OverlayError::Window { level_hu, width_hu })
        }
    }

    /// The grey of an intensity, 0 (black) to 1 (white); NaN is black.
    pub(crate) fn grey(self, hu: f32) -> f32 {
        let grey = (f64::from(hu) - self.level_hu) / self.width_hu + 0.5;
        if grey.is_nan() { 0.0 } else { grey.clamp(0.0, 1.0) as f32 }
    }

    /// The window as text, for the picture's title.
    pub(crate) fn describe(self) -> String {
        let (low, high) = (self.level_hu - self.width_hu / 2.0, self.level_hu + self.width_hu / 2.0);
        format!("window {},{} ({low} to {high} HU)", self.level_hu, self.width_hu)
    }
}

impl Default for Window {
    /// Soft tissue: level 40, width 400.
    fn default() -> Self {
        Self { level_hu: 40.0, width_hu: 400.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_black_below_and_white_above() {
        let window = Window::new(40.0, 400.0).expect("a window");
        assert_eq!(window, Window::default());
        let greys = [-1000.0, -160.0, 40.0, 140.0, 240.0, 3000.0, f32::NAN].map(|hu| window.grey(hu));
        assert_eq!(greys, [0.0, 0.0, 0.5, 0.75, 1.0, 1.0, 0.0]);
        assert_eq!(window.describe(), "window 40,400 (-160 to 240 HU)");
    }

    #[test]
    fn windows_without_width_are_refused() {
        for (level, width) in [(40.0, 0.0), (40.0, -1.0), (f64::NAN, 400.0), (0.0, f64::INFINITY)] {
            let error = Window::new(level, width).expect_err("no window").to_string();
            assert!(error.contains("width above 0") && error.contains(&width.to_string()), "{error}");
        }
    }
}
