//! The geometry of a header: the position of its voxels in the patient.

mod conflict;
mod statement;
#[cfg(test)]
mod tests;

use segvol_base::{Warning, WarningCode};

use self::conflict::Conflict;
use self::statement::{Statement, differs_from_sform, text};
use super::{Header, NiftiError};
use crate::affine::Affine;
use crate::read_options::AffineChoice;

impl Header {
    /// The affine of the header, from voxel indices to RAS+ millimetres. Adds to `warnings` what is unusual about it.
    ///
    /// A header can state the affine twice: as sform (used if `sform_code` is above 0) and as qform (if `qform_code` is
    /// above 0). The rule:
    ///
    /// | the header states                                   | used                            | warning or error    |
    /// |-----------------------------------------------------|---------------------------------|---------------------|
    /// | one of them, or two that agree                      | it; the sform of two            |                     |
    /// | neither                                             | the spacings, axes along RAS    | `affine_missing`    |
    /// | two, and one is not finite, singular or 0           | the other                       | `affine_unusable`   |
    /// | two that differ by a shift or a rotation            | the sform                       | `affine_conflict`   |
    /// | two that mirror each other                          |                                 | error, or [`affine_by`](Self::affine_by) |
    /// | an sform whose spacing is not that of `pixdim`      | the sform                       | `spacing_conflict`  |
    /// | an sform with columns of length 1, another `pixdim` | sform with the spacing of `pixdim` | `spacing_conflict` |
    /// | lengths in metres or micrometres                    | converted to millimetres        | `unit_converted`    |
    /// | the same, plausible only in millimetres             | millimetres                     | `unit_unknown`      |
    /// | lengths in millimetres, plausible only in another   | millimetres                     | `unit_unknown`      |
    ///
    /// - Two affines **agree** if voxel (0, 0, 0) is at the same place to 0.1 of the smallest spacing, the axes have
    ///   the same directions to 0.1 degrees, and the spacings are equal to 0.1 %. This is more than the rounding of
    ///   float32 numbers and quaternions. A qform cannot express a shear, so a sheared sform agrees with the qform that
    ///   is nearest to it.
    /// - Two affines **mirror each other** if one is left-handed and the other is not, or if an axis of the file points
    ///   to opposite sides of the patient (more than 100 degrees apart). The direction of an axis with one voxel does
    ///   not count.
    /// - Columns of length 1 beside another plausible `pixdim` are a known fault of programs that write the directions
    ///   of the axes and leave out the spacing.
    /// - A spacing is **plausible** from 0.02 to 50 mm. Millimetres are what most programs assume, so only metres and
    ///   micrometres are doubted.
    /// - Without either affine, nibabel flips x and puts the origin in the centre; here the axes point along RAS.
    ///
    /// # Errors
    /// [`NiftiError::Field`], with the name of the field (`srow`, `quatern`, `qoffset` or `pixdim`), if the affine in
    /// use is not finite or its axes are not independent; [`NiftiError::Mirrored`] if the sform and the qform mirror
    /// each other.
    pub fn affine(&self, warnings: &mut Vec<Warning>) -> Result<Affine, NiftiError> {
        self.affine_by(None, warnings)
    }

    /// As [`affine`](Self::affine), but uses the affine that the caller chooses. If the header does not state it, the
    /// other one is used, with a warning. A chosen sform is used as it is, also if its columns have length 1.
    ///
    /// # Errors
    /// [`NiftiError::Field`], with the name of the field, if the chosen affine is not finite or its axes are not
    /// independent. Without a choice, the errors of [`affine`](Self::affine).
    pub fn affine_by(&self, choice: Option<AffineChoice>, warnings: &mut Vec<Warning>) -> Result<Affine, NiftiError> {
        let sform = (self.sform_code > 0).then(|| self.sform(choice == Some(AffineChoice::Sform)));
        let qform = (self.qform_code > 0).then(|| self.qform());
        let used = match (sform, qform) {
            (None, None) => {
                warnings.push(Warning::new(
                    WarningCode::AffineMissing,
                    "`sform_code` and `qform_code` are 0: the file does not give the patient's orientation; axes are \
                     assumed to point to the patient's right, front and head, so check left and right",
                ));
                self.spacing_alone()?
            }
            (Some(sform), None) => {
                let sform = sform?;
                self.warn_of_absence(choice, AffineChoice::Qform, warnings);
                self.compare_with_pixdim(&sform, warnings);
                sform
            }
            (None, Some(qform)) => {
                let qform = qform?;
                self.warn_of_absence(choice, AffineChoice::Sform, warnings);
                qform
            }
            (Some(sform), Some(qform)) => self.one_of(sform, qform, choice, warnings)?,
        };
        warnings.extend(used.warnings);
        let shear = used.affine.shear();
        if shear > 1e-3 {
            let message = format!(
                "the axes are not perpendicular (largest cosine {shear:.4}): volumes in mL are exact, but surface distances are not"
            );
            warnings.push(Warning::new(WarningCode::AxesSheared, message));
        }
        Ok(used.affine)
    }

