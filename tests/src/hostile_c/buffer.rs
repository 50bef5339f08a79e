//! A scan in the caller's memory.

use std::ptr;

use segvol::nifti::MAX_VOXELS;
use segvol::volume::Affine;
use segvol_capi::status::SegvolStatus;
use segvol_capi::volume::{
    SegvolBuffer, SegvolVolume, segvol_buffer_init, segvol_volume_affine, segvol_volume_free,
    segvol_volume_from_buffer, segvol_volume_shape,
};

use super::{Recipe, bytes_of, init, is_good, message, nowhere, put, refused};

/// An accepted buffer gives the voxels that strides and element type describe, at the position that the geometry describes.
pub(crate) fn buffer(bytes: &[u8]) {
    let mut recipe = Recipe(bytes);
    init(&mut recipe, segvol_buffer_init);
    let said = recipe.size::<SegvolBuffer>();
    let mut given = SegvolBuffer {
        size: said.0,
        voxels: ptr::null(),
        element: recipe.int(),
        geometry: recipe.int(),
        shape: std::array::from_fn(|_| recipe.number() as usize),
        strides: std::array::from_fn(|_| recipe.number() as isize),
        affine: recipe.reals(),
        spacing: recipe.reals(),
        direction: recipe.reals(),
        origin: recipe.reals(),
        slope: recipe.real(),
        intercept: recipe.real(),
    };
    let place = recipe.byte();
    let mut problems = Vec::new();
    let mut problem = |status: SegvolStatus, there: bool| {
        if there {
            problems.push(status);
        }
    };
    let affine = affine(&given);
    problem(SegvolStatus::Argument, !is_good::<SegvolBuffer>(said));
    problem(SegvolStatus::Affine, affine.is_none());
    problem(SegvolStatus::Argument, !(given.slope.is_finite() && given.slope != 0.0 && given.intercept.is_finite()));
    let width = [0, 1, 2, 2, 4, 4, 8].get(given.element as usize).map_or(0, |&width| width);
    problem(SegvolStatus::Element, width == 0);
    let strides = match layout(&given, width) {
        Ok(strides) => strides,
        Err(status) => {
            problem(status, true);
            [0; 3]
        }
    };
    let reach = |axis: usize| (given.shape[axis].max(1) as i128 - 1) * strides[axis];
    let first: i128 = (0..3).map(|axis| reach(axis).min(0)).sum();
    let last: i128 = (0..3).map(|axis| reach(axis).max(0)).sum();
    let (len, voxels) = ((last - first + 1) * width, given.shape.iter().map(|&n| n as f64).product::<f64>());
    if strides != [0; 3] && (len > 1 << 20 || voxels > f64::from(1 << 16)) {
        return; // Too much memory for a test. Less memory would break the contract.
    }
    let mut memory: Vec<u64> = Vec::new();
    let fill = if recipe.0.is_empty() { &[0x31, 0x07, 0x44][..] } else { recipe.0 };
    memory.extend((0..len as usize / 8 + 2).map(|word| {
        let byte = |at: usize| fill[(word * 8 + at) % fill.len()];
        u64::from_ne_bytes(std::array::from_fn(byte))
    }));
    let askew = usize::from(place >= 2);
    problem(SegvolStatus::Element, askew > 0 && width > 1);
    problem(SegvolStatus::Null, place == 1);
    let start = (-first * width) as usize + askew;
    if place != 1 {
        given.voxels = memory.as_ptr().cast::<u8>().wrapping_add(start).cast();
    }

    let mut placed = Vec::new();
    put(&mut placed, 0, &given, said);
    let mut volume: *mut SegvolVolume = nowhere();
    // SAFETY: the struct is as long as it claims, and every voxel of an accepted shape can be read.
    let status = unsafe { segvol_volume_from_buffer(placed.as_ptr().cast(), &mut volume) };
    let Some(affine) = affine.filter(|_| problems.is_empty()) else {
        assert_eq!(volume, nowhere(), "written by a call that failed");
        return refused(status, &message(), &problems, "buffer");
    };
    assert_eq!(status, SegvolStatus::Ok, "{}", message());
    let (mut shape, mut rows) = ([0; 3], [0.0; 12]);
    // SAFETY: a live volume, and outputs of the right size.
    unsafe {
        assert_eq!(segvol_volume_shape(volume, shape.as_mut_ptr()), SegvolStatus::Ok);
        assert_eq!(segvol_volume_affine(volume, rows.as_mut_ptr()), SegvolStatus::Ok);
    }
    assert_eq!((shape, rows), (given.shape, affine));
    let raw = bytes_of(&memory);
    // SAFETY: a live volume.
    let found = unsafe { &*volume }.as_ref().voxels();
    let mut expected = 0;
    for k in 0..shape[2] as i128 {
        for j in 0..shape[1] as i128 {
            for i in 0..shape[0] as i128 {
                let at = start as i128 + (i * strides[0] + j * strides[1] + k * strides[2]) * width;
                let value = stored(&raw[at as usize..], given.element);
                let value = if (given.slope, given.intercept) == (1.0, 0.0) {
                    value as f32
                } else {
                    (value * given.slope + given.intercept) as f32
                };
                let found = found[expected];
                assert!(
                    found == value || (found.is_nan() && value.is_nan()),
                    "voxel {i}, {j}, {k}: {found}, not {value}"
                );
                expected += 1;
            }
        }
    }
    // SAFETY: a live volume that is not used again.
    unsafe { segvol_volume_free(volume) }
}

