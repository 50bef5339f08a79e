//! What the caller says of one object.

use std::ffi::c_char;

use segvol::{PointLabel, Prompt, Space};

use crate::arguments::{handle, optional_text, slice, unknown};
use crate::failure::Failure;
use crate::fence::fence;
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;

/// What the coordinates of a prompt mean.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolSpace {
    /// Voxels (i, j, k) of the scan as it was handed over, from 0; a voxel's centre is a whole number.
    Voxel = 0,
    /// Millimetres to the patient's right, front and head: NIfTI's world.
    Ras = 1,
    /// Millimetres to the patient's left, back and head: DICOM's and ITK's world.
    Lps = 2,
    /// Voxels (d, h, w) of the model's zoom-out window, as the released code takes them.
    Window = 3,
}

/// A point in the object, or beside it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolPoint {
    /// Where, in the prompt's space.
    pub at: [f64; 3],
    /// 1: in the object; 0: beside it.
    pub label: i32,
    /// Must be 0.
    pub reserved: i32,
}

/// A box around the object, in the prompt's space.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolBox {
    /// Least coordinates.
    pub min: [f64; 3],
    /// Greatest coordinates, inclusive.
    pub max: [f64; 3],
}

/// One object: any mix of a name, points and a box, but at least one of them. Set it up with segvol_prompt_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolPrompt {
    /// Set by segvol_prompt_init().
    pub size: usize,
    /// The object's name as a text prompt, such as "liver"; NULL: none.
    pub text: *const c_char,
    /// Points; NULL if there are none.
    pub points: *const SegvolPoint,
    /// How many there are.
    pub points_len: usize,
    /// A box; NULL: none.
    pub bounding_box: *const SegvolBox,
    /// What to call the object in the report; NULL: its text, else "object".
    pub name: *const c_char,
    /// What the coordinates of points and box mean: a SegvolSpace; voxels by default.
    pub space: i32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers alone, no padding at the end.
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

/// Sets defaults: a prompt that says nothing yet. `size`: sizeof(SegvolPrompt).
///
/// ARGUMENT. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_prompt_init(prompt: *mut SegvolPrompt, size: usize) -> SegvolStatus {
    // SAFETY: NULL, or `size` bytes, as the header's first page asks.
    fence(|| unsafe { sized::init(prompt, size, "prompt") })
}

/// The runtime's prompts, from `len` structs that are as far apart as the first says it is long. What C calls has a study
/// besides; this is for tests that have none.
///
/// # Errors
/// NULL, ARGUMENT, UTF8, or PROMPT for more objects than there can be labels.
///
/// # Safety
/// NULL, or `len` initialised prompts whose texts, points and boxes live while they are read.
pub unsafe fn prompts(pointer: *const SegvolPrompt, len: usize) -> Result<Vec<Prompt>, Failure> {
    // SAFETY: NULL or a struct that begins with its size; NULL ends here.
    let &stride = unsafe { handle(pointer.cast::<usize>(), "prompts") }?;
    // The runtime has the same limit, but by then they would all have been read.
    if len > usize::from(u16::MAX) {
        return Err(Failure::from(segvol::Error::from(segvol::PromptError::TooMany { found: len })).of("prompts"));
    }
    let mut prompts = Vec::new();
    for index in 0..len {
        let argument = if len == 1 { "prompt".to_owned() } else { format!("prompts[{index}]") };
        // SAFETY: the structs of an array are as far apart as each is long, and there are `len` of them.
        let at = unsafe { pointer.cast::<u8>().add(index * stride) }.cast::<SegvolPrompt>();
        // SAFETY: within the array. A size that is no multiple of a word would put the next one askew.
        unsafe { handle(at.cast::<usize>(), &argument) }?;
        // SAFETY: not NULL, and initialised.
        let given = unsafe { sized::read(at, &argument) }?;
        if given.size != stride {
            return Err(unknown(&format!("{argument}.size"), &format!("{stride}, as the first has"), given.size));
        }
        // SAFETY: as promised.
        prompts.push(unsafe { prompt(&given, &argument) }?);
    }
    Ok(prompts)
}

/// # Safety
/// Texts, points and box live while they are read.
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
    // SAFETY: as promised.
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
            other => return Err(unknown(&of("label"), "1 (in the object) or 0 (beside it)", other)),
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
