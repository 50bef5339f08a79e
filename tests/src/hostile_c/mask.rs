//! Masks: copies into the caller's memory, and measurements.

use std::ptr;

use segvol::mask::Labels;
use segvol::volume::Affine;
use segvol::{Mask, Volume};
use segvol_capi::mask::{
    SegvolMask, SegvolMaskStatistics, segvol_mask_copy, segvol_mask_copy_u16, segvol_mask_free, segvol_mask_statistics,
    segvol_mask_statistics_init, segvol_mask_voxels,
};
use segvol_capi::status::SegvolStatus;

use super::{Recipe, bytes_of, init, may_be, message, put, refused};

/// Copies a mask into the caller's memory, and measures it.
pub(crate) fn mask(bytes: &[u8]) {
    let mut recipe = Recipe(bytes);
    init(&mut recipe, segvol_mask_statistics_init);
    let shape: [usize; 3] = std::array::from_fn(|_| 1 + usize::from(recipe.byte() % 6));
    let wide = recipe.byte() % 2 == 1;
    let said = recipe.size::<SegvolMaskStatistics>();
    let (label, len) = (recipe.number() as u16, recipe.number() as usize % 4096);
    let strides = (recipe.byte() > 0).then(|| std::array::from_fn::<isize, 3, _>(|_| recipe.number() as isize));
    let voxels = shape.iter().product();
    let labels: Vec<u16> = (0..voxels).map(|_| u16::from(recipe.byte()) << if wide { 8 } else { 0 }).collect();
    let grid = Volume::new(shape, vec![0.0; voxels], Affine::from_spacing([1.0, 1.0, 2.0])).expect("a volume");
    let held: Labels =
        if wide { labels.clone().into() } else { labels.iter().map(|&label| label as u8).collect::<Vec<u8>>().into() };
    let made = Mask::from_labels(held, grid.grid().clone()).expect("a mask");
    let mask = Box::into_raw(Box::new(SegvolMask::from(made)));

    copy(segvol_mask_copy, mask, &labels, shape, wide.then_some(SegvolStatus::Buffer), strides, vec![0xa5_u8; len]);
    copy(segvol_mask_copy_u16, mask, &labels, shape, None, strides, vec![0xa5a5_u16; len]);

    let mut lent: *const u8 = ptr::null();
    // SAFETY: a live mask.
    let status = unsafe { segvol_mask_voxels(mask, &mut lent) };
    if wide {
        assert_eq!((status, lent), (SegvolStatus::Buffer, ptr::null()));
    } else {
        assert_eq!(status, SegvolStatus::Ok);
        // SAFETY: as many bytes as the mask has voxels.
        let lent = unsafe { std::slice::from_raw_parts(lent, voxels) };
        assert!(lent.iter().zip(&labels).all(|(&found, &label)| u16::from(found) == label));
    }

    let blank = SegvolMaskStatistics { size: 0, voxels: 7, volume_ml: 7.0, box_min: [7; 3], box_max: [7; 3] };
    let mut placed = Vec::new();
    put(&mut placed, 0, &blank, said);
    let before = placed.clone();
    // SAFETY: a live mask, and a struct as long as it claims.
    let status = unsafe { segvol_mask_statistics(mask, label, placed.as_mut_ptr().cast()) };
    if may_be::<SegvolMaskStatistics>(said.0) {
        assert_eq!((status, placed[0]), (SegvolStatus::Ok, said.0 as u64));
        let count = labels.iter().filter(|&&found| found == label).count();
        assert_eq!(placed[1], count as u64);
        // A voxel has 2 mm³; the library may round differently.
        let volume_ml = f64::from_bits(placed[2]);
        assert!((volume_ml - count as f64 * 0.002).abs() < 1e-12, "{volume_ml} ml for {count} voxels");
        assert!(bytes_of(&placed)[size_of::<SegvolMaskStatistics>()..said.0].iter().all(|&byte| byte == 0));
    } else {
        refused(status, &message(), &[SegvolStatus::Argument], "statistics");
        assert_eq!(placed, before, "written by a call that failed");
    }
    // SAFETY: a live mask that is not used again.
    unsafe { segvol_mask_free(mask) }
}

type Copying<T> = unsafe extern "C" fn(*const SegvolMask, *mut T, usize, *const isize) -> SegvolStatus;

/// Checks that a copy writes every label to its address and nothing else, or nothing at all.
fn copy<T: Copy + PartialEq + TryFrom<u16>>(
    function: Copying<T>,
    mask: *const SegvolMask,
    labels: &[u16],
    shape: [usize; 3],
    problem: Option<SegvolStatus>,
    strides: Option<[isize; 3]>,
    mut memory: Vec<T>,
) {
    let mut expected = memory.clone();
    let [ni, nj, _] = shape;
    let wide = strides.unwrap_or([1, ni as isize, (ni * nj) as isize]).map(|stride| stride as i128);
    let reach = (0..3).map(|axis| (shape[axis] as i128 - 1) * wide[axis]).sum::<i128>() + 1;
    let mut problems = Vec::from_iter(problem);
    if wide.iter().any(|&stride| stride <= 0) {
        problems.push(SegvolStatus::Stride);
    } else if reach > memory.len() as i128 {
        problems.push(SegvolStatus::Buffer);
    }
    let given = strides.as_ref().map_or(ptr::null(), |strides| strides.as_ptr());
    // SAFETY: a live mask, and memory of this length.
    let status = unsafe { function(mask, memory.as_mut_ptr(), memory.len(), given) };
    if problems.is_empty() {
        assert_eq!(status, SegvolStatus::Ok, "{}", message());
        for (index, &label) in labels.iter().enumerate() {
            let [i, j, k] = [index % ni, index / ni % nj, index / ni / nj].map(|n| n as i128);
            // If several voxels share an address, the last one counts.
            expected[(i * wide[0] + j * wide[1] + k * wide[2]) as usize] = label.try_into().ok().expect("a byte");
        }
    } else {
        assert!(problems.contains(&status), "{status:?}, not one of {problems:?}: {}", message());
    }
    assert!(memory == expected, "other elements were written");
}
