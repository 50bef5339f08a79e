// The page: ties the scan, the objects, the viewer and the server together.

import { Client, takeTokenFromAddress } from './client.js';
import { get, make } from './dom.js';
import { Downloads } from './downloads.js';
import { Gestures } from './gestures.js';
import { List } from './list.js';
import { Marks } from './marks.js';
import { LARGEST_LABEL, Mask } from './mask.js';
import { Objects } from './objects.js';
import * as report from './report.js';
import { Session } from './session.js';
import { askToken } from './token.js';
import { Viewer, WINDOWS } from './viewer.js';

const HINTS = {
  look: 'Left drag: crosshair. Right drag: window. Wheel: slice.',
  point: 'Left click: inside. Right click or Shift+click: outside.',
  box: mm => `Left drag: the box. It reaches ${mm / 2} mm to both sides of the slice.`,
};
const PHANTOM = '/assets/phantom.nii.gz';

const client = new Client(askToken);
const objects = new Objects();
const viewer = new Viewer(get('canvas'), { onDraw: () => marks.draw(), onMove: () => showPlace() });
const marks = new Marks(get('marks'), viewer);
const downloads = new Downloads(client, work);
let session = null;
let mask = null;
let opened = null;   // {file, name}: what to open again if the session is lost
let shown = [];      // names of the objects by label in the mask on the screen
let state = null;
let showing = Promise.resolve(); // masks are fetched one after the other

/** Reports a failure of something that runs on its own. */
function work(promise) {
  return promise.catch(failure => {
    if (session?.check(failure)) return;
    console.info(failure);
    report.problem(failure.message);
  });
}

// Scan

async function open(file, name = file.name) {
  report.noProblem();
  close();
  opened = { file, name };
  report.status(`Sending ${name}`);
  report.progress(0);
  report.running(true, false);
  try {
    const mine = await Session.create(client, lost);
    session = mine;
    state = await mine.upload(file, fraction => {
      if (fraction < 1) report.progress(fraction);
      else { report.progress(null); report.status('The server reads the scan'); }
    });
    report.status('Loading the scan into the viewer');
    const buffer = await mine.scan();
    get('empty').hidden = true;
    await viewer.load(buffer, state.scan);
    if (session !== mine) return;
    mask = new Mask(client, mine.id, viewer.grid);
    viewer.applyWindow();
    report.scanFacts(name, state.scan, viewer.grid);
    report.status('Scan open. Name a structure, or mark it with points or a box.');
    if (!objects.list.length) objects.add();
    refresh();
  } catch (failure) {
    close();
    report.status('No scan is open.');
    throw failure;
  } finally {
    report.running(false);
  }
}

function close() {
  session?.leave();
  session = null;
  mask = null;
  state = null;
  shown = [];
  list.results.clear();
  viewer.close();
  objects.clear();
  get('empty').hidden = false;
  get('scan-card').hidden = true;
  get('scan-name').textContent = 'No scan';
  get('coarse').hidden = true;
  refresh();
}

function lost() {
  report.running(false);
  report.status('The session has ended.');
  report.problem('The server no longer has this session: it was unused for too long, or the server was started again.',
    opened && ['Open the scan again', () => work(reopen())]);
  refresh();
}

/** The same scan and the same objects in a new session. */
async function reopen() {
  const kept = objects.list;
  await open(opened.file, opened.name);
  objects.list = kept;
  objects.chosen = kept.at(-1) ?? null;
  refresh();
  if (objects.prompted.length) await segment();
}

// Objects

async function segment() {
  if (!session || session.lost) return;
  report.noProblem();
  list.old = true;
  refresh();
  const mine = session;
  if (!objects.prompted.length) {
    mine.call++;
    state = await mine.put(objects.document());
    take(state);
    return;
  }
  report.running(true);
  report.progress(null);
  report.status('Sending the prompts');
  let ended = 'The call failed.';
  try {
    const final = await mine.segment(objects.document(), {
      queued: position => report.status(position ? `Waiting: ${position} before this one` : 'Segmenting'),
      coarse: result => {
        report.status('Coarse mask shown; refining');
        work(showResult(result));
      },
      progress: (done, total) => report.progress(total ? done / total : null),
    });
    if (!final) return; // a newer call shows its own progress
    state = final;
    await showResult(state.result);
    report.running(false);
    report.status(summary(state.result));
  } catch (failure) {
    if (mine !== session) return;
    report.running(false);
    if (failure.code === 'cancelled') {
      ended = 'Cancelled. What is shown is the coarse mask, if there is one.';
    } else if (!mine.check(failure)) {
      report.problem(failure.message);
    }
    if (!mine.lost) {
      report.status(ended);
      state = await mine.client.json(mine.path);
    }
  }
  refresh();
}

function summary(result) {
  const windows = result.windows_encoded + result.windows_reused;
  return `Done in ${result.seconds.toFixed(1)} s (${windows} ${windows === 1 ? 'window' : 'windows'}`
    + `${result.windows_reused ? `, ${result.windows_reused} reused` : ''}).`;
}

