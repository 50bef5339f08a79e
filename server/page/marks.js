// Points and boxes over the planes, on a canvas of their own that follows every drawing of NiiVue.

const css = ([r, g, b], alpha = 1) => `rgb(${r} ${g} ${b} / ${alpha})`;
const INSIDE = [74, 222, 128];
const OUTSIDE = [248, 113, 113];

export class Marks {
  constructor(canvas, viewer) {
    this.canvas = canvas;
    this.viewer = viewer;
    this.objects = [];  // {points, box, colour, chosen, shown}
    this.draft = null;  // the box that is being drawn, screen voxels [min, max]
    this.active = 0;    // the kind of plane that the arrow keys move in
  }

  draw() {
    const { canvas, viewer } = this;
    const source = viewer.canvas;
    if (canvas.width !== source.width || canvas.height !== source.height) {
      canvas.width = source.width;
      canvas.height = source.height;
    }
    const context = canvas.getContext('2d');
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!viewer.grid) return;
    this.ratio = source.width / Math.max(1, source.clientWidth);
    for (const plane of viewer.planes()) {
      context.save();
      context.beginPath();
      context.rect(plane.left, plane.top, plane.width, plane.height);
      context.clip();
      if (plane.kind === this.active) this.frame(context, plane);
      this.crosshair(context, plane);
      for (const object of this.objects.filter(object => object.shown)) {
        if (object.box) this.box(context, plane, this.corners(object.box), css(object.colour), object.chosen);
        for (const point of object.points) this.point(context, plane, point, object);
      }
      this.letters(context, plane);
      if (this.draft) this.box(context, plane, this.draft, '#ffffff', true);
      context.restore();
    }
  }

  frame(context, plane) {
    context.strokeStyle = 'rgb(125 211 252 / 0.45)';
    context.lineWidth = this.ratio;
    context.strokeRect(plane.left + 0.5, plane.top + 0.5, plane.width - 1, plane.height - 1);
  }

  crosshair(context, plane) {
    const [x, y] = plane.pixel(this.viewer.cross).map(v => Math.floor(v) + 0.5);
    const gap = 9 * this.ratio;
    context.beginPath();
    for (const [from, to] of [[plane.left, x - gap], [x + gap, plane.left + plane.width]]) {
      context.moveTo(from, y);
      context.lineTo(to, y);
    }
    for (const [from, to] of [[plane.top, y - gap], [y + gap, plane.top + plane.height]]) {
      context.moveTo(x, from);
      context.lineTo(x, to);
    }
    for (const [colour, width] of [['rgb(0 0 0 / 0.35)', 3], ['rgb(125 211 252 / 0.8)', 1]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * this.ratio;
      context.stroke();
    }
  }

  letters(context, plane) {
    const [left, right, top, bottom] = plane.letters;
    const inset = 11 * this.ratio;
    const [x, y] = [plane.left + plane.width / 2, plane.top + plane.height / 2];
    context.font = `600 ${13 * this.ratio}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineWidth = 3 * this.ratio;
    context.strokeStyle = 'rgb(0 0 0 / 0.85)';
    context.fillStyle = '#f1f5f9';
    for (const [letter, at] of [
      [left, [plane.left + inset, y]], [right, [plane.left + plane.width - inset, y]],
      [top, [x, plane.top + inset]], [bottom, [x, plane.top + plane.height - inset]],
    ]) {
      context.strokeText(letter, ...at);
      context.fillText(letter, ...at);
    }
  }

  corners([i0, j0, k0, i1, j1, k1]) {
    const a = this.viewer.grid.toScreen([i0, j0, k0]);
    const b = this.viewer.grid.toScreen([i1, j1, k1]);
    return [a.map((v, n) => Math.min(v, b[n])), a.map((v, n) => Math.max(v, b[n]))];
  }

  /** Solid where the slice cuts the box, dotted elsewhere. */
  box(context, plane, [min, max], colour, chosen) {
    const depth = this.viewer.cross[plane.through];
    const within = depth >= min[plane.through] && depth <= max[plane.through];
    const [x0, y0] = plane.pixel(min.map(v => v - 0.5));
    const [x1, y1] = plane.pixel(max.map(v => v + 0.5));
    context.strokeStyle = colour;
    context.globalAlpha = within ? 1 : 0.5;
    context.lineWidth = (chosen ? 2 : 1.25) * this.ratio;
    context.setLineDash(within ? [] : [3 * this.ratio, 4 * this.ratio]);
    context.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** A disc with plus or minus in the point's own slice, a faint ring in the slices near it. */
  point(context, plane, [i, j, k, label], { colour, chosen }) {
    const { grid, cross } = this.viewer;
    const xyz = grid.toScreen([i, j, k]);
    const mm = Math.abs(xyz[plane.through] - cross[plane.through]) * grid.screenSpacing[plane.through];
    const here = xyz[plane.through] === cross[plane.through];
    if (!here && mm > 15) return;
    const [x, y] = plane.pixel(xyz);
    const radius = (here ? 6 : 4) * this.ratio;
    const tone = label === 0 ? OUTSIDE : INSIDE;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.lineWidth = 1.5 * this.ratio;
    if (!here) {
      context.strokeStyle = css(tone, 0.6);
      context.stroke();
      return;
    }
    context.fillStyle = css(tone);
    context.fill();
    context.strokeStyle = chosen ? '#ffffff' : css(colour);
    context.stroke();
    context.strokeStyle = '#05130a';
    context.lineWidth = 1.75 * this.ratio;
    const arm = radius * 0.55;
    context.beginPath();
    context.moveTo(x - arm, y);
    context.lineTo(x + arm, y);
    if (label !== 0) {
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
    }
    context.stroke();
  }
}
