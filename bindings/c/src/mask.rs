//! Masks: labels on the scan's grid.

use std::ffi::c_char;
use std::path::Path;

use segvol::Mask;
use segvol::mask::Labels;

use crate::arguments::{free, handle, output, text};
use crate::failure::{Failure, Named};
use crate::fence::fence;
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;

/// One label per voxel, on the scan's grid; 0 is background.
pub struct SegvolMask(pub(crate) Mask);

impl From<Mask> for SegvolMask {
    fn from(mask: Mask) -> Self {
        Self(mask)
    }
}

/// Measurements of one label of a mask.
///
/// Initialise it with segvol_mask_statistics_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolMaskStatistics {
    /// Set by segvol_mask_statistics_init().
    pub size: usize,
    /// Number of voxels with the label.
    pub voxels: u64,
    /// Volume of these voxels, in millilitres.
    pub volume_ml: f64,
    /// Smallest i, j, k of these voxels; 0 if there are none.
    pub box_min: [usize; 3],
    /// Largest i, j, k of these voxels, inclusive; 0 if there are none.
    pub box_max: [usize; 3],
}

// SAFETY: `repr(C)`, the size comes first, all fields are numbers, no padding at the end.
unsafe impl Versioned for SegvolMaskStatistics {
    const NAME: &'static str = "SegvolMaskStatistics";
    const FIRST_SIZE: usize = size_of::<Self>();
    const DEFAULT: Self = Self { size: size_of::<Self>(), voxels: 0, volume_ml: 0.0, box_min: [0; 3], box_max: [0; 3] };
}

/// Writes the mask to a NIfTI file, with the affine and the coordinate codes of the scan's file.
///
/// - `path`: the file. The name must end in .nii, or in .nii.gz for a compressed file.
///
/// The write is atomic: on failure there is no new file, and an existing file is unchanged. Only a file that a rename
/// cannot replace, such as a mount point, is written in place: a failure then says what has become of its old content. An
/// existing mask is replaced, and keeps its permissions; a link to a file stays a link.
///
/// Errors: WRITE, also if the file is write-protected, and if it is the file that the scan was opened from, under any path
/// that leads to it.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_save(mask: *const SegvolMask, path: *const c_char) -> SegvolStatus {
    fence(|| {
        // SAFETY: NULL or a live mask.
        let mask = unsafe { handle(mask, "mask") }?;
        // SAFETY: a string, as the rules of the header require.
        let path = unsafe { text(path, "path") }?;
        mask.0.save(Path::new(path)).named("path")
    })
}

/// Gets the number of voxels along the axes i, j, k of the scan.
///
/// - `shape`: receives three numbers. Unchanged on failure.
///
/// Any thread.
/// cbindgen:ptrs-as-arrays=[[shape;3]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_shape(mask: *const SegvolMask, shape: *mut usize) -> SegvolStatus {
    fence(|| {
        let out = output(shape.cast::<[usize; 3]>(), "shape")?;
        // SAFETY: NULL or a live mask.
        let mask = unsafe { handle(mask, "mask") }?;
        // SAFETY: the caller's three numbers.
        unsafe { out.write(mask.0.shape_xyz()) };
        Ok(())
    })
}

/// Gets the labels of a mask without a copy.
///
/// - `voxels`: receives the address of the labels: one byte per voxel, without gaps, i fastest, then j, then k. The
///   mask owns them, and they are valid until it is freed. Unchanged on failure.
///
/// Errors: BUFFER if the mask has labels above 255; use segvol_mask_copy_u16() then.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_voxels(mask: *const SegvolMask, voxels: *mut *const u8) -> SegvolStatus {
    fence(|| {
        let out = output(voxels, "voxels")?;
        // SAFETY: NULL or a live mask.
        let mask = unsafe { handle(mask, "mask") }?;
        let labels = bytes(&mask.0)?;
        // SAFETY: the caller's pointer.
        unsafe { out.write(labels.as_ptr()) };
        Ok(())
    })
}

/// Copies the labels of a mask, one byte per voxel.
///
/// - `voxels`: the address for voxel (0, 0, 0).
/// - `len`: number of bytes that may be written, counted from there.
/// - `strides`: bytes from a voxel to its neighbour along i, j, k, all positive. NULL: without gaps, i fastest, then j,
///   then k. Bytes between voxels are not changed.
///
/// Errors: STRIDE, BUFFER if `len` is too small or the mask has labels above 255. On failure nothing is written.
/// Any thread.
/// cbindgen:ptrs-as-arrays=[[strides;3]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_copy(
    mask: *const SegvolMask,
    voxels: *mut u8,
    len: usize,
    strides: *const isize,
) -> SegvolStatus {
    fence(|| {
        // SAFETY: NULL or a live mask.
        let mask = unsafe { handle(mask, "mask") }?;
        let labels = bytes(&mask.0)?;
        // SAFETY: the caller promises `len` bytes and, where not NULL, three strides.
        unsafe { copy(labels, mask.0.shape_xyz(), voxels, len, strides) }
    })
}

