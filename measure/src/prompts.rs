//! The windows and prompts on which stages are compared.

use segvol::{TextEmbedding, WindowPrompt};
use segvol_converter::seeded::{uniform01, window};
use segvol_onnx::{Architecture, PromptLabel};

use crate::error::Error;
use crate::record::Record;

/// The combinations of parts that a prompt can consist of.
pub const MIXES: [&str; 7] = ["text", "box", "points", "text_box", "text_points", "points_box", "all"];

/// Names per comparison.
const NAMES: usize = 3;

/// Token ids per name.
const LENGTH: usize = 16;

/// A window, and the mixes that are decoded on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The start of the names of its outputs: empty for the seeded window, `CASE/` for others.
    pub prefix: String,
    /// `[D, H, W]`, in [0, 1].
    pub window: Vec<f32>,
    /// Some of [`MIXES`].
    pub mixes: Vec<&'static str>,
}

impl Case {
    /// The seeded window of [`segvol_converter::seeded`], with every mix.
    #[must_use]
    pub fn seeded(architecture: &Architecture) -> Self {
        Self { prefix: String::new(), window: window(architecture.window_dhw), mixes: MIXES.to_vec() }
    }

    /// A window of a scan, with one mix, because all mixes are compared on the seeded window.
    #[must_use]
    pub fn of_scan(prefix: String, window: Vec<f32>) -> Self {
        Self { prefix, window, mixes: vec!["text_box"] }
    }

    /// The cases of a record: the seeded one, and those whose windows it contains.
    ///
    /// # Errors
    ///
    /// [`Error::OtherModel`] if the size of a window is not the model's.
    pub fn of_record(record: &Record, architecture: &Architecture) -> Result<Vec<Self>, Error> {
        let expected = architecture.window_dhw.iter().product();
        let mut cases = Vec::new();
        for prefix in record.prefixes() {
            let name = format!("{prefix}window");
            let mut case = Self::seeded(architecture);
            if let Some(values) = record.floats(&name) {
                if values.len() != expected {
                    return Err(Error::OtherModel { what: name, expected, found: values.len() });
                }
                case.window = values.to_vec();
            }
            if !prefix.is_empty() {
                case = Self::of_scan(prefix, case.window);
            }
            cases.push(case);
        }
        Ok(cases)
    }
}

/// Points, a box and names, from which every mix is built.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompts {
    /// Points in voxels of the window, with their labels.
    pub points: Vec<([f32; 3], PromptLabel)>,
    /// Box in voxels of the window, maximum inclusive.
    pub bounding_box: [f32; 6],
    /// The number of names, and the number of token ids per name.
    pub ids_shape: [usize; 2],
    /// Token ids, row by row.
    pub ids: Vec<i64>,
}

impl Prompts {
    /// Three points, the middle half of the window as box, and three names of random tokens. No tokenizer is needed, because
    /// the text encoder accepts all ids below the end token's.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
    pub fn seeded(architecture: &Architecture) -> Self {
        let size = architecture.window_dhw.map(|n| n as f32);
        let mut draw = uniform01("prompts").map(|u| u as f32);
        let mut point = |label| (size.map(|n| (draw.next().expect("the draws never end") * n).floor()), label);
        let points =
            vec![point(PromptLabel::Foreground), point(PromptLabel::Background), point(PromptLabel::Foreground)];
        let [d, h, w] = size;
        let bounding_box = [d, h, w, 3.0 * d - 4.0, 3.0 * h - 4.0, 3.0 * w - 4.0].map(|bound| (bound / 4.0).floor());

        let end = architecture.text_encoder.vocabulary as i64 - 1;
        let length = LENGTH.min(architecture.text_encoder.context_length);
        Self { points, bounding_box, ids_shape: [NAMES, length], ids: seeded_ids(end, [NAMES, length]) }
    }

    /// The prompts of a record. Parts that it does not contain are the seeded ones.
    #[must_use]
    pub fn of_record(record: &Record, architecture: &Architecture) -> Self {
        let mut prompts = Self::seeded(architecture);
        if let (Some(points), Some(labels)) = (record.floats("points"), record.floats("labels")) {
            let label = |label: &f32| match *label {
                1.0 => PromptLabel::Foreground,
                0.0 => PromptLabel::Background,
                _ => PromptLabel::NotAPoint,
            };
            prompts.points = points.as_chunks().0.iter().copied().zip(labels.iter().map(label)).collect();
        }
        if let Some(Ok(bounding_box)) = record.floats("box").map(<[f32; 6]>::try_from) {
            prompts.bounding_box = bounding_box;
        }
        if let Some(ids) = record.tensors.get("input_ids")
            && let (&[names, length], Some(values)) = (ids.shape(), ids.ints())
        {
            (prompts.ids_shape, prompts.ids) = ([names, length], values.to_vec());
        }
        prompts
    }

    /// One mix. It contains `text` if the mix has text.
    #[must_use]
    pub fn mix<'a>(&self, mix: &str, text: &'a TextEmbedding) -> WindowPrompt<'a> {
        WindowPrompt {
            points: if has(mix, "points") { self.points.clone() } else { vec![] },
            bounding_box: has(mix, "box").then_some(self.bounding_box),
            text: has(mix, "text").then_some(text),
        }
    }
}

/// Whether a mix contains a part: `text`, `box` or `points`.
#[must_use]
pub fn has(mix: &str, part: &str) -> bool {
    mix == "all" || mix.split('_').any(|found| found == part)
}

/// Token ids of names: a start token, random ids, and end tokens from the middle on.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn seeded_ids(end: i64, [names, length]: [usize; 2]) -> Vec<i64> {
    let mut draw = uniform01("names");
    let mut id = |place: usize| match place {
        0 => end - 1,
        place if place > length / 2 => end,
        _ => (draw.next().expect("the draws never end") * (end - 1) as f64) as i64,
    };
    (0..names * length).map(|index| id(index % length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_prompts_are_inside_the_window_and_the_vocabulary() {
        let a = Architecture::RELEASED;
        let prompts = Prompts::seeded(&a);
        for (point, _) in &prompts.points {
            assert!((0..3).all(|axis| point[axis] >= 0.0 && point[axis] < a.window_dhw[axis] as f32), "{point:?}");
        }
        assert_eq!(prompts.bounding_box, [8.0, 64.0, 64.0, 23.0, 191.0, 191.0]);
        let names: Vec<&[i64]> = prompts.ids.chunks(prompts.ids_shape[1]).collect();
        assert!(names.len() == 3 && names[0] != names[1]);
        for ids in names {
            assert_eq!((ids[0], ids[15]), (49406, 49407));
            assert!(ids[1..8].iter().all(|&id| (0..49406).contains(&id)), "{ids:?}");
        }
    }

    #[test]
    fn a_record_s_own_prompts_take_the_place_of_the_seeded_ones() {
        let mut record = Record::default();
        let a = Architecture::RELEASED;
        assert_eq!(Prompts::of_record(&record, &a), Prompts::seeded(&a));
        record.tensors.insert("points".to_owned(), segvol::Tensor::float(&[1, 3], vec![1.0, 2.0, 3.0]));
        record.tensors.insert("labels".to_owned(), segvol::Tensor::float(&[1], vec![0.0]));
        record.tensors.insert("input_ids".to_owned(), segvol::Tensor::int(&[1, 2], vec![5, 6]));
        let found = Prompts::of_record(&record, &a);
        assert_eq!(found.points, [([1.0, 2.0, 3.0], PromptLabel::Background)]);
        assert_eq!((found.ids_shape, found.ids), ([1, 2], vec![5, 6]));
    }
}
