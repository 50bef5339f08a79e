//! The model's sizes: from the checkpoint's shapes, and from `config.json` those that follow from no shape. And the axes that
//! the model was trained with, which only `config.json` has.

use std::path::{Path, PathBuf};

use segvol_base::json::{At, Document, JsonError};
use segvol_base::{Orientation, text};
use segvol_names::{List, Names};
use segvol_onnx::Architecture;
use segvol_onnx::architecture::{TextTransformer, Transformer};

use crate::error::{CheckpointError, ConvertError, TensorFault, TensorFaults};
use segvol_checkpoint::error::shown;
use segvol_checkpoint::{Checkpoint, POSITION_EMBEDDINGS};

/// Longest `config.json` accepted; the released one has 379 bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Largest size of an axis of a tensor that is accepted.
const MAX_SIZE: usize = 1 << 16;

// The released model's sizes, for those that neither a shape nor a configuration gives.
const WINDOW_DHW: [usize; 3] = Architecture::RELEASED.window_dhw;
const PATCH_DHW: [usize; 3] = Architecture::RELEASED.patch_dhw;
const IMAGE_HEADS: usize = Architecture::RELEASED.image_encoder.heads;
const DECODER: Transformer = Architecture::RELEASED.mask_decoder;
const TEXT: TextTransformer = Architecture::RELEASED.text_encoder;

/// `config.json`: sizes that differ from the released ones, and the names that the model was trained with. A size without
/// a field is the released one, or follows from the checkpoint's shapes.
///
/// The released file has `spatial_size`, `patch_size`, `test_mode`, and the fields that transformers adds. Any other
/// field is an error, because a misspelt number of heads would go unnoticed.
#[derive(Debug, Default)]
struct Config {
    axes: Option<Orientation>,
    spatial_size: Option<[usize; 3]>,
    patch_size: Option<[usize; 3]>,
    hidden: Option<usize>,
    mlp: Option<usize>,
    layers: Option<usize>,
    heads: Option<usize>,
    dec_heads: Option<usize>,
    dec_mlp: Option<usize>,
    names: Option<segvol_names::List>,
    clip: Option<Clip>,
}

/// The text tower, with the names of CLIP's own configuration.
#[derive(Debug, Default)]
struct Clip {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
}

/// Fields that do not affect the model's sizes: the released `test_mode`, and those that transformers writes.
const IGNORED_FIELDS: [&str; 14] = [
    "test_mode",
    "architectures",
    "auto_map",
    "bos_token_id",
    "custom_pipelines",
    "dtype",
    "eos_token_id",
    "is_encoder_decoder",
    "model_type",
    "pad_token_id",
    "return_dict",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
];

/// The sizes of a checkpoint's model, with `config`, or else the `config.json` next to it if there is one.
pub(crate) fn architecture(checkpoint: &Checkpoint, config: Option<&Path>) -> Result<Architecture, ConvertError> {
    let path = path_of(checkpoint, config);
    let config = path.as_deref().map(read).transpose()?.unwrap_or_default();
    let sizes = Sizes { checkpoint, path };
    sizes.architecture(&config)
}

/// The names that the configuration of [`architecture`] lists; `None` if it lists none.
pub(crate) fn names(checkpoint: &Checkpoint, config: Option<&Path>) -> Result<Option<Names>, ConvertError> {
    let Some(path) = path_of(checkpoint, config) else { return Ok(None) };
    let Some(list) = read(&path)?.names else { return Ok(None) };
    let bad = |reason: &str| ConvertError::Config { path: path.clone(), reason: format!("`names`: {reason}") };
    let (names, warnings) = list.names("config.json").map_err(|reason| bad(&reason))?;
    match warnings.first() {
        Some(twice) => Err(bad(&twice.message)),
        None => Ok(Some(names)),
    }
}

/// The axes that the model was trained with, from the same file; `None` if it does not say.
pub(crate) fn axes(checkpoint: &Checkpoint, config: Option<&Path>) -> Result<Option<Orientation>, ConvertError> {
    Ok(path_of(checkpoint, config).as_deref().map(read).transpose()?.and_then(|config| config.axes))
}

fn path_of(checkpoint: &Checkpoint, config: Option<&Path>) -> Option<PathBuf> {
    let beside = checkpoint.path.with_file_name("config.json");
    match config {
        Some(path) => Some(path.to_owned()),
        None => beside.is_file().then_some(beside),
    }
}

