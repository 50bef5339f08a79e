//! The borders of a mask in one slice: closed polygons along the edges of voxels.
//!
//! A polygon passes half a voxel outside of the outermost centres. Voxels that share an edge belong together; voxels that
//! only touch at a corner are two polygons. A hole is not a polygon of its own, because programs disagree about those:
//! some cut them out, others fill them. The polygon around it reaches the hole through a *keyhole* instead: a channel of no
//! width, walked in both directions along the edges of voxels. No two polygons of a slice overlap, so that the even-odd
//! rule, the winding rule and the union of filled polygons all give the same voxels.

use std::collections::HashMap;

/// A corner of voxels `[i, j]`. Voxel `(i, j)` has the corners `[i, j]` and `[i + 1, j + 1]`; the voxel's centre is between
/// them.
pub(super) type Corner = [u32; 2];

/// The voxels of one slice.
#[derive(Clone, Copy)]
pub(super) struct Slice<'a> {
    /// `ni` x `nj` voxels, i fastest; not 0 inside.
    inside: &'a [u8],
    ni: usize,
    nj: usize,
}

/// A position on a border: a corner, and the direction in which the border leaves it. The inside is on the right of the
/// direction, where i grows to the right and j downwards.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Step {
    at: [usize; 2],
    direction: Direction,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// Towards greater i.
    Right,
    /// Towards greater j.
    Down,
    Left,
    Up,
}

impl Direction {
    fn turned_right(self) -> Self {
        match self {
            Self::Right => Self::Down,
            Self::Down => Self::Left,
            Self::Left => Self::Up,
            Self::Up => Self::Right,
        }
    }

    fn turned_left(self) -> Self {
        self.turned_right().turned_right().turned_right()
    }
}

impl<'a> Slice<'a> {
    /// A slice of `ni` x `nj` voxels.
    pub(super) fn new(inside: &'a [u8], [ni, nj]: [usize; 2]) -> Self {
        debug_assert_eq!(inside.len(), ni * nj);
        Self { inside, ni, nj }
    }

    /// Whether a voxel is inside. Beyond the slice, also at -1 (which wraps), nothing is.
    fn at(&self, i: usize, j: usize) -> bool {
        i < self.ni && j < self.nj && self.inside[j * self.ni + i] != 0
    }

    /// The next position on the border.
    fn next(&self, Step { at: [i, j], direction }: Step) -> Step {
        let at = match direction {
            Direction::Right => [i + 1, j],
            Direction::Down => [i, j + 1],
            Direction::Left => [i - 1, j],
            Direction::Up => [i, j - 1],
        };
        let [i, j] = at;
        // The voxels left and right ahead.
        let (before_i, before_j) = (i.wrapping_sub(1), j.wrapping_sub(1));
        let (left, right) = match direction {
            Direction::Right => ([i, before_j], [i, j]),
            Direction::Down => ([i, j], [before_i, j]),
            Direction::Left => ([before_i, j], [before_i, before_j]),
            Direction::Up => ([before_i, before_j], [i, before_j]),
        };
        let is_inside = |[i, j]: [usize; 2]| self.at(i, j);
        let direction = match (is_inside(left), is_inside(right)) {
            // Two voxels that touch at this corner: the border stays with the voxel that it belongs to.
            (_, false) => direction.turned_right(),
            (true, true) => direction.turned_left(),
            (false, true) => direction,
        };
        Step { at, direction }
    }
}

/// What is needed to outline slices of one size, kept from slice to slice.
pub(super) struct Outliner {
    /// For each voxel: whether the edge between it and the voxel with the next lower j has been walked.
    walked: Vec<bool>,
}

impl Outliner {
    /// For slices of `ni` x `nj` voxels. Needs one byte for each.
    pub(super) fn new([ni, nj]: [usize; 2]) -> Self {
        Self { walked: vec![false; ni * nj] }
    }

    /// The polygons of a slice, in the order of their first corners. Each has at least 4 corners, and its first is not repeated at its
    /// end. No corner lies between two others on a straight line, apart from the ends of keyholes: so both directions of a
    /// channel stay on each other when the corners' positions are rounded.
    pub(super) fn polygons(&mut self, slice: &Slice<'_>) -> Vec<Vec<Corner>> {
        self.walked.fill(false);
        let (mut outer, mut holes) = (Vec::new(), HashMap::new());
        for j in 0..slice.nj {
            for i in 0..slice.ni {
                if !slice.at(i, j) || slice.at(i, j.wrapping_sub(1)) || self.walked[j * slice.ni + i] {
                    continue;
                }
                let start = Step { at: [i, j], direction: Direction::Right };
                match self.walk(slice, start) {
                    Border::Outer => outer.push(start),
                    Border::Hole { top } => {
                        holes.insert(above(slice, top), Step { at: top, direction: Direction::Down });
                    }
                }
            }
        }
        outer.into_iter().map(|start| polygon(slice, start, &holes)).collect()
    }

