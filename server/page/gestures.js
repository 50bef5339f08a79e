// Mouse, touch and keyboard over the viewer. Everything ends in voxels: a crosshair that moves, a point, a box.

export class Gestures {
  /**
   * @param on `point(xyz, inside)`, `box(min, max)`, `draft(corners or null)`, `mode(name)`, `plane(kind)`, `window(level, width)`,
   *           `said(text)`, `keys(whether keys are used now)`; voxels are the viewer's.
   */
  constructor(view, viewer, on) {
    this.view = view;
    this.viewer = viewer;
    this.on = on;
    this.mode = 'look';
    this.active = 0;
    this.depth = 40; // mm, the third side of a box
    this.drag = null;
    this.corner = null; // the first corner of a box drawn with keys
    view.addEventListener('pointerdown', event => this.down(event));
    view.addEventListener('pointermove', event => this.move(event));
    view.addEventListener('pointerup', event => this.up(event));
    view.addEventListener('pointercancel', () => this.abandon());
    view.addEventListener('wheel', event => this.wheel(event), { passive: false });
    view.addEventListener('contextmenu', event => { if (this.viewer.grid) event.preventDefault(); });
    view.addEventListener('keydown', event => this.key(event));
  }

  setMode(mode) {
    this.mode = mode;
    this.abandon();
  }

  /** Canvas pixels of an event. */
  pixel(event) {
    const { canvas } = this.viewer;
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
  }

  plane(pixel) {
    return this.viewer.planes().find(plane => plane.contains(pixel)) ?? null;
  }

  activate(kind) {
    this.active = kind;
    this.on.plane(kind);
  }

  abandon() {
    this.drag = null;
    this.corner = null;
    this.on.draft(null);
  }

  down(event) {
    if (!this.viewer.grid || event.target.closest('button')) return;
    this.view.focus({ preventScroll: true });
    this.on.keys(false);
    const pixel = this.pixel(event);
    if (this.viewer.inRender(pixel)) {
      this.drag = { kind: 'turn', from: [event.clientX, event.clientY] };
    } else {
      const plane = this.plane(pixel);
      if (!plane) return;
      this.activate(plane.kind);
      const xyz = plane.voxel(pixel, this.viewer.cross);
      const right = event.button === 2;
      if (event.button === 1) {
        event.preventDefault();
        this.drag = { kind: 'pan', from: pixel };
      } else if (this.mode === 'point') {
        if (xyz) {
          this.viewer.setCross(xyz);
          this.on.point(xyz, !(right || event.shiftKey));
        }
        return;
      } else if (this.mode === 'box' && event.button === 0) {
        if (!xyz) return;
        this.drag = { kind: 'box', plane, first: xyz };
      } else if (right) {
        const { level, width } = this.viewer;
        this.drag = { kind: 'window', from: [event.clientX, event.clientY], level, width };
      } else {
        this.drag = { kind: 'cross', plane };
        if (xyz) this.viewer.setCross(xyz);
      }
    }
    this.view.setPointerCapture(event.pointerId);
  }

  move(event) {
    const { drag, viewer } = this;
    if (!drag) return;
    if (drag.kind === 'turn') {
      viewer.turn((event.clientX - drag.from[0]) * 0.6, (event.clientY - drag.from[1]) * 0.6);
      drag.from = [event.clientX, event.clientY];
    } else if (drag.kind === 'pan') {
      const to = this.pixel(event);
      const plane = viewer.planes().find(plane => plane.kind === this.active);
      if (plane) viewer.pan(plane, [to[0] - drag.from[0], to[1] - drag.from[1]]);
      drag.from = to;
    } else if (drag.kind === 'window') {
      this.on.window(drag.level + (event.clientY - drag.from[1]) * -2, drag.width + (event.clientX - drag.from[0]) * 4);
    } else if (drag.kind === 'cross') {
      viewer.setCross(drag.plane.voxel(this.pixel(event), viewer.cross, true));
    } else {
      drag.last = drag.plane.voxel(this.pixel(event), viewer.cross, true);
      this.on.draft(this.boxOf(drag.plane.through, drag.first, drag.last));
      viewer.redraw();
    }
  }

