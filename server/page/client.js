// HTTP: the /v1 routes, the token, errors, streams of events.

/** An answer that is not a success: the server's code and message, or `network` if there was no answer. */
export class Failure extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The session no longer exists on the server. */
  get gone() {
    return this.status === 404 || this.status === 410;
  }
}

const KEY = 'segvol-token';

/** The token of `#token=…` is kept for this tab and taken out of the address bar. */
export function takeTokenFromAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  let token = found[1];
  try { token = decodeURIComponent(token); } catch { /* kept as it is written */ }
  sessionStorage.setItem(KEY, token);
  history.replaceState(null, '', location.pathname + location.search);
}

export class Client {
  /** `askToken(again)` shows the dialog and gives the token typed. */
  constructor(askToken) {
    this.askToken = askToken;
    this.asking = null;
  }

  headers(more = {}) {
    const token = sessionStorage.getItem(KEY);
    return token ? { ...more, Authorization: `Bearer ${token}` } : more;
  }

  /** One dialog for all requests that are refused at the same time. */
  async renewToken() {
    this.asking ??= this.askToken(sessionStorage.getItem(KEY) !== null).then(token => {
      sessionStorage.setItem(KEY, token);
    }).finally(() => { this.asking = null; });
    await this.asking;
  }

  /** A successful response; asks for the token where the server wants one. */
  async fetch(path, { method = 'GET', headers = {}, body, json, signal } = {}) {
    if (json !== undefined) {
      headers = { ...headers, 'Content-Type': 'application/json' };
      body = JSON.stringify(json);
    }
    for (;;) {
      let response;
      try {
        response = await fetch(path, { method, headers: this.headers(headers), body, signal, cache: 'no-store' });
      } catch (error) {
        if (error.name === 'AbortError') throw error;
        throw new Failure(0, 'network', 'The server does not answer.');
      }
      if (response.ok) return response;
      if (response.status !== 401) throw await failureOf(response);
      await this.renewToken();
    }
  }

  async json(path, options) {
    const response = await this.fetch(path, options);
    return response.status === 204 ? null : response.json();
  }

  /** Sends a file; `onProgress(fraction)` while it is on its way. */
  async upload(path, file, onProgress) {
    for (;;) {
      const request = await send(path, file, this.headers(), onProgress);
      if (request.status >= 200 && request.status < 300) return JSON.parse(request.responseText);
      if (request.status !== 401) throw failureOfText(request.status, request.responseText);
      await this.renewToken();
    }
  }

  /** Calls `onEvent(name, data)` for every event until the stream ends. */
  async events(path, json, onEvent, signal) {
    const response = await this.fetch(path, { method: 'POST', json, headers: { Accept: 'text/event-stream' }, signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).replaceAll('\r\n', '\n').split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) {
        let name = 'message';
        const data = [];
        for (const line of block.split('\n')) {
          if (line.startsWith('event:')) name = line.slice(6).trim();
          if (line.startsWith('data:')) data.push(line.slice(5).trimStart());
        }
        if (data.length) onEvent(name, JSON.parse(data.join('\n')));
      }
    }
  }

  /** Frees the session while the page goes away. */
  leave(path) {
    fetch(path, { method: 'DELETE', headers: this.headers(), keepalive: true }).catch(() => {});
  }
}

function send(path, file, headers, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = event => onProgress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Failure(0, 'network', 'The upload ended before the server answered.'));
    request.send(file);
  });
}

async function failureOf(response) {
  return failureOfText(response.status, await response.text().catch(() => ''));
}

function failureOfText(status, text) {
  try {
    const { code, message } = JSON.parse(text).error;
    return new Failure(status, code, message);
  } catch {
    return new Failure(status, 'http', `The server answered with status ${status}.`);
  }
}

/** The error of an event `error`. */
export function failureOfEvent({ error }) {
  return new Failure(error.status ?? 409, error.code, error.message);
}
