//! The map from voxel indices to millimetres in the patient, and its inverse.

/// The spacings of a scan of a body, in millimetres. A spacing outside of this range is probably in another unit.
pub(crate) const PLAUSIBLE_SPACING_MM: std::ops::RangeInclusive<f64> = 0.02..=50.0;

/// The map from a voxel index `(i, j, k)` in the file to RAS+ millimetres: x grows to the patient's right, y to the
/// front, z to the head.
///
/// It has three rows of four numbers, like NIfTI's `srow_x`, `srow_y` and `srow_z`. The fourth column is the position
/// of the centre of voxel `(0, 0, 0)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine([[f64; 4]; 3]);

impl Affine {
    /// An affine with these rows (x, y, z), in millimetres.
    pub const fn new(rows: [[f64; 4]; 3]) -> Self {
        Self(rows)
    }

    /// The affine of an unrotated volume at the origin, with `spacing_mm` between neighbours along `(i, j, k)`.
    pub const fn from_spacing(spacing_mm: [f64; 3]) -> Self {
        let [x, y, z] = spacing_mm;
        Self([[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, z, 0.0]])
    }

    /// The affine of a volume as DICOM and ITK describe it.
    ///
    /// | value        | shape    | meaning                                                                |
    /// |--------------|----------|------------------------------------------------------------------------|
    /// | `spacing_mm` | `[3]`    | millimetres between neighbours along axes i, j, k                      |
    /// | `direction`  | `[3, 3]` | column `a` is the unit vector along which axis `a` points              |
    /// | `origin_mm`  | `[3]`    | position of the centre of voxel `(0, 0, 0)`, in millimetres            |
    ///
    /// The result is in the same world coordinates as `direction` and `origin_mm`. DICOM's and ITK's are LPS+: convert
    /// the result with [`from_lps`](Self::from_lps).
    pub fn from_parts(spacing_mm: [f64; 3], direction: [[f64; 3]; 3], origin_mm: [f64; 3]) -> Self {
        Self([0, 1, 2].map(|row| {
            let [a, b, c] = [0, 1, 2].map(|axis| direction[row][axis] * spacing_mm[axis]);
            [a, b, c, origin_mm[row]]
        }))
    }

    /// Converts an affine to LPS+ millimetres, as in DICOM and ITK, to one to RAS+ millimetres: x and y change their
    /// signs.
    pub fn from_lps(lps: Self) -> Self {
        let [x, y, z] = lps.0;
        Self([x.map(|value| -value), y.map(|value| -value), z])
    }

    /// The rows x, y, z.
    pub const fn rows(&self) -> [[f64; 4]; 3] {
        self.0
    }

    /// The position of the voxel index `ijk` (fractions allowed), in RAS+ millimetres.
    pub fn apply(&self, ijk: [f64; 3]) -> [f64; 3] {
        self.0.map(|[a, b, c, d]| a * ijk[0] + b * ijk[1] + c * ijk[2] + d)
    }

    /// Millimetres between neighbouring voxels along `(i, j, k)`: the lengths of the columns.
    pub fn spacing_mm(&self) -> [f64; 3] {
        [0, 1, 2].map(|column| self.column(column).map(|value| value * value).iter().sum::<f64>().sqrt())
    }

    /// The signed volume of one voxel in cubic millimetres; negative if the axes are left-handed.
    pub fn determinant(&self) -> f64 {
        determinant(&self.linear())
    }

    /// The map from RAS+ millimetres to voxel indices. `None` if the affine is not [invertible](Self::is_invertible).
    pub fn inverse(&self) -> Option<Self> {
        if !self.is_invertible() {
            return None;
        }
        let inverse = inverse(&self.linear());
        Some(Self([0, 1, 2].map(|row| {
            let [a, b, c] = inverse[row];
            [a, b, c, -(a * self.0[0][3] + b * self.0[1][3] + c * self.0[2][3])]
        })))
    }

    /// Whether every number is finite and the three axes are linearly independent.
    ///
    /// The test is relative to the voxel's size: the axes count as dependent if the voxel's volume is at most 1e-6 of
    /// the volume of a rectangular voxel with the same spacing.
    pub fn is_invertible(&self) -> bool {
        if !self.0.iter().flatten().all(|value| value.is_finite()) {
            return false;
        }
        let spacing = self.spacing_mm();
        let unit = self.unit_columns();
        spacing.iter().all(|&length| length.is_normal()) && determinant(&unit).abs() > 1e-6
    }

    /// The largest absolute cosine between two axes: 0 if all are perpendicular, as they are in a scanner's images.
    pub fn shear(&self) -> f64 {
        let unit = self.unit_columns();
        [(0, 1), (0, 2), (1, 2)]
            .map(|(a, b)| unit.iter().map(|row| row[a] * row[b]).sum::<f64>().abs())
            .into_iter()
            .fold(0.0, f64::max)
    }

