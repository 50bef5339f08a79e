// Results as files, fetched with the token and handed to the browser.

import { get, make } from './dom.js';

const FORMATS = [
  { id: 'nifti', name: 'Label map (NIfTI)', path: 'mask?format=nii.gz', file: 'mask.nii.gz' },
  { id: 'seg-nrrd', name: 'Slicer (.seg.nrrd)', path: 'mask?format=seg.nrrd', file: 'mask.seg.nrrd' },
  { id: 'dicom-seg', name: 'DICOM SEG', path: 'mask?format=dcm', file: 'mask.dcm', dicom: true },
  { id: 'rtstruct', name: 'DICOM RTSTRUCT', path: 'mask?format=rtstruct', file: 'mask.rtstruct.dcm', dicom: true },
  // What `segvol segment --prompts` takes; the page has it already.
  { id: 'prompts', name: 'Prompts (JSON)', path: null, file: 'prompts.json' },
  { id: 'report', name: 'Report (JSON)', path: 'report', file: 'report.json' },
];

export class Downloads {
  /** `work(promise)` reports failures. */
  constructor(client, work) {
    this.client = client;
    this.buttons = FORMATS.map(format => {
      const button = make('button', { type: 'button', class: 'small', id: `download-${format.id}`, disabled: true },
        format.name);
      button.addEventListener('click', () => work(this.save(format)));
      return { format, button };
    });
    get('downloads').replaceChildren(...this.buttons.map(({ button }) => button));
  }

  /** `session` null: nothing can be downloaded. */
  enable({ session, prompts, final, dicom, stem }) {
    Object.assign(this, { session, prompts, stem });
    for (const { format, button } of this.buttons) {
      button.disabled = !final || (format.dicom === true && !dicom);
      button.title = format.dicom && !dicom ? 'Only for a scan that came as DICOM' : final ? '' : 'Needs a final mask';
    }
  }

  async save(format) {
    const blob = format.path === null
      ? new Blob([`${JSON.stringify(this.prompts, null, 2)}\n`], { type: 'application/json' })
      : await (await this.client.fetch(`${this.session.path}/${format.path}`)).blob();
    const address = URL.createObjectURL(blob);
    const link = make('a', { href: address, download: `${this.stem}_${format.file}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}
