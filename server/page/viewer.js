// NiiVue: the scan, the mask in its drawing layer, windows, layouts. It draws; mouse and keyboard are in gestures.js.

import { Grid } from './grid.js';
import { Plane } from './planes.js';

/** Level and width in Hounsfield units. */
export const WINDOWS = {
  'Soft tissue': [40, 400],
  Lung: [-600, 1500],
  Bone: [400, 1800],
  Brain: [40, 80],
  Liver: [60, 160],
};

const RENDER = 4; // NiiVue's SLICE_TYPE.RENDER
const FRONT = [160, 15]; // azimuth and elevation: the patient from the front, a little from the side and from above
const KINDS = { axial: 0, coronal: 1, sagittal: 2, render: RENDER };
const QUARTER = 0.496; // of width and height; the rest is a gap
const QUARTERS = [
  { sliceType: 0, position: [0, 0, QUARTER, QUARTER] },
  { sliceType: 1, position: [0, 1 - QUARTER, QUARTER, QUARTER] },
  { sliceType: 2, position: [1 - QUARTER, 0, QUARTER, QUARTER] },
  { sliceType: RENDER, position: [1 - QUARTER, 1 - QUARTER, QUARTER, QUARTER] },
];
// How much of the scan is seen through the mask: in the planes, and in the 3-D picture, where the body lies before it.
const OPACITY = { planes: 0.45, render: 0.9 };

export class Viewer {
  /** `onDraw()` is called after each drawing, `onMove()` when the crosshair has moved. */
  constructor(canvas, { onDraw, onMove }) {
    this.canvas = canvas;
    this.onDraw = onDraw;
    this.onMove = onMove;
    this.grid = null;
    this.pending = false;   // whether the next frame draws
    this.newWindow = false; // whether it has to colour the scan anew
  }

  async start() {
    this.nv = new window.niivue.Niivue({
      interactive: false, // gestures.js does that
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      isSliceMM: false, // planes along the scan's own axes: a pixel is one voxel for certain, also in oblique scans
      isOrientationTextVisible: false, // marks.js draws the letters, so that they can be read on bright ground
      isOrientCube: true,
      loadingText: '',
      logLevel: 'error',
      backColor: [0, 0, 0, 1],
      crosshairWidth: 0, // marks.js draws it
    });
    await this.nv.attachToCanvas(this.canvas);
    // What lies over the planes follows every drawing, whoever asked for it.
    const draw = this.nv.drawScene.bind(this.nv);
    this.nv.drawScene = () => {
      const text = draw();
      this.onDraw();
      return text;
    };
    const render = this.nv.draw3D.bind(this.nv);
    this.nv.draw3D = (...arguments_) => {
      this.nv.drawOpacity = OPACITY.render;
      const text = render(...arguments_);
      this.nv.drawOpacity = OPACITY.planes;
      return text;
    };
    this.nv.drawOpacity = OPACITY.planes;
    this.nv.drawRimOpacity = 0.95;
    this.nv.setRenderAzimuthElevation(...FRONT);
  }

  get volume() {
    return this.nv.volumes[0];
  }

  /** Shows a scan. `state` is the server's description; its affine is the one that counts. */
  async load(buffer, state) {
    this.close();
    await this.nv.loadFromArrayBuffer(buffer, 'scan.nii.gz');
    const shape = Array.from(this.volume.hdr.dims.slice(1, 4));
    if (shape.some((n, axis) => n !== state.shape_xyz[axis])) {
      throw new Error(`the scan has ${state.shape_xyz.join(' × ')} voxels, the viewer reads ${shape.join(' × ')}`);
    }
    this.grid = new Grid(shape, this.volume.permRAS, state.affine_ras);
    this.nv.createEmptyDrawing();
    this.nv.drawClearAllUndoBitmaps();
    this.cross = this.grid.screenShape.map(n => Math.floor(n / 2));
    this.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.setCross(this.cross);
  }

