// The objects and their prompts: what the list shows and what the server gets.

/** Colours that differ from one another, from grey, and from the green and red of points. */
const PALETTE = [
  [45, 212, 191], [251, 191, 36], [244, 114, 182], [96, 165, 250], [217, 249, 157], [167, 139, 250],
  [251, 146, 60], [103, 232, 249], [232, 121, 249], [253, 224, 71], [165, 180, 252], [253, 186, 140],
];

export class Objects {
  constructor() {
    this.list = [];
    this.chosen = null;
    this.looks = new Map(); // by name, so that an object keeps its colour when it comes back by undo
    this.made = 0;
  }

  /** Colour of an object, and whether it is shown. */
  look(name) {
    if (!this.looks.has(name)) {
      const used = this.list.map(object => this.looks.get(object.name)?.colour);
      const colour = PALETTE.find(colour => !used.includes(colour)) ?? PALETTE[this.looks.size % PALETTE.length];
      this.looks.set(name, { colour, shown: true });
    }
    return this.looks.get(name);
  }

  add() {
    const object = { name: '', named: false, text: '', points: [], box: null };
    object.name = this.freeName(`Object ${++this.made}`);
    this.list.push(object);
    this.chosen = object;
    return object;
  }

  remove(object) {
    const at = this.list.indexOf(object);
    this.list.splice(at, 1);
    if (this.chosen === object) this.chosen = this.list[Math.min(at, this.list.length - 1)] ?? null;
  }

  /** `wanted`, or `wanted 2`, … if another object has that name. */
  freeName(wanted, self = null) {
    const taken = new Set(this.list.filter(object => object !== self).map(object => object.name));
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted} ${n}`;
    return name;
  }

  rename(object, wanted) {
    const name = this.freeName(wanted.trim() || object.text || `Object ${++this.made}`, object);
    if (name === object.name) return false;
    if (!this.looks.has(name)) this.looks.set(name, this.look(object.name));
    object.name = name;
    return true;
  }

  /** Sets the text; an object that nobody has named takes its name from it. */
  setText(object, text) {
    object.text = text.trim();
    if (!object.named && object.text) this.rename(object, object.text);
  }

  /** Those that say something: an object without any prompt stays on this page. */
  get prompted() {
    return this.list.filter(object => object.text || object.points.length || object.box);
  }

  /** The prompts document. Numbers are voxels of the file. */
  document() {
    return {
      schema_version: 1,
      space: 'voxel',
      objects: this.prompted.map(({ name, text, points, box }) => ({
        name,
        ...(text && { text }),
        ...(points.length && { points }),
        ...(box && { box }),
      })),
    };
  }

  /** Takes the server's objects, after undo and redo. What has no prompt is kept. */
  take(document) {
    const chosen = this.chosen?.name;
    const drafts = this.list.filter(object => !this.prompted.includes(object));
    const before = new Map(this.list.map(object => [object.name, object]));
    this.list = document.objects.map(({ name, text = '', points = [], box = null }) => Object.assign(
      before.get(name ?? text) ?? { named: name !== undefined && name !== text },
      { name: name ?? text, text, points, box },
    )).concat(drafts.filter(draft => !document.objects.some(object => object.name === draft.name)));
    this.chosen = this.list.find(object => object.name === chosen) ?? this.list.at(-1) ?? null;
  }

  /** For another scan. */
  forget() {
    this.clear();
    this.looks.clear();
    this.made = 0;
  }

  clear() {
    this.list = [];
    this.chosen = null;
  }
}
