//! A scan, from a file or from the caller's memory.

use std::ffi::{c_char, c_void};
use std::path::Path;

use segvol::nifti::MAX_VOXELS;
use segvol::volume::{Affine, Buffer, Elements};
use segvol::{AffineChoice, ReadOptions, Volume, VolumeError};

use crate::arguments::{free, handle, output, text, unknown};
use crate::failure::{Failure, Named};
use crate::fence::fence;
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;

/// A scan: its intensities, and the position of its voxels in the patient.
pub struct SegvolVolume(pub(crate) Volume);

impl AsRef<Volume> for SegvolVolume {
    fn as_ref(&self) -> &Volume {
        &self.0
    }
}

/// The type of one voxel in memory.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolElement {
    /// uint8_t
    U8 = 1,
    /// int16_t
    I16 = 2,
    /// uint16_t
    U16 = 3,
    /// int32_t
    I32 = 4,
    /// float
    F32 = 5,
    /// double
    F64 = 6,
}

/// How a buffer gives the position of its voxels in the patient, in millimetres.
///
/// RAS: the axes point to the patient's right, front (anterior) and head (superior), as in NIfTI. LPS: they point to
/// the left, back (posterior) and head, as in DICOM and ITK.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolGeometry {
    /// In `affine`, as RAS.
    AffineRas = 1,
    /// In `affine`, as LPS.
    AffineLps = 2,
    /// In `spacing`, `direction` and `origin`, as RAS.
    PartsRas = 3,
    /// In `spacing`, `direction` and `origin`, as LPS. DICOM and ITK images have these.
    PartsLps = 4,
}

/// A scan in the caller's memory.
///
/// Initialise it with segvol_buffer_init(). Then set at least `voxels`, `element`, `shape`, `geometry`, and the fields
/// that the geometry uses.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolBuffer {
    /// Set by segvol_buffer_init().
    pub size: usize,
    /// Address of voxel (0, 0, 0), aligned for its type. Only segvol_volume_from_buffer() reads it, and does not keep
    /// it.
    pub voxels: *const c_void,
    /// The type of a voxel: a SegvolElement.
    pub element: i32,
    /// How the position is given: a SegvolGeometry. There is no default, because a wrong one would mirror the patient.
    pub geometry: i32,
    /// Number of voxels along the axes i, j, k.
    pub shape: [usize; 3],
    /// Bytes from a voxel to its neighbour along i, j, k. Multiples of the element's size; they may be negative. All 0
    /// (the default): without gaps, i fastest, then j, then k, as NIfTI and ITK store images.
    pub strides: [isize; 3],
    /// From the voxel (i, j, k) to millimetres: a 3 x 4 matrix, row by row, with the rows x, y, z.
    /// `x = a[0] i + a[1] j + a[2] k + a[3]`, and so on.
    pub affine: [f64; 12],
    /// Distance between neighbouring voxels along i, j, k, in millimetres. Must be positive.
    pub spacing: [f64; 3],
    /// A 3 x 3 matrix, row by row, whose columns are the directions of i, j, k. The default is the identity matrix.
    pub direction: [f64; 9],
    /// Position of the centre of voxel (0, 0, 0), in millimetres.
    pub origin: [f64; 3],
    /// Hounsfield units per unit of a stored value; 1 by default, and not 0.
    pub slope: f64,
    /// Hounsfield units of a stored 0; 0 by default. An intensity is `slope` times the stored value, plus `intercept`.
    pub intercept: f64,
}

// SAFETY: `repr(C)`, the size comes first, all fields are numbers or pointers, no padding at the end.
unsafe impl Versioned for SegvolBuffer {
    const NAME: &'static str = "SegvolBuffer";
    const FIRST_SIZE: usize = size_of::<Self>();
    const DEFAULT: Self = Self {
        size: size_of::<Self>(),
        voxels: std::ptr::null(),
        element: 0,
        geometry: 0,
        shape: [0; 3],
        strides: [0; 3],
        affine: [0.0; 12],
        spacing: [0.0; 3],
        direction: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        origin: [0.0; 3],
        slope: 1.0,
        intercept: 0.0,
    };
}

/// Which affine of a NIfTI file gives the position of its voxels.
///
/// A header can state two: the sform and the qform.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolAffine {
    /// The sform, or the qform if the sform is missing or cannot be used. A file in which the two mirror each other is an
    /// error.
    Default = 0,
    /// The sform.
    Sform = 1,
    /// The qform.
    Qform = 2,
}