/** Shows a result's mask and numbers. */
function showResult(result) {
  showing = showing.catch(() => {}).then(async () => {
    if (!mask) return;
    await mask.update();
    if (!mask) return;
    shown = [null, ...result.objects.map(object => object.name)];
    list.results = new Map(result.objects.map(object => [object.name, object]));
    list.old = false;
    get('coarse').hidden = result.stage === 'final';
    viewer.showMask(mask.bitmap, colours());
    refresh();
  });
  return showing;
}

/** Takes over a state of the server: after undo, redo, or when no object has a prompt. */
async function take(next) {
  state = next;
  objects.take(next.prompts);
  if (next.result) {
    await showResult(next.result);
  } else {
    mask.clear();
    shown = [];
    list.results.clear();
    get('coarse').hidden = true;
    viewer.showMask(mask.bitmap, []);
  }
  refresh();
}

async function step(name) {
  if (!session || session.lost) return;
  report.noProblem();
  report.running(false);
  await take(await session.step(name));
  report.status(name === 'undo' ? 'Undone.' : 'Done again.');
  if (!state.result && objects.prompted.length) await segment();
}

const colours = () => shown.map(name => {
  if (name === null) return null;
  const look = objects.look(name);
  return look.shown ? look.colour : null;
});

function chosen() {
  return objects.chosen ?? objects.add();
}

const list = new List(get('objects'), objects, {
  choose: object => { objects.chosen = object; refresh(); },
  toggle: object => {
    const look = objects.look(object.name);
    look.shown = !look.shown;
    viewer.setColours(colours());
    refresh();
  },
  remove: object => {
    const prompted = objects.prompted.includes(object);
    objects.remove(object);
    refresh();
    get('add').focus();
    if (prompted) work(segment());
  },
  text: (object, text) => { objects.setText(object, text); work(segment()); },
  name: (object, name) => {
    object.named = name.trim() !== '';
    if (objects.rename(object, name) && objects.prompted.includes(object)) work(segment());
    refresh();
  },
  dropPoint: (object, n) => { object.points = object.points.filter((_, at) => at !== n); work(segment()); },
  dropBox: object => { object.box = null; work(segment()); },
});

// Viewer

const gestures = new Gestures(get('view'), viewer, {
  point: (xyz, inside) => {
    const object = chosen();
    const ijk = viewer.grid.toFile(xyz);
    object.points = [...object.points, [...ijk, inside ? 1 : 0]];
    report.status(`Point ${inside ? 'inside' : 'outside'} “${object.name}” at voxel ${ijk.join(', ')}`);
    work(segment());
  },
  box: (min, max) => {
    const object = chosen();
    const [a, b] = [viewer.grid.toFile(min), viewer.grid.toFile(max)];
    object.box = [...a.map((v, axis) => Math.min(v, b[axis])), ...a.map((v, axis) => Math.max(v, b[axis]))];
    work(segment());
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
  list.draw();
  const ready = viewer.grid !== null && session !== null && !session.lost;
  get('add').disabled = !ready;
  get('undo').disabled = !ready || !state?.undo;
  get('redo').disabled = !ready || !state?.redo;
  get('clear').disabled = !ready || !objects.list.length;
  get('objects-empty').hidden = objects.list.length > 0 || ready;
  get('too-many').hidden = !mask?.hidden;
  get('too-many').textContent = `Only the first ${LARGEST_LABEL} objects can be shown. Downloads contain all of them.`;
  downloads.enable({
    session: ready ? session : null, final: ready && state?.result?.stage === 'final', dicom: state?.scan?.dicom,
    stem: (opened?.name ?? 'scan').replace(/(\.nii)?\.[^.]+$/, ''),
  });
  marks.objects = objects.list.map(object => ({
    ...object, ...objects.look(object.name), chosen: object === objects.chosen,
  }));
  viewer.redraw();
}

function listen() {
  for (const id of ['open', 'open-here']) get(id).addEventListener('click', () => get('file').click());
  get('file').addEventListener('change', event => {
    const [file] = event.target.files;
    event.target.value = '';
    if (file) work(open(file));
  });
  get('open-demo').addEventListener('click', () => work(openDemo()));
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
  get('undo').addEventListener('click', () => work(step('undo')));
  get('redo').addEventListener('click', () => work(step('redo')));
  get('clear').addEventListener('click', () => {
    const prompted = objects.prompted.length > 0;
    objects.clear();
    refresh();
    if (prompted) work(segment());
  });
  get('cancel').addEventListener('click', () => { if (session) work(session.cancel()); });
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
    const { files } = event.dataTransfer;
    if (files.length > 1) report.problem('Several files were dropped. Please pack the files of one DICOM series into a zip.');
    else if (files.length) work(open(files[0]));
  });
  window.addEventListener('pagehide', () => session?.leave());
  window.addEventListener('pageshow', event => { if (event.persisted && opened) lost(); });
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
  viewer.setWindow(...WINDOWS['Soft tissue']);
  viewer.setLayout('all');
  const phantom = await fetch(PHANTOM, { method: 'HEAD' });
  get('open-demo').hidden = !phantom.ok;
  report.serverFacts(await client.json('/v1/server'));
  list.names = (await client.json('/v1/names')).names.map(({ name }) => name);
  refresh();
}

work(start());
