// What the page says: status, progress, problems, facts about scan and server.

import { get, make } from './dom.js';

export function status(text) {
  get('status').textContent = text;
}

/** `fraction` null: it is not known how long it takes. */
export function progress(fraction) {
  const bar = get('progress');
  if (fraction === null) bar.removeAttribute('value');
  else bar.value = fraction;
}

export function running(on, cancellable = true) {
  get('running').hidden = !on;
  get('cancel').hidden = !cancellable;
}

/** A problem, with at most one thing to do about it: `[label, function]`. */
export function problem(text, action = null) {
  get('problem-text').textContent = sentence(text);
  get('problem').hidden = false;
  const button = get('problem-action');
  button.hidden = action === null;
  if (action) {
    button.textContent = action[0];
    button.onclick = () => {
      noProblem();
      action[1]();
    };
  }
}

/** The server's messages begin with a small letter, as a part of a longer line. */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function noProblem() {
  get('problem').hidden = true;
}

get('problem-close').addEventListener('click', noProblem);

export function scanFacts(name, { shape_xyz: shape, spacing_mm: spacing, dicom, warnings }, grid) {
  get('scan-name').textContent = name;
  const letters = ['RL', 'AP', 'SI'];
  const order = [0, 1, 2].map(fileAxis => grid.axis.indexOf(fileAxis)).map(s => letters[s][grid.flip[s] ? 1 : 0]);
  const facts = [
    ['Voxels', shape.join(' × ')],
    ['Voxel size', `${spacing.map(mm => Number(mm.toFixed(3))).join(' × ')} mm`],
    ['Stored as', `${dicom ? 'DICOM, ' : ''}axes towards ${order.join(', ')}`],
  ];
  get('scan-facts').replaceChildren(...facts.flatMap(([term, text]) => [make('dt', {}, term), make('dd', {}, text)]));
  const notes = warnings.map(({ message }) => sentence(message));
  if (grid.shear > 0.5) {
    notes.push(`The scan is tilted: its axes are ${grid.shear.toFixed(1)}° off right angles. The planes follow the scan's own `
      + 'rows and slices, so shapes look sheared here; points, boxes and masks are exact.');
  }
  get('scan-warnings').replaceChildren(...notes.map(note => make('li', {}, note)));
  get('scan-card').hidden = false;
}

export function serverFacts({ version, provider, precision, limits }) {
  get('server').textContent = `segvol ${version}, ${provider}, ${precision}`;
  if (limits?.upload_bytes) {
    get('limit').textContent = `Up to ${Math.floor(limits.upload_bytes / 2 ** 20)} MiB. The file stays on this server and is `
      + 'deleted when you close the page.';
  }
}
