"""A DICOM series, and what a server makes of it."""

import gzip
import io
import threading
import zipfile
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
from _server import Server, check, phantom, put, segment, session
from _shared import write_series

NAMES = ("liver", "spleen")


def series(folder, voxels, affine, **changes):
    """The files of a series."""
    return [path.read_bytes() for path in sorted(write_series(Path(folder), voxels, affine, **changes).iterdir())]


def zipped(files, prefix=""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{prefix}IM{number:04}", data)
    return out.getvalue()


def objects(server, files):
    """SEG and RTSTRUCT of a series, as pydicom and highdicom read them."""
    with server.client() as client:
        path = session(client)
        state = put(client, path, zipped(files, "study/series/"))
        check(state["scan"]["dicom"], "a zip of a series in folders is a DICOM scan")
        found = segment(client, path, *({"text": name} for name in NAMES))["result"]["objects"]
        slices = [pydicom.dcmread(io.BytesIO(data)) for data in files]
        uids = {one.SOPInstanceUID for one in slices}
        answer = client.get(f"{path}/mask", params={"format": "dcm"})
        check(answer.headers["content-type"] == "application/dicom", "the SEG has its content type")
        seg = highdicom.seg.segread(io.BytesIO(answer.content))
        check(seg.Modality == "SEG" and seg.PatientID == slices[0].PatientID, "pydicom and highdicom read the SEG; it is the patient's")
        refers = {uid for _, _, uid in seg.get_source_image_uids()}
        check(refers <= uids and refers, "it refers to images of the upload")
        voxels = [
            int(seg.get_pixels_by_source_instance(sorted(refers), [number], assert_missing_frames_are_empty=True).sum())
            for number in (1, 2)
        ]
        check(voxels == [one["voxels"] for one in found], "its segments have the voxels of the session's result", f"{voxels}, {found}")
        answer = client.get(f"{path}/mask", params={"format": "rtstruct"})
        contours = pydicom.dcmread(io.BytesIO(answer.content))
        rois = [str(one.ROIName) for one in contours.StructureSetROISequence]
        check(
            contours.Modality == "RTSTRUCT" and rois == list(NAMES), "pydicom reads the RTSTRUCT; its structures have the names", str(rois)
        )
        scan = nibabel.Nifti1Image.from_bytes(gzip.decompress(client.get(f"{path}/scan").content))
        mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(client.get(f"{path}/mask").content))
        check(scan.shape == mask.shape and np.allclose(scan.affine, mask.affine), "scan and mask as NIfTI have one grid")
        client.delete(path)


def lone_files(server, files, others):
    """A file alone, while other sessions have uploads of DICOM open: it stands for itself."""
    errors, states = [], {}
    lone = files[len(files) // 2]

    def run(name, data):
        try:
            with server.client() as client:
                path = session(client)
                for _ in range(4):
                    answer = client.put(f"{path}/scan", content=data)
                    states.setdefault(name, []).append(
                        (answer.status_code, (answer.json().get("scan") or {}).get("shape_xyz"), answer.text)
                    )
                client.delete(path)
        except Exception as error:  # Whatever it is, it is a failure of the check.
            errors.append(repr(error))

    uploads = {"series": zipped(files), "other": zipped(others), "file": lone, "other file": others[3], "file again": lone}
    threads = [threading.Thread(target=run, args=each) for each in uploads.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, "two series and three lone files at once are answered", "; ".join(errors))
    shape = {name: {(status, tuple(found) if found else None) for status, found, _ in all_} for name, all_ in states.items()}
    shape_of = {"series": (126, 93, len(files)), "other": (60, 50, len(others))}
    for name, right in shape_of.items():
        check(
            shape.get(name) == {(200, right)},
            f"the {name if name == 'series' else 'other series'} has its own {right[2]} slices",
            str(shape.get(name)),
        )
    for name, (width, height) in {"file": (126, 93), "other file": (60, 50), "file again": (126, 93)}.items():
        # One slice is a scan of one slice, or is refused; never more.
        is_alone = all(found is None or found == (width, height, 1) for _, found in shape.get(name, {(0, (0,))}))
        texts = {text for _, _, text in states.get(name, [])}
        check(is_alone and not any("/proc/" in text or "IM00" in text for text in texts), f"{name}: alone", str(texts)[:300])


def run():
    voxels, affine = phantom()
    with Server("--cache-mib", 64, "--memory-mib", 1024) as server:
        files = series(server.folder / "first", voxels, affine)
        others = series(server.folder / "second", voxels[:60, :50, 10:30], affine, PatientID="P2")
        objects(server, files)
        lone_files(server, files, others)
        check(server.files() == [], "no file stays in the folders", str(server.files()))
