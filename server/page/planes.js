// Where voxels lie on the canvas. NiiVue draws each plane into a tile: a rectangle in pixels, and what it shows in mm along the
// tile's two axes. With `isSliceMM: false` these mm are screen voxels times their size, also in oblique and sheared scans, so
// the way between pixels and voxels is a scale and a shift in each direction.

/** The screen axes of a plane: to the right (before the mirror), upwards, through it. */
const AXES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];
/** Where screen axes begin and end. */
const ENDS = [['L', 'R'], ['P', 'A'], ['I', 'S']];

export class Plane {
  /** @param tile one of NiiVue's `screenSlices`; @param volume NiiVue's image */
  constructor(tile, volume) {
    this.kind = tile.axCorSag;
    [this.across, this.up, this.through] = AXES[this.kind];
    [this.left, this.top, this.width, this.height] = tile.leftTopWidthHeight;
    // Pixel of a voxel's centre = at + by * voxel.
    const size = axis => volume.frac2mmOrtho[axis * 5] / volume.dimsRAS[axis + 1];
    const first = axis => volume.frac2mmOrtho[12 + axis] + 0.5 * size(axis);
    const perMmX = this.width / tile.fovMM[0];
    const perMmY = this.height / tile.fovMM[1];
    this.by = [size(this.across) * perMmX, -size(this.up) * perMmY];
    this.at = [
      this.left + (first(this.across) - tile.leftTopMM[0]) * perMmX,
      this.top + this.height - (first(this.up) - tile.leftTopMM[1]) * perMmY,
    ];
    this.mmPerPixel = [1 / perMmX, -1 / perMmY];
    this.limits = [volume.dimsRAS[this.across + 1], volume.dimsRAS[this.up + 1]];
  }

  /** The letters at the tile's left, right, top and bottom: what lies there in the patient. */
  get letters() {
    const ends = (axis, by) => by > 0 ? ENDS[axis] : [...ENDS[axis]].reverse();
    return [...ends(this.across, this.by[0]), ...ends(this.up, this.by[1])];
  }

  contains([x, y]) {
    return x >= this.left && x < this.left + this.width && y >= this.top && y < this.top + this.height;
  }

  /** Canvas pixel of a screen voxel; a whole number is the voxel's centre. */
  pixel(xyz) {
    return [this.at[0] + this.by[0] * xyz[this.across], this.at[1] + this.by[1] * xyz[this.up]];
  }

  /** The screen voxel under a pixel, in the slice through `cross`; null outside the scan unless `clamp`. */
  voxel([px, py], cross, clamp = false) {
    const xyz = [...cross];
    const found = [Math.round((px - this.at[0]) / this.by[0]), Math.round((py - this.at[1]) / this.by[1])];
    for (const [n, axis] of [[0, this.across], [1, this.up]]) {
      const last = this.limits[n] - 1;
      if (!clamp && (found[n] < 0 || found[n] > last)) return null;
      xyz[axis] = Math.max(0, Math.min(last, found[n]));
    }
    return xyz;
  }
}
