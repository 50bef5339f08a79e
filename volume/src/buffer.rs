//! Volumes from voxels in the caller's memory.

use crate::affine::Affine;
use crate::grid::check_shape;
use crate::strided::Strided;
use crate::volume::{Volume, VolumeError};

/// Voxels of the element types that are common in medical images.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // The names say it.
pub enum Elements<'a> {
    U8(&'a [u8]),
    I16(&'a [i16]),
    U16(&'a [u16]),
    I32(&'a [i32]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

/// A scan in memory, with any order of axes.
///
/// Voxel `(i, j, k)` is element `offset + i * strides[0] + j * strides[1] + k * strides[2]`. Its intensity in
/// Hounsfield units is `slope * element + intercept`.
///
/// # Example
///
/// ```
/// use segvol_volume::{Affine, Buffer, Elements, Volume};
///
/// let voxels = vec![-1000_i16; 4 * 5 * 6]; // k fastest: NumPy's C order of an array [i, j, k]
/// let buffer = Buffer { strides: [30, 6, 1], ..Buffer::packed(Elements::I16(&voxels), [4, 5, 6]) };
/// let volume = Volume::from_buffer(&buffer, Affine::from_spacing([0.8, 0.8, 2.5]))?;
/// # Ok::<(), segvol_volume::VolumeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Buffer<'a> {
    /// The memory.
    pub elements: Elements<'a>,
    /// Voxels along i, j, k.
    pub shape_xyz: [usize; 3],
    /// The number of elements from one voxel to the next along i, j, k; may be negative.
    pub strides: [isize; 3],
    /// The element of voxel `(0, 0, 0)`.
    pub offset: usize,
    /// Hounsfield units per unit of an element.
    pub slope: f64,
    /// Hounsfield units of an element that is 0.
    pub intercept: f64,
}

impl Elements<'_> {
    fn len(&self) -> usize {
        match self {
            Self::U8(elements) => elements.len(),
            Self::I16(elements) => elements.len(),
            Self::U16(elements) => elements.len(),
            Self::I32(elements) => elements.len(),
            Self::F32(elements) => elements.len(),
            Self::F64(elements) => elements.len(),
        }
    }
}

impl<'a> Buffer<'a> {
    /// A buffer without gaps, i fastest, then j, k, whose elements are Hounsfield units.
    #[must_use]
    pub fn packed(elements: Elements<'a>, shape_xyz: [usize; 3]) -> Self {
        let strides = packed_strides(shape_xyz);
        Self { elements, shape_xyz, strides, offset: 0, slope: 1.0, intercept: 0.0 }
    }

    /// The first and the last element that are read, relative to that of voxel `(0, 0, 0)`. The first is negative if a
    /// stride is.
    ///
    /// # Errors
    /// [`VolumeError::Shape`] if an axis has no voxels or there are too many in total; [`VolumeError::Strides`] if the
    /// stride of an axis with more than one voxel is 0, or the span overflows.
    pub fn span(shape_xyz: [usize; 3], strides: [isize; 3]) -> Result<(isize, isize), VolumeError> {
        check_shape(shape_xyz)?;
        let bad = |reason| VolumeError::Strides { strides, reason };
        let (mut first, mut last) = (0_isize, 0_isize);
        for axis in 0..3 {
            if shape_xyz[axis] == 1 {
                continue;
            }
            if strides[axis] == 0 {
                return Err(bad("a stride other than 0 along every axis of more than one voxel"));
            }
            let steps = isize::try_from(shape_xyz[axis] - 1).ok();
            let reach = steps.and_then(|steps| steps.checked_mul(strides[axis]));
            let end = if strides[axis] < 0 { &mut first } else { &mut last };
            *end = reach.and_then(|reach| end.checked_add(reach)).ok_or_else(|| bad("a span that fits in memory"))?;
        }
        Ok((first, last))
    }

    /// The voxels as float32 Hounsfield units, i fastest.
    fn voxels(&self) -> Result<Vec<f32>, VolumeError> {
        let voxels = check_shape(self.shape_xyz)?;
        let (first, last) = Self::span(self.shape_xyz, self.strides)?;
        let inside = |element: isize| {
            let element = isize::try_from(self.offset).ok()?.checked_add(element)?;
            usize::try_from(element).ok().filter(|&element| element < self.elements.len())
        };
        if inside(first).is_none() || inside(last).is_none() {
            let (strides, reason) = (self.strides, "every voxel inside the buffer");
            return Err(VolumeError::Strides { strides, reason });
        }
        if !(self.slope.is_finite() && self.intercept.is_finite() && self.slope != 0.0) {
            return Err(VolumeError::Scaling { slope: self.slope, intercept: self.intercept });
        }
        let what = format!("the voxels of a volume {:?}", self.shape_xyz);
        segvol_base::memory::check_available::<f32>(what, voxels)?;
        let mut out = vec![0.0; voxels];
        let (slope, intercept) = (self.slope, self.intercept);
        macro_rules! copy {
            ($elements:expr) => {{
                // Row-major order of (k, j, i) is i fastest.
                let ([ni, nj, nk], [si, sj, sk]) = (self.shape_xyz, self.strides);
                let source = Strided::at($elements, [nk, nj, ni], [sk, sj, si], self.offset);
                if slope == 1.0 && intercept == 0.0 {
                    source.copy_into(&mut out, |value| value as f32);
                } else {
                    source.copy_into(&mut out, |value| (f64::from(value) * slope + intercept) as f32);
                }
            }};
        }
        match self.elements {
            Elements::U8(elements) => copy!(elements),
            Elements::I16(elements) => copy!(elements),
            Elements::U16(elements) => copy!(elements),
            Elements::I32(elements) => copy!(elements),
            Elements::F32(elements) => copy!(elements),
            Elements::F64(elements) => copy!(elements),
        }
        Ok(out)
    }
}

impl Volume {
    /// A volume from voxels in the caller's memory. `affine` maps voxel indices to RAS+ millimetres.
    ///
    /// The buffer is read once, directly into the float32 Hounsfield units that the pipeline needs, i fastest. It is
    /// not kept. A mask of this volume is written like a mask of [`Volume::new`]'s.
    ///
    /// # Errors
    /// - [`VolumeError::Affine`] if the affine cannot be inverted.
    /// - [`VolumeError::Shape`] if an axis has no voxels or there are too many in total.
    /// - [`VolumeError::Strides`] if the strides do not fit the shape, or a voxel lies outside the buffer.
    /// - [`VolumeError::Scaling`] if the slope is 0 or a scaling factor is not finite.
    /// - [`VolumeError::Memory`] if there is not enough memory for the voxels.
    pub fn from_buffer(buffer: &Buffer<'_>, affine: Affine) -> Result<Self, VolumeError> {
        if !affine.is_invertible() {
            return Err(VolumeError::Affine(affine));
        }
        Self::new(buffer.shape_xyz, buffer.voxels()?, affine)
    }
}

fn packed_strides([ni, nj, _]: [usize; 3]) -> [isize; 3] {
    [1, ni as isize, ni.saturating_mul(nj) as isize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Mask;

    const SHAPE: [usize; 3] = [19, 5, 35];

    /// A value for every voxel. All element types can represent it.
    fn value([i, j, k]: [usize; 3]) -> u8 {
        ((i * 7 + j * 31 + k * 3) % 200) as u8
    }

    /// Values in file order.
    fn expected() -> Vec<f32> {
        let [ni, nj, nk] = SHAPE;
        let mut values = Vec::new();
        for k in 0..nk {
            for j in 0..nj {
                values.extend((0..ni).map(|i| f32::from(value([i, j, k]))));
            }
        }
        values
    }

    /// Elements for these strides and the offset of voxel (0, 0, 0), every gap filled with `gap`.
    fn laid_out<T: Copy + From<u8>>(strides: [isize; 3], gap: T) -> (Vec<T>, usize) {
        let (first, last) = Buffer::span(SHAPE, strides).expect("strides");
        let mut elements = vec![gap; (last - first) as usize + 1];
        for k in 0..SHAPE[2] {
            for j in 0..SHAPE[1] {
                for i in 0..SHAPE[0] {
                    let at = [i, j, k].iter().zip(strides).map(|(&n, stride)| n as isize * stride).sum::<isize>();
                    elements[(at - first) as usize] = T::from(value([i, j, k]));
                }
            }
        }
        (elements, (-first) as usize)
    }

    #[test]
    fn every_order_of_every_type_gives_the_same_voxels() {
        let [ni, nj, nk] = SHAPE.map(|n| n as isize);
        let orders = [
            [1, ni, ni * nj],
            [nj * nk, nk, 1],
            [-1, ni, ni * nj],
            [1, -ni, -ni * nj],
            [-nj * nk, -nk, -1],
            [2, 2 * ni + 3, (2 * ni + 3) * nj + 1],
            [nk, ni * nk, 1],
        ];
        let affine = Affine::from_spacing([1.0; 3]);
        macro_rules! check {
            ($type:ty, $variant:ident, $strides:expr) => {{
                let (elements, offset) = laid_out::<$type>($strides, 201_u8.into());
                let elements = Elements::$variant(&elements);
                let buffer = Buffer { strides: $strides, offset, ..Buffer::packed(elements, SHAPE) };
                let found = Volume::from_buffer(&buffer, affine).expect("a volume");
                assert_eq!(found.voxels(), expected(), "{:?} of {}", $strides, stringify!($type));
            }};
        }
        for strides in orders {
            check!(u8, U8, strides);
            check!(i16, I16, strides);
            check!(u16, U16, strides);
            check!(i32, I32, strides);
            check!(f32, F32, strides);
            check!(f64, F64, strides);
        }
    }

    #[test]
    fn stored_values_become_hounsfield_units() {
        let elements = [0_u16, 1024, 65535];
        let buffer = Buffer { slope: 2.0, intercept: -1024.0, ..Buffer::packed(Elements::U16(&elements), [3, 1, 1]) };
        let found = Volume::from_buffer(&buffer, Affine::from_spacing([1.0; 3])).expect("a volume");
        assert_eq!(found.voxels(), [-1024.0, 1024.0, 130_046.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_named() {
        let elements = vec![0_i16; 24];
        let good = Buffer::packed(Elements::I16(&elements), [2, 3, 4]);
        let refused = |buffer: Buffer<'_>| {
            let error = Volume::from_buffer(&buffer, Affine::from_spacing([1.0; 3])).expect_err("bad");
            error.to_string()
        };
        assert!(Volume::from_buffer(&good, Affine::from_spacing([1.0; 3])).is_ok());
        assert!(refused(Buffer { shape_xyz: [2, 0, 4], ..good }).contains("shape [2, 0, 4]"));
        assert!(refused(Buffer { shape_xyz: [usize::MAX; 3], ..good }).contains("shape"));
        for strides in [[1, 2, 7], [1, 0, 6], [-1, 2, 6], [1, isize::MAX, 6], [1, 2, isize::MIN]] {
            assert!(refused(Buffer { strides, ..good }).contains("strides"), "{strides:?}");
        }
        assert!(refused(Buffer { offset: 1, ..good }).contains("strides"));
        assert!(refused(Buffer { offset: usize::MAX, ..good }).contains("strides"));
        assert!(refused(Buffer { slope: 0.0, ..good }).contains("slope"));
        assert!(refused(Buffer { intercept: f64::NAN, ..good }).contains("NaN"));
        let nowhere = Volume::from_buffer(&good, Affine::from_spacing([1.0, f64::NAN, 1.0]));
        assert!(matches!(nowhere, Err(VolumeError::Affine(_))));
    }

    /// Strides for axes in this order, fastest first. Each axis has a gap after it, and some are reversed.
    fn strides(shape: [usize; 3], order: [usize; 3], gaps: [usize; 3], backwards: [bool; 3]) -> [isize; 3] {
        let mut strides = [0; 3];
        let mut next = 1;
        for (axis, gap) in order.into_iter().zip(gaps) {
            let step = (next + gap) as isize;
            strides[axis] = if backwards[axis] { -step } else { step };
            next = (next + gap) * shape[axis];
        }
        strides
    }

    proptest! {
        /// For any buffer: the voxels are where the strides say, and a mask of it lies where the affine says.
        #[test]
        fn a_mask_of_a_buffer_lies_where_the_buffer_does(
            shape in prop::array::uniform3(1_usize..8),
            order in Just([0_usize, 1, 2]).prop_shuffle(),
            gaps in prop::array::uniform3(0_usize..4),
            backwards: [bool; 3],
            element in 0_usize..6,
            rows in prop::array::uniform3(prop::array::uniform4(-300.0_f64..300.0)),
        ) {
            let affine = Affine::new(rows);
            if affine.determinant().abs() < 1e-3 * affine.spacing_mm().iter().product::<f64>() {
                return Ok(()); // Nearly flat: rounding to float32 could make it singular.
            }
            let strides = strides(shape, order, gaps, backwards);
            let (first, last) = Buffer::span(shape, strides).expect("strides");
            let places: Vec<usize> = (0..shape.iter().product::<usize>())
                .map(|index| [index % shape[0], index / shape[0] % shape[1], index / (shape[0] * shape[1])])
                .map(|ijk| (0..3).map(|axis| ijk[axis] as isize * strides[axis]).sum::<isize>() - first)
                .map(|place| place as usize)
                .collect();
            macro_rules! taken {
                ($type:ty, $variant:ident) => {{
                    // The elements between voxels are 255.
                    let mut elements = vec![<$type>::from(255_u8); (last - first) as usize + 1];
                    for (index, &place) in places.iter().enumerate() {
                        elements[place] = <$type>::from((index % 250) as u8);
                    }
                    let buffer = Buffer { strides, offset: first.unsigned_abs(), ..Buffer::packed(Elements::$variant(&elements), shape) };
                    Volume::from_buffer(&buffer, affine).expect("a volume")
                }};
            }
            let volume = match element {
                0 => taken!(u8, U8),
                1 => taken!(i16, I16),
                2 => taken!(u16, U16),
                3 => taken!(i32, I32),
                4 => taken!(f32, F32),
                _ => taken!(f64, F64),
            };
            let expected: Vec<u8> = (0..places.len()).map(|index| (index % 250) as u8).collect();
            prop_assert!(volume.voxels().iter().zip(&expected).all(|(&found, &value)| found == f32::from(value)));
            prop_assert_eq!(volume.voxels().len(), expected.len());

            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("mask.nii");
            Mask::from_labels(expected.clone(), volume.grid().clone()).expect("a mask").save(&path).expect("saved");
            let saved = Volume::open(&path).expect("our own file");
            prop_assert_eq!(saved.shape_xyz(), shape);
            prop_assert_eq!(saved.grid().affine().rows(), rows.map(|row| row.map(|value| f64::from(value as f32))));
            prop_assert!(saved.voxels().iter().zip(&expected).all(|(&found, &value)| found == f32::from(value)));
        }
    }
}
