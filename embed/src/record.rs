//! What embeddings depend on: the record beside the numbers.

use segvol::{Model, Stage, Study};
use serde_json::{Map, Value, json};

use crate::settings::Settings;

/// The version of the record and of the tensors beside it.
const FORMAT_VERSION: u32 = 1;

/// Fields that are not about a single window. No clock and no path: the same embeddings have the same record.
pub(crate) fn record(model: &Model, study: &Study, settings: &Settings, shape: &[usize]) -> Map<String, Value> {
    let (stages, architecture) = (model.stages(), model.stages().architecture());
    let affine = study.grid().affine().rows();
    let value = json!({
        "format": "segvol embeddings",
        "format_version": FORMAT_VERSION,
        "tool": concat!("segvol ", env!("CARGO_PKG_VERSION")),
        "notice": "research software, not a medical device",
        "manifest_sha256": model.manifest_sha256(),
        "provider": stages.providers()[&Stage::ImageEncoder].name(),
        "precision": stages.precision().to_string(),
        "arithmetic": stages.arithmetic(),
        "precision_note": stages.precision_note().unwrap_or_default(),
        "onnxruntime": segvol::onnxruntime_version().unwrap_or_default(),
        "orientation": model.orientation(study.options()).to_string(),
        "profile": study.options().profile,
        "overlap": study.options().least_overlap(),
        "windows": settings.choice.name(),
        "pool": settings.pool.name(),
        "dtype": settings.dtype.name(),
        "shape": shape,
        "image_shape_ijk": study.grid().shape_xyz(),
        "image_affine": [affine[0], affine[1], affine[2], [0.0, 0.0, 0.0, 1.0]],
        "crop_start_dhw": study.crop().start_dhw,
        "crop_shape_dhw": study.crop().shape_dhw(),
        "window_dhw": architecture.window_dhw,
        "patch_dhw": architecture.patch_dhw,
        "grid_dhw": architecture.grid_dhw(),
        "channels": architecture.channels,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
