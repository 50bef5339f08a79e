//! From a client's array to a scan.

use segvol::Volume;
use segvol::volume::Affine;
use segvol::volume::AxisCodes;
use serde::Deserialize;

use super::answer::Refusal;
use super::container::Array;

/// What a client says about its array. It may say more, which is not used.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Properties {
    /// Millimetres between voxels along the three axes of the array.
    spacing: Option<[f64; 3]>,
}

impl Properties {
    /// Millimetres between voxels along the three axes of the array: 1 where the client does not say it.
    pub(super) fn spacing_mm(&self) -> Result<[f64; 3], Refusal> {
        let spacing = self.spacing.unwrap_or([1.0; 3]);
        if spacing.iter().all(|&spacing| spacing > 0.0 && spacing.is_finite()) {
            Ok(spacing)
        } else {
            Err(Refusal::new(format!(
                "image_properties: expected three positive numbers as spacing, found {spacing:?}"
            )))
        }
    }
}

/// The voxels along the three axes of an image with one channel.
pub(super) fn shape(shape: &[usize]) -> Result<[usize; 3], Refusal> {
    match *shape {
        [1, a, b, c] => Ok([a, b, c]),
        [channels, _, _, _] => Err(Refusal::new(format!(
            "expected an image with one channel, Hounsfield units; found {channels} channels"
        ))),
        _ => {
            Err(Refusal::new(format!("expected an image with 4 axes (channel, then space), found the shape {shape:?}")))
        }
    }
}

/// The scan in an array, whose axes 0, 1, 2 grow in the directions of `axes`. Its first voxel is at the origin.
///
/// The last axis of the array runs fastest, so it is the first axis (i) of the scan.
pub(super) fn volume(array: &Array, spacing_mm: [f64; 3], axes: AxisCodes) -> Result<Volume, Refusal> {
    let [a, b, c] = shape(array.shape())?;
    let mut rows = [[0.0; 4]; 3];
    for (column, axis) in [2, 1, 0].into_iter().enumerate() {
        let (patient, opposite) = axes.axes()[axis];
        rows[patient][column] = if opposite { -spacing_mm[axis] } else { spacing_mm[axis] };
    }
    Volume::new([c, b, a], array.to_f32(), Affine::new(rows)).map_err(|error| Refusal::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::container::{Element, decode, encode};
    use super::*;

    fn array(shape: &[usize]) -> Array {
        let bytes: Vec<u8> = (0..).take(shape.iter().product()).collect();
        decode(&encode(Element::UInt8, shape, &bytes), 1 << 20).expect("an array")
    }

    #[test]
    fn the_last_axis_of_the_array_is_the_first_of_the_scan() {
        let volume = volume(&array(&[1, 2, 3, 4]), [5.0, 0.5, 0.25], "SPL".parse().expect("axes")).expect("a scan");
        assert_eq!(volume.shape_xyz(), [4, 3, 2]);
        // i grows to the left, j to the back, k to the head.
        let rows = [[-0.25, 0.0, 0.0, 0.0], [0.0, -0.5, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]];
        assert_eq!(volume.grid().affine().rows(), rows);
        assert_eq!(volume.voxels()[..5], [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn other_axes_are_other_columns() {
        let volume = volume(&array(&[1, 2, 3, 4]), [1.0, 2.0, 3.0], "RAS".parse().expect("axes")).expect("a scan");
        let rows = [[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]];
        assert_eq!(volume.grid().affine().rows(), rows);
    }

    #[test]
    fn an_image_has_one_channel_and_a_spacing() {
        let refused = |shape: &[usize]| volume(&array(shape), [1.0; 3], AxisCodes::RAS).expect_err("refused").message;
        assert!(refused(&[2, 3, 3, 3]).contains("2 channels"));
        assert!(refused(&[3, 3, 3]).contains("4 axes"));
        let spacing = |text: &str| serde_json::from_str::<Properties>(text).expect("properties").spacing_mm();
        assert_eq!(spacing("{}").expect("spacing"), [1.0; 3]);
        assert_eq!(spacing(r#"{"spacing":[3,1.5,1.5],"origin":[0,0,0]}"#).expect("spacing"), [3.0, 1.5, 1.5]);
        assert!(spacing(r#"{"spacing":[0,1,1]}"#).is_err());
    }
}
