//! Masks as they are scored: after postprocessing, if there is any.

use segvol::mask::Mask;
use segvol::postprocess::{Object, PostprocessError, Postprocessing};
use segvol::{Marks, Warning};

/// A mask after postprocessing, with its warnings. `marks` are the points and the box of its prompt; a prompt without any chooses no
/// components.
pub(crate) fn postprocessed(
    name: &str,
    mask: Mask,
    marks: &Marks,
    settings: &Postprocessing,
) -> Result<(Mask, Vec<Warning>), PostprocessError> {
    let has_place = !marks.points.is_empty() || marks.bounding_box.is_some();
    let settings = Postprocessing { keep_with_prompt: settings.keep_with_prompt && has_place, ..*settings };
    if settings.is_off() {
        return Ok((mask, Vec::new()));
    }
    let found = settings.apply(&Object { name, mask: &mask, marks })?;
    Ok((found.mask, found.warnings))
}
