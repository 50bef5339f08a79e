"""Works with the page of `segvol serve` in headless Chromium as a user does, and fails if it is not what docs/server.md promises.

Usage: check_page.py [URL] [--screenshots DIR] [--picture FILE.png]

URL is the address of a running server, with `#token=…` if it wants a token. Without it, SEGVOL (the command) and BUNDLE (a model,
best that of scripts/demo) in the environment name what to start; then masks are also compared with those of `segvol segment`.

Needs playwright, numpy, nibabel and pillow (pip install playwright==1.65.2 numpy nibabel pillow) and a Chromium: that of CHROMIUM,
one in PATH (chromium, chromium-headless-shell, google-chrome), or playwright's own (playwright install chromium-headless-shell).
Exit code 4: something of these is missing; nothing was checked.

What is checked
  orientations  small scans stored as LPS, RAS, PIR, oblique and sheared: the voxel that is clicked is the one that the server gets,
                in each plane; a mask is drawn over its own voxel; right and left are where radiologists expect them
  token         asked for, kept for the tab alone; a lost session is opened again; the session ends with the page
  whole way     the demo phantom: name, click, box, undo, redo, download; the file equals that of `segvol segment`
  keyboard      crosshair, points inside and outside, box, modes, completion of names
  safety        no request to another host, no message in the console, no violation of the content security policy, names are text
  design        390 and 1280 pixels: nothing wider than the window, contrast of at least 4.5, every control has a name
"""

import argparse
import gzip
import io
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from browser import COLOURS, chromium, unavailable

ROOT = Path(__file__).resolve().parent.parent
PHANTOM = ROOT / "demo" / "phantom.nii.gz"
CONTRAST = 4.5
# Software rendering: WebGL without a graphics card.
BROWSER_ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
HOSTILE = "<img src=x onerror=alert(1)>"

FACTS = ("""() => {
  const shown = element => { const box = element.getBoundingClientRect(); return box.width > 1 && box.height > 1; };
""" + COLOURS + """  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const faint = [];
  for (const element of document.querySelectorAll('h1, h2, p, li, dt, dd, label, summary, button, select, input, span, mark')) {
    if (!shown(element)) continue;
    const own = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data).join('');
    const text = element.matches('input, select') ? element.value : own;
    if (!text.trim()) continue;
    const found = contrast(luminance(rgba(getComputedStyle(element).color)), luminance(ground(element)));
    if (found < CONTRAST) faint.push(`${element.tagName} "${text.trim().slice(0, 40)}": ${found.toFixed(2)}`);
    if (element.placeholder) {
      const colour = rgba(getComputedStyle(element, '::placeholder').color);
      if (contrast(luminance(colour), luminance(ground(element))) < CONTRAST) faint.push(`placeholder ${element.placeholder}`);
    }
  }
  const edge = document.documentElement.clientWidth + 1;
  const wide = [...document.querySelectorAll('body *')]
    .filter(element => shown(element) && !element.closest('.hidden') && element.getBoundingClientRect().right > edge)
    .map(element => element.outerHTML.slice(0, 80));
  const nameless = [...document.querySelectorAll('button, input, select, textarea, progress, dialog, [role], [tabindex]')]
    .filter(element => !['alert', 'status'].includes(element.getAttribute('role')))
    .filter(element => !(element.getAttribute('aria-label') || element.getAttribute('aria-labelledby')
      || [...(element.labels ?? [])].some(label => label.textContent.trim()) || element.textContent.trim()))
    .map(element => element.outerHTML.slice(0, 80));
  const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
  const references = [...document.querySelectorAll('[for], [aria-labelledby], [aria-describedby], [aria-controls]')]
    .flatMap(e => ['for', 'aria-labelledby', 'aria-describedby', 'aria-controls'].map(a => e.getAttribute(a)).filter(Boolean))
    .filter(id => !document.getElementById(id));
  return {
    scroll: document.documentElement.scrollWidth - document.documentElement.clientWidth, wide, faint, nameless, references,
    twice: ids.filter((id, n) => ids.indexOf(id) !== n),
    dark: luminance(rgba(getComputedStyle(document.body).backgroundColor)) < 0.05,
    notice: [...document.querySelectorAll('.notice')].some(e => shown(e) && e.getBoundingClientRect().top < innerHeight),
    language: document.documentElement.lang, title: document.title,
  };
}""").replace("CONTRAST", str(CONTRAST))

