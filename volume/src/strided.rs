//! Reads a buffer as an array of three axes with any strides.

use rayon::prelude::*;

/// A view of a buffer as an array of three axes with any strides.
pub(crate) struct Strided<'a, T> {
    source: &'a [T],
    shape: [usize; 3],
    strides: [isize; 3],
    offset: isize,
}

impl<'a, T: Copy + Send + Sync> Strided<'a, T> {
    /// A view with this `shape`, and `strides` elements between neighbours along each axis. A flipped axis is read from
    /// its end.
    pub(crate) fn new(source: &'a [T], shape: [usize; 3], mut strides: [isize; 3], flipped: [bool; 3]) -> Self {
        let mut offset = 0;
        for axis in 0..3 {
            if flipped[axis] {
                offset += (shape[axis] as isize - 1) * strides[axis];
                strides[axis] = -strides[axis];
            }
        }
        Self { source, shape, strides, offset }
    }

    /// A view whose element `[0, 0, 0]` is `source[offset]`.
    ///
    /// The stride of an axis of length 1 is ignored, so it can have any value.
    pub(crate) fn at(source: &'a [T], shape: [usize; 3], strides: [isize; 3], offset: usize) -> Self {
        let strides = [0, 1, 2].map(|axis| if shape[axis] == 1 { 0 } else { strides[axis] });
        Self { source, shape, strides, offset: offset as isize }
    }

    fn index(&self, a: usize, b: usize, c: usize) -> usize {
        let [sa, sb, sc] = self.strides;
        (self.offset + a as isize * sa + b as isize * sb + c as isize * sc) as usize
    }

    /// Converts the elements with `convert` and writes them to `out` in row-major order, in parallel.
    ///
    /// If the neighbours in a row are far apart in memory, the array is copied in small cubes, so that every cache line
    /// is read only once.
    pub(crate) fn copy_into<U: Send>(&self, out: &mut [U], convert: impl Fn(T) -> U + Sync) {
        const CUBE: usize = 16;
        let [_, rows, width] = self.shape;
        let plane = rows * width;
        let step = self.strides[2];
        if step.abs() == 1 {
            out.par_chunks_mut(plane).enumerate().for_each(|(a, out)| {
                for (b, out) in out.chunks_exact_mut(width).enumerate() {
                    if step == 1 {
                        let source = &self.source[self.index(a, b, 0)..][..width];
                        out.iter_mut().zip(source).for_each(|(out, &value)| *out = convert(value));
                    } else {
                        let source = &self.source[self.index(a, b, width - 1)..][..width];
                        out.iter_mut().zip(source.iter().rev()).for_each(|(out, &value)| *out = convert(value));
                    }
                }
            });
            return;
        }
        out.par_chunks_mut(CUBE * plane).enumerate().for_each(|(slab, out)| {
            for b0 in (0..rows).step_by(CUBE) {
                for c0 in (0..width).step_by(CUBE) {
                    let (b1, c1) = ((b0 + CUBE).min(rows), (c0 + CUBE).min(width));
                    for (a, out) in out.chunks_exact_mut(plane).enumerate() {
                        for b in b0..b1 {
                            let mut from = self.index(slab * CUBE + a, b, c0) as isize;
                            for out in &mut out[b * width + c0..b * width + c1] {
                                *out = convert(self.source[from as usize]);
                                from += step;
                            }
                        }
                    }
                }
            }
        });
    }
}