  close() {
    this.grid = null;
    if (this.nv.volumes.length) {
      this.nv.closeDrawing();
      this.nv.removeVolume(this.volume);
    }
  }

  /** Draws with the next frame, however often it is called until then. */
  redraw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (this.newWindow && this.grid) this.nv.updateGLVolume(); // draws, too
      else this.nv.drawScene();
      this.newWindow = false;
    });
  }

  setCross(xyz) {
    this.cross = xyz.map((v, axis) => Math.max(0, Math.min(this.grid.screenShape[axis] - 1, v)));
    this.nv.scene.crosshairPos = this.cross.map((v, axis) => (v + 0.5) / this.grid.screenShape[axis]);
    this.onMove();
    this.redraw();
  }

  setWindow(level, width) {
    this.level = level;
    this.width = Math.max(1, width);
    this.applyWindow();
  }

  applyWindow() {
    if (!this.grid || this.level === undefined) return;
    this.volume.cal_min = this.level - this.width / 2;
    this.volume.cal_max = this.level + this.width / 2;
    this.newWindow = true;
    this.redraw();
  }

  setLayout(name) {
    if (name === 'all') {
      this.nv.customLayout = QUARTERS;
    } else {
      this.nv.customLayout = [{ sliceType: KINDS[name], position: [0, 0, 1, 1] }];
    }
    this.redraw();
  }

  /** The planes as they are on the canvas now. */
  planes() {
    if (!this.grid) return [];
    return this.nv.screenSlices.filter(tile => tile.axCorSag < 3 && tile.AxyzMxy.length > 3)
      .map(tile => new Plane(tile, this.volume));
  }

  /** Whether a pixel lies in the 3-D picture. */
  inRender([x, y]) {
    return this.grid !== null && this.nv.inRenderTile(x, y) >= 0;
  }

  turn(degreesAcross, degreesUp) {
    const { renderAzimuth, renderElevation } = this.nv.scene;
    this.nv.setRenderAzimuthElevation(renderAzimuth - degreesAcross, Math.max(-90, Math.min(90, renderElevation + degreesUp)));
  }

  /** Zooms the planes around the crosshair; `null` resets. */
  zoom(factor) {
    const pan = this.nv.scene.pan2Dxyzmm;
    const before = pan[3];
    const after = factor === null ? 1 : Math.max(1, Math.min(16, before * factor));
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos);
    const next = after === 1 ? [0, 0, 0, 1] : [0, 1, 2].map(axis => pan[axis] + (before - after) * mm[axis]).concat(after);
    this.nv.scene.pan2Dxyzmm = next;
    this.redraw();
  }

  /** Moves the planes by pixels of one of them. */
  pan(plane, [x, y]) {
    const pan = [...this.nv.scene.pan2Dxyzmm];
    pan[plane.across] += x * plane.mmPerPixel[0] * pan[3];
    pan[plane.up] += y * plane.mmPerPixel[1] * pan[3];
    this.nv.scene.pan2Dxyzmm = pan;
    this.redraw();
  }

  zoomRender(factor) {
    this.nv.setScale(Math.max(0.3, Math.min(5, this.nv.scene.volScaleMultiplier * factor)));
  }

  /** The value of a screen voxel in Hounsfield units. */
  value(xyz) {
    return this.volume.getValue(...xyz);
  }

  /** Shows a label map (screen order); `colours[label]` is [r, g, b], or null for what is hidden. */
  showMask(bitmap, colours) {
    this.setColours(colours);
    this.nv.drawBitmap = bitmap;
    this.nv.refreshDrawing(false);
    this.redraw();
  }

  setColours(colours) {
    const lut = new Uint8ClampedArray(256 * 4);
    colours.forEach((colour, label) => {
      if (colour && label > 0 && label < 256) lut.set([...colour, 255], label * 4);
    });
    this.nv.drawLut = { lut, labels: Array.from({ length: 256 }, (_, label) => String(label)) };
    this.nv.refreshColormaps();
    this.redraw();
  }
}
