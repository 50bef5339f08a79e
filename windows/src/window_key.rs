//! A window of either pass.

use crate::frame::Frame;

/// A window of either pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowKey {
    /// The whole crop, resized to one window.
    ZoomOut,
    /// A window at full resolution.
    ZoomIn(Frame),
}

impl WindowKey {
    /// Whether it is the zoom-out window.
    #[must_use]
    pub fn is_zoom_out(&self) -> bool {
        *self == Self::ZoomOut
    }

    /// Whether it is a window of this size in a crop of this shape.
    #[must_use]
    pub fn fits(&self, crop: [usize; 3], window: [usize; 3]) -> bool {
        match self {
            Self::ZoomOut => true,
            Self::ZoomIn(frame) => frame.fits(crop, window),
        }
    }

    /// The first voxel of the crop in the window, `(d, h, w)`; negative if the window begins with zeros, because the crop is smaller.
    #[must_use]
    pub fn start_dhw(&self) -> [isize; 3] {
        match self {
            Self::ZoomOut => [0; 3],
            Self::ZoomIn(frame) => frame.start,
        }
    }

    /// The voxels of a crop that the window spans along each axis, `(d, h, w)`, with its zeros: the crop's shape for the zoom-out
    /// window, the model's window for any other.
    #[must_use]
    pub fn size_dhw(&self, crop: [usize; 3], window: [usize; 3]) -> [usize; 3] {
        if self.is_zoom_out() { crop } else { window }
    }

    /// The voxels of a crop that the window shows, per axis from the first to one past the last. The rest of the window is 0.
    #[must_use]
    pub fn shown_dhw(&self, crop: [usize; 3]) -> [(usize, usize); 3] {
        match self {
            Self::ZoomOut => crop.map(|n| (0, n)),
            Self::ZoomIn(frame) => frame.visible,
        }
    }
}
