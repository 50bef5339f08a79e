//! Colours that people with any colour vision tell apart.

use image::Rgba;

/// Red, green, blue.
pub(crate) type Colour = [u8; 3];

/// Behind everything.
pub(crate) const GROUND: Colour = [17, 17, 17];
/// Text, and letters on slices.
pub(crate) const TEXT: Colour = [225, 225, 225];
/// Text that says less.
pub(crate) const FAINT: Colour = [160, 160, 160];
/// Truth's contours.
pub(crate) const TRUTH: Colour = [255, 255, 255];
/// Around lines, so that they show on bone.
pub(crate) const HALO: Colour = [0, 0, 0];

/// The objects' colours, brightest on grey first; the first object after the last colour has the first again.
///
/// # Source
/// Okabe and Ito, "Color Universal Design" (2008), without black.
const OBJECTS: [Colour; 7] = [
    [230, 159, 0],   // orange
    [86, 180, 233],  // sky blue
    [0, 158, 115],   // bluish green
    [240, 228, 66],  // yellow
    [204, 121, 167], // reddish purple
    [213, 94, 0],    // vermilion
    [0, 114, 178],   // blue
];

/// The colour of an object, by its place.
pub(crate) fn object(index: usize) -> Colour {
    OBJECTS[index % OBJECTS.len()]
}

/// A colour as a pixel.
pub(crate) fn opaque([red, green, blue]: Colour) -> Rgba<u8> {
    Rgba([red, green, blue, 255])
}
