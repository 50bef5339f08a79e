"""Shows a DICOM SEG of `segvol` in the viewer OHIF, which gets it from the archive Orthanc, and takes a picture.

Usage: SEGVOL=COMMAND show_in_ohif.py BUNDLE OHIF-DIST [PICTURE.png] [--keep FOLDER]

Segments the demo's phantom, written as a DICOM series, stores series and SEG in Orthanc, opens the study in OHIF, loads the SEG, and
scrolls to a slice with the organs. PICTURE.png is docs/images/ohif.png by default; --keep writes the DICOM files to a folder.

| needs                        | from                                                                                         |
|------------------------------|----------------------------------------------------------------------------------------------|
| the command                  | SEGVOL, or target/release/segvol                                                             |
| BUNDLE                       | scripts/demo writes demo/out/bundle                                                          |
| OHIF-DIST                    | `npm pack @ohif/app@3.13.2`, and tar -xzf: the folder package/dist                           |
| Orthanc with DICOMweb        | apt install orthanc orthanc-dicomweb                                                         |
| Chromium                     | CHROMIUM, or in PATH: apt install chromium-headless-shell                                    |
| playwright, pydicom, nibabel | pip install playwright==1.65.2 pydicom==3.0.2 nibabel==5.4.2                                 |

Exit code 4: one of these is missing; it is named. Everything is local: a request to another host ends in exit code 1. The page is
drawn by software: this takes minutes.
"""

import argparse
import json
import mimetypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ("liver", "spleen", "left kidney", "right kidney", "aorta", "spine", "stomach")
DICOM_WEB = "libOrthancDicomWeb.so"
PATIENCE_MS = 180_000

CONFIG = """window.config = {
  routerBasename: null, extensions: [], modes: [], customizationService: {}, showStudyList: true, maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false, showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true, investigationalUseDialog: { option: 'never' }, defaultDataSourceName: 'orthanc',
  dataSources: [{ namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'orthanc', configuration: {
    friendlyName: 'Orthanc', name: 'orthanc', wadoUriRoot: ROOT, qidoRoot: ROOT, wadoRoot: ROOT, qidoSupportsIncludeField: false,
    supportsReject: false, imageRendering: 'wadors', thumbnailRendering: 'wadors', enableStudyLazyLoad: true,
    supportsFuzzyMatching: false, supportsWildcard: true, staticWado: false, singlepart: 'bulkdata,video',
    bulkDataURI: { enabled: true } } }],
};""".replace("ROOT", "location.origin + '/dicom-web'")


