// The voxel orders. The server numbers voxels as the file does, [i, j, k]. NiiVue turns every scan so that its first axis runs
// to the patient's right, its second to anterior, its third to superior: the "screen" voxels here, [x, y, z]. Both orders have
// the same voxels; axes are permuted and flipped, nothing is resampled. Coordinates go to the server as voxels of the file, so
// a click means the voxel that is seen, also in oblique and sheared scans.

export class Grid {
  /**
   * @param shape voxels along the file's axes
   * @param turn  for each screen axis the file's axis from 1, negative if it runs the other way (NiiVue's `permRAS`)
   * @param affine 4x4, rows, voxel of the file to mm RAS
   */
  constructor(shape, turn, affine) {
    this.shape = shape;
    this.affine = affine;
    this.axis = turn.map(a => Math.abs(a) - 1);
    this.flip = turn.map(a => a < 0);
    this.screenShape = this.axis.map(a => shape[a]);
  }

  toScreen(ijk) {
    return this.axis.map((a, s) => this.flip[s] ? this.shape[a] - 1 - ijk[a] : ijk[a]);
  }

  toFile(xyz) {
    const ijk = [0, 0, 0];
    this.axis.forEach((a, s) => { ijk[a] = this.flip[s] ? this.shape[a] - 1 - xyz[s] : xyz[s]; });
    return ijk;
  }

  /** mm RAS of a voxel of the file. */
  mm(ijk) {
    return [0, 1, 2].map(r => this.affine[r][3] + ijk.reduce((sum, v, c) => sum + this.affine[r][c] * v, 0));
  }

  /** mm between neighbours along each of the file's axes. */
  get spacing() {
    return [0, 1, 2].map(c => Math.hypot(this.affine[0][c], this.affine[1][c], this.affine[2][c]));
  }

  get screenSpacing() {
    const spacing = this.spacing;
    return this.axis.map(a => spacing[a]);
  }

  /** Degrees by which the file's axes differ from right angles; 0 unless the scan is sheared. */
  get shear() {
    const column = c => [0, 1, 2].map(r => this.affine[r][c] / this.spacing[c]);
    const off = (a, b) => {
      const cosine = column(a).reduce((sum, v, n) => sum + v * column(b)[n], 0);
      return Math.abs(Math.asin(Math.max(-1, Math.min(1, cosine)))) * 180 / Math.PI;
    };
    return Math.max(off(0, 1), off(0, 2), off(1, 2));
  }

  /** Where a file's voxel lies in an array of screen voxels: `start + i*step[0] + j*step[1] + k*step[2]`. */
  get strides() {
    const screenStep = [1, this.screenShape[0], this.screenShape[0] * this.screenShape[1]];
    const step = [0, 0, 0];
    let start = 0;
    this.axis.forEach((a, s) => {
      step[a] = this.flip[s] ? -screenStep[s] : screenStep[s];
      if (this.flip[s]) start += (this.shape[a] - 1) * screenStep[s];
    });
    return { start, step };
  }
}
