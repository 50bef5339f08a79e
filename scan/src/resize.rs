//! The three resizing methods of the pipeline, as torch computes them.
//!
//! | function                 | where                                            | torch's `interpolate` mode         |
//! |--------------------------|--------------------------------------------------|------------------------------------|
//! | [`resize_nearest_exact`] | the crop to the zoom-out window                  | `nearest-exact`                    |
//! | [`resize_nearest`]       | zoom-out logits, prompt maps to the crop's shape | `nearest`                          |
//! | [`Trilinear`]            | low-resolution logits to the window              | `trilinear`, `align_corners=False` |
//!
//! Arrays are `[D, H, W]`. Results do not depend on the number of threads.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, ArrayViewMut3};
use rayon::prelude::*;

/// The input index that torch's `nearest` uses for output index `i`, for an axis that is resized from `n_in` to `n_out`.
///
/// # Quirk
/// The scale and the product are float32. At some sizes (from 8 to 82, for example) the product is rounded across an
/// integer, where integer arithmetic gives the neighbouring index.
///
/// # Source
/// pytorch, `aten/src/ATen/native/UpSample.h`, `nearest_neighbor_compute_source_index`.
pub fn nearest_index(i: usize, n_in: usize, n_out: usize) -> usize {
    let scale = n_in as f32 / n_out as f32;
    ((i as f32 * scale).floor() as usize).min(n_in.saturating_sub(1))
}

/// The input index that torch's `nearest-exact` uses for output index `i`, for an axis that is resized from `n_in` to
/// `n_out`.
///
/// # Quirk
/// As for [`nearest_index`], the arithmetic is float32.
///
/// # Source
/// pytorch, `aten/src/ATen/native/UpSample.h`, `nearest_neighbor_exact_compute_source_index`.
pub fn nearest_exact_index(i: usize, n_in: usize, n_out: usize) -> usize {
    let scale = n_in as f32 / n_out as f32;
    (((i as f32 + 0.5) * scale).floor() as usize).min(n_in.saturating_sub(1))
}

/// For every crop voxel along each axis, the voxel of the zoom-out window that `nearest` resizing takes its value from.
/// The indices never decrease.
pub type IndexTables = [Vec<usize>; 3];

/// [`nearest_index`] of every output index.
pub fn nearest_table(n_in: usize, n_out: usize) -> Vec<usize> {
    (0..n_out).map(|i| nearest_index(i, n_in, n_out)).collect()
}

/// [`nearest_exact_index`] of every output index.
pub fn nearest_exact_table(n_in: usize, n_out: usize) -> Vec<usize> {
    (0..n_out).map(|i| nearest_exact_index(i, n_in, n_out)).collect()
}

/// Resizes `[D, H, W]` to `shape_dhw` like torch's `nearest`. An empty input gives zeros.
pub fn resize_nearest<T: Copy + Default + Send + Sync>(input: ArrayView3<'_, T>, shape_dhw: [usize; 3]) -> Array3<T> {
    gather(input, shape_dhw, nearest_table)
}

/// Resizes `[D, H, W]` to `shape_dhw` like torch's `nearest-exact`. An empty input gives zeros.
pub fn resize_nearest_exact<T: Copy + Default + Send + Sync>(
    input: ArrayView3<'_, T>,
    shape_dhw: [usize; 3],
) -> Array3<T> {
    gather(input, shape_dhw, nearest_exact_table)
}

fn gather<T: Copy + Default + Send + Sync>(
    input: ArrayView3<'_, T>,
    shape_dhw: [usize; 3],
    table: fn(usize, usize) -> Vec<usize>,
) -> Array3<T> {
    let [depth, height, width] = shape_dhw;
    let mut output = Array3::default((depth, height, width));
    if input.is_empty() || output.is_empty() {
        return output;
    }
    let (in_depth, in_height, in_width) = input.dim();
    let (from_d, from_h, from_w) = (table(in_depth, depth), table(in_height, height), table(in_width, width));
    slices_mut(&mut output.view_mut(), |d, slice| {
        for (h, &from_row) in from_h.iter().enumerate() {
            let (done, rest) = slice.split_at_mut(h * width);
            let row = &mut rest[..width];
            if h > 0 && from_h[h - 1] == from_row {
                row.copy_from_slice(&done[(h - 1) * width..]); // Enlarging repeats rows.
                continue;
            }
            let source = input.slice(ndarray::s![from_d[d], from_row, ..]);
            match source.as_slice() {
                Some(source) => row.iter_mut().zip(&from_w).for_each(|(value, &w)| *value = source[w]),
                None => row.iter_mut().zip(&from_w).for_each(|(value, &w)| *value = source[w]),
            }
        }
    });
    output
}

