//! Orders images along their normal, and says whether they are one regular stack.
//!
//! Nothing is averaged: the affine has the images' own directions and spacings, and its third column is the step from the first
//! position to the last, so that a tilted gantry gives a sheared affine.
//!
//! # Source
//!
//! DICOM PS3.3, C.7.6.2.1.1: where the voxels of an image lie in the patient.

use crate::image::Frame;
use crate::places::{gaps_listed, joined, mm, what_differs};

/// Directions closer than this in each component are the same: they are written with at least 5 digits.
const SAME_DIRECTION: f64 = 1e-4;

/// Images closer than this along the normal are at the same place: positions are rounded to 0.01 mm at worst, and no CT has
/// slices this close.
const SAME_PLACE_MM: f64 = 0.02;

/// The farthest from the patient's origin that a position can be. Larger numbers are not positions.
const FARTHEST_MM: f64 = 1e6;

/// An image, as far as its place is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plane<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// The file, and the frame in it.
    pub(crate) name: &'a str,
}

/// A regular stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stack {
    /// For each k the number of the image; `None` for a missing slice.
    pub(crate) order: Vec<Option<usize>>,
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// From voxel indices to LPS+ millimetres.
    pub(crate) affine_lps: [[f64; 4]; 3],
    /// The angle between the normal and the step from slice to slice.
    pub(crate) tilt_degrees: f64,
    /// Exact copies that are not in `order`, each with what it is a copy of.
    pub(crate) copies: Vec<(usize, usize)>,
    /// Where slices are missing, in words.
    pub(crate) missing: Vec<String>,
}

impl Stack {
    /// Millimetres between neighbours along i, j, k.
    pub(crate) fn spacing_mm(&self) -> [f64; 3] {
        std::array::from_fn(|axis| length(self.affine_lps.map(|row| row[axis])))
    }
}

/// How far a slice may be from its regular place. Positions are text, rounded to 0.01 mm and by some scanners to the 0.05 mm of
/// their table's steps; a twentieth of a millimetre moves no voxel visibly. Where slices are far apart 1 % of their distance is as
/// little. Closer ones get less, so that the tolerance never reaches the next slice.
fn tolerance_mm(step: f64) -> f64 {
    (0.01 * step).max((0.1 * step).min(0.05))
}

