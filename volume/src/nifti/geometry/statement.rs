//! What the sform, the qform and the spacings of a header each say, checked and in millimetres.

use segvol_base::{Warning, WarningCode};

use super::super::{Header, NiftiError};
use crate::affine::{Affine, PLAUSIBLE_SPACING_MM};

/// The relative difference up to which spacings count as equal. Programs round `pixdim` and the sform differently.
const SPACING_TOLERANCE: f64 = 1e-3;

/// The difference from 1 up to which the length of a column counts as 1. Directions are written with six digits or more.
const LENGTH_TOLERANCE: f64 = 1e-4;

/// One of a header's statements about the position of its voxels.
#[derive(Debug)]
pub(super) struct Statement {
    /// From voxel indices to RAS+ millimetres.
    pub(super) affine: Affine,
    /// Millimetres per unit of the file.
    pub(super) millimetres: f64,
    /// What must be said if this statement is used.
    pub(super) warnings: Vec<Warning>,
    /// Why another statement is preferred to this one; `None` if nothing is wrong with it.
    pub(super) flaw: Option<String>,
}

impl Header {
    /// What the sform says. Unless it is to be taken `literally`, columns of length 1 get the spacing of `pixdim`.
    pub(super) fn sform(&self, literally: bool) -> Result<Statement, NiftiError> {
        for (name, row) in ["srow_x", "srow_y", "srow_z"].into_iter().zip(self.srow) {
            if !row.iter().all(|value| value.is_finite()) {
                return Err(NiftiError::field(name, "finite numbers", format!("{row:?}")));
            }
        }
        let mut affine = Affine::new(self.srow);
        if !affine.is_invertible() {
            let zeros = self.srow.as_flattened().iter().all(|&value| value == 0.0);
            let found = if zeros { "only zeros".to_owned() } else { format!("{:?}", self.srow) };
            return Err(NiftiError::field("srow_x, srow_y, srow_z", "three independent axes", found));
        }
        let mut warnings = Vec::new();
        if let Some(spacing) = self.left_out_spacing(&affine) {
            let used = if literally {
                "the sform was used, as chosen"
            } else {
                affine = Affine::new(self.srow.map(|[a, b, c, d]| [a * spacing[0], b * spacing[1], c * spacing[2], d]));
                "the spacing of `pixdim` was used, with the directions and the origin of the sform"
            };
            let message = format!(
                "the sform gives a spacing of 1 x 1 x 1, but `pixdim` gives {} (volumes differ by a factor of {:.3}): \
                 the program that wrote the sform probably left out the spacing; {used}",
                text(spacing),
                spacing.iter().product::<f64>()
            );
            warnings.push(Warning::new(WarningCode::SpacingConflict, message));
        }
        Ok(self.in_millimetres(affine, warnings, None))
    }

    /// The spacing of `pixdim` if the columns of `sform` have length 1 and `pixdim` has another, plausible spacing.
    fn left_out_spacing(&self, sform: &Affine) -> Option<[f64; 3]> {
        let spacing = self.stated_spacing()?;
        let ones = sform.spacing_mm().iter().all(|length| (length - 1.0).abs() <= LENGTH_TOLERANCE);
        let (factor, _) = self.unit(spacing);
        (ones && spacings_differ(spacing, [1.0; 3]) && plausible(spacing, factor)).then_some(spacing)
    }