/// How a file is read.
///
/// Initialise it with segvol_read_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolReadOptions {
    /// Set by segvol_read_options_init().
    pub size: usize,
    /// Which affine to use if the file states two that differ: a SegvolAffine.
    pub affine: i32,
    /// Of DICOM: 1 to interpolate whole missing slices between their neighbours, 0 to refuse a series with a gap.
    pub fill_gaps: i32,
    /// Of DICOM: the series to read, by its Series Instance UID or its Series Number. NULL for the only one that is a scan.
    pub series: *const c_char,
}

// SAFETY: `repr(C)`, the size comes first, all fields are numbers and pointers, no padding at the end.
unsafe impl Versioned for SegvolReadOptions {
    const NAME: &'static str = "SegvolReadOptions";
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, series);
    const DEFAULT: Self =
        Self { size: size_of::<Self>(), affine: SegvolAffine::Default as i32, fill_gaps: 0, series: std::ptr::null() };
}

/// Reads a scan: NIfTI, NRRD or MetaImage. A library that was built with the feature `dicom` also reads DICOM: a folder, a
/// zip of one, a file with several frames, or one slice of a series in its folder.
///
/// - `path`: the file or folder.
/// - `volume`: receives the volume. The caller owns it and frees it with segvol_volume_free(). Unchanged on failure.
///
/// Errors: FILE, MEMORY. FILE also if the file's sform and qform mirror each other, or if a folder holds several series:
/// segvol_volume_open_with() chooses.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_volume_open(path: *const c_char, volume: *mut *mut SegvolVolume) -> SegvolStatus {
    fence(|| {
        let out = output(volume, "volume")?;
        // SAFETY: a string, as the rules of the header require.
        let path = unsafe { text(path, "path") }?;
        let opened = Volume::open(Path::new(path)).named("path")?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolVolume(opened)) };
        Ok(())
    })
}

/// Sets all fields to their defaults.
///
/// - `size`: sizeof(SegvolReadOptions).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_read_options_init(options: *mut SegvolReadOptions, size: usize) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(options, size, "options") })
}

/// Reads a scan as segvol_volume_open() does, with options.
///
/// - `path`: the file or folder.
/// - `options`: initialised with segvol_read_options_init(). NULL for the defaults.
/// - `volume`: receives the volume. The caller owns it and frees it with segvol_volume_free(). Unchanged on failure.
///
/// Errors: FILE, MEMORY, and ARGUMENT for a field of `options`.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_volume_open_with(
    path: *const c_char,
    options: *const SegvolReadOptions,
    volume: *mut *mut SegvolVolume,
) -> SegvolStatus {
    fence(|| {
        let out = output(volume, "volume")?;
        // SAFETY: a string, as the rules of the header require.
        let path = unsafe { text(path, "path") }?;
        // SAFETY: NULL or initialised, as the rules of the header require.
        let options = unsafe { read_options(options) }?;
        let opened = Volume::open_with(Path::new(path), &options).named("path")?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolVolume(opened)) };
        Ok(())
    })
}

/// # Safety
/// The pointer is NULL or points to initialised options.
unsafe fn read_options(pointer: *const SegvolReadOptions) -> Result<ReadOptions, Failure> {
    if pointer.is_null() {
        return Ok(ReadOptions::default());
    }
    // SAFETY: initialised.
    unsafe { handle(pointer.cast::<usize>(), "options") }?;
    // SAFETY: not NULL, and initialised.
    let given = unsafe { sized::read(pointer, "options") }?;
    let affine = match given.affine {
        0 => None,
        1 => Some(AffineChoice::Sform),
        2 => Some(AffineChoice::Qform),
        other => return Err(unknown("options.affine", "one of SegvolAffine, 0 to 2", other)),
    };
    let fill_gaps = match given.fill_gaps {
        0 => false,
        1 => true,
        other => return Err(unknown("options.fill_gaps", "0 or 1", other)),
    };
    let series = if given.series.is_null() {
        None
    } else {
        // SAFETY: a string, as the rules of the header require.
        Some(unsafe { text(given.series, "options.series") }?.to_owned())
    };
    Ok(ReadOptions::default().affine(affine).series(series).fill_gaps(fill_gaps))
}

/// Sets all fields to their defaults.
///
/// - `size`: sizeof(SegvolBuffer).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_buffer_init(buffer: *mut SegvolBuffer, size: usize) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(buffer, size, "buffer") })
}

