// The page: ties the scan, the objects, the viewer and the server together.

import { Client, takeTokenFromAddress } from './client.js';
import { get, make } from './dom.js';
import { Downloads } from './downloads.js';
import { Gestures } from './gestures.js';
import { List } from './list.js';
import { Marks } from './marks.js';
import { LARGEST_LABEL } from './mask.js';
import { Objects } from './objects.js';
import * as report from './report.js';
import { Study } from './study.js';
import { askToken } from './token.js';
import { Viewer, WINDOWS } from './viewer.js';
import { droppedFiles, zip } from './zip.js';

const HINTS = {
  look: 'Left drag: crosshair. Right drag: window. Wheel: slice.',
  point: 'Left click: inside. Right click or Shift+click: outside.',
  box: mm => `Left drag: a box, ${mm / 2} mm to both sides of the slice.`,
};
const PHANTOM = '/assets/phantom.nii.gz';

const client = new Client(askToken);
const objects = new Objects();
const viewer = new Viewer(get('canvas'), { onDraw: () => marks.draw(), onMove: () => showPlace() });
const marks = new Marks(get('marks'), viewer);
const study = new Study(client, objects, viewer, refresh);
const downloads = new Downloads(client, promise => study.work(promise));

/** How the file is to be read, as the fields of the first screen say. */
function reading() {
  const [series, affine] = [get('series').value.trim(), get('affine').value];
  return { ...(series && { series }), ...(affine && { affine }), ...(get('fill-gaps').checked && { fill_gaps: true }) };
}

const open = file => study.work(study.open(file, file.name, reading()));

/** Several files are those of one DICOM series; DICOM goes to the server as a zip. */
async function openAll(files, folder = null) {
  const wanted = files.filter(file => file.size > 0 && !file.name.startsWith('.') && file.name !== 'DICOMDIR');
  if (!wanted.length) throw new Error('There is no file in this folder.');
  const isDicom = await wanted[0].slice(128, 132).text() === 'DICM';
  if (wanted.length === 1 && !isDicom) return open(wanted[0]);
  report.status(`Packing ${wanted.length === 1 ? wanted[0].name : `${wanted.length} files`}`);
  report.running(true, false);
  try {
    await open(await zip(wanted, `${folder ?? 'dicom'}.zip`, report.progress));
  } finally {
    report.running(false);
  }
}

const segment = () => study.work(study.segment());

// Objects

function chosen() {
  return objects.chosen ?? objects.add();
}

const list = new List(get('objects'), objects, {
  choose: object => { objects.chosen = object; refresh(); },
  toggle: object => {
    const look = objects.look(object.name);
    look.shown = !look.shown;
    viewer.setColours(study.colours());
    refresh();
  },
  remove: object => {
    const prompted = objects.prompted.includes(object);
    objects.remove(object);
    refresh();
    get('add').focus();
    if (prompted) segment();
  },
  text: (object, text) => { objects.setText(object, text); segment(); },
  name: (object, name) => {
    object.named = name.trim() !== '';
    if (objects.rename(object, name) && objects.prompted.includes(object)) segment();
    refresh();
  },
  dropPoint: (object, n) => { object.points = object.points.filter((_, at) => at !== n); segment(); },
  dropBox: object => { object.box = null; segment(); },
});

// Viewer

const gestures = new Gestures(get('view'), viewer, {
  point: (xyz, inside) => {
    const object = chosen();
    const ijk = viewer.grid.toFile(xyz);
    object.points = [...object.points, [...ijk, inside ? 1 : 0]];
    report.status(`Point ${inside ? 'inside' : 'outside'} “${object.name}” at voxel ${ijk.join(', ')}`);
    segment();
  },
  box: (min, max) => {
    const object = chosen();
    const [a, b] = [viewer.grid.toFile(min), viewer.grid.toFile(max)];
    object.box = [...a.map((v, axis) => Math.min(v, b[axis])), ...a.map((v, axis) => Math.max(v, b[axis]))];
    segment();
  },
  draft: corners => { marks.draft = corners; },
  mode: setMode,
  plane: kind => { marks.active = kind; },
  window: (level, width) => {
    viewer.setWindow(level, width);
    get('window').value = '';
    get('window').selectedOptions[0].textContent = `${Math.round(viewer.level)} / ${Math.round(viewer.width)}`;
  },
  said: report.status,
  keys: used => get('place').setAttribute('aria-live', used ? 'polite' : 'off'), // the mouse moves too fast to be read out
});

function setMode(mode) {
  document.querySelector(`#modes input[value=${mode}]`).checked = true;
  gestures.setMode(mode);
  get('view').dataset.mode = mode;
  get('depth-field').hidden = mode !== 'box';
  showHint();
  viewer.redraw();
}

function showHint() {
  const hint = HINTS[gestures.mode];
  get('hint').textContent = typeof hint === 'string' ? hint : hint(gestures.depth);
}

