//! Where the voxels of an NRRD header lie in the patient.

use segvol_base::{Warning, WarningCode};

use super::header::Header;
use crate::affine::Affine;
use crate::raster::{RasterError, checked, numbers, shown};

/// The signs that turn a direction of a space into RAS.
type Signs = [f64; 3];

impl Header {
    /// The three axes of space, in the order of the file.
    pub(super) fn spatial(&self) -> Result<[usize; 3], RasterError> {
        let axes = self.sizes.len();
        let error = |found: String| RasterError::Field {
            field: "dimension",
            expected: "three axes of space".to_owned(),
            found,
        };
        let chosen: Vec<usize> = if let Some(directions) = self.directions()? {
            (0..axes).filter(|&axis| directions[axis].is_some()).collect()
        } else if axes == 3 {
            vec![0, 1, 2]
        } else {
            let kinds: Vec<&str> = self.field("kinds").unwrap_or_default().split_whitespace().collect();
            let of_kind: Vec<usize> = (0..axes)
                .filter(|&axis| {
                    kinds.get(axis).is_some_and(|kind| ["domain", "space"].contains(&&*kind.to_ascii_lowercase()))
                })
                .collect();
            if of_kind.len() == 3 {
                of_kind
            } else {
                // Axes of length 1 from the end on, and then from the beginning, are no axes of space.
                let mut left: Vec<usize> = (0..axes).collect();
                while left.len() > 3 {
                    let last = left.iter().rposition(|&axis| self.sizes[axis] == 1);
                    let Some(at) = last else { return Err(error(format!("{axes} axes of lengths {:?}", self.sizes))) };
                    left.remove(at);
                }
                left
            }
        };
        <[usize; 3]>::try_from(chosen).map_err(|chosen| error(format!("{} of {axes} axes", chosen.len())))
    }

