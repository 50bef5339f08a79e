//! The voxels inside of the contours of a slice.

/// How near a voxel's centre must be to a contour to lie on it, in voxels: files round coordinates.
const ON_CONTOUR: f64 = 0.002;

/// A point in a slice, in voxels `[i, j]`: whole numbers are the centres of voxels.
pub(super) type Point = [f64; 2];

/// The voxels of one slice that contours enclose.
pub(super) struct Raster {
    /// Whether the number of contours left of a voxel's centre changes at that voxel from even to odd or back. One more column
    /// than voxels, for what is right of all.
    crossed: Vec<bool>,
    /// Whether a voxel's centre lies on a contour.
    on: Vec<bool>,
    ni: usize,
    nj: usize,
}

impl Raster {
    /// For slices of `ni` x `nj` voxels. Needs two bytes for each.
    pub(super) fn new([ni, nj]: [usize; 2]) -> Self {
        Self { crossed: vec![false; (ni + 1) * nj], on: vec![false; ni * nj], ni, nj }
    }

    /// Adds a closed contour: its last point is joined to its first.
    pub(super) fn add(&mut self, points: &[Point]) {
        let ends = points.iter().skip(1).chain(points.first());
        for (&from, &to) in points.iter().zip(ends) {
            // Always in the same direction, so that a line that is walked twice crosses rows at the same places.
            let [a, b] = if (from[1], from[0]) <= (to[1], to[0]) { [from, to] } else { [to, from] };
            self.cross(a, b);
            self.touch(a, b);
        }
    }

    /// Counts the rows of centres that a line from `a` down to `b` crosses.
    fn cross(&mut self, a: Point, b: Point) {
        // Its lower end does not count, so that a corner counts once or twice, as the contour crosses the row or turns.
        let (first, last) = (a[1].ceil().max(0.0), b[1].ceil().min(self.nj as f64));
        let mut row = first;
        while row < last {
            let i = a[0] + (row - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
            let column = i.ceil().clamp(0.0, self.ni as f64) as usize;
            self.crossed[row as usize * (self.ni + 1) + column] ^= true;
            row += 1.0;
        }
    }

    /// Marks the centres on a line from `a` down to `b`.
    fn touch(&mut self, a: Point, b: Point) {
        let first = (a[1] - ON_CONTOUR).ceil().max(0.0);
        let last = (b[1] + ON_CONTOUR).floor().min(self.nj as f64 - 1.0);
        let mut row = first;
        while row <= last {
            // The part of the line that is near the row.
            let at = |j: f64| {
                let part = if b[1] > a[1] { ((j - a[1]) / (b[1] - a[1])).clamp(0.0, 1.0) } else { 0.0 };
                a[0] + part * (b[0] - a[0])
            };
            let near = if b[1] - a[1] <= ON_CONTOUR { [a[0], b[0]] } else { [at(row), at(row)] };
            let left = (near[0].min(near[1]) - ON_CONTOUR).ceil().max(0.0);
            let right = (near[0].max(near[1]) + ON_CONTOUR).floor().min(self.ni as f64 - 1.0);
            let mut column = left;
            while column <= right {
                self.on[row as usize * self.ni + column as usize] = true;
                column += 1.0;
            }
            row += 1.0;
        }
    }

    /// Calls `visit` with `[i, j]` of every voxel that an odd number of contours encloses or whose centre lies on one, in order,
    /// and begins again without contours.
    pub(super) fn take(&mut self, mut visit: impl FnMut([usize; 2])) {
        for j in 0..self.nj {
            let mut is_inside = false;
            for i in 0..self.ni {
                is_inside ^= self.crossed[j * (self.ni + 1) + i];
                if is_inside || self.on[j * self.ni + i] {
                    visit([i, j]);
                }
            }
        }
        self.crossed.fill(false);
        self.on.fill(false);
    }
}
