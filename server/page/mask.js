// The label map as the server has it, kept in NiiVue's voxel order. Only the box that changed is fetched.

/** NiiVue's drawing has one byte per voxel. */
export const LARGEST_LABEL = 255;

export class Mask {
  constructor(client, session, grid) {
    this.client = client;
    this.path = `/v1/sessions/${session}/mask/region`;
    this.grid = grid;
    this.revision = null;
    this.bitmap = new Uint8Array(grid.shape[0] * grid.shape[1] * grid.shape[2]);
  }

  /** Brings the map up to date. Gives the stage, or null if there is no mask. */
  async update() {
    const since = this.revision === null ? '' : `?since=${this.revision}`;
    const response = await this.client.fetch(this.path + since);
    const stage = response.headers.get('X-Segvol-Stage');
    const revision = Number(response.headers.get('X-Segvol-Revision'));
    if (response.headers.get('X-Segvol-Whole') === 'true') { // what is not in the box is zero
      this.bitmap.fill(0);
    }
    if (response.status !== 204) {
      this.put(await response.arrayBuffer(), {
        wide: response.headers.get('X-Segvol-Dtype') === 'uint16',
        box: response.headers.get('X-Segvol-Box').split(',').map(Number),
      });
    }
    this.revision = revision;
    return stage;
  }

  clear() {
    this.bitmap.fill(0);
    this.revision = null;
  }

  /** Puts labels of a box (corners inclusive, first axis fastest, the file's order) into the bitmap. */
  put(bytes, { wide, box }) {
    const labels = wide ? new Uint16Array(bytes) : new Uint8Array(bytes);
    const [i0, j0, k0, i1, j1, k1] = box;
    const count = (i1 - i0 + 1) * (j1 - j0 + 1) * (k1 - k0 + 1);
    if (labels.length !== count) throw new Error(`a mask of ${count} voxels was announced, ${labels.length} came`);
    const { start, step } = this.grid.strides;
    let from = 0;
    for (let k = k0; k <= k1; k++) {
      for (let j = j0; j <= j1; j++) {
        let to = start + i0 * step[0] + j * step[1] + k * step[2];
        for (let i = i0; i <= i1; i++, to += step[0]) {
          const label = labels[from++];
          this.bitmap[to] = label > LARGEST_LABEL ? 0 : label;
        }
      }
    }
  }
}
