// The dialog that asks for the access token.

import { get } from './dom.js';

/** Gives what was typed. `again`: the last token was refused. */
export function askToken(again) {
  const dialog = get('token-dialog');
  const field = get('token');
  get('token-text').textContent = again
    ? 'The server refused this token. Please type it again.'
    : 'This server asks for a token. Whoever started it can tell you.';
  field.value = '';
  dialog.showModal();
  return new Promise(resolve => {
    const submit = event => {
      event.preventDefault();
      const token = field.value.trim();
      if (!token) return;
      get('token-form').removeEventListener('submit', submit);
      dialog.removeEventListener('cancel', stay);
      dialog.close();
      field.value = '';
      resolve(token);
    };
    // Nothing works without a token, so Escape does not close the dialog.
    const stay = event => event.preventDefault();
    get('token-form').addEventListener('submit', submit);
    dialog.addEventListener('cancel', stay);
  });
}
