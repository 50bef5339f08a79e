//! The geometry of a header: the position of its voxels in the patient.

use segvol_base::{Warning, WarningCode};

use super::{Header, NiftiError};
use crate::affine::Affine;

fn converted(unit: &str) -> Warning {
    let message = format!("`xyzt_units`: lengths are in {unit} and were converted to millimetres");
    Warning::new(WarningCode::UnitConverted, message)
}

impl Header {
    /// The affine of the header, from voxel indices to RAS+ millimetres. Adds to `warnings` what is unusual about it.
    ///
    /// The first of these that applies:
    ///
    /// 1. the sform, if `sform_code` is above 0;
    /// 2. the qform, if `qform_code` is above 0 (the specification's "method 2");
    /// 3. the spacings alone, with axes along RAS (the specification's "method 1"). nibabel flips x in this case and
    ///    puts the origin in the centre.
    ///
    /// Metres and micrometres are converted to millimetres. Every other unit is taken as millimetres.
    ///
    /// # Errors
    /// [`NiftiError::Field`], with the name of the field (`srow`, `quatern`, `qoffset` or `pixdim`), if the affine in
    /// use is not finite or its axes are not independent.
    pub fn affine(&self, warnings: &mut Vec<Warning>) -> Result<Affine, NiftiError> {
        let affine = if self.sform_code > 0 {
            let affine = Affine::new(self.srow);
            for (name, row) in ["srow_x", "srow_y", "srow_z"].into_iter().zip(self.srow) {
                if !row.iter().all(|value| value.is_finite()) {
                    return Err(NiftiError::field(name, "finite numbers", format!("{row:?}")));
                }
            }
            if !affine.is_invertible() {
                let found = format!("{:?}", self.srow);
                return Err(NiftiError::field("srow_x, srow_y, srow_z", "three independent axes", found));
            }
            affine
        } else if self.qform_code > 0 {
            self.qform(warnings)?
        } else {
            warnings.push(Warning::new(
                WarningCode::AffineMissing,
                "`sform_code` and `qform_code` are 0: the file does not give the patient's orientation; axes are assumed to \
                 point to the patient's right, front and head, so check left and right",
            ));
            Affine::from_spacing(self.spacing(warnings)?)
        };
        let factor = match self.xyzt_units & 7 {
            0 | 2 => 1.0,
            1 => {
                warnings.push(converted("metres"));
                1e3
            }
            3 => {
                warnings.push(converted("micrometres"));
                1e-3
            }
            unit => {
                let message = format!("`xyzt_units`: unknown unit of length (code {unit}); millimetres are assumed");
                warnings.push(Warning::new(WarningCode::UnitUnknown, message));
                1.0
            }
        };
        let affine = affine.scaled(factor);
        if affine.shear() > 1e-3 {
            let message = format!(
                "the axes are not perpendicular (largest cosine {:.4}): volumes in mL are exact, but surface distances are not",
                affine.shear()
            );
            warnings.push(Warning::new(WarningCode::AxesSheared, message));
        }
        Ok(affine)
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

    /// The affine of the qform, the specification's "method 2": a quaternion, a handedness, spacings and an offset.
    fn qform(&self, warnings: &mut Vec<Warning>) -> Result<Affine, NiftiError> {
        const NAMES: [&str; 6] = ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"];
        for (name, value) in NAMES.into_iter().zip(self.quatern.into_iter().chain(self.qoffset)) {
            if !value.is_finite() {
                return Err(NiftiError::field(name, "a finite number", value));
            }
        }
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
            [b, c, d] = [b, c, d].map(|value| value / norm.sqrt());
        }
        let rotation = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let handedness = if self.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
        let [x, y, z] = self.spacing(warnings)?;
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
        Ok(affine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quaternion rotates vectors about its axis by its angle, right-handed.
    #[test]
    fn quaternions_turn_about_their_axis() {
        let mut header = Header::from_affine([1, 1, 1], &Affine::from_spacing([1.0; 3]));
        header.sform_code = 0;
        header.qform_code = 1;
        for (axis, angle) in [([0.0, 0.0, 1.0], 0.3), ([0.6, 0.0, 0.8], 1.1), ([-0.48, 0.6, 0.64], 2.9)] {
            let [x, y, z]: [f64; 3] = axis;
            header.quatern = axis.map(|value| value * f64::sin(angle / 2.0));
            let affine = header.affine(&mut Vec::new()).expect("a rotation");
            // Rodrigues' rotation formula.
            let (sin, cos) = f64::sin_cos(angle);
            let v = [0.3, -1.0, 2.0];
            let cross = [y * v[2] - z * v[1], z * v[0] - x * v[2], x * v[1] - y * v[0]];
            let dot = x * v[0] + y * v[1] + z * v[2];
            let found = affine.apply(v);
            for row in 0..3 {
                let expected = v[row] * cos + cross[row] * sin + axis[row] * dot * (1.0 - cos);
                assert!((found[row] - expected).abs() < 1e-12, "{axis:?} by {angle}: {found:?}");
            }
        }
    }
}
