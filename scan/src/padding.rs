//! Padding that a file states: what a scanner writes outside of its field of view becomes air.

use ndarray::{Array3, ArrayViewMut2, Axis, parallel::prelude::*};

/// Intensities that differ by less than this are equal: rounding of a rescaled number, in Hounsfield units.
const ROUNDING_HU: f32 = 1e-3;

/// Replaces padding by air.
///
/// | value      | meaning                                                             |
/// |------------|---------------------------------------------------------------------|
/// | `image`    | the oriented scan, `[D, H, W]`, Hounsfield units                    |
/// | `slices`   | which of D, H, W is the axis of the scanner's slices                |
/// | `padding`  | the lowest and the highest value of padding, Hounsfield units       |
/// | `air`      | what padding becomes, Hounsfield units                              |
///
/// Padding lies around the field of view. A value of padding may also be one that the body has, such as 0, so only voxels that
/// are connected with the border of their slice by others with such values are padding.
pub(crate) fn replace(image: &mut Array3<f32>, slices: usize, padding: [f32; 2], air: f32) {
    let range = padding[0] - ROUNDING_HU..=padding[1] + ROUNDING_HU;
    let is_padding = |value: f32| range.contains(&value);
    image.axis_iter_mut(Axis(slices)).into_par_iter().for_each(|slice| replace_in(slice, is_padding, air));
}

fn replace_in(mut slice: ArrayViewMut2<'_, f32>, is_padding: impl Fn(f32) -> bool, air: f32) {
    let (height, width) = slice.dim();
    if height == 0 || width == 0 {
        return;
    }
    let mut seen = vec![false; height * width];
    let border = (0..height).flat_map(|h| [(h, 0), (h, width - 1)]);
    let mut open: Vec<(usize, usize)> = border.chain((0..width).flat_map(|w| [(0, w), (height - 1, w)])).collect();
    while let Some((h, w)) = open.pop() {
        if std::mem::replace(&mut seen[h * width + w], true) || !is_padding(slice[[h, w]]) {
            continue;
        }
        slice[[h, w]] = air;
        let neighbours = [(h.wrapping_sub(1), w), (h + 1, w), (h, w.wrapping_sub(1)), (h, w + 1)];
        open.extend(neighbours.into_iter().filter(|&(h, w)| h < height && w < width && !seen[h * width + w]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_what_the_border_leads_to() {
        // A field of view of radius 8 in slices of 20 x 21, with water in its middle.
        let round = |d: usize, h: usize, w: usize, n: usize| {
            let apart = (h as f32 - 10.0).powi(2) + (w as f32 - 10.0).powi(2);
            let in_view = if apart < 16.0 { 0.0 } else { 40.0 + d as f32 };
            if apart > 64.0 { [0.0, -2000.0, 3071.0][n] } else { in_view }
        };
        for (n, padding) in [[0.0, 0.0], [-2000.0, -2000.0], [3000.0, 3071.0]].into_iter().enumerate() {
            for slices in 0..3 {
                let at = |place: (usize, usize, usize)| {
                    let mut place = [place.0, place.1, place.2];
                    let d = place[slices];
                    place.copy_within(0..slices, 1);
                    (d, place[1], place[2])
                };
                let shape = [[3, 20, 21], [20, 3, 21], [20, 21, 3]][slices];
                let mut image = Array3::from_shape_fn(shape, |place| {
                    let (d, h, w) = at(place);
                    round(d, h, w, n)
                });
                let before = image.clone();
                replace(&mut image, slices, padding, -1000.0);
                for (place, &value) in image.indexed_iter() {
                    let (_, h, w) = at(place);
                    let apart = (h as f32 - 10.0).powi(2) + (w as f32 - 10.0).powi(2);
                    let expected = if apart > 64.0 { -1000.0 } else { before[place] };
                    assert_eq!(value, expected, "{padding:?} {slices} {place:?}");
                }
            }
        }
    }

    #[test]
    fn air_may_be_the_padding() {
        let mut image = Array3::from_elem([2, 5, 5], -1000.0);
        image[[0, 2, 2]] = 40.0;
        let before = image.clone();
        replace(&mut image, 0, [-1000.0, -1000.0], -1000.0);
        assert_eq!(image, before);
    }
}
