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

/// The number of different colours of objects.
pub(crate) const COUNT: usize = 64;

/// The colours of objects, as many as a picture can have, those with the most contrast on grey first. All differ: the first
/// eight for people with any kind of colour vision, the others for people with normal colour vision.
///
/// # Source
/// The first seven: Okabe and Ito, "Color Universal Design" (2008), without black. The others: each is the colour of a grid of sRGB
/// values (steps of 15, lightness from 0.5 to 0.93 and chroma from 0.07 in OKLab) that is farthest from all before it in OKLab; the
/// eighth also as it is seen without one kind of cone.
const OBJECTS: [Colour; COUNT] = [
    [230, 159, 0],   // orange
    [86, 180, 233],  // sky blue
    [0, 158, 115],   // bluish green
    [240, 228, 66],  // yellow
    [204, 121, 167], // reddish purple
    [213, 94, 0],    // vermilion
    [0, 114, 178],   // blue
    [135, 255, 240],
    [150, 0, 255],
    [255, 15, 255],
    [255, 195, 255],
    [0, 225, 0],
    [180, 0, 105],
    [30, 60, 255],
    [120, 105, 0],
    [120, 120, 255],
    [255, 15, 105],
    [30, 210, 165],
    [135, 90, 150],
    [240, 135, 255],
    [195, 60, 195],
    [135, 180, 15],
    [255, 195, 150],
    [120, 255, 135],
    [255, 135, 120],
    [195, 15, 0],
    [165, 210, 255],
    [120, 135, 180],
    [105, 75, 210],
    [165, 135, 45],
    [0, 120, 105],
    [180, 210, 135],
    [0, 135, 0],
    [255, 0, 180],
    [195, 165, 225],
    [150, 75, 75],
    [195, 105, 255],
    [150, 30, 180],
    [15, 225, 240],
    [225, 240, 180],
    [0, 150, 255],
    [195, 90, 105],
    [255, 150, 195],
    [135, 165, 120],
    [15, 165, 180],
    [255, 105, 195],
    [255, 45, 0],
    [45, 165, 0],
    [165, 135, 225],
    [165, 210, 0],
    [45, 105, 240],
    [195, 30, 255],
    [105, 0, 255],
    [195, 255, 0],
    [150, 90, 210],
    [210, 135, 90],
    [75, 255, 0],
    [165, 90, 0],
    [60, 240, 195],
    [225, 195, 30],
    [255, 105, 0],
    [225, 75, 150],
    [15, 195, 15],
    [120, 195, 195],
];

/// The colour of the object at this index. After the last colour, they start again.
pub(crate) fn object(index: usize) -> Colour {
    OBJECTS[index % OBJECTS.len()]
}

/// A colour as a pixel.
pub(crate) fn opaque([red, green, blue]: Colour) -> Rgba<u8> {
    Rgba([red, green, blue, 255])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear light of an sRGB colour.
    fn light(colour: Colour) -> [f64; 3] {
        colour.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn times(matrix: [[f64; 3]; 3], [a, b, c]: [f64; 3]) -> [f64; 3] {
        matrix.map(|[x, y, z]| x * a + y * b + z * c)
    }

    /// Lightness and two opponent colours.
    ///
    /// # Source
    /// Ottosson, "A perceptual color space for image processing" (2020).
    fn oklab(light: [f64; 3]) -> [f64; 3] {
        let cones = times(
            [
                [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
            ],
            light,
        );
        times(
            [
                [0.210_454_255_3, 0.793_617_785, -0.004_072_046_8],
                [1.977_998_495_1, -2.428_592_205, 0.450_593_709_9],
                [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766],
            ],
            cones.map(|cone| cone.max(0.0).cbrt()),
        )
    }

    /// How light is seen without the cones for long, middle or short waves.
    ///
    /// # Source
    /// Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency" (2009),
    /// severity 1.
    const WITHOUT: [[[f64; 3]; 3]; 3] = [
        [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]],
        [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]],
        [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]],
    ];

    /// The smallest difference between two of these colours.
    fn nearest(colours: &[[f64; 3]]) -> f64 {
        let differences = colours.iter().enumerate().flat_map(|(index, a)| {
            let others = colours[..index].iter();
            others.map(move |b| (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt())
        });
        differences.fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn every_object_has_a_colour_of_its_own() {
        let seen: Vec<[f64; 3]> = OBJECTS.iter().map(|&colour| oklab(light(colour))).collect();
        // 0.02 is about the smallest difference that is seen side by side.
        assert!(nearest(&seen) > 0.08, "{}", nearest(&seen));
        assert!(nearest(&seen[..8]) > 0.13, "{}", nearest(&seen[..8]));
        for [lightness, a, b] in seen {
            // Neither the background nor greys of the scan, nor the white of the truth.
            assert!((0.45..0.95).contains(&lightness) && a.hypot(b) > 0.06, "{lightness}, {a}, {b}");
        }
    }

    #[test]
    fn the_first_eight_differ_for_every_kind_of_colour_vision() {
        for matrix in WITHOUT {
            let seen =
                OBJECTS[..8].iter().map(|&colour| times(matrix, light(colour)).map(|value| value.clamp(0.0, 1.0)));
            let seen: Vec<[f64; 3]> = seen.map(oklab).collect();
            assert!(nearest(&seen) > 0.07, "{}", nearest(&seen));
        }
        // The test sees what it looks for: red and green of one lightness.
        let seen = [[200, 80, 80], [120, 120, 60]].map(|colour| oklab(times(WITHOUT[1], light(colour))));
        assert!(nearest(&seen) < 0.07, "{}", nearest(&seen));
    }
}