    /// Walks a border once around, and marks it as walked.
    fn walk(&mut self, slice: &Slice<'_>, start: Step) -> Border {
        // Twice the area to the left of the way down and up: positive if the inside is enclosed.
        let (mut area, mut top, mut step) = (0_i64, start.at, start);
        loop {
            let [i, j] = step.at;
            match step.direction {
                Direction::Right => self.walked[j * slice.ni + i] = true,
                Direction::Down => area += i as i64,
                Direction::Up => area -= i as i64,
                Direction::Left => {}
            }
            if [j, i] < [top[1], top[0]] {
                top = step.at;
            }
            step = slice.next(step);
            if step == start {
                return if area > 0 { Border::Outer } else { Border::Hole { top } };
            }
        }
    }
}

enum Border {
    Outer,
    /// `top` is the corner of the lowest j, and of these the one of the lowest i.
    Hole {
        top: [usize; 2],
    },
}

/// The corner at which the keyhole of a hole ends: straight above the hole's top corner, on the nearest border.
///
/// Both voxels above the top corner are inside, else the hole would reach higher or further left. So no border touches the
/// channel on its way, and only one border passes the corner where it ends.
fn above(slice: &Slice<'_>, [i, mut j]: [usize; 2]) -> [usize; 2] {
    while j > 0 && slice.at(i - 1, j - 1) && slice.at(i, j - 1) {
        j -= 1;
    }
    [i, j]
}

/// Walks a border with the holes that are attached to it, and the holes attached to those.
fn polygon(slice: &Slice<'_>, start: Step, holes: &HashMap<[usize; 2], Step>) -> Vec<Corner> {
    let mut corners = Corners::default();
    // Where each border that is being walked began, and where to go on when it is done.
    let mut begun = vec![start];
    let mut on_hold: Vec<Step> = Vec::new();
    let mut step = start;
    loop {
        corners.push(step.at);
        // A hole is entered where its border is reached first, not when its channel is walked back.
        if let Some(&hole) = holes.get(&step.at) {
            on_hold.push(step);
            begun.push(hole);
            corners.keep_last();
            corners.push(hole.at);
            corners.keep_last();
            step = slice.next(hole);
        } else {
            step = slice.next(step);
        }
        while begun.last() == Some(&step) {
            begun.pop();
            let Some(before) = on_hold.pop() else {
                return corners.closed();
            };
            corners.push(step.at);
            corners.keep_last();
            corners.push(before.at);
            corners.keep_last();
            step = slice.next(before);
        }
    }
}

/// Whether `b` lies on the straight way from `a` to `c`.
fn is_between(a: Corner, b: Corner, c: Corner) -> bool {
    let difference = |a: Corner, b: Corner| [i64::from(b[0]) - i64::from(a[0]), i64::from(b[1]) - i64::from(a[1])];
    let ([ai, aj], [bi, bj]) = (difference(a, b), difference(b, c));
    ai * bj == aj * bi && ai * bi + aj * bj > 0
}

/// The corners of a polygon as it is walked.
#[derive(Default)]
struct Corners {
    found: Vec<Corner>,
    /// So many of them stay, also on a straight line.
    kept: usize,
}

impl Corners {
    fn push(&mut self, at: [usize; 2]) {
        // At most `MAX_VOXELS` along an axis, which is less than 2^32.
        let at = at.map(|n| n as u32);
        let is_free = self.found.len() > self.kept;
        match self.found.as_mut_slice() {
            [.., before, last] if is_free && is_between(*before, *last, at) => *last = at,
            _ => self.found.push(at),
        }
    }

    fn keep_last(&mut self) {
        self.kept = self.found.len();
    }

    /// All, without a last one on the straight way to the first.
    fn closed(mut self) -> Vec<Corner> {
        while let [first, .., before, last] = self.found.as_slice()
            && self.found.len() > self.kept
            && is_between(*before, *last, *first)
        {
            self.found.pop();
        }
        self.found
    }
}
