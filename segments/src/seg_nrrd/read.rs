//! Reads `.seg.nrrd`, as 3D Slicer and others write it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{Warning, memory, printable, printable_path};
use segvol_volume::nrrd::{self, Layers};
use segvol_volume::{Grid, Mask, RasterError};

use crate::SegmentsError;

/// The largest distance of a voxel's centre from a voxel of the scan, in voxels. It is not 0 because programs round.
const MAX_OFFSET: f64 = 0.1;

/// The largest distance of two voxels, in voxels.
const FARTHEST: f64 = 1e9;

/// The named objects of a file, on the file's own grid, which may be a part of a scan's.
#[derive(Clone, Debug)]
pub struct SegNrrd {
    path: PathBuf,
    grid: Arc<Grid>,
    labels: Vec<u16>,
    layers: usize,
    /// The objects, in the order of their numbers in the file.
    pub objects: Vec<NamedLayer>,
    /// What is unusual about the file.
    pub warnings: Vec<Warning>,
}

/// An object, and where its voxels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLayer {
    /// The name; that of a file without one is its ID or its number.
    pub name: String,
    /// The label of its voxels in its layer.
    pub label: u16,
    /// Its layer, from 0.
    pub layer: usize,
}

/// Reads a file.
///
/// # Errors
/// [`SegmentsError::Io`] if the file cannot be opened; [`SegmentsError::Unreadable`] if it is damaged or names no object;
/// [`SegmentsError::Memory`].
pub fn read(path: &Path) -> Result<SegNrrd, SegmentsError> {
    let unreadable = |reason: String| SegmentsError::Unreadable { path: path.to_path_buf(), reason };
    let found = nrrd::read_layers(path).map_err(|error| of_raster(path, error))?;
    let objects = objects(&found).map_err(unreadable)?;
    let grid = Grid::new(found.shape_xyz, found.affine).map_err(|error| unreadable(error.to_string()))?;
    let Layers { labels, layers, warnings, .. } = found;
    let shown = printable_path(path);
    let warnings = warnings.iter().map(|warning| Warning::new(warning.code, format!("{shown}: {}", warning.message)));
    let warnings = warnings.collect();
    Ok(SegNrrd { path: path.to_path_buf(), grid: Arc::new(grid), labels, layers, objects, warnings })
}

/// The names of the objects in a file, in the order of their numbers; nothing of the voxels is read. `None` if the file is no NRRD, or
/// one that describes no object.
///
/// # Errors
/// [`SegmentsError::Io`] if the file cannot be opened; [`SegmentsError::Unreadable`] if its header is damaged.
pub fn names(path: &Path) -> Result<Option<Vec<String>>, SegmentsError> {
    let Some(text) = nrrd::read_text(path).map_err(|error| of_raster(path, error))? else { return Ok(None) };
    let keys = keys(&text);
    let names = keys.iter().map(|(&number, fields)| name(number, fields)).collect();
    Ok((!keys.is_empty()).then_some(names))
}

fn of_raster(path: &Path, error: RasterError) -> SegmentsError {
    match error {
        RasterError::Io(source) => SegmentsError::Io { path: path.to_path_buf(), source },
        RasterError::Memory(error) => error.into(),
        other => SegmentsError::Unreadable { path: path.to_path_buf(), reason: other.to_string() },
    }
}

/// The values of each object's fields.
type Keys<'a> = BTreeMap<u64, BTreeMap<&'a str, &'a str>>;

/// The keys of a header that describe objects, `Segment0_Name` for example, by the numbers in them.
fn keys(text: &BTreeMap<String, String>) -> Keys<'_> {
    let mut keys = Keys::new();
    for (key, value) in text {
        let Some((number, field)) = key.strip_prefix("Segment").and_then(|rest| rest.split_once('_')) else { continue };
        if let Ok(number) = number.parse() {
            keys.entry(number).or_default().insert(field, value);
        }
    }
    keys
}

/// The name of an object; that of one without is its ID or its number.
fn name(number: u64, fields: &BTreeMap<&str, &str>) -> String {
    let name = ["Name", "ID"].iter().find_map(|field| fields.get(field).filter(|name| !name.trim().is_empty()));
    name.map_or_else(|| format!("Segment_{}", number.saturating_add(1)), |name| name.trim().to_owned())
}

/// The objects that the keys of a header describe.
fn objects(found: &Layers) -> Result<Vec<NamedLayer>, String> {
    let keys = keys(&found.text);
    if keys.is_empty() {
        return Err("expected the names of objects (`Segment0_Name` and others), found none: is it a plain label map?"
            .to_owned());
    }
    let mut objects = Vec::new();
    for (number, fields) in keys {
        let get = |field: &str, otherwise: u64| match fields.get(field) {
            None => Ok(otherwise),
            Some(text) => text.trim().parse::<u64>().map_err(|_| {
                format!("`Segment{number}_{field}`: expected a whole number, found \"{}\"", printable(text))
            }),
        };
        // Before there were layers, each object had a component of its own with the label 1.
        let alone = found.layers > 1 && !fields.contains_key("LabelValue") && !fields.contains_key("Layer");
        let label = get("LabelValue", if alone { 1 } else { number.saturating_add(1) })?;
        let layer = get("Layer", if alone { number } else { 0 })?;
        let label = u16::try_from(label).ok().filter(|&label| label > 0);
        let label = label.ok_or_else(|| format!("`Segment{number}_LabelValue`: expected a label from 1 to 65535"))?;
        let layer = usize::try_from(layer).ok().filter(|&layer| layer < found.layers).ok_or_else(|| {
            format!("`Segment{number}_Layer`: expected a layer below {}, found {layer}", found.layers)
        })?;
        objects.push(NamedLayer { name: name(number, &fields), label, layer });
    }
    Ok(objects)
}

