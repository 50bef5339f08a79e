//! How far an sform and a qform differ.

use segvol_base::{Warning, WarningCode};

use super::super::NiftiError;
use super::statement::{differs_from_sform, text};
use crate::affine::Affine;
use crate::read_options::AffineChoice;

/// The distance of voxel (0, 0, 0) up to which two affines agree, as a fraction of the smallest spacing.
const OFFSET_TOLERANCE: f64 = 0.1;

/// The angle up to which directions agree. A quaternion of float32 numbers is exact to 0.04 degrees only: near a rotation
/// by 180 degrees, its fourth number is the root of a small difference.
const TOLERANCE_DEGREES: f64 = 0.1;

/// The angle from which on an axis points to the other side.
const OPPOSITE_DEGREES: f64 = 100.0;

/// The ends of the patient's axes x, y, z: first where the coordinate is large, then the opposite end.
const ENDS: [[&str; 2]; 3] = [["right", "left"], ["front", "back"], ["head", "feet"]];

/// The differences between an sform and a qform that are more than rounding.
#[derive(Debug)]
pub(super) struct Conflict {
    /// The distance of voxel (0, 0, 0), in millimetres, if it is more than rounding.
    shift_mm: Option<f64>,
    /// The largest distance of a corner, in millimetres.
    corner_mm: f64,
    /// The largest angle between the directions of an axis.
    degrees: f64,
    mirrored: bool,
    /// The spacings by the sform and by the qform.
    spacing: Option<[[f64; 3]; 2]>,
    /// Where the axes i, j, k point to by the sform and by the qform: an axis of the patient, and which end.
    ends: [[(usize, usize); 3]; 2],
}

impl Conflict {
    /// The conflict between two affines to millimetres; `None` if they agree.
    pub(super) fn between(sform: &Affine, qform: &Affine, shape_xyz: [usize; 3]) -> Option<Self> {
        // Invertible affines have a rotation, and a statement's affine is invertible.
        let (s, q) = (sform.rotation()?, qform.rotation()?);
        let (s_mm, q_mm) = (sform.spacing_mm(), qform.spacing_mm());
        let shift_mm = distance(sform.apply([0.0; 3]), qform.apply([0.0; 3]));
        let angle = |axis: usize| {
            let cosine: f64 = (0..3).map(|row| s[row][axis] * q[row][axis]).sum();
            let sine = distance([0, 1, 2].map(|row| s[row][axis]), [0, 1, 2].map(|row| cosine * q[row][axis]));
            sine.atan2(cosine).to_degrees()
        };
        // An axis with one voxel has no direction that matters.
        let degrees = (0..3).filter(|&axis| shape_xyz[axis] > 1).map(angle).fold(0.0, f64::max);
        let turned = degrees > TOLERANCE_DEGREES;
        let other_hand = (sform.determinant() < 0.0) != (qform.determinant() < 0.0);
        let spacing = differs_from_sform(sform, q_mm).then_some([s_mm, q_mm]);
        let smallest = s_mm.into_iter().chain(q_mm).fold(f64::INFINITY, f64::min);
        let shift_mm = (shift_mm > OFFSET_TOLERANCE * smallest).then_some(shift_mm);
        if !turned && spacing.is_none() && shift_mm.is_none() {
            return None;
        }
        let corner_mm = (0..8)
            .map(|corner| {
                let ijk =
                    [0, 1, 2].map(|axis| if corner >> axis & 1 == 0 { 0.0 } else { shape_xyz[axis] as f64 - 1.0 });
                distance(sform.apply(ijk), qform.apply(ijk))
            })
            .fold(0.0, f64::max);
        let mirrored = turned && (other_hand || degrees > OPPOSITE_DEGREES);
        Some(Self { shift_mm, corner_mm, degrees, mirrored, spacing, ends: [ends(&s), ends(&q)] })
    }

    /// Whether the two put a side of the patient where the other puts the opposite one.
    pub(super) fn is_mirrored(&self) -> bool {
        self.mirrored
    }

    pub(super) fn into_error(self) -> NiftiError {
        NiftiError::Mirrored {
            sform: self.directions(AffineChoice::Sform),
            qform: self.directions(AffineChoice::Qform),
            swapped: self.swapped(),
            corner_mm: self.corner_mm,
        }
    }

    /// Says which one was `used`, what the other says, and how far it is away.
    pub(super) fn warning(&self, codes: (i32, i32), used: AffineChoice, chosen: bool) -> Warning {
        let mut differences = Vec::new();
        if self.mirrored {
            let directions = |of| self.directions(of);
            differences.push(format!(
                "they mirror each other: the axes i, j, k point to {} by the sform, to {} by the qform, so {}",
                directions(AffineChoice::Sform),
                directions(AffineChoice::Qform),
                self.swapped()
            ));
        } else if self.degrees > TOLERANCE_DEGREES {
            differences.push(format!("the qform is turned by {:.1} degrees", self.degrees));
        } else if let Some(shift_mm) = self.shift_mm {
            differences.push(format!("the qform is shifted by {shift_mm:.2} mm"));
        }
        if let Some([sform, qform]) = self.spacing {
            differences.push(format!(
                "the spacing is {} mm by the sform and {} mm by the qform (`pixdim`), so volumes differ by a factor of {:.3}",
                text(sform),
                text(qform),
                qform.iter().product::<f64>() / sform.iter().product::<f64>()
            ));
        }
        let chosen = if chosen { ", as chosen" } else { "" };
        let message = format!(
            "the sform (code {}) and the qform (code {}) disagree: {}; corners are up to {:.2} mm apart; the {used} was used{chosen}",
            codes.0,
            codes.1,
            differences.join("; "),
            self.corner_mm
        );
        let only_spacing = self.degrees <= TOLERANCE_DEGREES && self.shift_mm.is_none();
        let code = if only_spacing { WarningCode::SpacingConflict } else { WarningCode::AffineConflict };
        Warning::new(code, message)
    }

    /// Where the axes i, j, k point to by one of the two.
    fn directions(&self, of: AffineChoice) -> String {
        let ends = self.ends[if of == AffineChoice::Sform { 0 } else { 1 }];
        ends.map(|(axis, end)| ENDS[axis][end]).join(", ")
    }

    /// Which sides of the patient are the other way round.
    fn swapped(&self) -> String {
        let [sform, qform] = self.ends;
        let opposite = |world: usize| sform.iter().zip(&qform).any(|(s, q)| s.0 == world && q.0 == world && s.1 != q.1);
        let swapped: Vec<String> =
            (0..3).filter(|&world| opposite(world)).map(|world| ENDS[world].join(" and ")).collect();
        if swapped.is_empty() {
            return "one shows the mirror image of the other".to_owned();
        }
        format!("{} are the other way round", swapped.join(", "))
    }
}

/// For each of the axes i, j, k: the patient's axis that it is nearest to, and 1 if it runs against it.
fn ends(rotation: &[[f64; 3]; 3]) -> [(usize, usize); 3] {
    [0, 1, 2].map(|axis| {
        let nearest = |best: usize, row: usize| {
            if rotation[row][axis].abs() > rotation[best][axis].abs() { row } else { best }
        };
        let world = (1..3).fold(0, nearest);
        (world, usize::from(rotation[world][axis] < 0.0))
    })
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
}
