//! Colours that people with any kind of colour vision can distinguish.

use image::Rgba;

/// Red, green, blue.
pub(crate) type Colour = [u8; 3];

/// The background.
pub(crate) const GROUND: Colour = [17, 17, 17];
/// Text, and letters on slices.
pub(crate) const TEXT: Colour = [225, 225, 225];
/// Less important text.
pub(crate) const FAINT: Colour = [160, 160, 160];
/// Contours of true masks.
pub(crate) const TRUTH: Colour = [255, 255, 255];
/// The border of lines, which makes them visible on bone.
pub(crate) const HALO: Colour = [0, 0, 0];

/// The colours of objects, those with the most contrast on grey first. After the last colour, they start again.
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

/// The colour of the object at this index.
pub(crate) fn object(index: usize) -> Colour {
    OBJECTS[index % OBJECTS.len()]
}

/// A colour as a pixel.
pub(crate) fn opaque([red, green, blue]: Colour) -> Rgba<u8> {
    Rgba([red, green, blue, 255])
}
