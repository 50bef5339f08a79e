//! Arrays of NumPy as scans, and masks as arrays of NumPy.

use ndarray::{Array3, ArrayView3};
use numpy::{Element, IntoPyArray as _, PyReadonlyArray3};
use pyo3::prelude::*;
use segvol::volume::{Affine, Buffer, Elements, Volume, VolumeError};

use crate::errors::{Raise as _, usage};

/// The order of an array's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axes {
    /// `[i, j, k]`, as the file's axes: nibabel.
    Ijk,
    /// `[k, j, i]`: SimpleITK's arrays.
    Kji,
}

impl Axes {
    /// # Errors
    ///
    /// `UsageError` for another text.
    pub(crate) fn of(py: Python<'_>, text: &str) -> PyResult<Self> {
        match text {
            "ijk" => Ok(Self::Ijk),
            "kji" => Ok(Self::Kji),
            other => Err(usage(py, &format!("axes: expected \"ijk\" or \"kji\", found {other:?}"))),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ijk => "ijk",
            Self::Kji => "kji",
        }
    }
}

/// A volume from an array that is read where it lies, whatever its strides. `affine` has the rows of a 4 x 4 matrix from voxels
/// `[i, j, k]` to RAS+ millimetres.
pub(crate) fn volume(array: &Bound<'_, PyAny>, affine: [[f64; 4]; 3], axes: Axes) -> PyResult<Volume> {
    macro_rules! read {
        ($($type:ty, $elements:ident;)+) => {
            $(if let Ok(array) = array.extract::<PyReadonlyArray3<'_, $type>>() {
                let view = array.as_array();
                let view = if axes == Axes::Kji { view.reversed_axes() } else { view };
                return read(view, Affine::new(affine), |slice| Elements::$elements(slice), |value| value as f32)
                    .raise(array.py());
            })+
        };
    }
    read! { u8, U8; i16, I16; u16, U16; i32, I32; f32, F32; f64, F64; }
    Err(usage(array.py(), "expected an array of three axes, of uint8, int16, uint16, int32, float32 or float64"))
}

/// A volume from a view `[i, j, k]`. What lies in one piece is read without another copy; what has gaps is collected first.
fn read<T: Copy>(
    view: ArrayView3<'_, T>,
    affine: Affine,
    elements: impl Fn(&[T]) -> Elements<'_>,
    number: impl Fn(T) -> f32,
) -> Result<Volume, VolumeError> {
    let (ni, nj, nk) = view.dim();
    let shape = [ni, nj, nk];
    let found = [view.strides()[0], view.strides()[1], view.strides()[2]];
    if let Some(slice) = view.as_slice_memory_order() {
        // Voxel (0, 0, 0) lies behind others where an axis runs backwards.
        let back = |axis: usize| if found[axis] < 0 { found[axis].unsigned_abs() * (shape[axis] - 1) } else { 0 };
        let offset = (0..3).map(back).sum();
        let buffer = Buffer { strides: found, offset, ..Buffer::packed(elements(slice), shape) };
        return Volume::from_buffer(&buffer, affine);
    }
    let packed = Buffer::packed(elements(&[]), shape);
    Buffer::span(shape, packed.strides)?;
    segvol_base::memory::check_available::<f32>("the voxels of an array", view.len())?;
    let voxels = view.reversed_axes().iter().map(|&value| number(value)).collect();
    if !affine.is_invertible() {
        return Err(VolumeError::Affine(affine));
    }
    Volume::new(shape, voxels, affine)
}

/// An array of NumPy with these values, i fastest, which it takes over without a copy.
pub(crate) fn array<'py, T: Element>(
    py: Python<'py>,
    values: Vec<T>,
    [ni, nj, nk]: [usize; 3],
    axes: Axes,
) -> PyResult<Bound<'py, PyAny>> {
    let array = Array3::from_shape_vec((nk, nj, ni), values).map_err(|error| usage(py, &error.to_string()))?;
    let array = if axes == Axes::Ijk { array.reversed_axes() } else { array };
    Ok(array.into_pyarray(py).into_any())
}
