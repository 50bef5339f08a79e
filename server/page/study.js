// One scan from opening to closing: its session, its objects, its mask, and the calls that make the mask.

import { get } from './dom.js';
import { Mask } from './mask.js';
import * as report from './report.js';
import { Session } from './session.js';

export class Study {
  /** `onChange()` is called whenever something that is shown has changed. */
  constructor(client, objects, viewer, onChange) {
    Object.assign(this, { client, objects, viewer, onChange });
    this.opened = null;        // {file, name, how}: what to open again if the session is lost
    this.reset();
  }

  reset() {
    this.session = null;
    this.state = null;         // the server's, as it was last told
    this.mask = null;
    this.shown = [];           // names of the objects by label in the mask on the screen
    this.results = new Map();  // by name: volume_ml, voxels, warnings
    this.old = false;          // whether the results belong to earlier prompts
    this.showing = Promise.resolve(); // masks are fetched one after the other
  }

  /** Whether objects can be segmented. */
  get ready() {
    return this.viewer.grid !== null && this.session !== null && !this.session.lost;
  }

  /** Reports a failure of something that runs on its own. */
  work(promise) {
    return promise.catch(failure => {
      if (this.session?.check(failure)) return;
      console.info(failure);
      report.problem(failure.message);
    });
  }

  // The scan

  /** `how`: `series`, `affine`, `fill_gaps`, as the server takes them. */
  async open(file, name, how) {
    report.noProblem();
    this.close();
    this.opened = { file, name, how };
    report.status(`Sending ${name}`);
    report.progress(0);
    report.running(true, false);
    try {
      const mine = await Session.create(this.client, () => this.lost());
      this.session = mine;
      this.state = await mine.upload(file, how, fraction => {
        if (fraction < 1) return report.progress(fraction);
        report.progress(null);
        report.status('The server reads the scan');
      });
      report.status('Loading the scan into the viewer');
      const buffer = await mine.scan();
      get('empty').hidden = true;
      await this.viewer.load(buffer, this.state.scan);
      if (this.session !== mine) return;
      this.mask = new Mask(this.client, mine.id, this.viewer.grid);
      this.viewer.applyWindow();
      report.scanFacts(name, this.state.scan, this.viewer.grid);
      report.status('Scan open. Name a structure, or mark it with points or a box.');
      if (!this.objects.list.length) this.objects.add();
      this.onChange();
    } catch (failure) {
      this.close();
      report.status('No scan is open.');
      throw failure;
    } finally {
      report.running(false);
    }
  }

  close() {
    this.session?.leave();
    this.reset();
    this.viewer.close();
    this.objects.forget();
    get('empty').hidden = false;
    get('scan-card').hidden = true;
    get('scan-name').textContent = 'No scan';
    get('coarse').hidden = true;
    this.onChange();
  }

  lost() {
    report.running(false);
    report.status('The session has ended.');
    report.problem('The server no longer has this session: it was unused for too long, or the server was started again.',
      this.opened && ['Open the scan again', () => this.work(this.reopen())]);
    this.onChange();
  }

  /** The same scan and the same objects in a new session. */
  async reopen() {
    const { objects } = this;
    const { list, looks } = objects;
    objects.looks = new Map();
    await this.open(this.opened.file, this.opened.name, this.opened.how);
    Object.assign(objects, { list, looks, chosen: list.at(-1) ?? null });
    this.onChange();
    if (objects.prompted.length) await this.segment();
  }

  // The mask

  /**
   * Sends all objects and follows the call. A newer call takes the place of an older one. Without `send`, the server takes the
   * objects that it has, and its history of undo and redo stays.
   */
  async segment(send = true) {
    if (!this.ready) return;
    report.noProblem();
    this.old = true;
    this.onChange();
    const mine = this.session;
    if (!this.objects.prompted.length) {
      mine.call++;
      report.running(false);
      await this.take(await mine.put(this.objects.document()));
      report.status(this.objects.list.length ? 'No object has a prompt.' : 'All objects are removed. Undo brings them back.');
      return;
    }
    report.running(true);
    report.progress(null);
    report.status('Sending the prompts');
    try {
      const final = await mine.segment(send ? this.objects.document() : undefined, {
        queued: position => report.status(position ? `Waiting: ${position} before this one` : 'Segmenting'),
        coarse: result => {
          report.status('Coarse mask shown; refining');
          this.work(this.showResult(result));
        },
        progress: (done, total) => report.progress(total ? done / total : null),
      });
      if (!final) return; // a newer call shows its own progress
      this.state = final;
      await this.showResult(final.result);
      report.running(false);
      report.status(summary(final.result));
    } catch (failure) {
      if (mine !== this.session) return;
      report.running(false);
      if (mine.check(failure)) return;
      const cancelled = failure.code === 'cancelled';
      report.status(cancelled ? 'Cancelled. What is shown is the coarse mask, if there is one.' : 'The call failed.');
      if (!cancelled) report.problem(failure.message);
      this.state = await this.client.json(mine.path);
    }
    this.onChange();
  }

  /** Shows a result's mask and numbers. */
  showResult(result) {
    this.showing = this.showing.catch(() => {}).then(async () => {
      const { mask } = this;
      await mask?.update();
      if (mask === null || mask !== this.mask) return;
      this.shown = [null, ...result.objects.map(object => object.name)];
      this.results = new Map(result.objects.map(object => [object.name, object]));
      this.old = false;
      get('coarse').hidden = result.stage === 'final';
      this.viewer.showMask(mask.bitmap, this.colours());
      this.onChange();
    });
    return this.showing;
  }

  /** Takes over a state of the server: after undo, redo, or when no object has a prompt. */
  async take(state) {
    this.state = state;
    this.objects.take(state.prompts);
    if (state.result) {
      await this.showResult(state.result);
    } else {
      this.mask.clear();
      this.shown = [];
      this.results = new Map();
      get('coarse').hidden = true;
      this.viewer.showMask(this.mask.bitmap, []);
    }
    this.onChange();
  }

  /** `undo` or `redo`. */
  async step(name) {
    if (!this.ready) return;
    report.noProblem();
    report.running(false);
    await this.take(await this.session.step(name));
    report.status(name === 'undo' ? 'Undone.' : 'Done again.');
    if (this.state.result?.stage !== 'final' && this.state.prompts.objects.length) await this.segment(false);
  }

  /** By label: the colour of what is shown. */
  colours() {
    return this.shown.map(name => {
      if (name === null) return null;
      const look = this.objects.look(name);
      return look.shown ? look.colour : null;
    });
  }
}

function summary(result) {
  const windows = result.windows_encoded + result.windows_reused;
  return `Done in ${result.seconds.toFixed(1)} s (${windows} ${windows === 1 ? 'window' : 'windows'}`
    + `${result.windows_reused ? `, ${result.windows_reused} reused` : ''}).`;
}