WATCH = """document.addEventListener('securitypolicyviolation', event =>
  console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));"""


try:
    import nibabel
    import numpy as np
    from PIL import Image
    from playwright.sync_api import Error, sync_playwright
except ImportError as error:
    unavailable(f"{error.name} is not installed (pip install playwright==1.65.2 numpy nibabel pillow)")


class Checks:
    def __init__(self):
        self.failed = []
        self.about = ""

    def expect(self, holds, problem):
        if not holds:
            self.failed.append(f"{self.about}: {problem}")
            print(f"FAILED  {self.about}: {problem}", file=sys.stderr)


class Page:
    """The page in one browser tab, and what it asked and logged."""

    def __init__(self, browser, url, width, height, ready=True, scale=1):
        self.scale = scale
        self.tab = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
        self.requests, self.messages, self.documents = [], [], []
        self.tab.on("request", self.note)
        self.tab.on("console", lambda message: self.messages.append(message.text))
        self.tab.on("pageerror", lambda error: self.messages.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.messages.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.tab.add_init_script(WATCH)
        self.tab.set_default_timeout(20_000)
        self.tab.goto(url, wait_until="load")
        if ready:
            self.tab.locator("#server", has_text="segvol").wait_for()

    def note(self, request):
        self.requests.append(request.url)
        if request.url.endswith("/segment") and request.method == "POST" and request.post_data:
            self.documents.append(json.loads(request.post_data))

    @property
    def session(self):
        """The newest session's identifier."""
        found = [re.search(r"/v1/sessions/(\w+)/", request) for request in self.requests]
        return [match[1] for match in found if match][-1]

    @property
    def prompts(self):
        return self.documents[-1]

    def open(self, name, content):
        self.tab.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": content})
        self.tab.locator("#scan-name", has_text=name).wait_for()
        self.tab.locator("#status", has_text="Scan open").wait_for()
        self.drawn()

    def drawn(self):
        """Waits until what was asked for is on the screen."""
        self.tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def done(self):
        self.tab.locator("#status", has_text=re.compile("^Done in")).wait_for(timeout=60_000)
        self.drawn()

    def segments(self, action, expected=None):
        """Does something that starts a call, and gives the prompts that were sent."""
        before = len(self.documents)
        action()
        deadline = time.monotonic() + 10
        while len(self.documents) == before and time.monotonic() < deadline:
            self.tab.wait_for_timeout(10)
        return self.prompts if len(self.documents) > before else None

    def mode(self, name):
        self.tab.locator(f"#modes input[value={name}]").check(force=True)

    def picture(self):
        """The viewer's pixels, as a [height, width, 3] array, and where its corner is."""
        box = self.tab.locator("#view").bounding_box()
        return np.asarray(Image.open(io.BytesIO(self.tab.screenshot(clip=box))).convert("RGB")).astype(int), (box["x"], box["y"])

    def quarter(self, plane):
        """The part of the picture with one plane, its corner on the page."""
        pixels, (left, top) = self.picture()
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        row, column = {"axial": (0, 0), "coronal": (1, 0), "sagittal": (0, 1)}[plane]
        part = pixels[row * height:(row + 1) * height, column * width:(column + 1) * width]
        return part, (left + column * width / self.scale, top + row * height / self.scale)


def nifti(voxels, affine):
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(None, code=0)
    image.set_sform(affine, code=1)
    return gzip.compress(image.to_bytes(), 1)


def rotation(x, y, z):
    result = np.eye(3)
    for axis, degrees in enumerate((x, y, z)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        a, b = [n for n in range(3) if n != axis]
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
        result = turn @ result
    return result


def affine_of(columns, origin):
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = origin
    return affine


SPACING = np.array([1.5, 2.0, 3.0])
SHEAR = np.array([[1, 0, 0], [0, 1, -0.45], [0, 0, 1.0]])  # slices shifted, as a tilted gantry does
SCANS = {
    "RAS": affine_of(np.diag(SPACING), (-10, -20, 30)),
    "LPS": affine_of(np.diag(SPACING * (-1, -1, 1)), (10, 20, -30)),
    # axes towards posterior, inferior, right
    "PIR": affine_of(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]) * SPACING, (5, 6, 7)),
    "oblique": affine_of(rotation(14, -21, 17) @ np.diag(SPACING * (-1, -1, 1)), (40, -30, 20)),
    "sheared": affine_of(np.diag((-1, -1, 1)) @ SHEAR @ np.diag(SPACING), (10, 20, -30)),
}
BRIGHT = {"axial": 350, "coronal": 650, "sagittal": 950}
BONE = (-500, 1800)  # lower end and width of the window