/// The affine to RAS that a buffer describes; `None` if it must be refused.
fn affine(given: &SegvolBuffer) -> Option<[f64; 12]> {
    let mut rows = match given.geometry {
        1 | 2 => given.affine,
        3 | 4 => {
            let fit = given.spacing.iter().all(|&spacing| spacing.is_normal() && spacing > 0.0);
            if !fit || given.origin.iter().any(|place| !place.is_finite()) {
                return None;
            }
            std::array::from_fn(|at| match (at / 4, at % 4) {
                (row, 3) => given.origin[row],
                (row, column) => given.direction[3 * row + column] * given.spacing[column],
            })
        }
        _ => return None,
    };
    if given.geometry % 2 == 0 {
        rows[..8].iter_mut().for_each(|number| *number = -*number);
    }
    let affine = Affine::new(std::array::from_fn(|row| std::array::from_fn(|column| rows[4 * row + column])));
    affine.is_invertible().then_some(rows)
}

/// The strides in elements, or the status of a layout that must be refused.
fn layout(given: &SegvolBuffer, width: i128) -> Result<[i128; 3], SegvolStatus> {
    let shape = given.shape.map(|n| n as i128);
    let mut strides = given.strides.map(|stride| stride as i128);
    if strides == [0; 3] {
        strides = [1, shape[0], shape[0].saturating_mul(shape[1])];
    } else {
        if width > 0 && strides.iter().any(|stride| stride % width != 0) {
            return Err(SegvolStatus::Stride);
        }
        strides = strides.map(|stride| stride / width.max(1));
    }
    let voxels = shape.iter().try_fold(1_i128, |product, &n| product.checked_mul(n));
    if voxels.is_none_or(|voxels| voxels == 0 || voxels > i128::from(MAX_VOXELS)) {
        return Err(SegvolStatus::Shape);
    }
    if (0..3).any(|axis| shape[axis] > 1 && strides[axis] == 0) {
        return Err(SegvolStatus::Stride);
    }
    let span: i128 = (0..3).map(|axis| (shape[axis] - 1) * strides[axis].abs()).sum::<i128>() + 1;
    if span * width > isize::MAX as i128 { Err(SegvolStatus::Stride) } else { Ok(strides) }
}

fn stored(bytes: &[u8], element: i32) -> f64 {
    fn some<const N: usize>(bytes: &[u8]) -> [u8; N] {
        std::array::from_fn(|at| bytes[at])
    }
    match element {
        1 => f64::from(bytes[0]),
        2 => f64::from(i16::from_ne_bytes(some(bytes))),
        3 => f64::from(u16::from_ne_bytes(some(bytes))),
        4 => f64::from(i32::from_ne_bytes(some(bytes))),
        5 => f64::from(f32::from_ne_bytes(some(bytes))),
        _ => f64::from_ne_bytes(some(bytes)),
    }
}