/// Copies a scan from the caller's memory, as float32.
///
/// - `buffer`: the scan, initialised with segvol_buffer_init(). Its memory may be freed as soon as this function
///   returns.
/// - `volume`: receives the volume. The caller owns it and frees it with segvol_volume_free(). Unchanged on failure.
///
/// Errors: SHAPE, STRIDE, ELEMENT, AFFINE, MEMORY, and ARGUMENT for `size`, `slope` or `intercept`.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_volume_from_buffer(
    buffer: *const SegvolBuffer,
    volume: *mut *mut SegvolVolume,
) -> SegvolStatus {
    fence(|| {
        let out = output(volume, "volume")?;
        // SAFETY: NULL, which is refused here, or an initialised buffer, which begins with its size.
        unsafe { handle(buffer.cast::<usize>(), "buffer") }?;
        // SAFETY: not NULL, and initialised.
        let buffer = unsafe { sized::read(buffer, "buffer") }?;
        // SAFETY: the caller promises that every voxel of the shape can be read.
        let taken = unsafe { from_buffer(&buffer) }?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolVolume(taken)) };
        Ok(())
    })
}

/// # Safety
/// Every voxel that shape and strides describe can be read.
unsafe fn from_buffer(given: &SegvolBuffer) -> Result<Volume, Failure> {
    let affine = affine(given)?;
    if given.voxels.is_null() {
        return Err(Failure::new(SegvolStatus::Null, "buffer.voxels: expected a pointer, found NULL"));
    }
    macro_rules! take {
        ($type:ty, $variant:ident) => {{
            // SAFETY: the caller of this function promises it.
            let (elements, offset, strides) = unsafe { elements::<$type>(given) }?;
            let (slope, intercept, shape_xyz) = (given.slope, given.intercept, given.shape);
            let elements = Elements::$variant(elements);
            let buffer = Buffer { elements, shape_xyz, strides, offset, slope, intercept };
            Volume::from_buffer(&buffer, affine).map_err(|error| refused(error, given))
        }};
    }
    match given.element {
        1 => take!(u8, U8),
        2 => take!(i16, I16),
        3 => take!(u16, U16),
        4 => take!(i32, I32),
        5 => take!(f32, F32),
        6 => take!(f64, F64),
        other => {
            let message = format!("buffer.element: expected one of SegvolElement, 1 to 6, found {other}");
            Err(Failure::new(SegvolStatus::Element, message))
        }
    }
}

/// Names the field that is wrong, and the value that the caller put there.
fn refused(error: VolumeError, buffer: &SegvolBuffer) -> Failure {
    match error {
        VolumeError::Shape { shape_xyz } => {
            let message = format!("buffer.shape: expected 1 to {MAX_VOXELS} voxels, found {shape_xyz:?}");
            Failure::new(SegvolStatus::Shape, message)
        }
        VolumeError::Strides { reason, .. } => {
            let message = format!("buffer.strides: expected {reason}, found {:?} bytes", buffer.strides);
            Failure::new(SegvolStatus::Stride, message)
        }
        VolumeError::Scaling { slope, .. } if slope.is_finite() && slope != 0.0 => {
            unknown("buffer.intercept", "a finite number", buffer.intercept)
        }
        VolumeError::Scaling { slope, .. } => unknown("buffer.slope", "a finite number that is not 0", slope),
        other => Failure::from(other).of("buffer"),
    }
}

/// Borrows the elements from the first to the last voxel in memory. Also returns the index of voxel (0, 0, 0) among
/// them, and the strides in elements.
///
/// # Safety
/// Every voxel that shape and strides describe can be read as a `T`.
unsafe fn elements<'a, T>(buffer: &SegvolBuffer) -> Result<(&'a [T], usize, [isize; 3]), Failure> {
    let bytes = size_of::<T>() as isize;
    let stride = |message: String| Failure::new(SegvolStatus::Stride, format!("buffer.strides: {message}"));
    let strides = if buffer.strides == [0; 3] {
        let [ni, nj, _] = buffer.shape;
        [1, ni as isize, ni.saturating_mul(nj) as isize]
    } else {
        if buffer.strides.iter().any(|stride| stride % bytes != 0) {
            let found = buffer.strides;
            return Err(stride(format!("expected multiples of the element's {bytes} bytes, found {found:?} bytes")));
        }
        buffer.strides.map(|stride| stride / bytes)
    };
    let (first, last) = Buffer::span(buffer.shape, strides).map_err(|error| refused(error, buffer))?;
    let len = last.checked_sub(first).and_then(|len| len.checked_add(1));
    let len = len.filter(|len| len.checked_mul(bytes).is_some());
    let len =
        len.ok_or_else(|| stride(format!("expected voxels that fit into memory, found {:?} bytes", buffer.strides)))?;
    let voxels = buffer.voxels.cast::<T>();
    if !voxels.is_aligned() {
        let message = format!("buffer.voxels: expected an address that is a multiple of {bytes}, found {voxels:p}");
        return Err(Failure::new(SegvolStatus::Element, message));
    }
    // SAFETY: the first voxel in memory lies within the caller's memory.
    let start = unsafe { voxels.offset(first) };
    // SAFETY: these are the elements from the first to the last voxel in memory, within one allocation of the caller.
    let elements = unsafe { std::slice::from_raw_parts(start, len as usize) };
    Ok((elements, first.unsigned_abs(), strides))
}

