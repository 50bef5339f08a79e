// A text field with completion: an ARIA combobox with a list box. Any text is allowed; the list only helps.

import { make } from './dom.js';

const MOST = 50;

/** Names that begin with what is typed, then those with a word that does, then those that contain it. Case does not matter. */
export function matches(names, typed) {
  const wanted = typed.trim().toLowerCase();
  if (!wanted) return names.slice(0, MOST);
  const rank = name => {
    const at = name.toLowerCase().indexOf(wanted);
    return at < 0 ? 3 : at === 0 ? 0 : /[\s_-]/.test(name[at - 1]) ? 1 : 2;
  };
  return names.map(name => [rank(name), name]).filter(([r]) => r < 3)
    .sort((a, b) => a[0] - b[0]).map(([, name]) => name).slice(0, MOST);
}

/**
 * Gives `{element, input, set}`. `names()` are the names to choose from; `onCommit(text)` is called when the user has chosen or
 * finished a text that differs from the last one; `set(text)` changes the text unless the user is at it.
 */
export function combobox({ id, label, names, onCommit }) {
  const list = make('ul', { id: `${id}-list`, role: 'listbox', class: 'options', 'aria-label': label, hidden: true });
  const input = make('input', {
    id, type: 'text', role: 'combobox', autocomplete: 'off', spellcheck: 'false', maxlength: 200,
    'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': list.id,
  });
  let committed = '';
  let at = -1;

  const close = () => {
    list.hidden = true;
    at = -1;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };
  const commit = text => {
    input.value = text;
    close();
    if (text.trim() === committed.trim()) return;
    committed = text;
    onCommit(text);
  };
  const mark = next => {
    at = next;
    [...list.children].forEach((option, n) => option.setAttribute('aria-selected', String(n === at)));
    const option = list.children[at];
    if (!option) return input.removeAttribute('aria-activedescendant');
    input.setAttribute('aria-activedescendant', option.id);
    option.scrollIntoView({ block: 'nearest' });
  };
  const open = () => {
    const found = matches(names(), input.value);
    list.replaceChildren(...found.map((name, n) => make('li', {
      id: `${id}-option-${n}`, role: 'option', 'aria-selected': 'false',
      onpointerdown: event => event.preventDefault(), // the field keeps the focus
      onclick: () => commit(name),
    }, ...marked(name, input.value))));
    list.hidden = found.length === 0;
    input.setAttribute('aria-expanded', String(!list.hidden));
    mark(-1);
  };

  input.addEventListener('input', open);
  input.addEventListener('click', () => { if (list.hidden) open(); });
  input.addEventListener('blur', () => commit(input.value));
  input.addEventListener('keydown', event => {
    const count = list.children.length;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      if (list.hidden) open();
      else if (count) mark(event.key === 'ArrowDown' ? (at + 1) % count : (at <= 0 ? count : at) - 1);
    } else if (event.key === 'Enter') {
      commit(at >= 0 ? list.children[at].textContent : input.value);
    } else if (event.key === 'Escape' && !list.hidden) {
      close();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  return {
    element: make('div', { class: 'combo' }, input, list),
    input,
    set(text) {
      if (document.activeElement === input && input.value.trim() !== committed.trim()) return;
      committed = text;
      if (input.value !== text) input.value = text;
    },
  };
}

/** A name with the part that was typed set off. */
function marked(name, typed) {
  const wanted = typed.trim();
  const from = wanted ? name.toLowerCase().indexOf(wanted.toLowerCase()) : -1;
  if (from < 0) return [name];
  return [name.slice(0, from), make('mark', {}, name.slice(from, from + wanted.length)), name.slice(from + wanted.length)];
}