    /// What the qform says, the specification's "method 2": a quaternion, a handedness, spacings and an offset.
    pub(super) fn qform(&self) -> Result<Statement, NiftiError> {
        const NAMES: [&str; 6] = ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"];
        for (name, value) in NAMES.into_iter().zip(self.quatern.into_iter().chain(self.qoffset)) {
            if !value.is_finite() {
                return Err(NiftiError::field(name, "a finite number", value));
            }
        }
        let (mut warnings, mut flaw) = (Vec::new(), None);
        let [mut b, mut c, mut d] = self.quatern;
        let norm = b * b + c * c + d * d;
        // For a rotation by 180 degrees the fourth number is 0, and rounding can make the norm slightly larger than 1.
        let a = if norm < 1.0 { (1.0 - norm).sqrt() } else { 0.0 };
        if norm > 1.0 {
            if norm > 1.0 + 1e-5 {
                let message = format!(
                    "`quatern_b, quatern_c, quatern_d`: expected a length of at most 1, found {:.6}; they were scaled to 1",
                    norm.sqrt()
                );
                warnings.push(Warning::new(WarningCode::HeaderRepaired, message));
            }
            if norm > 1.01 {
                flaw = Some(format!(
                    "`quatern_b, quatern_c, quatern_d`: expected a length of at most 1, found {:.3}",
                    norm.sqrt()
                ));
            }
            [b, c, d] = [b, c, d].map(|value| value / norm.sqrt());
        }
        let rotation = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let handedness = if self.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
        let [x, y, z] = self.spacing(&mut warnings)?;
        if let Some(axis) = (1..=3).find(|&axis| self.pixdim[axis] == 0.0) {
            flaw = Some(format!("`pixdim[{axis}]`: expected a spacing above 0, found 0"));
        }
        let scale = [x, y, handedness * z];
        let rows = [0, 1, 2].map(|row| {
            let [i, j, k] = [0, 1, 2].map(|column| rotation[row][column] * scale[column]);
            [i, j, k, self.qoffset[row]]
        });
        let affine = Affine::new(rows);
        if !affine.is_invertible() {
            return Err(NiftiError::field(
                "quatern_b, quatern_c, quatern_d, pixdim",
                "three independent axes",
                format!("{rows:?}"),
            ));
        }
        Ok(self.in_millimetres(affine, warnings, flaw))
    }

    /// What the spacings alone say (the specification's "method 1"), with axes along RAS.
    pub(super) fn spacing_alone(&self) -> Result<Statement, NiftiError> {
        let mut warnings = Vec::new();
        let affine = Affine::from_spacing(self.spacing(&mut warnings)?);
        Ok(self.in_millimetres(affine, warnings, None))
    }

    /// The spacings `pixdim[1..=3]`, in the unit of the file, without a sign; `None` if one is 0 or not finite, so that
    /// they say nothing.
    pub(super) fn stated_spacing(&self) -> Option<[f64; 3]> {
        let spacing = [1, 2, 3].map(|axis| self.pixdim[axis].abs());
        spacing.iter().all(|value| value.is_normal()).then_some(spacing)
    }

    /// The spacings `pixdim[1..=3]`, in the unit of the file. A value of 0 becomes 1 and a negative one positive, each
    /// with a warning.
    fn spacing(&self, warnings: &mut Vec<Warning>) -> Result<[f64; 3], NiftiError> {
        const NAMES: [&str; 3] = ["pixdim[1]", "pixdim[2]", "pixdim[3]"];
        let mut spacing = [1.0; 3];
        for axis in 0..3 {
            let found = self.pixdim[axis + 1];
            if !found.is_finite() {
                return Err(NiftiError::field(NAMES[axis], "a finite spacing", found));
            }
            spacing[axis] = if found == 0.0 { 1.0 } else { found.abs() };
            if found <= 0.0 {
                let message = format!(
                    "`{}` is {found}: expected a spacing above 0; {} is used instead",
                    NAMES[axis], spacing[axis]
                );
                warnings.push(Warning::new(WarningCode::SpacingRepaired, message));
            }
        }
        Ok(spacing)
    }

    fn in_millimetres(&self, affine: Affine, mut warnings: Vec<Warning>, flaw: Option<String>) -> Statement {
        let (millimetres, warning) = self.unit(affine.spacing_mm());
        warnings.extend(warning);
        Statement { affine: affine.scaled(millimetres), millimetres, warnings, flaw }
    }