    /// `space directions`: a vector for each axis, or none.
    fn directions(&self) -> Result<Option<Vec<Option<[f64; 3]>>>, RasterError> {
        const FIELD: &str = "space directions";
        let Some(text) = self.field("spacedirections") else { return Ok(None) };
        let expected = || format!("{} vectors such as (0.7,0,0), or none", self.sizes.len());
        let error = || RasterError::field(FIELD, expected(), text);
        let mut rest = text.trim();
        let mut directions = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("none") {
                directions.push(None);
                rest = after.trim_start();
                continue;
            }
            let (vector, after) = rest.split_once(')').ok_or_else(error)?;
            let vector = vector3(vector.strip_prefix('(').ok_or_else(error)?).ok_or_else(error)?;
            // Some writers say none as a vector of NaN.
            directions.push((!vector.iter().all(|value| value.is_nan())).then_some(vector));
            rest = after.trim_start();
        }
        if directions.len() == self.sizes.len() { Ok(Some(directions)) } else { Err(error()) }
    }

    /// From voxel indices to RAS+ millimetres.
    pub(super) fn affine(&self, warnings: &mut Vec<Warning>) -> Result<Affine, RasterError> {
        let spatial = self.spatial()?;
        let signs = self.signs(warnings)?;
        let (field, columns, origin) = match self.directions()? {
            Some(directions) => {
                let columns = spatial.map(|axis| directions[axis].unwrap_or_default());
                ("space directions", columns, self.space_origin()?.unwrap_or_default())
            }
            None if self.field("space").is_some() => {
                let expected = "a vector for each axis, because `space` is given";
                return Err(RasterError::absent("space directions", expected));
            }
            None => {
                let (spacings, origin) = self.without_directions(spatial, warnings)?;
                let mut columns = [[0.0; 3]; 3];
                (0..3).for_each(|axis| columns[axis][axis] = spacings[axis]);
                ("spacings", columns, self.space_origin()?.unwrap_or(origin))
            }
        };
        let scale = self.millimetres(spatial, field == "spacings", warnings)?;
        let rows = [0, 1, 2].map(|row| {
            let sign = signs[row] * scale;
            let [a, b, c] = columns.map(|column| column[row] * sign);
            // Without a negative zero.
            [a, b, c, origin[row] * sign].map(|value| value + 0.0)
        });
        checked(field, Affine::new(rows), warnings)
    }

    /// The signs of the space, which must have three axes.
    fn signs(&self, warnings: &mut Vec<Warning>) -> Result<Signs, RasterError> {
        const LPS: Signs = [-1.0, -1.0, 1.0];
        let mut assumed = |why: String| {
            let message = format!(
                "{why}: the file does not give the patient's orientation; the space is assumed to be left-posterior-superior, as \
                 ITK does, so check left and right"
            );
            warnings.push(Warning::new(WarningCode::AffineMissing, message));
            Ok(LPS)
        };
        let Some(space) = self.field("space") else {
            return match self.field("spacedimension") {
                None => assumed("there is no `space`".to_owned()),
                Some("3") => assumed("`space dimension` is given, but no `space`".to_owned()),
                Some(other) => Err(RasterError::field("space dimension", "3", other)),
            };
        };
        let name = space.to_ascii_lowercase().replace([' ', '_'], "-");
        match name.as_str() {
            "left-posterior-superior" | "lps" => Ok(LPS),
            "right-anterior-superior" | "ras" => Ok([1.0, 1.0, 1.0]),
            "left-anterior-superior" | "las" => Ok([-1.0, 1.0, 1.0]),
            "scanner-xyz" | "3d-right-handed" | "3d-left-handed" => assumed(format!("`space` is {}", shown(space))),
            _ => {
                let expected = "left-posterior-superior, right-anterior-superior or left-anterior-superior";
                Err(RasterError::field("space", expected, space))
            }
        }
    }

    fn space_origin(&self) -> Result<Option<[f64; 3]>, RasterError> {
        let Some(text) = self.field("spaceorigin") else { return Ok(None) };
        let inside = text.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let origin = inside.and_then(vector3).filter(|origin| origin.iter().all(|value| value.is_finite()));
        origin.map(Some).ok_or_else(|| RasterError::field("space origin", "three numbers such as (-120,-80.5,0)", text))
    }

    /// The spacings and the origin of a header without directions.
    fn without_directions(
        &self,
        spatial: [usize; 3],
        warnings: &mut Vec<Warning>,
    ) -> Result<([f64; 3], [f64; 3]), RasterError> {
        let per_axis = |field: &'static str, what: &str| -> Result<Option<[f64; 3]>, RasterError> {
            let Some(text) = self.field(&field.replace(' ', "")) else { return Ok(None) };
            let all: Vec<f64> = numbers(field, text, self.sizes.len(), what)?;
            Ok(Some(spatial.map(|axis| all[axis])))
        };
        let stated = per_axis("spacings", "spacings")?.unwrap_or([f64::NAN; 3]);
        let minima = per_axis("axis mins", "numbers")?.unwrap_or([f64::NAN; 3]);
        let maxima = per_axis("axis maxs", "numbers")?.unwrap_or([f64::NAN; 3]);
        let centers: Vec<&str> = self.field("centers").unwrap_or_default().split_whitespace().collect();
        let (mut spacings, mut origin, mut unknown) = ([1.0; 3], [0.0; 3], false);
        for axis in 0..3 {
            let is_node = centers.get(spatial[axis]).is_some_and(|center| center.eq_ignore_ascii_case("node"));
            let steps = self.sizes[spatial[axis]] as f64 - if is_node { 1.0 } else { 0.0 };
            let by_ends = (maxima[axis] - minima[axis]) / steps;
            spacings[axis] = [stated[axis], by_ends].into_iter().find(|value| value.is_finite()).unwrap_or_else(|| {
                unknown = true;
                1.0
            });
            if spacings[axis] <= 0.0 {
                let found = spacings[axis].to_string();
                return Err(RasterError::field("spacings", "more than 0", found));
            }
            if minima[axis].is_finite() {
                origin[axis] = minima[axis] + if is_node { 0.0 } else { spacings[axis] / 2.0 };
            }
        }
        if unknown {
            let message = "the file gives no spacing (`space directions` or `spacings`): 1 mm is assumed";
            warnings.push(Warning::new(WarningCode::SpacingRepaired, message));
        }
        Ok((spacings, origin))
    }

    /// Millimetres in a unit of the header.
    fn millimetres(&self, spatial: [usize; 3], by_axis: bool, warnings: &mut Vec<Warning>) -> Result<f64, RasterError> {
        let (field, text) = match (self.field("spaceunits"), self.field("units")) {
            (Some(text), _) => ("space units", text),
            (None, Some(text)) if by_axis => ("units", text),
            _ => return Ok(1.0),
        };
        // In quotes, because a unit may have spaces.
        let units: Vec<&str> = text.split('"').skip(1).step_by(2).map(str::trim).collect();
        let units = if field == "units" {
            spatial.map(|axis| units.get(axis).copied())
        } else {
            [0, 1, 2].map(|n| units.get(n).copied())
        };
        let first = units[0].unwrap_or_default();
        let factor = match first.to_lowercase().as_str() {
            "" | "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => 1.0,
            "m" | "meter" | "meters" | "metre" | "metres" => 1000.0,
            "cm" | "centimeter" | "centimetre" => 10.0,
            "um" | "µm" | "μm" | "micron" | "microns" | "micrometer" | "micrometre" => 0.001,
            _ => {
                let message =
                    format!("`{field}` is {}, which is no known unit of length: millimetres are assumed", shown(text));
                warnings.push(Warning::new(WarningCode::UnitUnknown, message));
                return Ok(1.0);
            }
        };
        if units.iter().any(|unit| unit.unwrap_or_default() != first) {
            return Err(RasterError::field(field, "the same unit for all three axes", text));
        }
        if factor != 1.0 {
            let message = format!("lengths were converted from {} to millimetres (`{field}`)", shown(first));
            warnings.push(Warning::new(WarningCode::UnitConverted, message));
        }
        Ok(factor)
    }
}

/// Three numbers separated by commas.
fn vector3(text: &str) -> Option<[f64; 3]> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    numbers?.try_into().ok()
}
