// One session on the server: open, keep alive, segment, leave.

import { failureOfEvent } from './client.js';

const HEARTBEAT = 20_000;

export class Session {
  /** `onGone()` is called when the server no longer has the session. */
  constructor(client, id, onGone) {
    this.client = client;
    this.id = id;
    this.path = `/v1/sessions/${id}`;
    this.onGone = onGone;
    this.call = 0;
    this.lost = false;
    this.timer = setInterval(() => this.beat(), HEARTBEAT);
    // A browser slows the timer of a hidden page down to once a minute, which is enough.
    this.visible = () => { if (!document.hidden) this.beat(); };
    document.addEventListener('visibilitychange', this.visible);
  }

  static async create(client, onGone) {
    const { id } = await client.json('/v1/sessions', { method: 'POST' });
    return new Session(client, id, onGone);
  }

  async beat() {
    if (this.lost) return;
    try {
      await this.client.fetch(`${this.path}/heartbeat`, { method: 'POST' });
    } catch (failure) {
      this.check(failure);
    }
  }

  /** True if the failure means that the session is gone; says so once. */
  check(failure) {
    if (!failure.gone) return false;
    if (!this.lost) {
      this.lost = true;
      this.stop();
      this.onGone();
    }
    return true;
  }

  stop() {
    clearInterval(this.timer);
    document.removeEventListener('visibilitychange', this.visible);
  }

  leave() {
    this.stop();
    if (!this.lost) this.client.leave(this.path);
    this.lost = true;
  }

  /** `reading`: `series`, `affine`, `fill_gaps`, each may be absent. */
  upload(file, reading, onProgress) {
    return this.client.upload(`${this.path}/scan?${new URLSearchParams(reading)}`, file, onProgress);
  }

  async scan() {
    return (await this.client.fetch(`${this.path}/scan`)).arrayBuffer();
  }

  /** Sends the objects and nothing else: for a list without any object. */
  put(document) {
    return this.client.json(`${this.path}/objects`, { method: 'PUT', json: document });
  }

  step(name) {
    this.call++;
    return this.client.json(`${this.path}/${name}`, { method: 'POST' });
  }

  cancel() {
    return this.client.fetch(`${this.path}/cancel`, { method: 'POST' });
  }

  /** True while `call` is the newest call; an older one is superseded and its events mean nothing any more. */
  newest(call) {
    return call === this.call && !this.lost;
  }

  /**
   * Segments; without a document, the objects that the session has. `on.queued(position)`, `on.coarse(result)`,
   * `on.progress(done, total)`; gives the final state, or null if a newer call took its place.
   */
  async segment(document, on) {
    const call = ++this.call;
    let state = null;
    let failure = null;
    try {
      await this.client.events(`${this.path}/segment`, document, (name, data) => {
        if (name === 'error') failure = failureOfEvent(data);
        if (!this.newest(call)) return;
        if (name === 'queued') on.queued(data.position);
        if (name === 'coarse') on.coarse(data.result);
        if (name === 'progress') on.progress(data.done, data.total);
        if (name === 'done') state = data.state;
      });
    } catch (error) {
      failure = error;
    }
    if (!this.newest(call) || failure?.code === 'superseded') return null;
    if (failure) throw failure;
    if (!state) throw new Error('The server ended the call without a result.');
    return state;
  }
}
