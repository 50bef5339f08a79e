"""What the checks of the server share: servers on free ports, scans made of the demo's phantom, raw connections, a list of what failed."""

import gzip
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import httpx
import nibabel
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TOKEN = secrets.token_hex(16)
AUTHORIZATION = f"Authorization: Bearer {TOKEN}"

failed = []


def check(holds, what, detail=""):
    """Prints whether something holds; the detail only if it does not."""
    line = what if holds or not detail else f"{what}: {detail}"
    print(("ok      " if holds else "FAILED  ") + line, flush=True)
    if not holds:
        failed.append(what)


def note(what):
    """Prints a figure that is no check."""
    print(f"        {what}", flush=True)


class Server:
    """A server of its own: `segvol serve` on a free port, with folders for uploads and temporary files that nothing else uses."""

    def __init__(self, *options, token=TOKEN):
        self.folder = Path(tempfile.mkdtemp(prefix="segvol-server-"))
        self.uploads, self.temporary = self.folder / "uploads", self.folder / "tmp"
        self.uploads.mkdir()
        self.temporary.mkdir()
        self.log = self.folder / "log"
        command = [os.environ["SEGVOL"], "serve", "-m", os.environ["BUNDLE"], "--bind", "127.0.0.1:0", "--uploads", self.uploads, "-v"]
        if token:
            (self.folder / "token").write_text(token)
            command += ["--token", self.folder / "token"]
        command += options
        environment = dict(os.environ, TMPDIR=str(self.temporary))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            raise SystemExit(f"the server does not start: {line}{self.log.read_text()}")
        self.url = line.split()[-1]
        self.host = self.url.removeprefix("http://")
        self.address = (self.host.rsplit(":", 1)[0], int(self.host.rsplit(":", 1)[1]))
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        for _ in range(600):
            if httpx.get(f"{self.url}/health/ready").status_code == 200:
                break
            time.sleep(0.1)
        else:
            raise SystemExit("the server does not get ready")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.kill()
        log = self.log.read_text(errors="replace")
        if kind is None:
            check("panicked" not in log and "a request has failed" not in log, "no request made the server panic", log[-2000:])
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def terminate(self, seconds):
        """Asks the server to stop. Its exit code, and the seconds that it took; no code if it did not stop."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds), time.monotonic() - start
        except subprocess.TimeoutExpired:
            return None, time.monotonic() - start

    def client(self, **options):
        """A client with the token."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=120, trust_env=False, **options)

    def files(self):
        """What lies in the folders for uploads and temporary files."""
        return [str(path) for folder in (self.uploads, self.temporary) for path in folder.rglob("*")]

    def memory_mib(self, field="VmRSS"):
        """Memory of the process: VmRSS now, VmHWM at its most."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise KeyError(field)

    def connect(self):
        connection = socket.create_connection(self.address, timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, data, seconds=5):
        """Sends bytes, and returns what comes back until the server closes the connection or is silent for so long."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
            except OSError:
                pass  # The server may answer before all is sent.
            return received(connection, seconds)

    def request(self, line, *headers, body=b"", token=True):
        """The bytes of a request that ends its connection."""
        lines = [f"{line} HTTP/1.1", f"Host: {self.host}", "Connection: close", *([AUTHORIZATION] if token else []), *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def is_well(self):
        """Whether it answers others at once."""
        start = time.monotonic()
        status = httpx.get(f"{self.url}/health/ready", timeout=10).status_code
        return status == 200 and time.monotonic() - start < 2


def received(connection, seconds):
    connection.settimeout(seconds)
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts)


def status_of(answer):
    """The status of a raw answer; 0 if there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def session(client):
    answer = client.post("/v1/sessions")
    answer.raise_for_status()
    return f"/v1/sessions/{answer.json()['id']}"


def put(client, path, scan, **parameters):
    answer = client.put(f"{path}/scan", content=scan, params=parameters)
    answer.raise_for_status()
    return answer.json()


def prompts(*objects):
    return {"schema_version": 1, "space": "voxel", "objects": list(objects)}


def segment(client, path, *objects):
    answer = client.post(f"{path}/segment", json=prompts(*objects))
    answer.raise_for_status()
    return answer.json()


def phantom():
    """The voxels of the demo's phantom [i, j, k], and its affine."""
    image = nibabel.load(ROOT / "demo/phantom.nii.gz")
    return np.asarray(image.dataobj).astype(np.int16), image.affine


def nifti(voxels, affine):
    """The bytes of a .nii.gz."""
    return gzip.compress(nibabel.Nifti1Image(voxels, affine).to_bytes(), 1)


def scans(count):
    """Scans that all differ: the phantom flipped, cropped, with noise."""
    voxels, affine = phantom()
    made = []
    for number in range(count):
        one = voxels[number : 96 + number, : 80 + number, 4 : 44 + number % 4].copy()
        if number % 2:
            one = one[::-1]
        if number % 3 == 1:
            one = one[:, ::-1]
        random = np.random.default_rng(number)
        made.append(nifti(one + random.integers(-20, 20, one.shape, dtype=np.int16), affine))
    return made


def attempt(function, *arguments):
    """Calls a check. An error in it is a failure, and the others go on."""
    try:
        function(*arguments)
    except Exception:
        traceback.print_exc()
        check(False, f"{function.__name__} comes to its end")


def main(checks):
    """Runs the named checks, or all. Exit code 1 if something failed."""
    for name, function in checks.items():
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        attempt(function)
        note(f"{time.monotonic() - start:.0f} s")
    print()
    for what in failed:
        print(f"FAILED  {what}")
    print(f"check_server.py: {'failed' if failed else 'all checks passed'}")
    sys.exit(1 if failed else 0)
