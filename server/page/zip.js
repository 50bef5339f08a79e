// Packs files into a zip, without compression: a folder of DICOM files becomes one upload.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** The checksum that zip asks for. */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const MOST_FILES = 0xffff;
const MOST_BYTES = 0xffffffff;

/** Little-endian bytes: `[2, n]` is n in two bytes, `[4, n]` in four. */
function bytes(...fields) {
  const out = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) out.setUint16(at, value, true);
    else out.setUint32(at, value, true);
    at += size;
  }
  return out;
}

/** A zip of the files, named by number: names of files may hold a patient's name. `onProgress(fraction)` */
export async function zip(files, name, onProgress) {
  if (files.length > MOST_FILES) throw new Error(`A zip can hold ${MOST_FILES} files; there are ${files.length}.`);
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [n, file] of files.entries()) {
    const content = await file.arrayBuffer();
    const path = new TextEncoder().encode(`${n + 1}`);
    const size = content.byteLength;
    // Version 2.0, no flags, stored, midnight of 1 January 1980.
    const common = [[2, 20], [2, 0], [2, 0], [2, 0], [2, 0x21], [4, crc32(new Uint8Array(content))], [4, size], [4, size],
      [2, path.length], [2, 0]];
    directory.push(bytes([4, CENTRAL], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), path);
    const header = bytes([4, LOCAL], ...common);
    parts.push(header, path, file);
    at += header.byteLength + path.length + size;
    if (at > MOST_BYTES) throw new Error('The files have more than 4 GiB together.');
    onProgress((n + 1) / files.length);
  }
  const length = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = bytes([4, END], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, at], [2, 0]);
  return new File([...parts, ...directory, end], name);
}

/** All files that were dropped, also those in folders, and the folder's name if it is one. Call it before anything is awaited. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(entry => entry.isDirectory)) return { files: [...transfer.files], folder: null };
  const files = [];
  const walk = async entry => {
    if (entry.isFile) {
      files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      return;
    }
    const reader = entry.createReader();
    for (;;) { // a reader gives a hundred entries at a time
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const child of some) await walk(child);
    }
  };
  const kept = [...transfer.files];
  for (const entry of entries) await walk(entry);
  return { files: files.length ? files : kept, folder: entries[0].name };
}
