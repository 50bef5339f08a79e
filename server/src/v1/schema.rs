//! What the bodies of `/v1` look like.

use segvol::Warning;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::session::outcome::{Outcome, Stage};
use crate::session::{Session, View};

/// Bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "for the documentation")]
pub(super) struct Binary(Vec<u8>);

/// A session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SessionState {
    /// The name of the session: a secret of its client.
    #[schema(example = "0f1e2d3c4b5a69788796a5b4c3d2e1f0")]
    pub(super) id: String,
    /// The number of the newest label map; it grows with every change.
    pub(super) revision: u64,
    /// Whether a call runs.
    pub(super) busy: bool,
    /// How many steps can be undone.
    pub(super) undo: usize,
    /// How many steps can be done again.
    pub(super) redo: usize,
    /// The scan; `null` before an upload.
    pub(super) scan: Option<ScanState>,
    /// The objects, as they were sent.
    #[schema(value_type = PromptsDocument)]
    pub(super) prompts: Value,
    /// The newest result for these objects; `null` if there is none.
    #[serde(rename = "result")]
    pub(super) found: Option<ResultState>,
}

/// The scan of a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ScanState {
    /// Voxels along the file's axes i, j, k.
    pub(super) shape_xyz: [usize; 3],
    /// Distance between voxel centres along i, j, k, in millimetres.
    pub(super) spacing_mm: [f64; 3],
    /// The first three rows of the matrix from voxels (i, j, k, 1) to RAS+ millimetres.
    pub(super) affine_ras: [[f64; 4]; 3],
    /// Whether it is a DICOM series, to which a DICOM SEG can refer.
    pub(super) dicom: bool,
    /// What is unusual about it.
    pub(super) warnings: Vec<WarningState>,
}

/// A warning: a stable code, and a sentence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct WarningState {
    /// Codes keep their names and meanings.
    pub(super) code: &'static str,
    /// What was found and what was done about it.
    pub(super) message: String,
}

/// What a call has found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ResultState {
    /// The number of its label map.
    pub(super) revision: u64,
    /// How far it has come.
    pub(super) stage: Stage,
    /// Seconds since the call got its turn.
    pub(super) seconds: f64,
    /// Windows that the image encoder has worked on.
    pub(super) windows_encoded: usize,
    /// How often an embedding was used again.
    pub(super) windows_reused: usize,
    /// The objects, in the order of the prompts.
    pub(super) objects: Vec<ObjectState>,
}

/// One object of a result.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ObjectState {
    /// Its value in the label map: its place in the prompts, from 1.
    pub(super) label: usize,
    /// Its name.
    pub(super) name: String,
    /// Voxels of its own mask, which may overlap with others.
    pub(super) voxels: u64,
    /// Volume of its own mask, in millilitres.
    pub(super) volume_ml: f64,
    /// The box of its own mask in voxels of the file; `null` if the mask is empty.
    pub(super) bounding_box_ijk: Option<BoxState>,
    /// Warnings about it.
    pub(super) warnings: Vec<WarningState>,
}

/// A box of voxels; both corners are inside.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct BoxState {
    /// The smallest i, j, k.
    pub(super) min: [usize; 3],
    /// The largest i, j, k.
    pub(super) max: [usize; 3],
}

/// Objects, as `segvol segment --prompts` reads them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the documentation; the toolkit's own reader reads them")]
pub(super) struct PromptsDocument {
    /// 1.
    #[schema(minimum = 1, maximum = 1)]
    schema_version: u32,
    /// What the numbers of points and boxes mean: voxels of the file, or millimetres.
    #[schema(inline, default = "voxel")]
    space: Option<SpaceName>,
    /// The objects. None of them clears the session's.
    #[schema(max_items = 255)]
    objects: Vec<PromptsObject>,
}

/// An object: a text, points, a box, or several of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the documentation")]
struct PromptsObject {
    /// What it is called in results; its text, if there is no name.
    name: Option<String>,
    /// What the model is asked for.
    #[schema(example = "liver")]
    text: Option<String>,
    /// Points: three coordinates, and 1 (inside, also if it is absent) or 0 (outside).
    points: Option<Vec<Vec<f64>>>,
    /// Two corners: six coordinates, both inside.
    #[schema(min_items = 6, max_items = 6)]
    r#box: Option<Vec<f64>>,
    /// As above, for this object.
    #[schema(inline)]
    space: Option<SpaceName>,
    /// What is done to its mask after the model, as in a prompts file.
    #[schema(value_type = Option<Object>)]
    postprocess: Option<Value>,
}

/// Coordinates.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the documentation")]
enum SpaceName {
    Voxel,
    Ras,
    Lps,
    Window,
}

impl SessionState {
    pub(super) fn of(session: &Session) -> Self {
        let View { scan, objects, outcome, revision, busy, undo, redo } = session.view();
        let scan = scan.map(|scan| {
            let grid = scan.study.grid();
            ScanState {
                shape_xyz: grid.shape_xyz(),
                spacing_mm: grid.spacing_mm(),
                affine_ras: grid.affine().rows(),
                dicom: scan.is_dicom,
                warnings: warnings(&scan.warnings),
            }
        });
        Self {
            id: session.id.as_str().to_owned(),
            revision,
            busy,
            undo,
            redo,
            scan,
            prompts: (*objects.document).clone(),
            found: outcome.map(|outcome| ResultState::of(&outcome, revision)),
        }
    }
}

impl ResultState {
    pub(super) fn of(outcome: &Outcome, revision: u64) -> Self {
        let object = |(label, found): (usize, &crate::session::outcome::Found)| ObjectState {
            label,
            name: found.name.clone(),
            voxels: found.voxels,
            volume_ml: found.volume_ml,
            bounding_box_ijk: found.bounds_ijk.map(|[min, max]| BoxState { min, max }),
            warnings: warnings(&found.warnings),
        };
        Self {
            revision,
            stage: outcome.stage,
            seconds: outcome.work.seconds,
            windows_encoded: outcome.work.windows_encoded,
            windows_reused: outcome.work.windows_reused,
            objects: (1..).zip(&outcome.objects).map(object).collect(),
        }
    }
}

fn warnings(list: &[Warning]) -> Vec<WarningState> {
    list.iter().map(|warning| WarningState { code: warning.code.name(), message: warning.message.clone() }).collect()
}