  up(event) {
    const { drag } = this;
    this.drag = null;
    if (drag?.kind !== 'box') return;
    const last = drag.plane.voxel(this.pixel(event), this.viewer.cross, true);
    const wide = [0, 1, 2].every(axis => axis === drag.plane.through || last[axis] !== drag.first[axis]);
    this.on.draft(null);
    if (wide) this.on.box(...this.boxOf(drag.plane.through, drag.first, last));
    else this.on.said('Drag with the left button from one corner of the box to the other.');
    this.viewer.redraw();
  }

  /** Two corners as [min, max]; along `through` it reaches half the depth to both sides if the corners share a slice. */
  boxOf(through, a, b) {
    const min = a.map((v, axis) => Math.min(v, b[axis]));
    const max = a.map((v, axis) => Math.max(v, b[axis]));
    if (min[through] === max[through]) {
      const { screenShape, screenSpacing } = this.viewer.grid;
      const half = Math.round(this.depth / 2 / screenSpacing[through]);
      min[through] = Math.max(0, min[through] - half);
      max[through] = Math.min(screenShape[through] - 1, max[through] + half);
    }
    return [min, max];
  }

  wheel(event) {
    if (!this.viewer.grid) return;
    const pixel = this.pixel(event);
    const nearer = event.deltaY < 0;
    if (this.viewer.inRender(pixel)) {
      this.viewer.zoomRender(nearer ? 1.1 : 1 / 1.1);
    } else if (event.ctrlKey) {
      this.viewer.zoom(nearer ? 1.2 : 1 / 1.2);
    } else {
      const plane = this.plane(pixel);
      if (!plane) return;
      this.step(plane, plane.through, nearer ? 1 : -1);
    }
    event.preventDefault();
  }

  step(plane, axis, by) {
    const xyz = [...this.viewer.cross];
    xyz[axis] += by;
    this.viewer.setCross(xyz);
  }

  key(event) {
    const { viewer } = this;
    if (!viewer.grid || event.target !== this.view || event.ctrlKey || event.metaKey || event.altKey) return;
    this.on.keys(true);
    const planes = viewer.planes();
    const plane = planes.find(plane => plane.kind === this.active) ?? planes[0];
    const far = event.shiftKey ? 10 : 1;
    const across = plane ? Math.sign(plane.by[0]) : 0; // −1 where larger voxels lie to the left
    const steps = plane && {
      ArrowLeft: [plane.across, -across], ArrowRight: [plane.across, across],
      ArrowUp: [plane.up, 1], ArrowDown: [plane.up, -1],
      PageUp: [plane.through, 1], PageDown: [plane.through, -1],
    }[event.key];
    if (steps) {
      this.step(plane, steps[0], steps[1] * far);
      if (this.corner) this.on.draft(this.boxOf(plane.through, this.corner, viewer.cross));
    } else if (!plane && event.key.startsWith('Arrow')) {
      const [x, y] = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5] }[event.key];
      viewer.turn(x, y);
    } else if (event.key === 'Enter' && plane) {
      this.enter(plane, event.shiftKey);
    } else if (event.key === 'Escape') {
      this.abandon();
      viewer.redraw();
    } else if (event.key === '+' || event.key === '=') {
      viewer.zoom(1.2);
    } else if (event.key === '-') {
      viewer.zoom(1 / 1.2);
    } else if (event.key === '0') {
      viewer.zoom(null);
    } else if (event.key.toLowerCase() === 'v' && planes.length) {
      this.activate(planes[(planes.indexOf(plane) + 1) % planes.length].kind);
      viewer.redraw();
    } else if ('lpb'.includes(event.key.toLowerCase())) {
      this.on.mode({ l: 'look', p: 'point', b: 'box' }[event.key.toLowerCase()]);
    } else {
      return;
    }
    event.preventDefault();
  }

  enter(plane, outside) {
    const here = this.viewer.cross;
    if (this.mode !== 'box') {
      this.on.point(here, !outside);
    } else if (!this.corner) {
      this.corner = here;
      this.on.said('First corner set. Move the crosshair to the opposite corner and press Enter; Escape gives up.');
    } else {
      const corners = this.boxOf(plane.through, this.corner, here);
      this.corner = null;
      this.on.draft(null);
      this.on.box(...corners);
    }
  }
}