def screen_order(affine, shape):
    """Functions from voxels as they are on the screen (right, anterior, superior) to voxels of the file. An own computation."""
    orientation = nibabel.orientations.io_orientation(affine)
    screen_shape = [0, 0, 0]
    for file_axis, (screen_axis, _) in enumerate(orientation):
        screen_shape[int(screen_axis)] = shape[file_axis]

    def to_file(xyz):
        return [int(xyz[int(axis)] if sign > 0 else shape[n] - 1 - xyz[int(axis)]) for n, (axis, sign) in enumerate(orientation)]

    return screen_shape, to_file


def spot(pixels, hounsfield):
    """Row and column of the middle of what has this value's grey."""
    grey = 255 * (hounsfield - BONE[0]) / BONE[1]
    close = np.all(np.abs(pixels - grey) <= 8, axis=2)
    # Without what is thinner than five pixels: letters, the border of brighter things.
    solid = np.lib.stride_tricks.sliding_window_view(close, (5, 5)).all(axis=(2, 3))
    rows, columns = np.nonzero(solid)
    return (rows.mean() + 2, columns.mean() + 2) if len(rows) else None


def orientations(page, checks, scans):
    """One bright cube of 27 voxels per plane, its middle in the slice in which the click before has put the crosshair."""
    tab = page.tab
    answers = {"mask": None}

    def segment(route):
        mask = answers["mask"]
        if mask is None:
            events = 'event: error\ndata: {"error": {"code": "cancelled", "message": "cancelled"}}\n\n'
        else:
            result = {"revision": 1, "stage": "coarse", "seconds": 0.1, "windows_encoded": 1, "windows_reused": 0,
                      "objects": [{"label": 1, "name": "Object 1", "voxels": 1, "volume_ml": 0.01, "bounding_box_ijk": None,
                                   "warnings": []}]}
            events = f"event: coarse\ndata: {json.dumps({'result': result})}\n\n" \
                'event: error\ndata: {"error": {"code": "cancelled", "message": "cancelled"}}\n\n'
        route.fulfill(status=200, content_type="text/event-stream", body=events)

    def region(route):
        ijk = answers["mask"]
        box = [v - 1 for v in ijk] + [v + 1 for v in ijk]
        route.fulfill(status=200, content_type="application/octet-stream", body=b"\x01" * 27, headers={
            "X-Segvol-Revision": "1", "X-Segvol-Stage": "coarse", "X-Segvol-Dtype": "uint8", "X-Segvol-Whole": "true",
            "X-Segvol-Box": ",".join(map(str, box))})

    tab.route("**/segment", segment)
    tab.route("**/mask/region*", region)
    for name in scans:
        affine = SCANS[name]
        checks.about = name if page.scale == 1 else f"{name}, {page.scale} pixels per point"
        shape = (22, 17, 13)
        screen_shape, to_file = screen_order(affine, shape)
        centre = [n // 2 for n in screen_shape]
        places = {"axial": [centre[0] - 4, centre[1] + 3, centre[2]]}
        places["coronal"] = [centre[0] + 4, places["axial"][1], centre[2] - 3]
        places["sagittal"] = [places["coronal"][0], centre[1] - 4, centre[2] + 3]
        voxels = np.full(shape, -1000, np.int16)
        for plane, xyz in places.items():
            i, j, k = to_file(xyz)
            voxels[i - 1:i + 2, j - 1:j + 2, k - 1:k + 2] = BRIGHT[plane]
        page.open(f"{name}.nii.gz", nifti(voxels, affine))
        tab.select_option("#window", "Bone")
        page.mode("point")
        if name == "oblique":  # also while zoomed in
            tab.locator("#view").focus()
            for _ in range(2):
                tab.keyboard.press("+")
        clicked = 0
        for plane, xyz in places.items():
            tab.mouse.move(2, 2)
            page.drawn()
            pixels, (left, top) = page.quarter(plane)
            found = spot(pixels, BRIGHT[plane])
            if found is None:
                checks.expect(False, f"the bright voxel is not seen in the {plane} plane")
                continue
            # Where the patient's right and back are: radiologists see the patient from the feet, the right on the left.
            if plane != "sagittal":
                half = found[1] < pixels.shape[1] / 2
                checks.expect(half == (xyz[0] > centre[0]), f"{plane}: the patient's right is not on the left")
            row, column = found
            prompts = page.segments(lambda: tab.mouse.click(left + column / page.scale, top + row / page.scale))
            point = prompts and prompts["objects"][0]["points"][-1]
            clicked += point == [*to_file(xyz), 1]
            checks.expect(point == [*to_file(xyz), 1], f"{plane}: clicked {to_file(xyz)}, the server got {point}")
            place = tab.locator("#place").text_content()
            checks.expect(place.endswith(f"· {BRIGHT[plane]} HU"), f"{plane}: the place is said to be {place}")
            checks.expect(prompts and prompts["space"] == "voxel", f"space {prompts and prompts['space']}")
        # A mask of 27 voxels: over the bright ones of the sagittal plane, nowhere else.
        answers["mask"] = to_file(places["sagittal"])
        page.segments(lambda: tab.keyboard.press("Enter"))
        tab.locator("#coarse:not([hidden])").wait_for()
        # Only the points at that voxel stay.
        while tab.locator("#objects .prompts button").count() > 2:
            page.segments(tab.locator("#objects .prompts button").first.click)
        tab.wait_for_timeout(100)
        page.drawn()
        pixels, _ = page.quarter("sagittal")
        # The mask's colour is more green than red, bluer than a point, not as blue as the crosshair.
        red, green, blue = (pixels[..., n] for n in range(3))
        rows, columns = np.nonzero((green - red > 50) & (green >= blue) & (blue > 160))
        middle = (rows.mean(), columns.mean()) if len(rows) else (np.nan, np.nan)
        size = (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1) if len(rows) else (0, 0)
        near = np.hypot(middle[0] - found[0], middle[1] - found[1]) / page.scale if found else np.nan
        size = tuple(pixels / page.scale for pixels in size)
        checks.expect(near <= 3 and 20 <= min(size) and max(size) <= 70 and len(rows) > 250,
                      f"the mask is {near:.1f} pixels from its place, {size} pixels large")
        answers["mask"] = None
        print(f"{checks.about}: {clicked} of 3 clicks exact, the mask is {near:.1f} pixels from its place")
    tab.unroute("**/segment")
    tab.unroute("**/mask/region*")


def download(tab, identifier, folder):
    with tab.expect_download() as waiting:
        tab.click(f"#download-{identifier}")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def whole_way(page, checks, segvol, bundle, folder, screenshots):
    checks.about = "whole way"
    tab = page.tab
    page.open("phantom.nii.gz", PHANTOM.read_bytes())
    tab.select_option("#window", "Soft tissue")
    page.mode("look")
    # By name.
    field = tab.locator("#objects [role=combobox]")
    field.fill("LIV")
    options = tab.locator("#objects [role=option]").all_text_contents()
    checks.expect(all("liv" in option.lower() for option in options), f"completion of LIV: {options}")
    field.fill("liver")
    page.segments(lambda: field.press("Enter"))
    page.done()
    checks.expect(page.prompts["objects"] == [{"name": "liver", "text": "liver"}], f"prompts by name: {page.prompts}")
    first = tab.locator("#objects .volume").first.text_content()
    checks.expect(re.fullmatch(r"[\d.]+ mL", first) is not None, f"volume: {first}")
    # By a click: what the axial plane shows left of the middle belongs to the patient's right.
    tab.click("#add")
    page.mode("point")
    pixels, (left, top) = page.quarter("axial")
    height, width = pixels.shape[:2]
    page.segments(lambda: tab.mouse.click(left + 0.33 * width, top + 0.78 * height))
    page.segments(lambda: tab.mouse.click(left + 0.12 * width, top + 0.5 * height, button="right"))
    page.segments(lambda: (tab.keyboard.down("Shift"), tab.mouse.click(left + 0.55 * width, top + 0.45 * height),
                           tab.keyboard.up("Shift")))
    page.done()
    labels = [point[3] for point in page.prompts["objects"][1]["points"]]
    checks.expect(labels == [1, 0, 0], f"labels of three points: {labels}")
    # By a box.
    tab.click("#add")
    page.mode("box")
    tab.fill("#depth", "60")
    pixels, (left, top) = page.quarter("axial")

    def drag():
        tab.mouse.move(left + 0.58 * width, top + 0.55 * height)
        tab.mouse.down()
        tab.mouse.move(left + 0.7 * width, top + 0.65 * height)
        tab.mouse.move(left + 0.8 * width, top + 0.78 * height)
        tab.mouse.up()

    page.segments(drag)
    page.done()
    three = page.prompts
    box = three["objects"][2]["box"]
    depth = (box[5] - box[2]) * nibabel.load(PHANTOM).header.get_zooms()[2]
    checks.expect(box[0] < box[3] and box[1] < box[4] and abs(depth - 60) < 13, f"box {box}, {depth:.0f} mm deep")
    checks.expect(tab.locator("#objects .object").count() == 3, "not three objects")
    # Undo and redo.
    before = tab.locator("#objects .volume").all_text_contents()
    tab.locator("#view").focus()
    tab.keyboard.press("Control+z")
    tab.locator("#status", has_text="Undone").wait_for()
    checks.expect(tab.locator("#objects .object").count() == 2, "undo did not take the object with the box back")
    tab.keyboard.press("Control+Shift+z")
    tab.locator("#status", has_text="Done again").wait_for()
    after = tab.locator("#objects .volume").all_text_contents()
    checks.expect(before == after, f"volumes before undo {before}, after redo {after}")
    # Hide: no pixel of its colour is left.
    tab.locator("#objects .object-head .small").first.click()
    checks.expect(tab.locator("#objects .object-head .small").first.text_content() == "Show", "hidden object")
    tab.locator("#objects .object-head .small").first.click()
    # Download.
    path = download(tab, "nifti", folder)
    found = np.asarray(nibabel.load(path).dataobj)
    report = json.loads(download(tab, "report", folder).read_text())
    checks.expect(isinstance(report, dict) and report, "report")
    checks.expect(download(tab, "seg-nrrd", folder).read_bytes()[:4] == b"NRRD", "seg.nrrd")
    checks.expect(json.loads(download(tab, "prompts", folder).read_text()) == three, "the prompts saved are not those sent")
    checks.expect(tab.locator("#download-dicom-seg").is_disabled(), "DICOM SEG offered for a NIfTI scan")
    if segvol:
        prompts, out = folder / "prompts.json", folder / "expected.nii.gz"
        prompts.write_text(json.dumps(three))
        command = [segvol, "segment", "-i", PHANTOM, "-m", bundle, "--prompts", prompts, "-o", out]
        subprocess.run(command, check=True, capture_output=True)
        expected = np.asarray(nibabel.load(out).dataobj)
        differ = int((found != expected).sum()) if found.shape == expected.shape else -1
        checks.expect(differ == 0, f"{differ} voxels differ from those of `segvol segment`")
        print(f"whole way: 3 objects, {int((found > 0).sum())} voxels, {differ} differ from `segvol segment`")
    else:
        print(f"whole way: 3 objects, {int((found > 0).sum())} voxels, not compared with `segvol segment`")
    # An object's name is text.
    checks.about = "hostile name"
    name = tab.locator("#objects .object[data-chosen] input[id^=name]")
    name.fill(HOSTILE)
    page.segments(lambda: name.press("Enter"))
    page.done()
    checks.expect(HOSTILE in tab.locator("#objects .object-name").all_text_contents(), "the name is not shown as it was typed")
    checks.expect(tab.locator("#objects img, #objects script").count() == 0, "the name became HTML")
    if screenshots:
        tab.screenshot(path=screenshots / "whole-way.png")


def keyboard(page, checks):
    checks.about = "keyboard"
    tab = page.tab
    place = tab.locator("#place")

    def voxel():
        page.drawn()
        return [int(v) for v in re.match(r"Voxel (\d+), (\d+), (\d+)", place.text_content()).groups()]

    tab.click("#clear")
    tab.locator("#objects .object").first.wait_for(state="detached")
    # Everything is reached with the Tab key.
    reached = set()
    tab.locator("#open").focus()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement?.id ?? ''"))
    missing = {"view", "window", "layout", "undo", "add"} - reached
    checks.expect(not missing, f"not reached with Tab: {missing}")
    tab.locator("#view").focus()
    for key in "vvvl":
        tab.keyboard.press(key)
    at = voxel()
    tab.keyboard.press("ArrowLeft")
    moved = voxel()
    checks.expect(sum(abs(a - b) for a, b in zip(at, moved)) == 1, f"ArrowLeft: from {at} to {moved}")
    tab.keyboard.press("PageUp")
    checks.expect(voxel() != moved, "PageUp does not change the slice")
    tab.keyboard.press("Shift+ArrowUp")
    at = voxel()
    prompts = page.segments(lambda: tab.keyboard.press("Enter"))
    checks.expect(prompts["objects"][0]["points"] == [[*at, 1]], f"Enter at {at}: {prompts}")
    prompts = page.segments(lambda: tab.keyboard.press("Shift+Enter"))
    checks.expect(prompts["objects"][0]["points"][-1] == [*at, 0], f"Shift+Enter at {at}: {prompts}")
    # A box from corner to corner.
    tab.keyboard.press("b")
    tab.keyboard.press("Enter")
    for key in ("Shift+ArrowLeft", "Shift+ArrowDown", "PageDown", "PageDown"):
        tab.keyboard.press(key)
    other = voxel()
    prompts = page.segments(lambda: tab.keyboard.press("Enter"))
    expected = [min(a, b) for a, b in zip(at, other)] + [max(a, b) for a, b in zip(at, other)]
    checks.expect(prompts["objects"][0]["box"] == expected, f"box {prompts['objects'][0]['box']}, expected {expected}")
    # Completion.
    field = tab.locator("#objects [role=combobox]")
    field.focus()
    tab.keyboard.type("kid")
    count = tab.locator("#objects [role=option]").count()
    if count:
        tab.keyboard.press("ArrowDown")
        active = field.get_attribute("aria-activedescendant")
        checks.expect(active is not None and tab.locator(f"#{active}").get_attribute("aria-selected") == "true", "no active option")
        wanted = tab.locator(f"#{active}").text_content()
        prompts = page.segments(lambda: tab.keyboard.press("Enter"))
        checks.expect(prompts["objects"][0]["text"] == wanted, f"chosen {wanted}, sent {prompts['objects'][0]['text']}")
    checks.expect(field.get_attribute("aria-expanded") == "false", "the list stays open")
    page.done()
    print(f"keyboard: {len(reached)} places by Tab, {count} completions, points and box exact")


def token_and_session(browser, url, token, checks):
    """Asks for the token; the session ends with the page, and can be opened again where the server has lost it."""
    checks.about = "token"
    page = Page(browser, url.split("#")[0], 1000, 560, ready=False)
    tab = page.tab
    tab.locator("#token-dialog").wait_for()
    for typed in ("a wrong token, long enough", token):
        tab.fill("#token", typed)
        tab.keyboard.press("Enter")
        if typed != token:
            tab.locator("#token-dialog", has_text="refused").wait_for()
    tab.locator("#token-dialog").wait_for(state="hidden")
    tab.locator("#server", has_text="segvol").wait_for()
    kept = tab.evaluate("[Object.keys(localStorage).length, document.cookie, Object.keys(sessionStorage).length]")
    checks.expect(kept == [0, "", 1], f"kept in local storage, cookies, session storage: {kept}")
    checks.about = "session"
    page.open("small.nii.gz", nifti(np.arange(12 * 10 * 8, dtype=np.int16).reshape(12, 10, 8), SCANS["LPS"]))
    tab.route("**/segment", lambda route: route.abort())
    tab.locator("#view").focus()
    page.segments(lambda: tab.keyboard.press("Enter"))
    tab.unroute("**/segment")
    first = page.session
    tab.route("**/heartbeat", lambda route: route.fulfill(status=404, content_type="application/json",
                                                          body='{"error": {"code": "no_such_session", "message": "gone"}}'))
    tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    tab.locator("#problem", has_text="no longer has this session").wait_for()
    checks.expect(tab.locator("#add").is_disabled(), "objects can be added to a session that is gone")
    before = page.prompts
    page.segments(tab.locator("#problem-action", has_text="Open the scan again").click)
    checks.expect(page.prompts == before and page.session != first, "the objects are not there again in a new session")
    page.done()
    address = f"{url.split('#')[0]}v1/sessions/{page.session}"
    tab.goto("about:blank")
    status = 200
    for _ in range(30):
        try:
            request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
            urllib.request.urlopen(request, timeout=5).close()
            time.sleep(0.1)
        except urllib.error.HTTPError as error:
            status = error.code
            break
    checks.expect(status in (404, 410), f"the session is still there after the page has gone: status {status}")
    print(f"token and session: asked twice, opened again, ended with the page (status {status})")
    tab.close()


def design(page, checks, width, screenshots):
    checks.about = f"design, {width} pixels"
    tab = page.tab
    tab.set_viewport_size({"width": width, "height": 844 if width < 500 else 800})
    page.drawn()
    tab.wait_for_timeout(150)
    if screenshots:
        tab.screenshot(path=screenshots / f"page-{width}.png", full_page=width < 500)
    tab.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    facts = tab.evaluate(FACTS)
    tab.evaluate("document.querySelectorAll('details').forEach(details => details.open = false)")
    checks.expect(facts["scroll"] <= 0, f"the page is {facts['scroll']} pixels wider than the window")
    checks.expect(not facts["wide"], f"wider than the window: {facts['wide'][:3]}")
    checks.expect(not facts["faint"], f"contrast below {CONTRAST}: {facts['faint'][:6]}")
    checks.expect(not facts["nameless"], f"without a name: {facts['nameless'][:4]}")
    checks.expect(not facts["twice"], f"identifiers used twice: {facts['twice'][:4]}")
    checks.expect(not facts["references"], f"references to nothing: {facts['references'][:4]}")
    checks.expect(facts["dark"], "the page is not dark")
    checks.expect(facts["notice"], "the notice (research software) is not visible")
    checks.expect(facts["language"] == "en" and facts["title"], "language and title")


def save_picture(page, path):
    """The picture of the documentation: four organs of the phantom, one of them with a point and a box."""
    tab = page.tab
    tab.set_viewport_size({"width": 1280, "height": 800})
    page.open("phantom.nii.gz", PHANTOM.read_bytes())
    tab.select_option("#window", "Soft tissue")
    for n, name in enumerate(("spine", "left kidney", "right kidney", "liver")):
        if n:
            tab.click("#add")
        field = tab.locator("#objects .object[data-chosen] [role=combobox]")
        field.fill(name)
        page.segments(lambda: field.press("Enter"))
        page.done()
    tab.locator("#view").focus()
    for _ in range(7):
        tab.keyboard.press("PageUp")
    page.mode("box")
    tab.fill("#depth", "170")
    pixels, (left, top) = page.quarter("axial")
    height, width = pixels.shape[:2]
    tab.mouse.move(left + 0.08 * width, top + 0.27 * height)
    tab.mouse.down()
    tab.mouse.move(left + 0.42 * width, top + 0.78 * height, steps=3)
    page.segments(tab.mouse.up)
    page.done()
    page.mode("point")
    page.segments(lambda: tab.mouse.click(left + 0.24 * width, top + 0.5 * height))
    page.done()
    page.mode("look")
    tab.locator("#view").focus()
    for _ in range(6):
        tab.keyboard.press("PageDown")
    tab.mouse.move(2, 2)
    page.drawn()
    picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    # Common colours for the scan, and rare ones, such as those of the objects.
    rare = picture.quantize(72, method=Image.Quantize.MAXCOVERAGE)
    colours = picture.quantize(150).getpalette()[:3 * 150] + rare.getpalette()[:3 * 72]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(segvol, bundle, folder):
    port = free_port()
    token = secrets.token_hex(16)
    (folder / "token").write_text(token)
    command = [segvol, "serve", "-m", bundle, "--bind", f"127.0.0.1:{port}", "--token", folder / "token", "--demo-scan", PHANTOM]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}/"
    for _ in range(300):
        if server.poll() is not None:
            sys.exit(f"`segvol serve` ended with {server.returncode}:\n{server.stdout.read().decode()}")
        try:
            urllib.request.urlopen(url + "health/ready", timeout=1).close()
            return server, f"{url}#token={token}"
        except OSError:
            time.sleep(0.1)
    server.kill()
    sys.exit("`segvol serve` was not ready within 30 s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url", nargs="?")
    parser.add_argument("--screenshots", type=Path)
    parser.add_argument("--picture", type=Path, help="where to save the picture for the documentation")
    arguments = parser.parse_args()
    segvol, bundle = os.environ.get("SEGVOL"), os.environ.get("BUNDLE")
    if not arguments.url and not (segvol and bundle):
        parser.error("name a URL, or SEGVOL and BUNDLE in the environment")
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    checks = Checks()
    started = time.monotonic()
    server = None
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=BROWSER_ARGUMENTS)
        except Error as error:
            unavailable(f"no Chromium starts: {str(error).splitlines()[0]}; CHROMIUM names one")
        url = arguments.url
        if not url:
            server, url = start_server(segvol, bundle, Path(temporary))
        try:
            page = Page(browser, url, 1000, 560)
            orientations(page, checks, SCANS)
            sharp = Page(browser, url, 1000, 560, scale=2)
            orientations(sharp, checks, ["PIR"])
            sharp.tab.close()
            whole_way(page, checks, segvol if bundle else None, bundle, Path(temporary), arguments.screenshots)
            keyboard(page, checks)
            for width in (390, 1280):
                design(page, checks, width, arguments.screenshots)
            if arguments.picture:
                save_picture(page, arguments.picture)
            checks.about = "safety"
            host = urlsplit(url).netloc
            inner = ("blob:", "data:")
            others = [request for request in page.requests if urlsplit(request).netloc != host and not request.startswith(inner)]
            checks.expect(not others, f"requests to other hosts: {others[:3]}")
            checks.expect(not page.messages, f"messages: {page.messages[:3]}")
            checks.expect("token" not in page.tab.url, f"the token is in the address: {page.tab.url}")
            print(f"safety: {len(page.requests)} requests, {len(others)} to other hosts, {len(page.messages)} messages")
            if "#token=" in url:
                token_and_session(browser, url, url.split("#token=")[1], checks)
            browser.close()
        except Error:
            said = page.tab.locator("#problem-text").text_content()
            print(f"the page says: {said!r}; logged: {page.messages[-3:]}", file=sys.stderr)
            raise
        finally:
            if server:
                server.terminate()
                server.wait(30)
    print(f"{len(checks.failed)} failures, {time.monotonic() - started:.0f} s")
    sys.exit(1 if checks.failed else 0)


main()