fn affine(buffer: &SegvolBuffer) -> Result<Affine, Failure> {
    let bad = |message: String| Failure::new(SegvolStatus::Affine, message);
    let rows = |n: &[f64; 12]| Affine::new([0, 4, 8].map(|row| [n[row], n[row + 1], n[row + 2], n[row + 3]]));
    let parts = || {
        let direction = [0, 3, 6].map(|row| [0, 1, 2].map(|column| buffer.direction[row + column]));
        Affine::from_parts(buffer.spacing, direction, buffer.origin)
    };
    let (affine, given_as) = match buffer.geometry {
        1 => (rows(&buffer.affine), "affine"),
        2 => (Affine::from_lps(rows(&buffer.affine)), "affine"),
        3 => (parts(), "parts"),
        4 => (Affine::from_lps(parts()), "parts"),
        other => return Err(bad(format!("buffer.geometry: expected one of SegvolGeometry, 1 to 4, found {other}"))),
    };
    if given_as == "parts" {
        // A negative spacing would mirror the patient, but the axes would still be independent.
        if let Some(found) = buffer.spacing.iter().find(|spacing| !(spacing.is_normal() && **spacing > 0.0)) {
            return Err(bad(format!("buffer.spacing: expected three positive numbers, found {found}")));
        }
        if let Some(found) = buffer.origin.iter().find(|place| !place.is_finite()) {
            return Err(bad(format!("buffer.origin: expected finite numbers, found {found}")));
        }
    }
    if affine.is_invertible() {
        return Ok(affine);
    }
    if given_as == "affine" {
        let found = buffer.affine;
        return Err(bad(format!("buffer.affine: expected finite numbers and three independent axes, found {found:?}")));
    }
    let found = buffer.direction;
    Err(bad(format!("buffer.direction: expected finite numbers and three independent columns, found {found:?}")))
}

/// Gets the number of voxels along the axes i, j, k of the scan.
///
/// - `shape`: receives three numbers. Unchanged on failure.
///
/// Any thread.
/// cbindgen:ptrs-as-arrays=[[shape;3]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_volume_shape(volume: *const SegvolVolume, shape: *mut usize) -> SegvolStatus {
    fence(|| {
        let out = output(shape.cast::<[usize; 3]>(), "shape")?;
        // SAFETY: NULL or a live volume.
        let volume = unsafe { handle(volume, "volume") }?;
        // SAFETY: the caller's three numbers.
        unsafe { out.write(volume.0.shape_xyz()) };
        Ok(())
    })
}

/// Gets the affine from the voxel (i, j, k) to millimetres in RAS.
///
/// - `affine`: receives a 3 x 4 matrix, row by row, as in SegvolBuffer. Unchanged on failure.
///
/// Any thread.
/// cbindgen:ptrs-as-arrays=[[affine;12]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_volume_affine(volume: *const SegvolVolume, affine: *mut f64) -> SegvolStatus {
    fence(|| {
        let out = output(affine.cast::<[[f64; 4]; 3]>(), "affine")?;
        // SAFETY: NULL or a live volume.
        let volume = unsafe { handle(volume, "volume") }?;
        // SAFETY: the caller's twelve numbers.
        unsafe { out.write(volume.0.grid().affine().rows()) };
        Ok(())
    })
}

/// Frees a volume. Studies that were made from it stay valid. NULL is allowed and does nothing.
///
/// Any thread, but not while another thread uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_volume_free(volume: *mut SegvolVolume) {
    // SAFETY: NULL or a live volume that is not used again.
    unsafe { free(volume) }
}