/// Orders images.
///
/// `same` says whether two images at one place have the same voxels in Hounsfield units. Whole missing slices are left out of
/// the order as `None` if `fill_gaps` is set.
///
/// # Errors
///
/// What makes the images no regular stack, and where.
pub(crate) fn arrange(
    planes: &[Plane<'_>],
    fill_gaps: bool,
    mut same: impl FnMut(usize, usize) -> Result<bool, String>,
) -> Result<Stack, String> {
    let first = planes.first().ok_or("it has no images")?;
    check_alike(planes)?;
    let axes = Axes::of(first.frame)?;
    let mut places = Vec::with_capacity(planes.len());
    for (index, plane) in planes.iter().enumerate() {
        let position = plane.frame.position;
        if position.iter().any(|x| x.abs() > FARTHEST_MM) {
            return Err(format!("`{}`: its Image Position (Patient) is {position:?}", plane.name));
        }
        places.push(Place { along: dot(axes.normal, position), index });
    }
    // Equal places keep the order of the names.
    places.sort_by(|a, b| a.along.total_cmp(&b.along).then(a.index.cmp(&b.index)));
    let view = View { planes, axes: &axes };
    let (places, copies) = view.without_copies(places, &mut same)?;
    let (order, missing) = view.regular(&places, fill_gaps)?;
    let ends = [places[0].index, places[places.len() - 1].index].map(|index| planes[index].frame);
    let step = match order.len() {
        1 => {
            let thickness = ends[0].thickness;
            let thickness =
                thickness.ok_or_else(|| format!("`{}` is one image alone, and has no Slice Thickness", first.name))?;
            axes.normal.map(|x| x * thickness)
        }
        count => std::array::from_fn(|axis| (ends[1].position[axis] - ends[0].position[axis]) / (count - 1) as f64),
    };
    let [row, column] = directions(ends[0]);
    let [between_rows, between_columns] = ends[0].spacing;
    let affine_lps = std::array::from_fn(|axis| {
        [row[axis] * between_columns, column[axis] * between_rows, step[axis], ends[0].position[axis]]
    });
    let cosine = dot(axes.normal, step) / length(step);
    let tilt_degrees = cosine.clamp(-1.0, 1.0).acos().to_degrees();
    let (columns, rows) = (first.columns, first.rows);
    Ok(Stack { order, columns, rows, affine_lps, tilt_degrees, copies, missing })
}

/// An image's place along the normal.
#[derive(Debug, Clone, Copy)]
struct Place {
    along: f64,
    index: usize,
}

/// The normal, and the patient's axis that it is closest to.
struct Axes {
    normal: [f64; 3],
    letter: char,
    axis: usize,
}

impl Axes {
    fn of(frame: &Frame) -> Result<Self, String> {
        let [row, column] = directions(frame);
        // Rounded to four digits at worst; more is no direction.
        let is_unit = |direction| (length(direction) - 1.0).abs() < 0.01;
        if !is_unit(row) || !is_unit(column) || dot(row, column).abs() > 0.01 {
            let found = frame.orientation;
            return Err(format!(
                "its Image Orientation (Patient) must be two perpendicular directions, found {found:?}"
            ));
        }
        let normal = cross(row, column);
        let normal = normal.map(|x| x / length(normal));
        let axis = (0..3).max_by(|a, b| normal[*a].abs().total_cmp(&normal[*b].abs())).unwrap_or(2);
        Ok(Self { normal, letter: ['x', 'y', 'z'][axis], axis })
    }
}

/// Refuses images of several orientations, sizes or spacings.
fn check_alike(planes: &[Plane<'_>]) -> Result<(), String> {
    let orientations = groups(planes, |a, b| {
        a.frame.orientation.iter().zip(b.frame.orientation).all(|(a, b)| (a - b).abs() <= SAME_DIRECTION)
    });
    let shown = |plane: &Plane<'_>| joined(&plane.frame.orientation.map(mm));
    refuse_several(&orientations, "orientations (directions of rows and columns)", shown, planes)?;
    let sizes = groups(planes, |a, b| (a.columns, a.rows) == (b.columns, b.rows));
    refuse_several(&sizes, "sizes", |plane| format!("{} x {}", plane.columns, plane.rows), planes)?;
    let spacings = groups(planes, |a, b| {
        a.frame.spacing.iter().zip(b.frame.spacing).all(|(a, b)| (a - b).abs() <= 1e-4 * a.abs().max(1e-2))
    });
    refuse_several(&spacings, "Pixel Spacings", |plane| format!("{} mm", joined(&plane.frame.spacing.map(mm))), planes)
}

/// The first image of each group, and how many it has.
fn groups<'p, 'a>(
    planes: &'p [Plane<'a>],
    alike: impl Fn(&Plane<'a>, &Plane<'a>) -> bool,
) -> Vec<(&'p Plane<'a>, usize)> {
    let mut groups: Vec<(&Plane<'_>, usize)> = Vec::new();
    for plane in planes {
        let more = groups.len() < 16;
        match groups.iter_mut().find(|(first, _)| alike(first, plane)) {
            Some((_, count)) => *count += 1,
            // More are not told apart: one image of each of thousands would take quadratic time.
            None if more => groups.push((plane, 1)),
            None => {}
        }
    }
    groups
}

fn refuse_several(
    groups: &[(&Plane<'_>, usize)],
    what: &str,
    shown: impl Fn(&Plane<'_>) -> String,
    planes: &[Plane<'_>],
) -> Result<(), String> {
    if groups.len() < 2 {
        return Ok(());
    }
    let listed = groups.iter().take(4).map(|(plane, count)| {
        let images = if *count == 1 { "1 image".to_owned() } else { format!("{count} images") };
        format!("{} ({images}, for example `{}`)", shown(plane), plane.name)
    });
    let listed: Vec<String> = listed.collect();
    let frames: Vec<&Frame> = planes.iter().map(|plane| plane.frame).collect();
    Err(format!("its images have {} {what}: {}{}", groups.len(), listed.join(" and "), what_differs(&frames)))
}

/// The images with their axes.
struct View<'a> {
    planes: &'a [Plane<'a>],
    axes: &'a Axes,
}

impl View<'_> {
    fn plane(&self, place: &Place) -> &Plane<'_> {
        &self.planes[place.index]
    }

    /// `z = 61.5 mm`
    fn coordinate(&self, place: &Place) -> String {
        format!("{} = {} mm", self.axes.letter, mm(self.plane(place).frame.position[self.axes.axis]))
    }

    fn differing(&self) -> String {
        let frames: Vec<&Frame> = self.planes.iter().map(|plane| plane.frame).collect();
        what_differs(&frames)
    }

    /// Drops exact copies.
    fn without_copies(
        &self,
        places: Vec<Place>,
        same: &mut impl FnMut(usize, usize) -> Result<bool, String>,
    ) -> Result<(Vec<Place>, Vec<(usize, usize)>), String> {
        let mut kept: Vec<Place> = Vec::with_capacity(places.len());
        let mut copies = Vec::new();
        for together in places.chunk_by(|a, b| b.along - a.along <= SAME_PLACE_MM) {
            let (first, others) = together.split_first().ok_or("it has no images")?;
            for other in others {
                let apart = subtract(self.plane(first).frame.position, self.plane(other).frame.position);
                if length(apart) > SAME_PLACE_MM || !same(first.index, other.index)? {
                    return Err(self.repeated(&places, first));
                }
                copies.push((other.index, first.index));
            }
            kept.push(*first);
        }
        Ok((kept, copies))
    }

    /// Several images at one place.
    fn repeated(&self, places: &[Place], first: &Place) -> String {
        let clusters: Vec<&[Place]> =
            places.chunk_by(|a, b| b.along - a.along <= SAME_PLACE_MM).filter(|together| together.len() > 1).collect();
        let here = clusters.iter().find(|together| together[0].index == first.index).copied().unwrap_or_default();
        let names: Vec<String> = here.iter().take(4).map(|place| format!("`{}`", self.plane(place).name)).collect();
        let more = if here.len() > names.len() { ", …" } else { "" };
        let elsewhere = match clusters.len() - 1 {
            0 => String::new(),
            1 => "; so at 1 other position".to_owned(),
            count => format!("; so at {count} other positions"),
        };
        let frames: Vec<&Frame> = here.iter().map(|place| self.plane(place).frame).collect();
        let differing = what_differs(&frames);
        format!(
            "{} images that differ are at one position, {} ({}{more}){elsewhere}{differing}; a scan has one image at each position",
            here.len(),
            self.coordinate(first),
            names.join(", ")
        )
    }

    /// The order of the images, with `None` for missing slices, and those in words.
    fn regular(&self, places: &[Place], fill_gaps: bool) -> Result<(Vec<Option<usize>>, Vec<String>), String> {
        if places.len() < 2 {
            return Ok((places.iter().map(|place| Some(place.index)).collect(), Vec::new()));
        }
        let every: Vec<usize> = (0..places.len()).collect();
        let along = |place: &Place| place.along;
        let gaps: Vec<f64> = places.windows(2).map(|pair| along(&pair[1]) - along(&pair[0])).collect();
        if self.farthest(places, &every).is_none() {
            return Ok((places.iter().map(|place| Some(place.index)).collect(), Vec::new()));
        }
        let step = common(&gaps);
        let steps: Option<Vec<usize>> = gaps
            .iter()
            .map(|gap| {
                let steps = (gap / step).round();
                let fits = (gap - steps * step).abs() <= 2.0 * tolerance_mm(step) && (1.0..1e6).contains(&steps);
                fits.then_some(steps as usize)
            })
            .collect();
        let Some(steps) = steps else { return Err(self.uneven(places, &gaps, step)) };
        let mut numbers = vec![0];
        for steps in &steps {
            numbers.push(numbers[numbers.len() - 1] + steps);
        }
        if let Some((place, apart, sideways)) = self.farthest(places, &numbers) {
            if !sideways {
                return Err(self.uneven(places, &gaps, step));
            }
            return Err(format!(
                "its slices do not lie on one straight line: `{}` at {} is {} mm beside it{}",
                self.plane(place).name,
                self.coordinate(place),
                mm(apart),
                self.differing()
            ));
        }
        let missing = numbers[numbers.len() - 1] + 1 - places.len();
        let described = self.missing(places, &steps, step);
        if !fill_gaps {
            let slices = if missing == 1 { "a slice is".to_owned() } else { format!("{missing} slices are") };
            return Err(format!("{slices} missing: {}{}", listed(&described), self.differing()));
        }
        if missing > places.len() {
            return Err(format!("{missing} slices are missing, more than there are: {}", listed(&described)));
        }
        let mut order = vec![None; numbers[numbers.len() - 1] + 1];
        for (place, number) in places.iter().zip(numbers) {
            order[number] = Some(place.index);
        }
        Ok((order, described))
    }

    /// The image farthest from the regular place of its number, if that is too far; how far, and whether sideways.
    fn farthest<'p>(&self, places: &'p [Place], numbers: &[usize]) -> Option<(&'p Place, f64, bool)> {
        let (first, last) = (places.first()?, places.last()?);
        let count = *numbers.last()? as f64;
        let (start, end) = (self.plane(first).frame.position, self.plane(last).frame.position);
        let step = subtract(end, start).map(|x| x / count);
        let tolerance = tolerance_mm(dot(step, self.axes.normal));
        let apart = places.iter().zip(numbers).map(|(place, number)| {
            let regular: [f64; 3] = std::array::from_fn(|axis| start[axis] + step[axis] * *number as f64);
            let apart = subtract(self.plane(place).frame.position, regular);
            let along = dot(apart, self.axes.normal);
            let sideways = length(subtract(apart, self.axes.normal.map(|x| x * along)));
            (place, along.abs(), sideways)
        });
        let worst = |a: f64, b: f64| a.max(b);
        let (place, along, sideways) = apart.max_by(|a, b| worst(a.1, a.2).total_cmp(&worst(b.1, b.2)))?;
        (worst(along, sideways) > tolerance).then_some((place, worst(along, sideways), sideways > along))
    }

    fn between(&self, pair: &[Place]) -> String {
        let end = |place: &Place| format!("{} (`{}`)", self.coordinate(place), self.plane(place).name);
        format!("between {} and {}", end(&pair[0]), end(&pair[1]))
    }

    /// Each place where slices are missing.
    fn missing(&self, places: &[Place], steps: &[usize], step: f64) -> Vec<String> {
        let gaps = places.windows(2).zip(steps).filter(|(_, steps)| **steps > 1);
        let described = gaps.map(|(pair, steps)| {
            let gap = mm(pair[1].along - pair[0].along);
            let where_ = self.between(pair);
            format!("{} {where_}, a gap of {gap} mm where slices are {} mm apart", steps - 1, mm(step))
        });
        described.collect()
    }

    fn uneven(&self, places: &[Place], gaps: &[f64], step: f64) -> String {
        let odd = gaps.iter().position(|gap| (gap - step).abs() > 2.0 * tolerance_mm(step));
        let example = odd.map(|at| format!("; {} mm {}", mm(gaps[at]), self.between(&places[at..=at + 1])));
        format!(
            "its slices are not evenly spaced: gaps of {}{}{}",
            gaps_listed(gaps),
            example.unwrap_or_default(),
            self.differing()
        )
    }
}

/// The most common gap; of equally common ones the smallest.
fn common(gaps: &[f64]) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let groups = sorted.chunk_by(|a, b| b - a <= tolerance_mm(*a));
    // The last of equal ones would be taken: the smallest is the last in this order.
    let best: Option<&[f64]> = groups.collect::<Vec<_>>().into_iter().rev().max_by_key(|group| group.len());
    best.map_or(0.0, |group| group.iter().sum::<f64>() / group.len() as f64)
}

fn listed(texts: &[String]) -> String {
    let shown: Vec<&str> = texts.iter().take(5).map(String::as_str).collect();
    let more = texts.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!("; and at {more} more places") };
    format!("{}{more}", shown.join("; "))
}

/// The directions of a row and of a column.
fn directions(frame: &Frame) -> [[f64; 3]; 2] {
    let [a, b, c, d, e, f] = frame.orientation;
    [[a, b, c], [d, e, f]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn subtract(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] - b[axis])
}

fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}