fn read(path: &Path) -> Result<Config, ConvertError> {
    let bad = |reason: String| ConvertError::Config { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
    if length > MAX_CONFIG_BYTES {
        return Err(bad(format!("expected at most {MAX_CONFIG_BYTES} bytes, found {length}")));
    }
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let text = text::decode(&bytes).map_err(|found| bad(format!("expected JSON; found {found}")))?;
    parse(text).map_err(|error| bad(error.to_string()))
}

fn parse(text: &str) -> Result<Config, JsonError> {
    const EXAMPLE: &str = "an object, for example {\"spatial_size\": [32, 256, 256], \"patch_size\": [4, 16, 16]}";
    let document = Document::parse(text)?;
    let root = document.root();
    let known = [
        "spatial_size",
        "patch_size",
        "hidden",
        "mlp",
        "layers",
        "heads",
        "dec_heads",
        "dec_mlp",
        "clip",
        "axes",
        "names",
    ];
    let ignored = |name: &str| name.starts_with('_') || IGNORED_FIELDS.contains(&name);
    let fields = root.fields(EXAMPLE, &known, ignored)?;
    let one = |name: &str| fields.get(name).map(|at| whole(&at)).transpose();
    let three = |name: &str| fields.get(name).map(|at| three(&at)).transpose();
    Ok(Config {
        axes: fields.get("axes").map(|at| axes_of(&at)).transpose()?,
        names: fields.get("names").map(|at| names_of(&at, text)).transpose()?,
        spatial_size: three("spatial_size")?,
        patch_size: three("patch_size")?,
        hidden: one("hidden")?,
        mlp: one("mlp")?,
        layers: one("layers")?,
        heads: one("heads")?,
        dec_heads: one("dec_heads")?,
        dec_mlp: one("dec_mlp")?,
        clip: fields.get("clip").map(|at| clip(&at)).transpose()?,
    })
}

fn clip(at: &At<'_>) -> Result<Clip, JsonError> {
    let known = [
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
        "max_position_embeddings",
    ];
    let fields = at.fields("an object, for example {\"vocab_size\": 49408}", &known, |_| false)?;
    let one = |name: &str| fields.get(name).map(|at| whole(&at)).transpose();
    Ok(Clip {
        hidden_size: one("hidden_size")?,
        intermediate_size: one("intermediate_size")?,
        num_hidden_layers: one("num_hidden_layers")?,
        num_attention_heads: one("num_attention_heads")?,
        vocab_size: one("vocab_size")?,
        max_position_embeddings: one("max_position_embeddings")?,
    })
}

fn whole(at: &At<'_>) -> Result<usize, JsonError> {
    Ok(at.whole(0..=u32::MAX, "a whole number, for example 12")? as usize)
}

fn three(at: &At<'_>) -> Result<[usize; 3], JsonError> {
    let expected = "three whole numbers (depth, height, width), for example [32, 256, 256]";
    let values = at.list(expected)?.map(|value| Ok(value.whole(0..=u32::MAX, expected)? as usize));
    let values = values.collect::<Result<Vec<_>, JsonError>>()?;
    values.try_into().map_err(|_| at.refuse(expected))
}

fn axes_of(at: &At<'_>) -> Result<Orientation, JsonError> {
    let expected = "the axes of the training scans: \"stored\", or three letters such as \"RAS\"";
    let text = at.text(expected)?;
    text.parse().map_err(|reason: String| {
        let (_, found) = reason.split_once("; found ").unwrap_or(("", &reason));
        at.refuse_as(expected, found)
    })
}

fn names_of(at: &At<'_>, text: &str) -> Result<List, JsonError> {
    #[derive(serde::Deserialize)]
    struct Only {
        names: List,
    }
    let expected = "the names that the model was trained with, for example [\"liver\", \"spleen\"]";
    let only: Result<Only, _> = serde_json::from_str(text);
    only.map(|only| only.names).map_err(|error| at.refuse_as(expected, error.to_string()))
}

struct Sizes<'a> {
    checkpoint: &'a Checkpoint,
    path: Option<PathBuf>,
}