    /// The same affine in another unit of length.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        Self(self.0.map(|row| row.map(|value| value * factor)))
    }

    /// The orthonormal matrix nearest to the direction columns: the polar factor of `[x, y, z] x [i, j, k]`.
    ///
    /// `None` if the affine is not invertible. Computed by Higham's Newton iteration, which converges quadratically
    /// from any invertible matrix.
    pub(crate) fn rotation(&self) -> Option<[[f64; 3]; 3]> {
        if !self.is_invertible() {
            return None;
        }
        let mut current = self.unit_columns();
        for _ in 0..100 {
            let inverse = inverse(&current);
            let mut next = current;
            let mut change = 0.0_f64;
            for row in 0..3 {
                for column in 0..3 {
                    next[row][column] = (current[row][column] + inverse[column][row]) / 2.0;
                    change = change.max((next[row][column] - current[row][column]).abs());
                }
            }
            current = next;
            if change < 1e-15 {
                break;
            }
        }
        Some(current)
    }

    fn column(&self, column: usize) -> [f64; 3] {
        self.0.map(|row| row[column])
    }

    fn linear(&self) -> [[f64; 3]; 3] {
        self.0.map(|[a, b, c, _]| [a, b, c])
    }

    fn unit_columns(&self) -> [[f64; 3]; 3] {
        let spacing = self.spacing_mm();
        self.linear().map(|row| [row[0] / spacing[0], row[1] / spacing[1], row[2] / spacing[2]])
    }
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// The inverse of a matrix, by cofactors. The caller must know that the determinant is not 0.
fn inverse(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let determinant = determinant(m);
    let cofactor = |row: usize, column: usize| {
        let (r, c) = ([(row + 1) % 3, (row + 2) % 3], [(column + 1) % 3, (column + 2) % 3]);
        (m[r[0]][c[0]] * m[r[1]][c[1]] - m[r[0]][c[1]] * m[r[1]][c[0]]) / determinant
    };
    [0, 1, 2].map(|row| [0, 1, 2].map(|column| cofactor(column, row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_undoes_apply() {
        let affine = Affine::new([[0.7, -0.1, 0.2, -120.5], [0.05, -0.8, 0.0, 33.0], [0.0, 0.3, 2.5, 900.0]]);
        let back = affine.inverse().expect("invertible");
        let ijk = [3.25, 100.0, -7.5];
        let found = back.apply(affine.apply(ijk));
        for axis in 0..3 {
            assert!((found[axis] - ijk[axis]).abs() < 1e-10, "{found:?}");
        }
    }

    #[test]
    fn parts_in_lps_give_the_place_that_they_say() {
        // Axis i points to the left, j to the head, k to the front (the negative of P).
        let direction = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
        let lps = Affine::from_parts([0.5, 2.0, 3.0], direction, [10.0, 20.0, 30.0]);
        assert_eq!(lps.apply([2.0, 1.0, 1.0]), [11.0, 17.0, 32.0]);
        let ras = Affine::from_lps(lps);
        assert_eq!(ras.apply([2.0, 1.0, 1.0]), [-11.0, -17.0, 32.0]);
        assert_eq!(ras.spacing_mm(), [0.5, 2.0, 3.0]);
    }

    #[test]
    fn singular_and_non_finite_affines_have_no_inverse() {
        let flat = Affine::new([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        assert_eq!(flat.inverse(), None);
        assert_eq!(flat.rotation(), None);
        assert_eq!(Affine::from_spacing([1.0, 0.0, 1.0]).inverse(), None);
        assert_eq!(Affine::from_spacing([1.0, f64::NAN, 1.0]).inverse(), None);
        // Small voxels are not singular: the test is relative.
        assert!(Affine::from_spacing([1e-4, 1e-4, 1e-4]).inverse().is_some());
    }

    #[test]
    fn rotation_is_orthonormal_also_of_a_sheared_affine() {
        let sheared = Affine::new([[2.0, 0.5, 0.0, 0.0], [0.0, 1.0, 0.3, 0.0], [0.1, 0.0, 3.0, 0.0]]);
        let r = sheared.rotation().expect("invertible");
        for a in 0..3 {
            for b in 0..3 {
                let dot: f64 = r.iter().map(|row| row[a] * row[b]).sum();
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-12, "columns {a} and {b}: {dot}");
            }
        }
        assert!(sheared.shear() > 0.1);
        assert!(Affine::from_spacing([1.0, 2.0, 3.0]).shear() < 1e-15);
    }
}
