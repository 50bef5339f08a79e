//! What a client may ask for.

use segvol::volume::AxisCodes;
use serde_json::{Value, json};

use super::strokes::{MAX_POINTS, MIN_DISTANCE_MM};

/// The version of nnInteractive whose protocol this is.
pub(super) const PROTOCOL_VERSION: &str = "2.6.0";

/// How many voxels thick a scribble should be painted, along each axis.
const SCRIBBLE_THICKNESS: [u32; 3] = [2; 3];

/// What a client may ask for, and what it should know.
///
/// Clients need all fields but those of `segvol`. The channels are those of the network of nnInteractive: SegVol has none.
///
/// `license` is that of the model's weights.
pub(super) fn capabilities(array_axes: AxisCodes, license: &str) -> Value {
    json!({
        "supported_interactions": { "points": true, "bbox2d": true, "bbox3d": true, "scribble": true, "lasso": true },
        "supports_initial_label": false,
        "supports_zero_shot_label_refinement": false,
        "supports_undo": true,
        "channel_mapping": {},
        "num_interaction_channels": 0,
        "preferred_scribble_thickness": SCRIBBLE_THICKNESS,
        "interaction_decay": null,
        "do_autozoom": true,
        "patch_size": null,
        "inference_session_version": PROTOCOL_VERSION,
        "license": license,
        "segvol": {
            "version": env!("CARGO_PKG_VERSION"),
            "notice": "research software, not a medical device",
            "array_axes": array_axes.to_string(),
            "negative_boxes": false,
            "points_per_stroke": MAX_POINTS,
            "least_distance_of_points_mm": MIN_DISTANCE_MM,
        },
    })
}
