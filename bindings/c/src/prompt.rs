//! The prompts that describe an object.

use std::ffi::c_char;

use segvol::{PointLabel, Prompt, Space};

use crate::arguments::{handle, optional_text, slice, unknown};
use crate::failure::Failure;
use crate::fence::fence;
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;

/// The coordinate system of a prompt.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolSpace {
    /// Voxels (i, j, k) of the scan as it is stored, counted from 0. Whole numbers are the centres of voxels.
    Voxel = 0,
    /// Millimetres to the patient's right, front and head: the world coordinates of NIfTI.
    Ras = 1,
    /// Millimetres to the patient's left, back and head: the world coordinates of DICOM and ITK.
    Lps = 2,
    /// Voxels (d, h, w) of the model's zoom-out window, as in SegVol's released code.
    Window = 3,
}

/// A point inside or outside the object.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolPoint {
    /// Its coordinates, in the prompt's space.
    pub at: [f64; 3],
    /// 1: inside the object; 0: outside.
    pub label: i32,
    /// Must be 0.
    pub reserved: i32,
}

/// A box around the object, in the prompt's space.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolBox {
    /// The smallest coordinates.
    pub min: [f64; 3],
    /// The largest coordinates, inclusive.
    pub max: [f64; 3],
}

/// The prompts for one object: a name, points, a box, or any combination of them, but at least one.
///
/// Initialise it with segvol_prompt_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolPrompt {
    /// Set by segvol_prompt_init().
    pub size: usize,
    /// The name of a structure as a text prompt, such as "liver"; NULL for no text prompt.
    pub text: *const c_char,
    /// `points_len` points; may be NULL if there are none.
    pub points: *const SegvolPoint,
    /// Number of points.
    pub points_len: usize,
    /// A box around the object; NULL for no box.
    pub bounding_box: *const SegvolBox,
    /// The name of the object in the report. NULL for the text prompt, or "object" if there is none.
    pub name: *const c_char,
    /// The coordinate system of points and box: a SegvolSpace; voxels by default.
    pub space: i32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: `repr(C)`, the size comes first, all fields are numbers or pointers, no padding at the end.
unsafe impl Versioned for SegvolPrompt {
    const NAME: &'static str = "SegvolPrompt";
    const FIRST_SIZE: usize = size_of::<Self>();
    const DEFAULT: Self = Self {
        size: size_of::<Self>(),
        text: std::ptr::null(),
        points: std::ptr::null(),
        points_len: 0,
        bounding_box: std::ptr::null(),
        name: std::ptr::null(),
        space: SegvolSpace::Voxel as i32,
        reserved: 0,
    };
}

/// Makes an empty prompt: sets all fields to their defaults.
///
/// - `size`: sizeof(SegvolPrompt).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_prompt_init(prompt: *mut SegvolPrompt, size: usize) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(prompt, size, "prompt") })
}

/// Reads `len` structs as prompts of the runtime. The `size` of the first struct is the distance from each struct to
/// the next.
///
/// The functions for C need a study; tests without one call this function.
///
/// # Errors
/// NULL, ARGUMENT, UTF8, or PROMPT for more objects than a mask can have labels.
///
/// # Safety
/// The pointer is NULL, or points to `len` initialised prompts whose strings, points and boxes are valid.
pub unsafe fn prompts(pointer: *const SegvolPrompt, len: usize) -> Result<Vec<Prompt>, Failure> {
    // SAFETY: NULL, which is refused here, or a struct that begins with its size.
    let &stride = unsafe { handle(pointer.cast::<usize>(), "prompts") }?;
    // The runtime has the same limit, but checks it only after all prompts were read.
    if len > usize::from(u16::MAX) {
        return Err(Failure::from(segvol::Error::from(segvol::PromptError::TooMany { found: len })).of("prompts"));
    }
    let mut prompts = Vec::new();
    for index in 0..len {
        let argument = if len == 1 { "prompt".to_owned() } else { format!("prompts[{index}]") };
        // SAFETY: `index` is less than `len`, and the structs of an array follow each other without gaps.
        let at = unsafe { pointer.cast::<u8>().add(index * stride) }.cast::<SegvolPrompt>();
        // SAFETY: within the array. Refuses a struct that is not aligned because `stride` is not a multiple of a word.
        unsafe { handle(at.cast::<usize>(), &argument) }?;
        // SAFETY: not NULL, and initialised.
        let given = unsafe { sized::read(at, &argument) }?;
        if given.size != stride {
            return Err(unknown(
                &format!("{argument}.size"),
                &format!("{stride}, the size of the first prompt"),
                given.size,
            ));
        }
        // SAFETY: the caller of this function promises it.
        prompts.push(unsafe { prompt(&given, &argument) }?);
    }
    Ok(prompts)
}

/// # Safety
/// Strings, points and box are valid.
unsafe fn prompt(given: &SegvolPrompt, argument: &str) -> Result<Prompt, Failure> {
    let of = |field: &str| format!("{argument}.{field}");
    let space = match given.space {
        0 => Space::Voxel,
        1 => Space::Ras,
        2 => Space::Lps,
        3 => Space::Window,
        other => return Err(unknown(&of("space"), "one of SegvolSpace, 0 to 3", other)),
    };
    if given.reserved != 0 {
        return Err(unknown(&of("reserved"), "0", given.reserved));
    }
    let mut prompt = Prompt::new().space(space);
    // SAFETY: the caller of this function promises it.
    let (text, name, points) = unsafe {
        (
            optional_text(given.text, &of("text"))?,
            optional_text(given.name, &of("name"))?,
            slice(given.points, given.points_len, &of("points"))?,
        )
    };
    if let Some(text) = text {
        prompt = prompt.with_text(text);
    }
    if let Some(name) = name {
        prompt = prompt.named(name);
    }
    for (index, point) in points.iter().enumerate() {
        let of = |field: &str| format!("{argument}.points[{index}].{field}");
        let label = match point.label {
            1 => PointLabel::Foreground,
            0 => PointLabel::Background,
            other => return Err(unknown(&of("label"), "1 (inside the object) or 0 (outside)", other)),
        };
        if point.reserved != 0 {
            return Err(unknown(&of("reserved"), "0", point.reserved));
        }
        prompt = prompt.point(point.at, label);
    }
    if !given.bounding_box.is_null() {
        // SAFETY: a live box.
        let given = unsafe { handle(given.bounding_box, &of("bounding_box")) }?;
        prompt = prompt.bounding_box(given.min, given.max);
    }
    Ok(prompt)
}