def found(*names):
    """The first of these programs or files that is there."""
    places = (shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") for name in names)
    return next((place for place in places if place), None)


def requirements(dist, bundle):
    """What is needed, by name; ends with code 4 if something is missing."""
    missing = []
    try:
        import nibabel
        import playwright.sync_api
        import pydicom  # noqa: F401
    except ImportError as error:
        missing.append(f"the Python package {error.name}: pip install playwright==1.65.2 pydicom==3.0.2 nibabel==5.4.2")
    needs = {
        "segvol": os.environ.get("SEGVOL") or found(str(ROOT / "target/release/segvol")),
        "orthanc": found("Orthanc"),
        "chromium": os.environ.get("CHROMIUM") or found("chromium-headless-shell", "chromium", "google-chrome"),
        "plugin": next((str(path) for path in Path("/usr").glob(f"*/orthanc/plugins/{DICOM_WEB}")), None),
    }
    where = {
        "segvol": "the command: set SEGVOL, or cargo build --release -p segvol-cli",
        "orthanc": "Orthanc: apt install orthanc",
        "chromium": "Chromium: set CHROMIUM, or apt install chromium-headless-shell",
        "plugin": f"{DICOM_WEB}: apt install orthanc-dicomweb",
    }
    missing += [where[name] for name, place in needs.items() if not place]
    if not (dist / "index.html").is_file():
        missing.append(f"OHIF: no index.html in {dist}; npm pack @ohif/app@3.13.2, and take package/dist from it")
    if not (bundle / "manifest.json").is_file():
        missing.append(f"a bundle: no manifest.json in {bundle}; scripts/demo writes demo/out/bundle")
    for line in missing:
        print(f"NOT CHECKED  {line}", file=sys.stderr)
    if missing:
        sys.exit(4)
    return needs


def make_study(folder, command, bundle):
    """Writes the phantom as a series with a SEG, and returns the instance number of the slice with most organs."""
    sys.path.insert(0, str(ROOT / "scripts/formats"))
    import numpy as np
    import pydicom
    from _shared import phantom, write_series

    voxels, affine = phantom()
    # Orthanc 1.10 refuses frames of one bit a voxel whose rows are not whole bytes.
    missing = -voxels.shape[0] % 8
    voxels = np.pad(voxels, ((0, missing), (0, 0), (0, 0)), constant_values=-1024)
    series = write_series(folder / "ct", voxels, affine, SeriesDescription="phantom", WindowCenter="40", WindowWidth="400",
                          PatientName="Phantom^Demo", PatientID="demo", PatientBirthDate="", PatientSex="O")
    path = folder / "seg.dcm"
    named = [part for text in TEXTS for part in ("--text", text)]
    subprocess.run([command, "segment", "-i", series, "-m", bundle, *named, "-o", path, "--quiet"], check=True)
    seg = pydicom.dcmread(path)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: seg.Rows * seg.Columns * seg.NumberOfFrames].reshape(seg.NumberOfFrames, -1).sum(axis=1)
    heights = {}
    for count, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        z = float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        heights.setdefault(z, {})[number] = int(count)
    # The slice that shows most organs, and of these the most of the smallest.
    best = max(heights, key=lambda z: (len(heights[z]), min(heights[z].values())))
    images = [pydicom.dcmread(file, stop_before_pixels=True) for file in series.iterdir()]
    return min(images, key=lambda image: abs(float(image.ImagePositionPatient[2]) - best)).InstanceNumber


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_archive(needs, work):
    """Starts Orthanc with an empty store, and returns its process and address."""
    port = free_port()
    config = {
        "Name": "segvol", "StorageDirectory": str(work), "IndexDirectory": str(work), "HttpPort": port, "DicomServerEnabled": False,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": [needs["plugin"]],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }
    path = work / "orthanc.json"
    path.write_text(json.dumps(config))
    log = (work / "orthanc.log").open("w")
    server = subprocess.Popen([needs["orthanc"], str(path)], stdout=log, stderr=log)
    origin = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(origin + "/system", timeout=5)
            return server, origin
        except OSError:
            time.sleep(0.1)
    server.kill()
    sys.exit(f"Orthanc does not answer:\n{(work / 'orthanc.log').read_text()}")


def store(origin, folder):
    """Stores all files, and returns the Study Instance UID."""
    for file in sorted(path for path in folder.rglob("*") if path.suffix == ".dcm" or path.parent.name == "ct"):
        urllib.request.urlopen(urllib.request.Request(origin + "/instances", data=file.read_bytes(), method="POST"))
    series = json.load(urllib.request.urlopen(origin + "/series?expand"))
    print("in Orthanc:", {one["MainDicomTags"]["Modality"]: len(one["Instances"]) for one in series})
    return json.load(urllib.request.urlopen(origin + "/studies?expand"))[0]["MainDicomTags"]["StudyInstanceUID"]


def take_picture(needs, dist, origin, study, instance, picture):
    from playwright.sync_api import sync_playwright

    foreign = []

    def answer(route):
        url = route.request.url
        if url.startswith(("data:", "blob:")):
            return route.continue_()
        if not url.startswith(origin):
            foreign.append(url)
            return route.abort()
        local = url[len(origin) :].split("?")[0]
        if local.startswith("/dicom-web"):
            return route.continue_()
        headers = {
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if local == "/app-config.js":
            return route.fulfill(body=CONFIG, content_type="text/javascript", headers=headers)
        file = dist / local.lstrip("/")
        if not file.is_file():
            file = dist / "index.html"
        kind = "application/wasm" if file.suffix == ".wasm" else mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return route.fulfill(body=file.read_bytes(), content_type=kind, headers=headers)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=needs["chromium"],
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
        )
        page = browser.new_page(viewport={"width": 1200, "height": 680})
        page.set_default_timeout(PATIENCE_MS)
        page.route("**/*", answer)
        page.on("pageerror", lambda error: print("page error:", str(error)[:300]))
        page.goto(f"{origin}/viewer?StudyInstanceUIDs={study}", timeout=PATIENCE_MS)
        drive(page, instance)
        page.screenshot(path=picture, timeout=PATIENCE_MS)
        shown = page.inner_text("body")
        missing = [text for text in TEXTS if text not in shown]
        if missing:
            raise RuntimeError(f"the panel lists no {missing}")
        browser.close()
    return foreign


def drive(page, instance):
    """Loads the SEG into the viewport, and scrolls to the slice."""
    page.get_by_text("Skip all").click()
    thumbnail = page.locator('[data-cy^="study-browser-thumbnail-no-image"]').first
    thumbnail.wait_for(state="visible")
    thumbnail.dblclick()
    # "Do you want to open this Segmentation?"
    page.get_by_text("Yes", exact=True).click()
    page.get_by_text("Yes", exact=True).wait_for(state="detached")
    # The panel with the names of the segments.
    page.mouse.click(page.viewport_size["width"] - 14, 100)
    page.get_by_text(TEXTS[0], exact=True).wait_for(state="visible")
    page.wait_for_timeout(5000)
    canvas = page.locator("canvas").first.bounding_box()
    page.mouse.move(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)
    # Such as "43 (10/52)": the instance number, and which one of all is shown.
    counter = page.locator(r"text=/\(\d+\/\d+\)/").first
    for _ in range(200):
        if counter.inner_text().split()[0].removeprefix("I:") == str(instance):
            page.wait_for_timeout(5000)
            return
        before = counter.inner_text()
        page.mouse.wheel(0, 100)
        page.wait_for_function("before => !document.body.innerText.includes(before)", arg=before)
    raise RuntimeError(f"image {instance} is not shown")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("dist", type=Path, metavar="OHIF-DIST")
    parser.add_argument("picture", type=Path, nargs="?", default=ROOT / "docs/images/ohif.png", metavar="PICTURE.png")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    needs = requirements(options.dist, options.bundle)
    with tempfile.TemporaryDirectory() as work:
        folder = options.keep or Path(work, "dicom")
        folder.mkdir(parents=True, exist_ok=True)
        instance = make_study(folder, needs["segvol"], options.bundle)
        archive = Path(work, "orthanc")
        archive.mkdir()
        server, origin = start_archive(needs, archive)
        try:
            study = store(origin, folder)
            foreign = take_picture(needs, options.dist, origin, study, instance, options.picture)
        finally:
            server.terminate()
            server.wait()
    if foreign:
        sys.exit(f"asked for from other hosts: {foreign}")
    print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