function showPlace() {
  if (!viewer.grid) return;
  const ijk = viewer.grid.toFile(viewer.cross);
  const mm = viewer.grid.mm(ijk).map(v => (Math.round(v * 10) / 10 + 0).toFixed(1));
  get('place').textContent = `Voxel ${ijk.join(', ')} · RAS ${mm.join(', ')} mm · ${Math.round(viewer.value(viewer.cross))} HU`;
}

// Everything that depends on what is open and chosen

function refresh() {
  const { ready, state, opened } = study;
  Object.assign(list, { results: study.results, old: study.old });
  list.draw();
  get('add').disabled = !ready;
  get('undo').disabled = !ready || !state?.undo;
  get('redo').disabled = !ready || !state?.redo;
  get('clear').disabled = !ready || !objects.list.length;
  get('objects-empty').hidden = objects.list.length > 0 || ready;
  get('too-many').hidden = study.shown.length - 1 <= LARGEST_LABEL;
  get('too-many').textContent = `Only the first ${LARGEST_LABEL} objects can be shown. Downloads contain all of them.`;
  downloads.enable({
    session: ready ? study.session : null,
    prompts: state?.prompts,
    final: ready && state?.result?.stage === 'final',
    dicom: state?.scan?.dicom,
    stem: (opened?.name ?? 'scan').replace(/(\.nii)?\.[^.]+$/, ''),
  });
  marks.objects = objects.list.map(object => ({
    ...object, ...objects.look(object.name), chosen: object === objects.chosen,
  }));
  viewer.redraw();
}

function listen() {
  for (const id of ['open', 'open-here']) get(id).addEventListener('click', () => get('file').click());
  get('open-folder').addEventListener('click', () => get('folder').click());
  for (const id of ['file', 'folder']) {
    get(id).addEventListener('change', event => {
      const files = [...event.target.files];
      event.target.value = '';
      if (files.length) study.work(openAll(files, files[0].webkitRelativePath.split('/')[0] || null));
    });
  }
  get('open-demo').addEventListener('click', () => study.work(openDemo()));
  for (const input of document.querySelectorAll('#modes input')) input.addEventListener('change', () => setMode(input.value));
  get('depth').addEventListener('input', event => {
    gestures.depth = Math.max(1, Number(event.target.value) || 1);
    showHint();
  });
  get('window').append(...Object.entries(WINDOWS).map(([name, [level, width]]) =>
    make('option', { value: name }, `${name} ${level} / ${width}`)), make('option', { value: '', hidden: true }, 'Other'));
  get('window').addEventListener('change', event => viewer.setWindow(...WINDOWS[event.target.value]));
  get('layout').addEventListener('change', event => viewer.setLayout(event.target.value));
  get('add').addEventListener('click', () => { objects.add(); refresh(); list.focus(); });
  get('undo').addEventListener('click', () => study.work(study.step('undo')));
  get('redo').addEventListener('click', () => study.work(study.step('redo')));
  get('clear').addEventListener('click', () => {
    const prompted = objects.prompted.length > 0;
    objects.clear();
    refresh();
    if (prompted) segment();
  });
  get('cancel').addEventListener('click', () => { if (study.session) study.work(study.session.cancel()); });
  document.addEventListener('keydown', event => {
    const typing = event.target.matches?.('input[type=text], input[type=number], input[type=password]');
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z' || typing) return;
    event.preventDefault();
    const button = get(event.shiftKey ? 'redo' : 'undo');
    if (!button.disabled) button.click();
  });
  window.addEventListener('dragover', event => {
    event.preventDefault();
    get('view').classList.add('dropping');
  });
  window.addEventListener('dragleave', event => { if (!event.relatedTarget) get('view').classList.remove('dropping'); });
  window.addEventListener('drop', event => {
    event.preventDefault();
    get('view').classList.remove('dropping');
    study.work(droppedFiles(event.dataTransfer).then(({ files, folder }) => openAll(files, folder)));
  });
  window.addEventListener('pagehide', () => study.session?.leave());
  window.addEventListener('pageshow', event => { if (event.persisted && study.opened) study.lost(); });
}

async function openDemo() {
  const response = await client.fetch(PHANTOM);
  await open(new File([await response.blob()], 'phantom.nii.gz'));
}

async function start() {
  takeTokenFromAddress();
  listen();
  refresh();
  setMode('look');
  try {
    await viewer.start();
  } catch (error) {
    console.info(error);
    report.problem('This browser offers no WebGL 2, which the viewer needs.');
    return;
  }
  get('canvas').addEventListener('webglcontextlost', () =>
    report.problem('The graphics card has dropped the picture. Please load the page again.'));
  viewer.setWindow(...WINDOWS['Soft tissue']);
  viewer.setLayout('all');
  // 204: the server has no demo scan.
  const phantom = await fetch(PHANTOM, { method: 'HEAD' });
  get('open-demo').hidden = phantom.status !== 200;
  report.serverFacts(await client.json('/v1/server'));
  const { names } = await client.json('/v1/names');
  list.names = [...new Set([...names.map(({ name }) => name), ...names.flatMap(({ synonyms = [] }) => synonyms)])];
  refresh();
}

study.work(start());
