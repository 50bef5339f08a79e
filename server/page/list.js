// The list of objects in the side panel.

import { combobox } from './combobox.js';
import { make } from './dom.js';
import { sentence } from './report.js';

let made = 0;

/** One object. Its elements are made once and then changed, so that nobody loses the focus or a half-typed word. */
class Item {
  constructor(object, list) {
    const { on } = list;
    const id = ++made;
    this.object = object;
    this.list = list;
    this.swatch = make('span', { class: 'swatch', 'aria-hidden': 'true' });
    this.title = make('span', { class: 'object-name' });
    this.volume = make('span', { class: 'volume' });
    this.choose = make('button', { type: 'button', class: 'choose', onclick: () => on.choose(object) },
      this.swatch, this.title, this.volume);
    this.toggle = make('button', { type: 'button', class: 'small', onclick: () => on.toggle(object) });
    this.remove = make('button', { type: 'button', class: 'small plain', title: 'Remove', onclick: () => on.remove(object) },
      '✕');
    this.structure = combobox({
      id: `text-${id}`, label: 'Structures that the model knows', names: () => list.names, onCommit: text => on.text(object, text),
    });
    this.name = make('input', { id: `name-${id}`, type: 'text', maxlength: 200, autocomplete: 'off' });
    this.name.addEventListener('change', () => on.name(object, this.name.value));
    this.prompts = make('ul', { class: 'prompts', 'aria-label': 'Points and box' });
    this.hint = make('p', { class: 'quiet' }, 'Name a structure, or mark it in the planes with points or a box.');
    this.body = make('div', { class: 'object-body' },
      make('div', { class: 'line' }, make('label', { for: `text-${id}` }, 'Structure'), this.structure.element),
      make('div', { class: 'line' }, make('label', { for: `name-${id}` }, 'Name'), this.name),
      this.prompts, this.hint);
    this.nothing = make('p', { class: 'object-note quiet' }, 'Nothing was found for this object.');
    this.warnings = make('ul', { class: 'object-note warnings' });
    this.element = make('li', { class: 'object' },
      make('div', { class: 'object-head' }, this.choose, this.toggle, this.remove), this.body, this.nothing, this.warnings);
  }

  update() {
    const { object, list } = this;
    const { colour, shown } = list.objects.look(object.name);
    const chosen = object === list.objects.chosen;
    const result = list.results.get(object.name);
    this.element.toggleAttribute('data-chosen', chosen);
    this.swatch.style.backgroundColor = shown ? `rgb(${colour.join(' ')})` : 'transparent';
    this.swatch.style.border = `2px solid rgb(${colour.join(' ')})`;
    this.title.textContent = object.name;
    this.volume.textContent = result ? millilitres(result.volume_ml) : '';
    this.volume.toggleAttribute('data-old', list.old);
    this.choose.setAttribute('aria-pressed', String(chosen));
    this.toggle.textContent = shown ? 'Hide' : 'Show';
    this.toggle.setAttribute('aria-label', `${shown ? 'Hide' : 'Show'} ${object.name}`);
    this.remove.setAttribute('aria-label', `Remove ${object.name}`);
    this.body.hidden = !chosen;
    this.structure.input.placeholder = list.names.length ? `such as ${list.names[0]}` : 'name of a structure';
    this.structure.set(object.text);
    if (document.activeElement !== this.name) this.name.value = object.name;
    const empty = !object.points.length && !object.box;
    this.prompts.replaceChildren(...this.pieces());
    this.prompts.hidden = empty;
    this.hint.hidden = !empty || object.text !== '';
    this.nothing.hidden = !result || result.voxels > 0 || list.old;
    this.warnings.replaceChildren(...(result?.warnings ?? []).map(({ message }) => make('li', {}, sentence(message))));
    this.warnings.hidden = !result?.warnings.length;
  }

  pieces() {
    const { object } = this;
    const { on } = this.list;
    const pieces = object.points.map((point, n) => {
      const inside = point[3] !== 0;
      const where = point.slice(0, 3).join(', ');
      return make('li', {}, make('span', { class: inside ? 'inside' : 'outside' }, inside ? '+' : '−'), ` ${where}`,
        make('button', {
          type: 'button', 'aria-label': `Remove the point ${inside ? 'inside' : 'outside'} at ${where}`,
          onclick: () => on.dropPoint(object, n),
        }, '✕'));
    });
    if (object.box) {
      pieces.push(make('li', {}, `Box ${extent(object.box)} voxels`,
        make('button', { type: 'button', 'aria-label': 'Remove the box', onclick: () => on.dropBox(object) }, '✕')));
    }
    return pieces;
  }
}

export class List {
  /** `on`: `choose`, `toggle`, `remove`, `text`, `name`, `dropPoint`, `dropBox`, each with the object first. */
  constructor(element, objects, on) {
    this.element = element;
    this.objects = objects;
    this.on = on;
    this.names = [];
    this.results = new Map(); // by name: volume_ml, voxels, warnings
    this.old = false;         // whether the results belong to earlier prompts
    this.items = new Map();
  }

  draw() {
    const { list } = this.objects;
    for (const object of this.items.keys()) if (!list.includes(object)) this.items.delete(object);
    for (const object of list) if (!this.items.has(object)) this.items.set(object, new Item(object, this));
    const wanted = list.map(object => this.items.get(object).element);
    const have = this.element.children;
    if (wanted.length !== have.length || wanted.some((element, n) => element !== have[n])) this.element.replaceChildren(...wanted);
    for (const item of this.items.values()) item.update();
  }

  /** Puts the focus into the chosen object's first field. */
  focus() {
    this.items.get(this.objects.chosen)?.structure.input.focus();
  }
}

const extent = ([i0, j0, k0, i1, j1, k1]) => [i1 - i0 + 1, j1 - j0 + 1, k1 - k0 + 1].join(' × ');

export function millilitres(ml) {
  return `${ml >= 100 ? ml.toFixed(0) : ml >= 1 ? ml.toFixed(1) : ml.toFixed(2)} mL`;
}