    /// The millimetres of one unit of the file, whose voxels have this `spacing` in that unit, and what must be said
    /// about it.
    fn unit(&self, spacing: [f64; 3]) -> (f64, Option<Warning>) {
        const METRES: (&str, f64) = ("metres", 1e3);
        const MICROMETRES: (&str, f64) = ("micrometres", 1e-3);
        let doubt = |message: String| Some(Warning::new(WarningCode::UnitUnknown, message));
        let ((name, factor), code) = match self.xyzt_units & 7 {
            1 => (METRES, 1),
            3 => (MICROMETRES, 3),
            code => (("millimetres", 1.0), code),
        };
        if factor != 1.0 {
            if !plausible(spacing, factor) && plausible(spacing, 1.0) {
                let message = format!(
                    "`xyzt_units` says that lengths are in {name}, so that the spacing would be {} mm; in millimetres it \
                     is {}, which is that of a CT, so millimetres were used",
                    text(spacing.map(|value| value * factor)),
                    text(spacing)
                );
                return (1.0, doubt(message));
            }
            let message = format!("`xyzt_units`: lengths are in {name} and were converted to millimetres");
            return (factor, Some(Warning::new(WarningCode::UnitConverted, message)));
        }
        if !plausible(spacing, 1.0)
            && let Some((other, factor)) = [METRES, MICROMETRES].into_iter().find(|unit| plausible(spacing, unit.1))
        {
            let says =
                if code == 2 { "says that lengths are in millimetres" } else { "does not give the unit of length" };
            let message = format!(
                "`xyzt_units` {says}, so that the spacing is {} mm; in {other} it would be {} mm, which is that of a CT; \
                 millimetres were used",
                text(spacing),
                text(spacing.map(|value| value * factor))
            );
            return (1.0, doubt(message));
        }
        if matches!(code, 0 | 2) {
            return (1.0, None);
        }
        (1.0, doubt(format!("`xyzt_units`: unknown unit of length (code {code}); millimetres are assumed")))
    }
}

/// Whether this spacing, at `factor` millimetres a unit, can be that of a scan of a body.
fn plausible(spacing: [f64; 3], factor: f64) -> bool {
    spacing.iter().all(|value| PLAUSIBLE_SPACING_MM.contains(&(value * factor)))
}

/// Whether two spacings differ by more than rounding.
pub(super) fn spacings_differ(a: [f64; 3], b: [f64; 3]) -> bool {
    a.into_iter().zip(b).any(|(a, b)| (a - b).abs() > SPACING_TOLERANCE * a.abs().max(b.abs()))
}

/// Whether `spacing` differs from that of an sform by more than rounding. In a sheared sform, the distance between planes of
/// voxels counts as the spacing too: programs write either into `pixdim`.
pub(super) fn differs_from_sform(sform: &Affine, spacing: [f64; 3]) -> bool {
    let lengths = sform.spacing_mm();
    let columns = [0, 1, 2].map(|column| sform.rows().map(|row| row[column]));
    let planes = [0, 1, 2].map(|axis: usize| {
        let [b, c] = [columns[(axis + 1) % 3], columns[(axis + 2) % 3]];
        let cross = [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
        sform.determinant().abs() / cross.map(|value| value * value).iter().sum::<f64>().sqrt()
    });
    (0..3).any(|axis| {
        let differs = |other: f64| spacings_differ([other; 3], [spacing[axis]; 3]);
        differs(lengths[axis]) && differs(planes[axis])
    })
}

/// A spacing for people, with four digits: `0.8 x 0.8 x 2.5`.
pub(super) fn text(spacing: [f64; 3]) -> String {
    let number = |value: f64| {
        if !(1e-6..1e6).contains(&value) {
            return format!("{value:.3e}");
        }
        let decimals = (3.0 - value.log10().floor()).max(0.0) as usize;
        let digits = format!("{value:.decimals$}");
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.').to_owned() } else { digits }
    };
    spacing.map(number).join(" x ")
}
