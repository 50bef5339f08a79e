//! The errors of every stage of a model, compared with the goldens.

use std::collections::BTreeMap;

use ndarray::ArrayView3;
use segvol::resize::resize_trilinear;
use segvol::{Model, TextEmbedding, WindowPrompt};
use segvol_onnx::PromptLabel;

use crate::compare::relative_l2;
use crate::golden::Goldens;
use crate::seeded;

/// The combinations of text, box and points in the goldens.
pub const MIXES: [&str; 7] = ["text", "box", "points", "text_box", "text_points", "points_box", "all"];

/// The prompts of the goldens.
#[derive(Debug)]
pub struct StagePrompts {
    /// Points in voxels of the window, with their labels.
    pub points: Vec<([f32; 3], PromptLabel)>,
    /// Box in voxels of the window, maximum inclusive.
    pub bounding_box: [f32; 6],
}

impl StagePrompts {
    /// Reads the prompts.
    ///
    /// # Panics
    ///
    /// If the file does not have them.
    #[must_use]
    pub fn read(goldens: &Goldens) -> Self {
        let labels = goldens.values("labels").into_iter().map(|label| match label {
            -1.0 => PromptLabel::NotAPoint,
            0.0 => PromptLabel::Background,
            1.0 => PromptLabel::Foreground,
            _ => panic!("label {label}"),
        });
        let points = goldens.values("points");
        let points = points.as_chunks().0.iter().copied().zip(labels).collect();
        let bounding_box = goldens.values("box").try_into().expect("six numbers");
        Self { points, bounding_box }
    }

    /// The prompts of one combination. `text` is used only if the combination has a text.
    #[must_use]
    pub fn mix<'a>(&self, mix: &str, text: &'a TextEmbedding) -> WindowPrompt<'a> {
        let has = |what: &str| mix == "all" || mix.split('_').any(|part| part == what);
        WindowPrompt {
            points: if has("points") { self.points.clone() } else { vec![] },
            bounding_box: has("box").then_some(self.bounding_box),
            text: has("text").then_some(text),
        }
    }
}

/// The relative L2 error of every output of every stage: `image_embedding`, `text_embedding`, and for each combination
/// `MIX.sparse`, `MIX.low_res_logits` and `MIX.logits`. Of large goldens only the sampled elements are compared.
///
/// # Panics
///
/// If a stage fails.
#[must_use]
pub fn stage_errors(model: &Model, goldens: &Goldens) -> BTreeMap<String, f64> {
    let prompts = StagePrompts::read(goldens);
    stage_errors_with(model, goldens, &prompts)
}

/// Like [`stage_errors`], with other prompts than those of the goldens.
///
/// # Panics
///
/// If a stage fails.
#[must_use]
pub fn stage_errors_with(model: &Model, goldens: &Goldens, prompts: &StagePrompts) -> BTreeMap<String, f64> {
    let stages = model.stages();
    let window_dhw = stages.architecture().window_dhw;
    let mut errors = BTreeMap::new();
    let mut compare = |name: &str, found: &[f32]| {
        let expected = goldens.sample(name);
        errors.insert(name.to_owned(), relative_l2(&expected.pick(found), &expected.value));
    };

    let window = seeded::window(window_dhw);
    let image = ArrayView3::from_shape(window_dhw, &window).expect("a window");
    let image = stages.encode_image(image).expect("image encoder");
    compare("image_embedding", &image.values().expect("an embedding"));

    let (shape, ids) = goldens.ints("input_ids");
    let texts = stages.encode_token_ids([shape[0], shape[1]], &ids).expect("text encoder");
    let rows: Vec<f32> = texts.iter().flat_map(|text| text.embedding.iter().copied()).collect();
    compare("text_embedding", &rows);

    for mix in MIXES {
        let prompt = prompts.mix(mix, &texts[0]);
        let sparse = stages.encode_prompts(std::slice::from_ref(&prompt)).expect("prompt encoder");
        compare(&format!("{mix}.sparse"), sparse.as_slice().expect("standard layout"));
        let low_res = stages.decode_masks(&image, &[prompt]).expect("mask decoder");
        compare(&format!("{mix}.low_res_logits"), low_res.as_slice().expect("standard layout"));
        let logits = resize_trilinear(low_res.index_axis(ndarray::Axis(0), 0), window_dhw);
        compare(&format!("{mix}.logits"), logits.as_slice().expect("standard layout"));
    }
    errors
}

/// The largest of the errors whose names end in `suffix`, with its name.
///
/// # Panics
///
/// If no name ends in `suffix`.
#[must_use]
pub fn worst<'a>(errors: &'a BTreeMap<String, f64>, suffix: &str) -> (&'a str, f64) {
    let matching = errors.iter().filter(|(name, _)| name.ends_with(suffix));
    let worst = matching.max_by(|a, b| a.1.total_cmp(b.1)).expect("at least one output has that name");
    (worst.0, *worst.1)
}
