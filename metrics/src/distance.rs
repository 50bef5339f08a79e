//! Exact Euclidean distances on a grid with a different step along each axis.

use ndarray::{Array3, ArrayViewMut1, Axis, Zip};

/// The squared distance from every voxel to the nearest site.
///
/// | value   | shape       | unit                                             |
/// |---------|-------------|--------------------------------------------------|
/// | `sites` | `[D, H, W]` | true for a site                                  |
/// | `steps` | `[3]`       | length between neighbours along D, H, W          |
/// | result  | `[D, H, W]` | square of that length; infinity without any site |
///
/// # Source
/// Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", Theory of Computing 8 (2012), 415–428.
/// It computes the lower envelope of one parabola per voxel, along one axis after the other.
pub(super) fn squared_distances(sites: &Array3<bool>, steps: [f64; 3]) -> Array3<f32> {
    let mut distances = sites.map(|&site| if site { 0.0 } else { f32::INFINITY });
    for (axis, step) in steps.into_iter().enumerate() {
        Zip::from(distances.lanes_mut(Axis(axis))).par_for_each(|line| along_line(line, step));
    }
    distances
}

/// Replaces every value of a line, at index `here`, by the minimum of `value[at] + (step * (here - at))^2` over all
/// indices `at`.
fn along_line(mut line: ArrayViewMut1<'_, f32>, step: f64) {
    /// One parabola of the envelope: the position and the height of its vertex, and the position from which on it is
    /// the lowest.
    struct Parabola {
        at: f64,
        height: f64,
        from: f64,
    }
    let mut envelope: Vec<Parabola> = Vec::new();
    for (index, &height) in line.iter().enumerate().filter(|(_, height)| height.is_finite()) {
        let (at, height) = (step * index as f64, f64::from(height));
        let mut from = f64::NEG_INFINITY;
        while let Some(last) = envelope.last() {
            // To the left of `from` the last parabola is lower, to the right the new one.
            from = (last.at + at + (height - last.height) / (at - last.at)) / 2.0;
            if from > last.from {
                break;
            }
            envelope.pop();
            from = f64::NEG_INFINITY;
        }
        envelope.push(Parabola { at, height, from });
    }
    let mut lowest = envelope.iter().peekable();
    let Some(mut current) = lowest.next() else { return };
    for (index, value) in line.iter_mut().enumerate() {
        let here = step * index as f64;
        while let Some(next) = lowest.next_if(|next| next.from < here) {
            current = next;
        }
        let away = here - current.at;
        *value = (current.height + away * away) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same distances, by comparing every voxel with every site.
    fn by_brute_force(sites: &Array3<bool>, steps: [f64; 3]) -> Array3<f32> {
        let places: Vec<_> = sites.indexed_iter().filter(|&(_, &site)| site).map(|(place, _)| place).collect();
        Array3::from_shape_fn(sites.dim(), |(d, h, w)| {
            let distance = |&(a, b, c): &(usize, usize, usize)| {
                let away = [d.abs_diff(a), h.abs_diff(b), w.abs_diff(c)];
                (0..3).map(|axis| (steps[axis] * away[axis] as f64).powi(2)).sum::<f64>()
            };
            places.iter().map(distance).fold(f64::INFINITY, f64::min) as f32
        })
    }

    /// Sites at about one voxel in `rarity`, from a fixed pseudo-random sequence.
    fn scattered(shape: [usize; 3], rarity: u32) -> Array3<bool> {
        let mut state = 1_u32;
        Array3::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16).is_multiple_of(rarity)
        })
    }

    #[test]
    fn every_voxel_has_the_distance_of_its_nearest_site() {
        for (shape, rarity) in [([7, 9, 11], 5), ([7, 9, 11], 200), ([1, 1, 40], 13), ([13, 1, 6], 7), ([1, 1, 1], 1)] {
            for steps in [[1.0, 1.0, 1.0], [5.0, 0.7, 0.9], [0.3, 2.0, 11.0]] {
                let sites = scattered(shape, rarity);
                let (found, expected) = (squared_distances(&sites, steps), by_brute_force(&sites, steps));
                for (place, &expected) in expected.indexed_iter() {
                    let found = found[place];
                    let near = (found - expected).abs() <= 1e-6 * expected;
                    assert!(near || found == expected, "{shape:?}, {steps:?}, {place:?}: {found}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn without_a_site_every_distance_is_infinite() {
        let none = Array3::from_elem([2, 3, 4], false);
        assert!(squared_distances(&none, [1.0; 3]).iter().all(|distance| *distance == f32::INFINITY));
    }
}