impl SegNrrd {
    /// The file's own grid.
    #[must_use]
    pub fn grid(&self) -> &Arc<Grid> {
        &self.grid
    }

    /// Checks that the file's voxels are voxels of a scan.
    ///
    /// # Errors
    /// [`SegmentsError::Unreadable`] if they are not.
    pub fn check_on(&self, scan: &Grid) -> Result<(), SegmentsError> {
        let unreadable = |reason: String| SegmentsError::Unreadable { path: self.path.clone(), reason };
        self.steps(scan).map(|_| ()).map_err(unreadable)
    }

    fn is_inside(&self, object: &NamedLayer, voxel: usize) -> bool {
        self.labels[voxel * self.layers + object.layer] == object.label
    }

    /// The mask of an object on the file's own grid, 1 inside. `None` if there is no such object.
    ///
    /// # Errors
    /// [`SegmentsError::Memory`].
    pub fn mask(&self, index: usize) -> Result<Option<Mask>, SegmentsError> {
        let Some(object) = self.objects.get(index) else { return Ok(None) };
        memory::check_available::<u8>("the mask of an object", self.grid.voxels())?;
        let inside = (0..self.grid.voxels()).map(|voxel| u8::from(self.is_inside(object, voxel))).collect::<Vec<_>>();
        Ok(Some(Mask::from_labels(inside, Arc::clone(&self.grid))?))
    }

    /// The mask of an object on the grid of a scan, 1 inside. `None` if there is no such object.
    ///
    /// The file's axes may have another order or direction than the scan's, and the file may have only a part of the scan, as Slicer
    /// crops it; but its voxels must be voxels of the scan.
    ///
    /// # Errors
    /// [`SegmentsError::Unreadable`] if the file's voxels are not those of the scan, or the object has voxels outside the scan;
    /// [`SegmentsError::Memory`].
    pub fn mask_on(&self, index: usize, scan: &Arc<Grid>) -> Result<Option<Mask>, SegmentsError> {
        let Some(object) = self.objects.get(index) else { return Ok(None) };
        let unreadable = |reason: String| SegmentsError::Unreadable { path: self.path.clone(), reason };
        let (steps, first) = self.steps(scan).map_err(unreadable)?;
        memory::check_available::<u8>("the mask of an object", scan.voxels())?;
        let mut inside = vec![0_u8; scan.voxels()];
        let [ni, nj, _] = self.grid.shape_xyz();
        let [si, sj, sk] = scan.shape_xyz().map(|n| n as i64);
        for voxel in (0..self.grid.voxels()).filter(|&voxel| self.is_inside(object, voxel)) {
            let ijk = [voxel % ni, voxel / ni % nj, voxel / (ni * nj)].map(|n| n as i64);
            let [i, j, k] =
                [0, 1, 2].map(|axis| first[axis] + (0..3).map(|from| steps[from][axis] * ijk[from]).sum::<i64>());
            if !(0..si).contains(&i) || !(0..sj).contains(&j) || !(0..sk).contains(&k) {
                let name = printable(&object.name).into_owned();
                return Err(unreadable(format!(
                    "{name:?} has voxels outside the scan; is this the scan's segmentation?"
                )));
            }
            inside[(i + si * (j + sj * k)) as usize] = 1;
        }
        Ok(Some(Mask::from_labels(inside, Arc::clone(scan))?))
    }

    /// How far a step along each axis of the file leads on the scan's grid, in voxels, and where the first voxel is.
    fn steps(&self, scan: &Grid) -> Result<([[i64; 3]; 3], [i64; 3]), String> {
        let at = |ijk: [f64; 3]| scan.inverse().apply(self.grid.affine().apply(ijk));
        let origin = at([0.0; 3]);
        // What is farther away is no part of any scan, and sums of it would overflow.
        let whole = |value: f64| value.round().clamp(-FARTHEST, FARTHEST) as i64;
        let first = origin.map(whole);
        let mut steps = [[0; 3]; 3];
        for axis in 0..3 {
            let mut unit = [0.0; 3];
            unit[axis] = 1.0;
            let there = at(unit);
            steps[axis] = [0, 1, 2].map(|to| whole(there[to] - origin[to]));
        }
        // Each axis of the file is one of the scan, and no two are the same.
        let is_unit = |step: &[i64; 3]| step.iter().map(|n| n.unsigned_abs()).sum::<u64>() == 1;
        let is_each = (0..3).all(|to| steps.iter().map(|step| step[to].unsigned_abs()).sum::<u64>() == 1);
        let mut farthest = 0.0_f64;
        for corner in self.grid.corners_ijk() {
            let exact = at(corner);
            for to in 0..3 {
                let rounded = first[to] as f64 + (0..3).map(|from| steps[from][to] as f64 * corner[from]).sum::<f64>();
                farthest = farthest.max((exact[to] - rounded).abs());
            }
        }
        if steps.iter().all(is_unit) && is_each && farthest <= MAX_OFFSET {
            return Ok((steps, first));
        }
        let (own, others) = (self.grid.spacing_mm(), scan.spacing_mm());
        Err(format!(
            "expected voxels that are voxels of the scan, whose spacing is {others:?} mm; found spacings of {own:?} mm and corners \
             up to {farthest:.2} voxels off; is this the scan's segmentation?"
        ))
    }
}