/// Copies the labels of a mask, two bytes per voxel.
///
/// As segvol_mask_copy(), but `len` and `strides` count uint16_t, not bytes.
///
/// Errors: STRIDE, BUFFER if `len` is too small. On failure nothing is written.
/// Any thread.
/// cbindgen:ptrs-as-arrays=[[strides;3]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_copy_u16(
    mask: *const SegvolMask,
    voxels: *mut u16,
    len: usize,
    strides: *const isize,
) -> SegvolStatus {
    fence(|| {
        // SAFETY: NULL or a live mask.
        let mask = unsafe { handle(mask, "mask") }?;
        let shape = mask.0.shape_xyz();
        match mask.0.labels() {
            // SAFETY: the caller promises `len` elements and, where not NULL, three strides.
            Labels::U8(labels) => unsafe { copy(labels, shape, voxels, len, strides) },
            // SAFETY: as above.
            Labels::U16(labels) => unsafe { copy(labels, shape, voxels, len, strides) },
        }
    })
}

fn bytes(mask: &Mask) -> Result<&[u8], Failure> {
    match mask.labels() {
        Labels::U8(labels) => Ok(labels),
        Labels::U16(_) => {
            let message =
                "mask: expected at most 255 labels for one byte per voxel, found more; use segvol_mask_copy_u16()";
            Err(Failure::new(SegvolStatus::Buffer, message))
        }
    }
}

/// Copies labels to `to`, with strides in elements.
///
/// # Safety
/// `to` is NULL or `len` elements can be written there; `strides` is NULL or points to three numbers.
unsafe fn copy<T: Copy, U: From<T>>(
    labels: &[T],
    shape: [usize; 3],
    to: *mut U,
    len: usize,
    strides: *const isize,
) -> Result<(), Failure> {
    output(to, "voxels")?;
    let [ni, nj, _] = shape;
    let strides = if strides.is_null() {
        [1, ni, ni * nj]
    } else {
        // SAFETY: not NULL, and three numbers.
        let &found = unsafe { handle(strides.cast::<[isize; 3]>(), "strides") }?;
        let bad = || Failure::new(SegvolStatus::Stride, format!("strides: expected positive numbers, found {found:?}"));
        let positive = |stride: isize| usize::try_from(stride).ok().filter(|&stride| stride > 0).ok_or_else(bad);
        [positive(found[0])?, positive(found[1])?, positive(found[2])?]
    };
    let reach =
        (0..3).try_fold(1_usize, |reach, axis| reach.checked_add((shape[axis] - 1).checked_mul(strides[axis])?));
    if reach.is_none_or(|reach| reach > len) {
        let needed = reach.map_or_else(|| "more than an address can hold".to_owned(), |reach| reach.to_string());
        return Err(Failure::new(SegvolStatus::Buffer, format!("len: expected at least {needed}, found {len}")));
    }
    for (row, labels) in labels.chunks_exact(ni).enumerate() {
        let start = row % nj * strides[1] + row / nj * strides[2];
        for (i, &label) in labels.iter().enumerate() {
            // SAFETY: the index is less than `reach`, which is at most `len`.
            unsafe { to.add(start + i * strides[0]).write(U::from(label)) };
        }
    }
    Ok(())
}

/// Sets `size` of the struct, and all other fields to 0.
///
/// - `size`: sizeof(SegvolMaskStatistics).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_statistics_init(
    statistics: *mut SegvolMaskStatistics,
    size: usize,
) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(statistics, size, "statistics") })
}

/// Measures one label of a mask.
///
/// - `label`: the label; 1 in a mask of one object. A label that no voxel has is not an error: it has 0 voxels.
/// - `statistics`: receives the measurements. It must be initialised. Unchanged on failure.
///
/// Errors: ARGUMENT if `statistics` is not initialised.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_statistics(
    mask: *const SegvolMask,
    label: u16,
    statistics: *mut SegvolMaskStatistics,
) -> SegvolStatus {
    fence(|| {
        output(statistics, "statistics")?;
        // SAFETY: NULL or a live mask.
        let mask = unsafe { handle(mask, "mask") }?;
        let (box_min, box_max) = mask.0.bounding_box_ijk(label).unwrap_or_default();
        let found = SegvolMaskStatistics {
            voxels: mask.0.count(label),
            volume_ml: mask.0.volume_ml(label),
            box_min,
            box_max,
            ..SegvolMaskStatistics::DEFAULT
        };
        // SAFETY: not NULL, and initialised.
        unsafe { sized::fill(statistics, &found, "statistics") }
    })
}