impl Sizes<'_> {
    fn architecture(&self, config: &Config) -> Result<Architecture, ConvertError> {
        let window_dhw = config.spatial_size.unwrap_or(WINDOW_DHW);
        let patch_dhw = config.patch_size.unwrap_or(PATCH_DHW);
        for axis in 0..3 {
            let (window, patch) = (window_dhw[axis], patch_dhw[axis]);
            if patch == 0 || window == 0 || window % patch != 0 || window > 4096 {
                let expected = "multiples of patch_size, at most 4096 voxels per axis".to_owned();
                return Err(self.wrong(
                    "spatial_size",
                    expected,
                    format!("{window_dhw:?} with patch_size {patch_dhw:?}"),
                ));
            }
        }

        let channels = self.size::<3>("hidden", config.hidden, POSITION_EMBEDDINGS, 2)?;
        if channels % 8 != 0 {
            return Err(self.wrong("hidden", "a multiple of 8".to_owned(), channels.to_string()));
        }
        let image_encoder = Transformer {
            mlp: self.size::<2>("mlp", config.mlp, "image_encoder.blocks.0.mlp.linear1.weight", 0)?,
            layers: self.count("layers", config.layers, "image_encoder.blocks.")?,
            heads: self.heads("heads", config.heads.unwrap_or(IMAGE_HEADS), channels)?,
        };
        let mut architecture =
            Architecture { window_dhw, patch_dhw, channels, image_encoder, text_encoder: TEXT, mask_decoder: DECODER };
        let (expected, found) = (architecture.image_tokens(), self.shape::<3>(POSITION_EMBEDDINGS)?[1]);
        if found != expected {
            let expected =
                format!("{expected} tokens, from a window of {window_dhw:?} voxels in patches of {patch_dhw:?}");
            return Err(self.wrong(POSITION_EMBEDDINGS, expected, format!("{found} tokens")));
        }

        let clip = config.clip.as_ref();
        if self.checkpoint.is_encoder_only() {
            let or = |field: Option<usize>, released| field.unwrap_or(released);
            architecture.mask_decoder.mlp = or(config.dec_mlp, DECODER.mlp);
            architecture.mask_decoder.heads = or(config.dec_heads, DECODER.heads);
            architecture.text_encoder = TextTransformer {
                width: or(clip.and_then(|c| c.hidden_size), TEXT.width),
                mlp: or(clip.and_then(|c| c.intermediate_size), TEXT.mlp),
                layers: or(clip.and_then(|c| c.num_hidden_layers), TEXT.layers),
                heads: or(clip.and_then(|c| c.num_attention_heads), TEXT.heads),
                vocabulary: or(clip.and_then(|c| c.vocab_size), TEXT.vocabulary),
                context_length: or(clip.and_then(|c| c.max_position_embeddings), TEXT.context_length),
            };
            return Ok(architecture);
        }

        let tower = "text_encoder.clip_text_model";
        let fc1 = format!("{tower}.encoder.layers.0.mlp.fc1.weight");
        let tokens = format!("{tower}.embeddings.token_embedding.weight");
        let positions = format!("{tower}.embeddings.position_embedding.weight");
        let width = self.size::<2>("clip.hidden_size", clip.and_then(|c| c.hidden_size), &tokens, 1)?;
        let heads = clip.and_then(|c| c.num_attention_heads).unwrap_or(TEXT.heads);
        architecture.text_encoder = TextTransformer {
            width,
            mlp: self.size::<2>("clip.intermediate_size", clip.and_then(|c| c.intermediate_size), &fc1, 0)?,
            layers: self.count(
                "clip.num_hidden_layers",
                clip.and_then(|c| c.num_hidden_layers),
                &format!("{tower}.encoder.layers."),
            )?,
            heads: self.heads("clip.num_attention_heads", heads, width)?,
            vocabulary: self.size::<2>("clip.vocab_size", clip.and_then(|c| c.vocab_size), &tokens, 0)?,
            context_length: self.size::<2>(
                "clip.max_position_embeddings",
                clip.and_then(|c| c.max_position_embeddings),
                &positions,
                0,
            )?,
        };
        let transformer = "mask_decoder.transformer.layers.";
        architecture.mask_decoder = Transformer {
            mlp: self.size::<2>("dec_mlp", config.dec_mlp, &format!("{transformer}0.mlp.lin1.weight"), 0)?,
            layers: self.count("decoder layers", None, transformer)?,
            // The decoder's cross attention is half as wide as its tokens.
            heads: self.heads("dec_heads", config.dec_heads.unwrap_or(DECODER.heads), channels / 2)?,
        };
        Ok(architecture)
    }

    /// The shape of a tensor with `R` axes.
    fn shape<const R: usize>(&self, name: &str) -> Result<[usize; R], ConvertError> {
        let fault = match self.checkpoint.get(name) {
            None => TensorFault::Missing { name: name.to_owned(), expected: Vec::new() },
            Some(tensor) => match <[usize; R]>::try_from(tensor.shape.as_slice()) {
                Ok(shape) if shape.iter().all(|n| (1..=MAX_SIZE).contains(n)) => return Ok(shape),
                Ok(_) | Err(_) => {
                    let found = shown(&tensor.shape);
                    let reason = format!("expected {R} axes of 1 to {MAX_SIZE} elements, found {found}");
                    TensorFault::Unreadable { name: name.to_owned(), reason }
                }
            },
        };
        let path = self.checkpoint.path.clone();
        Err(CheckpointError::Tensors { path, faults: TensorFaults(vec![fault]) }.into())
    }

    /// The size of a tensor's axis; if the configuration has it too, both must agree.
    fn size<const R: usize>(
        &self,
        field: &str,
        configured: Option<usize>,
        name: &str,
        axis: usize,
    ) -> Result<usize, ConvertError> {
        let found = self.shape::<R>(name)?[axis];
        self.agree(field, configured, found, name)
    }

    /// Number of blocks, counted from number 0 on.
    fn count(&self, field: &str, configured: Option<usize>, prefix: &str) -> Result<usize, ConvertError> {
        let found = (0..).take_while(|i| self.checkpoint.has(&format!("{prefix}{i}."))).count();
        if found == 0 {
            return Err(self.wrong(prefix, "at least one block".to_owned(), "no block".to_owned()));
        }
        self.agree(field, configured, found, prefix)
    }

    fn agree(&self, field: &str, configured: Option<usize>, found: usize, name: &str) -> Result<usize, ConvertError> {
        match configured {
            Some(expected) if expected != found => {
                Err(self.wrong(field, format!("{expected} from the configuration"), format!("{found} in `{name}`")))
            }
            Some(_) | None => Ok(found),
        }
    }

    fn heads(&self, field: &str, heads: usize, width: usize) -> Result<usize, ConvertError> {
        if heads == 0 || !width.is_multiple_of(heads) {
            let expected = format!("a number of heads that divides the attention's width {width}");
            return Err(self.wrong(field, expected, format!("{heads} heads")));
        }
        Ok(heads)
    }

    fn wrong(&self, name: &str, expected: String, found: String) -> ConvertError {
        match &self.path {
            Some(path) => ConvertError::Config {
                path: path.clone(),
                reason: format!("`{name}`: expected {expected}, found {found}"),
            },
            None => ConvertError::Size { name: name.to_owned(), expected, found },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_released_config_with_all_that_transformers_adds_is_read() {
        let text = r#"{"architectures": ["SegVolModel"], "auto_map": {"AutoModel": "x"}, "model_type": "segvol",
            "patch_size": [4, 16, 16], "spatial_size": [32, 256, 256], "test_mode": true,
            "torch_dtype": "float32", "transformers_version": "4.18.0", "_name_or_path": "y"}"#;
        let config = parse(text).expect("a configuration");
        assert_eq!((config.patch_size, config.heads, config.axes), (Some(PATCH_DHW), None, None));
    }

    #[test]
    fn names_are_read_in_their_order() {
        let text = "{\"names\": [\"spleen\", \"liver\", {\"name\": \"spine\", \"synonyms\": [\"back\"]}]}";
        let (names, _) = parse(text).expect("read").names.expect("names").names("x").expect("valid");
        assert_eq!(
            names.list().iter().map(|name| name.name.as_str()).collect::<Vec<_>>(),
            ["spleen", "liver", "spine"]
        );
        let error = parse(r#"{"names": ["liver", 1]}"#).expect_err("a number");
        assert!(error.to_string().contains("name 2"), "{error}");
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (text, part) in [
            (r#"{"head": 6}"#, "found the field `head` (did you mean `heads`?)"),
            (r#"{"clip": {"layers": 6}}"#, "`clip`: expected only the fields `hidden_size`"),
            (r#"{"heads": "6"}"#, "`heads`: expected a whole number, for example 12; found the text \"6\""),
            (r#"{"patch_size": [4, 16]}"#, "`patch_size`: expected three whole numbers"),
            (r#"{"patch_size": [4, 16, 0.5]}"#, "`patch_size[2]`: expected three whole numbers"),
            (r#"{"clip": 3}"#, "`clip`: expected an object"),
            (r#"{"axes": "RLS"}"#, "`axes`: expected the axes of the training scans: \"stored\", or three letters"),
            (r#"{"axes": "RLS"}"#, "R and L are the same axis"),
            (r#"{"axes": ["R", "A", "S"]}"#, "found a list of 3 values"),
            ("[]", "expected an object, for example"),
            ("", "found an empty file"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        for (text, axes) in [("LPS", "lps".parse()), ("Stored", Ok(Orientation::Stored))] {
            let config = parse(&format!("{{\"axes\": \"{text}\"}}")).expect("a configuration");
            assert_eq!(Ok(config.axes), axes.map(Some));
        }
    }
}