/// Calls `fill(d, slice)` for every `[H, W]` slice, in parallel where the array is in standard layout.
fn slices_mut<T: Copy + Send>(output: &mut ArrayViewMut3<'_, T>, fill: impl Fn(usize, &mut [T]) + Sync) {
    let (_, height, width) = output.dim();
    if let Some(flat) = output.as_slice_mut() {
        flat.par_chunks_mut(height * width).enumerate().for_each(|(d, slice)| fill(d, slice));
        return;
    }
    for (d, mut slice) in output.outer_iter_mut().enumerate() {
        let mut flat: Vec<T> = slice.iter().copied().collect();
        fill(d, &mut flat);
        slice.iter_mut().zip(flat).for_each(|(value, new)| *value = new);
    }
}

/// Trilinear interpolation with `align_corners=False` from one shape to another. The weights are computed once.
///
/// # Source
/// pytorch, `aten/src/ATen/native/cpu/UpSampleKernel.cpp`. It interpolates along W first, then H, then D, in float32.
#[derive(Clone, Debug)]
pub struct Trilinear {
    input_dhw: [usize; 3],
    axes: [Vec<Tap>; 3],
}

/// One output index of an axis: two neighbours and their weights.
#[derive(Clone, Copy, Debug)]
struct Tap {
    low: usize,
    high: usize,
    low_weight: f32,
    high_weight: f32,
}

impl Trilinear {
    /// Weights for enlarging (or reducing) `input_dhw` to `output_dhw`.
    pub fn new(input_dhw: [usize; 3], output_dhw: [usize; 3]) -> Self {
        Self { input_dhw, axes: [0, 1, 2].map(|axis| taps(input_dhw[axis], output_dhw[axis])) }
    }

    /// The shape that [`apply`](Self::apply) expects.
    pub fn input_dhw(&self) -> [usize; 3] {
        self.input_dhw
    }

    /// The shape of the result of [`apply`](Self::apply).
    pub fn output_dhw(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.axes[axis].len())
    }

    /// The interpolated array, `[D, H, W]` of [`output_dhw`](Self::output_dhw).
    ///
    /// # Panics
    /// If `input` does not have the shape [`input_dhw`](Self::input_dhw).
    pub fn apply(&self, input: ArrayView3<'_, f32>) -> Array3<f32> {
        let mut output = Array3::zeros(self.output_dhw());
        self.apply_into(input, output.view_mut());
        output
    }

    /// As [`apply`](Self::apply), but writes the result into an existing array.
    ///
    /// # Panics
    /// If `input` does not have the shape [`input_dhw`](Self::input_dhw), or `output` the shape
    /// [`output_dhw`](Self::output_dhw).
    pub fn apply_into(&self, input: ArrayView3<'_, f32>, output: ArrayViewMut3<'_, f32>) {
        assert_eq!(output.shape(), self.output_dhw(), "shape of the output");
        self.fill(input, output, self.output_dhw().map(|n| 0..n));
    }

    /// The voxels of [`apply`](Self::apply) in `ranges` along D, H and W, to the bit. Only these are computed.
    ///
    /// # Panics
    /// If `input` does not have the shape [`input_dhw`](Self::input_dhw), or a range is not within
    /// [`output_dhw`](Self::output_dhw).
    pub fn part(&self, input: ArrayView3<'_, f32>, ranges: [Range<usize>; 3]) -> Array3<f32> {
        let mut output = Array3::zeros([0, 1, 2].map(|axis| ranges[axis].len()));
        self.fill(input, output.view_mut(), ranges);
        output
    }

    fn fill(&self, input: ArrayView3<'_, f32>, mut output: ArrayViewMut3<'_, f32>, ranges: [Range<usize>; 3]) {
        assert_eq!(input.shape(), self.input_dhw, "shape of the input");
        let [depths, heights, widths] = [0, 1, 2].map(|axis| &self.axes[axis][ranges[axis].clone()]);
        if input.is_empty() || output.is_empty() {
            return;
        }
        let (from_depth, from_height) = (sources(depths), sources(heights));
        let width = widths.len();

        // [D_in, H_in, W]: the only gather. It works on the small array.
        let mut wide = vec![0.0_f32; from_depth.len() * from_height.len() * width];
        wide.par_chunks_mut(from_height.len() * width).zip(from_depth.clone()).for_each(|(slice, d)| {
            for (row, h) in slice.chunks_exact_mut(width).zip(from_height.clone()) {
                let source = input.slice(ndarray::s![d, h, ..]);
                let contiguous;
                let source = match source.as_slice() {
                    Some(source) => source,
                    None => {
                        contiguous = source.to_vec();
                        &contiguous
                    }
                };
                for (value, tap) in row.iter_mut().zip(widths) {
                    *value = tap.low_weight * source[tap.low] + tap.high_weight * source[tap.high];
                }
            }
        });

        let row = |d: usize, h: usize| {
            let row = (d - from_depth.start) * from_height.len() + (h - from_height.start);
            &wide[row * width..][..width]
        };
        slices_mut(&mut output, |d, slice| {
            let deep = depths[d];
            for (out, high) in slice.chunks_exact_mut(width).zip(heights) {
                let (a, b) = (row(deep.low, high.low), row(deep.low, high.high));
                if deep.high_weight == 0.0 {
                    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                        *out = high.low_weight * a + high.high_weight * b;
                    }
                    continue;
                }
                let (c, e) = (row(deep.high, high.low), row(deep.high, high.high));
                for ((((out, a), b), c), e) in out.iter_mut().zip(a).zip(b).zip(c).zip(e) {
                    let near = high.low_weight * a + high.high_weight * b;
                    let far = high.low_weight * c + high.high_weight * e;
                    *out = deep.low_weight * near + deep.high_weight * far;
                }
            }
        });
    }
}