/// Frees a mask. NULL is allowed and does nothing.
///
/// Any thread, but not while another thread uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_mask_free(mask: *mut SegvolMask) {
    // SAFETY: NULL or a live mask that is not used again.
    unsafe { free(mask) }
}

#[cfg(test)]
mod tests {
    use segvol::Volume;
    use segvol::volume::Affine;

    use super::*;

    fn mask(labels: impl Into<Labels>) -> SegvolMask {
        let volume = Volume::new([3, 2, 2], vec![0.0; 12], Affine::from_spacing([1.0; 3])).expect("a volume");
        SegvolMask(Mask::from_labels(labels, volume.grid().clone()).expect("a mask"))
    }

    #[test]
    fn labels_beyond_a_byte_need_two() {
        let mask = mask((0..12).map(|n| n * 100).collect::<Vec<u16>>());
        let (mut bytes, mut words) = ([7_u8; 12], [7_u16; 12]);
        let mut voxels = std::ptr::null();
        // SAFETY: live buffers of these lengths.
        unsafe {
            assert_eq!(segvol_mask_copy(&mask, bytes.as_mut_ptr(), 12, std::ptr::null()), SegvolStatus::Buffer);
            assert_eq!(segvol_mask_voxels(&mask, &mut voxels), SegvolStatus::Buffer);
            assert_eq!(segvol_mask_copy_u16(&mask, words.as_mut_ptr(), 12, std::ptr::null()), SegvolStatus::Ok);
        }
        assert_eq!((bytes, voxels), ([7; 12], std::ptr::null()), "nothing is written");
        assert_eq!(words.to_vec(), (0..12).map(|n| n * 100).collect::<Vec<u16>>());
    }

    #[test]
    fn a_mask_is_not_saved_over_its_scan() {
        let folder = segvol_base::TemporaryFolder::new().expect("a folder");
        let [scan, mask_file] = ["scan.nii", "mask.nii"].map(|name| folder.path().join(name));
        mask(vec![3_u8; 12]).0.save(&scan).expect("saved");
        let before = std::fs::read(&scan).expect("read");
        let volume = Volume::open(&scan).expect("a volume");
        let mask = SegvolMask(Mask::from_labels(vec![1_u8; 12], volume.grid().clone()).expect("a mask"));
        let save = |path: &Path| {
            let path = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
            // SAFETY: a live mask, and a string.
            unsafe { segvol_mask_save(&mask, path.as_ptr()) }
        };
        assert_eq!(save(&scan), SegvolStatus::Write);
        // SAFETY: the string is valid until the next call.
        let message = unsafe { std::ffi::CStr::from_ptr(crate::fence::last_error()) };
        assert!(message.to_str().expect("UTF-8").contains("scan's own file"), "{message:?}");
        assert_eq!(save(&folder.path().join("./scan.nii")), SegvolStatus::Write);
        assert_eq!(std::fs::read(&scan).expect("read"), before);
        for _ in 0..2 {
            assert_eq!(save(&mask_file), SegvolStatus::Ok);
        }
    }

    #[test]
    fn a_copy_does_not_change_bytes_between_and_after_voxels() {
        let mask = mask((1..=12).collect::<Vec<u8>>());
        let mut bytes = [0_u8; 31];
        // k fastest, a gap after every voxel, one more after every row.
        let strides = [10, 5, 2];
        let copy = |bytes: &mut [u8]| {
            // SAFETY: a live buffer of this length.
            unsafe { segvol_mask_copy(&mask, bytes.as_mut_ptr(), bytes.len(), strides.as_ptr()) }
        };
        assert_eq!(copy(&mut bytes[..27]), SegvolStatus::Buffer);
        assert_eq!(bytes, [0; 31], "nothing is written");
        assert_eq!(copy(&mut bytes[..28]), SegvolStatus::Ok);
        let row = |j: u8, i: u8| [1 + i + 3 * j, 0, 7 + i + 3 * j, 0, 0];
        let expected: Vec<u8> = (0..3).flat_map(|i| (0..2).flat_map(move |j| row(j, i))).chain([0]).collect();
        assert_eq!(bytes.to_vec(), expected);
    }
}
