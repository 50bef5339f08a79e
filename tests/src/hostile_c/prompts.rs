//! The prompts for objects.

use std::ffi::CString;
use std::ptr;

use segvol::{PointLabel, Prompt, Space};
use segvol_capi::prompt::{self, SegvolBox, SegvolPoint, SegvolPrompt, segvol_prompt_init};
use segvol_capi::status::SegvolStatus;

use super::{Recipe, init, is_good, may_be, pointer, put, refused};

/// The memory that the struct of one prompt points to.
#[derive(Default)]
struct Lent {
    text: Option<CString>,
    name: Option<CString>,
    points: Vec<SegvolPoint>,
    bounding_box: Vec<SegvolBox>,
}

/// Reads an array of prompts.
pub(crate) fn prompts(bytes: &[u8]) {
    let mut recipe = Recipe(bytes);
    init(&mut recipe, segvol_prompt_init);
    let len = match recipe.byte() {
        0 => 1,
        1 => 0,
        few @ 2..=4 => usize::from(few),
        many => (usize::from(u16::MAX) + usize::from(many) - 4).max(recipe.number() as usize),
    };
    let said = recipe.size::<SegvolPrompt>();
    let mut problems = Vec::new();
    if len > usize::from(u16::MAX) {
        problems.push(SegvolStatus::Prompt);
    }
    let mut memory = Vec::new();
    let (mut lent, mut expected) = (Vec::new(), Vec::new());
    for index in 0..len.clamp(1, 4) {
        // The first size is the distance between the structs; a later struct may claim another size.
        let own = if recipe.byte() == 255 && index > 0 { recipe.size::<SegvolPrompt>() } else { said };
        let mut problem = |status: SegvolStatus, there: bool| {
            if there && len > 0 {
                problems.push(status);
            }
        };
        let askew = index > 0 && !said.0.is_multiple_of(align_of::<SegvolPrompt>());
        problem(SegvolStatus::Argument, !is_good::<SegvolPrompt>(own) || own.0 != said.0 || askew);
        let (given, prompt, pieces) = prompt(&mut recipe, &mut problem);
        lent.push(pieces);
        if index == 0 || may_be::<SegvolPrompt>(said.0) {
            put(&mut memory, index * said.0, &given, own);
        }
        if index < len {
            expected.push(prompt);
        }
    }
    // SAFETY: the first size is the distance between the structs, whose strings, points and boxes are in `lent`.
    match unsafe { prompt::prompts(memory.as_ptr().cast(), len) } {
        Ok(found) => {
            assert!(problems.is_empty(), "accepted in spite of {problems:?}");
            // Compared as text, because NaN is not equal to itself.
            assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        }
        Err(failure) => refused(failure.status(), failure.message(), &problems, "prompt"),
    }
}

/// Returns one prompt for C, the prompt that the library must read, and the memory that the first points to.
fn prompt(recipe: &mut Recipe<'_>, problem: &mut dyn FnMut(SegvolStatus, bool)) -> (SegvolPrompt, Prompt, Lent) {
    let (space, reserved) = (recipe.int(), recipe.int());
    problem(SegvolStatus::Argument, reserved != 0 || !(0..=3).contains(&space));
    let spaces = [Space::Voxel, Space::Ras, Space::Lps, Space::Window];
    let mut prompt = Prompt::new().space(spaces.get(space as usize).copied().unwrap_or_default());
    let mut lent = Lent { text: recipe.text(), name: recipe.text(), ..Lent::default() };
    for (text, is_name) in [(&lent.text, false), (&lent.name, true)] {
        let Some(text) = text else { continue };
        match text.to_str() {
            Ok(text) if is_name => prompt = prompt.named(text),
            Ok(text) => prompt = prompt.with_text(text),
            Err(_) => problem(SegvolStatus::Utf8, true),
        }
    }

    let kind = recipe.byte();
    for _ in 0..if kind < 9 { kind } else { 2 } {
        let point = SegvolPoint { at: recipe.reals(), label: recipe.int(), reserved: recipe.int() };
        lent.points.push(point);
        if kind < 9 {
            let label = if point.label == 1 { PointLabel::Foreground } else { PointLabel::Background };
            problem(SegvolStatus::Argument, !(0..=1).contains(&point.label) || point.reserved != 0);
            prompt = prompt.point(point.at, label);
        }
    }
    let (points, points_len) = match kind {
        0..9 => (lent.points.as_ptr(), lent.points.len()),
        9 => (ptr::null(), recipe.number() as usize),
        10 => {
            let too_many = isize::MAX as usize / size_of::<SegvolPoint>() + 1;
            (lent.points.as_ptr(), too_many.saturating_add(recipe.number() as usize))
        }
        _ => (lent.points.as_ptr().cast::<u8>().wrapping_add(1).cast(), 1),
    };
    problem(SegvolStatus::Null, kind == 9 && points_len > 0);
    problem(SegvolStatus::Argument, kind > 9);

    let kind = recipe.byte();
    let mut bounding_box = ptr::null();
    if kind > 0 {
        lent.bounding_box = vec![SegvolBox { min: recipe.reals(), max: recipe.reals() }; 2];
        let given = lent.bounding_box[0];
        prompt = prompt.bounding_box(given.min, given.max);
        bounding_box = lent.bounding_box.as_ptr().cast::<u8>().wrapping_add(usize::from(kind > 99)).cast();
        problem(SegvolStatus::Argument, kind > 99);
    }
    let (text, name) = (pointer(&lent.text), pointer(&lent.name));
    let given = SegvolPrompt { size: 0, text, points, points_len, bounding_box, name, space, reserved };
    (given, prompt, lent)
}