/// The input indices that outputs with these `taps` are made of.
fn sources(taps: &[Tap]) -> Range<usize> {
    let low = taps.iter().map(|tap| tap.low).min().unwrap_or(0);
    let high = taps.iter().map(|tap| tap.high + 1).max().unwrap_or(0);
    low..high
}

/// Interpolates `[D, H, W]` to `shape_dhw`. [`Trilinear`] reuses the weights for many arrays of the same shape.
pub fn resize_trilinear(input: ArrayView3<'_, f32>, shape_dhw: [usize; 3]) -> Array3<f32> {
    let (d, h, w) = input.dim();
    Trilinear::new([d, h, w], shape_dhw).apply(input)
}

fn taps(n_in: usize, n_out: usize) -> Vec<Tap> {
    let scale = n_in as f32 / n_out as f32;
    let last = n_in.saturating_sub(1);
    (0..n_out)
        .map(|i| {
            if n_in == n_out {
                return Tap { low: i, high: i, low_weight: 1.0, high_weight: 0.0 };
            }
            let position = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
            let low = (position as usize).min(last);
            let high_weight = (position - low as f32).clamp(0.0, 1.0);
            Tap { low, high: (low + 1).min(last), low_weight: 1.0 - high_weight, high_weight }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn float32_rounding_is_kept_where_integers_differ() {
        for (n_in, n_out) in [(8, 82), (64, 94), (48, 74)] {
            let differs = (0..n_out).any(|i| nearest_index(i, n_in, n_out) != i * n_in / n_out);
            let differs_exact = (0..n_out)
                .any(|i| nearest_exact_index(i, n_in, n_out) != ((2 * i + 1) * n_in / (2 * n_out)).min(n_in - 1));
            assert!(
                differs || differs_exact,
                "{n_in} to {n_out}: integer arithmetic gives the same, so this test checks nothing"
            );
        }
    }

    #[test]
    fn known_tables() {
        assert_eq!(nearest_table(2, 4), [0, 0, 1, 1]);
        assert_eq!(nearest_table(5, 3), [0, 1, 3]);
        assert_eq!(nearest_exact_table(5, 3), [0, 2, 4]);
        assert_eq!(nearest_exact_table(1, 3), [0, 0, 0]);
    }

    #[test]
    fn rows_that_repeat_are_the_rows_that_are_gathered() {
        let input = Array3::from_shape_fn((2, 3, 4), |(d, h, w)| (d * 100 + h * 10 + w) as f32);
        let shape = [5, 7, 3];
        let output = resize_nearest_exact(input.view(), shape);
        let expected = Array3::from_shape_fn(shape, |(d, h, w)| {
            input[[nearest_exact_index(d, 2, 5), nearest_exact_index(h, 3, 7), nearest_exact_index(w, 4, 3)]]
        });
        assert_eq!(output, expected);
        // A view with other strides gives the same result.
        let turned = input.view().permuted_axes([2, 1, 0]).as_standard_layout().into_owned();
        assert_eq!(resize_nearest_exact(turned.view().permuted_axes([2, 1, 0]), shape), expected);
    }

    /// `interpolate(arange(4), size=8, mode="linear", align_corners=False)`.
    #[test]
    fn trilinear_weights_are_torch_s() {
        let line = Array3::from_shape_vec((1, 1, 4), vec![0.0, 1.0, 2.0, 3.0]).expect("shape");
        let output = resize_trilinear(line.view(), [1, 1, 8]);
        assert_eq!(output.as_slice().expect("layout"), [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
        let smaller = resize_trilinear(line.view(), [1, 1, 3]);
        for (found, expected) in smaller.iter().zip([0.166_666_66_f32, 1.5, 2.833_333_5]) {
            assert!((found - expected).abs() < 1e-6, "{smaller:?}");
        }
    }

    proptest! {
        #[test]
        fn trilinear_is_the_direct_formula(
            input_dhw in prop::array::uniform3(1_usize..6),
            output_dhw in prop::array::uniform3(1_usize..13),
        ) {
            let input = Array3::from_shape_fn(input_dhw, |(d, h, w)| ((d * 7 + h * 13 + w * 29) % 31) as f32 - 15.0);
            let output = resize_trilinear(input.view(), output_dhw);
            let at = |axis: usize, i: usize| {
                let scale = input_dhw[axis] as f64 / output_dhw[axis] as f64;
                let position = (scale * (i as f64 + 0.5) - 0.5).clamp(0.0, input_dhw[axis] as f64 - 1.0);
                (position.floor() as usize, (position.floor() as usize + 1).min(input_dhw[axis] - 1), position.fract())
            };
            for ((d, h, w), &found) in output.indexed_iter() {
                let (d, h, w) = (at(0, d), at(1, h), at(2, w));
                let mut expected = 0.0;
                for (i, wi) in [(d.0, 1.0 - d.2), (d.1, d.2)] {
                    for (j, wj) in [(h.0, 1.0 - h.2), (h.1, h.2)] {
                        for (k, wk) in [(w.0, 1.0 - w.2), (w.1, w.2)] {
                            expected += wi * wj * wk * f64::from(input[[i, j, k]]);
                        }
                    }
                }
                prop_assert!((f64::from(found) - expected).abs() < 1e-4, "{found} {expected}");
            }
        }

        #[test]
        fn a_part_has_the_bits_of_the_whole(
            input_dhw in prop::array::uniform3(1_usize..6),
            output_dhw in prop::array::uniform3(1_usize..13),
            ends in prop::array::uniform6(0.0_f64..=1.0),
        ) {
            let input = Array3::from_shape_fn(input_dhw, |(d, h, w)| ((d * 7 + h * 13 + w * 29) % 31) as f32 / 7.0);
            let whole = Trilinear::new(input_dhw, output_dhw);
            let end = |at: usize, axis: usize| (ends[at] * output_dhw[axis] as f64) as usize;
            let ranges = [0, 1, 2].map(|axis| {
                let (a, b) = (end(axis, axis), end(axis + 3, axis));
                a.min(b)..a.max(b)
            });
            let part = whole.part(input.view(), ranges.clone());
            let (whole, [d, h, w]) = (whole.apply(input.view()), ranges);
            prop_assert_eq!(part.view(), whole.slice(ndarray::s![d, h, w]));
        }

        #[test]
        fn enlarging_and_reducing_again_changes_nothing(
            shape in prop::array::uniform3(1_usize..12),
            times in prop::array::uniform3(1_usize..7),
        ) {
            let small = Array3::from_shape_fn(shape, |(d, h, w)| ((d * 12 + h) * 12 + w) as u16);
            let large = resize_nearest(small.view(), [0, 1, 2].map(|axis| shape[axis] * times[axis]));
            prop_assert_eq!(resize_nearest_exact(large.view(), shape), small);
        }

        #[test]
        fn nearest_tables_stay_inside_and_never_go_back(n_in in 1_usize..700, n_out in 1_usize..700) {
            for table in [nearest_table(n_in, n_out), nearest_exact_table(n_in, n_out)] {
                prop_assert!(table.is_sorted());
                prop_assert!(table.iter().all(|&i| i < n_in));
            }
            if n_in == n_out {
                prop_assert_eq!(nearest_table(n_in, n_out), (0..n_in).collect::<Vec<_>>());
            }
        }
    }
}
