//! The connected components of a mask, and which of them stay.

use std::cmp::Reverse;

use ndarray::Array3;
use ndarray_ndimage::{Kernel3d, label};
use segvol_base::OutOfMemory;
use segvol_base::memory::{check_available, check_available_if_large};
use segvol_volume::grid::Grid;
use segvol_volume::{BoundingBox, Marks, PointLabel};

use crate::part::Part;
use crate::settings::Neighbours;

/// A spacing that a header stores as float32 can make a volume smaller than the intended value by this fraction.
const HAIR: f64 = 1e-6;

/// The components of a set of voxels, in the order of their first voxels: i fastest, then j, k.
pub(crate) struct Components {
    /// The component of each voxel, from 1; 0 outside. `[k, j, i]`.
    labels: Array3<u32>,
    /// The number of voxels of each component.
    pub(crate) sizes: Vec<u64>,
}

impl Components {
    /// Finds them.
    ///
    /// The library labels rows as SciPy does, with a table of labels that turn out to be the same. Its memory is checked here: one
    /// label per voxel, and at most one entry of the table for each run of voxels in a row, three times while the table grows.
    pub(crate) fn of(inside: &Array3<bool>, neighbours: Neighbours) -> Result<Self, OutOfMemory> {
        if inside.is_empty() {
            return Ok(Self { labels: Array3::zeros(inside.dim()), sizes: Vec::new() });
        }
        let row_runs = |row: &[bool]| row.split(|&inside| !inside).filter(|run| !run.is_empty()).count();
        let runs: usize = inside.rows().into_iter().map(|row| row.as_slice().map_or(row.len(), row_runs)).sum();
        check_available::<u32>("the components of the mask", inside.len() + 3 * (runs + 2))?;
        let kernel = match neighbours {
            Neighbours::Six => Kernel3d::Star,
            Neighbours::Eighteen => Kernel3d::Ball,
            Neighbours::TwentySix => Kernel3d::Full,
        };
        let (labels, count) = label::<u32>(inside, &kernel.generate());
        // A size, and whether the component stays.
        check_available_if_large::<[u64; 2]>("the sizes of the components", count)?;
        let mut sizes = vec![0; count];
        for &label in labels.iter().filter(|&&label| label > 0) {
            sizes[label as usize - 1] += 1;
        }
        Ok(Self { labels, sizes })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// The component at a place of the array, counted from 0.
    pub(crate) fn at(&self, place: [usize; 3]) -> Option<usize> {
        (self.labels[place] as usize).checked_sub(1)
    }

    /// Takes all components out of the mask that do not stay. Returns how many stay.
    pub(crate) fn keep(&self, inside: &mut Array3<bool>, stays: &[bool]) -> usize {
        ndarray::Zip::from(inside).and(&self.labels).for_each(|inside, &label| {
            *inside = label > 0 && stays[label as usize - 1];
        });
        stays.iter().filter(|&&stays| stays).count()
    }

    /// The largest; of equal ones the first.
    pub(crate) fn largest(&self) -> Vec<bool> {
        let largest = (0..self.len()).max_by_key(|&component| (self.sizes[component], Reverse(component)));
        (0..self.len()).map(|component| Some(component) == largest).collect()
    }

    /// Those of at least this many millilitres.
    pub(crate) fn at_least(&self, ml: f64, grid: &Grid) -> Vec<bool> {
        self.sizes.iter().map(|&voxels| grid.volume_ml(voxels) >= ml * (1.0 - HAIR)).collect()
    }
}

/// What a prompt says about where its object is.
#[derive(Debug, Clone)]
pub(crate) enum Places {
    /// Points inside the object, each with the voxel that holds it.
    Points(Vec<[usize; 3]>),
    /// The first and the last voxel of the box.
    Box([usize; 3], [usize; 3]),
}

/// Which components a prompt chooses.
pub(crate) struct Chosen {
    pub(crate) stays: Vec<bool>,
    /// If no component is where the prompt says: how far away the nearest ones are, in millimetres, at most.
    pub(crate) away_mm: Option<f64>,
}

impl Places {
    /// The points inside the object, else the box, else nothing.
    pub(crate) fn of(marks: &Marks, grid: &Grid) -> Option<Self> {
        let inside = marks.points.iter().filter(|(_, label)| *label == PointLabel::Foreground);
        let points: Vec<[usize; 3]> = inside.map(|&(at, _)| voxel(at, grid)).collect();
        if !points.is_empty() {
            return Some(Self::Points(points));
        }
        let BoundingBox { min, max } = marks.bounding_box?;
        let (a, b) = (voxel(min, grid), voxel(max, grid));
        let low = std::array::from_fn(|axis| a[axis].min(b[axis]));
        Some(Self::Box(low, std::array::from_fn(|axis| a[axis].max(b[axis]))))
    }

    /// Boxes, of one voxel for a point.
    fn boxes(&self) -> Vec<[[usize; 3]; 2]> {
        match self {
            Self::Points(points) => points.iter().map(|&point| [point, point]).collect(),
            Self::Box(low, high) => vec![[*low, *high]],
        }
    }

    /// The components that hold a point or touch the box. If there is none: the nearest to each point, or to the box.
    pub(crate) fn choose(&self, part: &Part, components: &Components, grid: &Grid) -> Chosen {
        let mut stays = vec![false; components.len()];
        match self {
            Self::Points(points) => {
                let held = points.iter().filter_map(|&point| components.at(part.place(point)?));
                held.for_each(|component| stays[component] = true);
            }
            Self::Box(low, high) => {
                for (place, component) in components.each() {
                    let voxel = part.voxel(place);
                    if (0..3).all(|axis| (low[axis]..=high[axis]).contains(&voxel[axis])) {
                        stays[component] = true;
                    }
                }
            }
        }
        if stays.contains(&true) {
            return Chosen { stays, away_mm: None };
        }
        let mut farthest = 0.0_f64;
        for around in self.boxes() {
            let away = |(place, component)| (square_mm(part.voxel(place), around, grid), component);
            // Of equal distances, the first voxel's.
            let nearest = components.each().map(away).reduce(|best, next| if next.0 < best.0 { next } else { best });
            if let Some((square, component)) = nearest {
                stays[component] = true;
                farthest = farthest.max(square.sqrt());
            }
        }
        Chosen { stays, away_mm: Some(farthest) }
    }
}

impl Components {
    /// Every voxel of a component, `[k, j, i]`, in order, with its component.
    fn each(&self) -> impl Iterator<Item = ([usize; 3], usize)> {
        let inside = self.labels.indexed_iter().filter(|&(_, &label)| label > 0);
        inside.map(|((k, j, i), &label)| ([k, j, i], label as usize - 1))
    }
}

/// The voxel of the scan that holds a position `(i, j, k)`; the nearest one if it is outside.
pub(crate) fn voxel(at: [f64; 3], grid: &Grid) -> [usize; 3] {
    let shape = grid.shape_xyz();
    std::array::from_fn(|axis| (at[axis] + 0.5).floor().clamp(0.0, shape[axis] as f64 - 1.0) as usize)
}

/// The square of the distance between the centres of a voxel and of the nearest voxel of a box, in square millimetres.
fn square_mm(voxel: [usize; 3], [low, high]: [[usize; 3]; 2], grid: &Grid) -> f64 {
    let away: [f64; 3] =
        std::array::from_fn(|axis| voxel[axis] as f64 - voxel[axis].clamp(low[axis], high[axis]) as f64);
    let rows = grid.affine().rows();
    rows.iter().map(|[a, b, c, _]| (a * away[0] + b * away[1] + c * away[2]).powi(2)).sum()
}