    /// Decides between an sform and a qform.
    fn one_of(
        &self,
        sform: Result<Statement, NiftiError>,
        qform: Result<Statement, NiftiError>,
        choice: Option<AffineChoice>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Statement, NiftiError> {
        let unusable = |bad: &str, flaw: &str, good: &str| {
            Warning::new(WarningCode::AffineUnusable, format!("the {bad} cannot be used ({flaw}); the {good} was used"))
        };
        match (sform, qform, choice) {
            (Ok(sform), Ok(qform), _) => {
                if let (Some(flaw), None | Some(AffineChoice::Sform)) = (&qform.flaw, choice) {
                    warnings.push(unusable("qform", flaw, "sform"));
                    return Ok(sform);
                }
                let Some(conflict) = Conflict::between(&sform.affine, &qform.affine, self.shape_xyz) else {
                    return Ok(if choice == Some(AffineChoice::Qform) { qform } else { sform });
                };
                let used = match choice {
                    Some(choice) => choice,
                    None if conflict.is_mirrored() => return Err(conflict.into_error()),
                    None => AffineChoice::Sform,
                };
                let codes = (self.sform_code, self.qform_code);
                warnings.push(conflict.warning(codes, used, choice.is_some()));
                Ok(if used == AffineChoice::Qform { qform } else { sform })
            }
            (Err(flaw), Ok(qform), None | Some(AffineChoice::Qform)) => {
                warnings.push(unusable("sform", &flaw.to_string(), "qform"));
                Ok(qform)
            }
            (Ok(sform), Err(flaw), None | Some(AffineChoice::Sform)) => {
                warnings.push(unusable("qform", &flaw.to_string(), "sform"));
                Ok(sform)
            }
            (_, Err(flaw), Some(AffineChoice::Qform)) | (Err(flaw), _, _) => Err(flaw),
        }
    }

    fn warn_of_absence(&self, choice: Option<AffineChoice>, absent: AffineChoice, warnings: &mut Vec<Warning>) {
        if choice == Some(absent) {
            let other = if absent == AffineChoice::Sform { AffineChoice::Qform } else { AffineChoice::Sform };
            let message = format!("`{absent}_code` is 0, so the file has no {absent}; the {other} was used");
            warnings.push(Warning::new(WarningCode::AffineUnusable, message));
        }
    }

    /// Warns if an sform without a qform beside it has another spacing than `pixdim`.
    fn compare_with_pixdim(&self, sform: &Statement, warnings: &mut Vec<Warning>) {
        let said = sform.warnings.iter().any(|warning| warning.code == WarningCode::SpacingConflict);
        let Some(pixdim) = self.stated_spacing().filter(|_| !said) else { return };
        let pixdim = pixdim.map(|value| value * sform.millimetres);
        let spacing = sform.affine.spacing_mm();
        if differs_from_sform(&sform.affine, pixdim) {
            let message = format!(
                "the spacing is {} mm by the sform and {} mm by `pixdim` (volumes differ by a factor of {:.3}); the \
                 sform was used",
                text(spacing),
                text(pixdim),
                pixdim.iter().product::<f64>() / spacing.iter().product::<f64>()
            );
            warnings.push(Warning::new(WarningCode::SpacingConflict, message));
        }
    }
}
