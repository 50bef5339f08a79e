"""Files that are small and become large, and files that name others."""

import gzip
import io
import struct
import tempfile
import time
import zipfile
from pathlib import Path

from _server import check, nifti, note, phantom, put, scans, session

MIB = 1 << 20
# What the servers of the attacks take.
UPLOAD_MIB = 16
MEMORY_MIB = 512

NRRD = (
    "NRRD0004\ntype: short\nendian: little\ndimension: 3\nspace: left-posterior-superior\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
)
META_IMAGE = "ObjectType = Image\nNDims = 3\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
# The rest of a header, for voxels behind it.
GZIP = "sizes: {0} {0} {0}\nencoding: gzip\n\n"
LOCAL = "DimSize = {0} {0} {0}\nCompressedData = True\nElementDataFile = LOCAL\n"


def header_of_nifti(shape):
    """The header of an int16 NIfTI with this shape, whatever follows it."""
    voxels, affine = phantom()
    header = bytearray(nifti_plain(voxels[:2, :2, :2], affine)[:352])
    header[40:56] = struct.pack("<8h", 3, *shape, 1, 1, 1, 1)
    return bytes(header)


def nifti_plain(voxels, affine):
    return gzip.decompress(nifti(voxels, affine))


def zipped(*entries, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def zipped_zeros(mebibytes):
    """A zip with a file that begins as DICOM does."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open("a.dcm", "w") as entry:
        entry.write(bytes(128) + b"DICM")
        for _ in range(mebibytes):
            entry.write(bytes(MIB))
    return out.getvalue()


def lying_zip(data):
    """A zip whose entry states 1 KiB and has much more."""
    made = bytearray(zipped(("a.dcm", data)))
    size = struct.pack("<I", len(data))
    at = made.find(size)
    while at != -1:
        made[at : at + 4] = struct.pack("<I", 1024)
        at = made.find(size, at + 1)
    return bytes(made)


def bombs(server):
    """Files that are small, and say or become more than there is memory for."""
    zeros = bytes(256 * MIB)
    preamble = bytes(128) + b"DICM"
    files = {
        "NIfTI of 2000^3 voxels in 400 bytes": gzip.compress(header_of_nifti([2000] * 3)),
        "NIfTI of 2000^3 voxels, 256 MiB of zeros": gzip.compress(header_of_nifti([2000] * 3) + zeros, 1),
        "NIfTI of 32767^3 voxels": gzip.compress(header_of_nifti([32767] * 3)),
        "NIfTI of 4^3 voxels, then 256 MiB of zeros": gzip.compress(header_of_nifti([4] * 3) + zeros, 1),
        "gzip in gzip in gzip": gzip.compress(gzip.compress(gzip.compress(header_of_nifti([2000] * 3) + zeros, 1))),
        "NRRD of 2000^3 voxels": (NRRD + GZIP).format(2000).encode() + gzip.compress(zeros, 1),
        "MetaImage of 2000^3 voxels": (META_IMAGE + LOCAL).format(2000).encode() + gzip.compress(zeros, 1),
        "NRRD of 10^18 voxels": (NRRD + GZIP).format(1_000_000).encode() + gzip.compress(b"x"),
        "zip with 256 MiB of zeros": zipped(("a.dcm", zeros)),
        "zip with a DICOM file of 256 MiB": zipped(("a.dcm", preamble + zeros)),
        "zip with a DICOM file of 1,200 MiB": zipped_zeros(1200),
        "zip whose entry states 1 KiB": lying_zip(preamble + zeros),
        "zip with 20,000 entries": zipped(*((f"{n}.dcm", preamble) for n in range(20_000)), method=zipfile.ZIP_STORED),
        "zip in a zip": zipped(("a.zip", zipped(("a.dcm", zeros)))),
    }
    del zeros
    start_mib = server.memory_mib()
    with server.client() as client:
        path = session(client)
        for what, data in files.items():
            start, before = time.monotonic(), server.memory_mib()
            if len(data) >= UPLOAD_MIB * MIB:
                raise AssertionError(f"{what}: {len(data)} bytes are no bomb")
            answer = client.put(f"{path}/scan", content=data)
            seconds, more = time.monotonic() - start, server.memory_mib("VmHWM") - before
            is_right = answer.status_code in (413, 422, 503) and seconds < 20
            check(is_right, f"{what}: refused", f"{answer.status_code} after {seconds:.1f} s: {answer.text[:200]}")
            if more > 64 or seconds > 2:
                note(f"{answer.status_code} after {seconds:.1f} s; memory rose by {more:.0f} MiB at most")
        most = server.memory_mib("VmHWM")
        check(most < start_mib + MEMORY_MIB, f"memory rises by less than --memory-mib {MEMORY_MIB}", f"{most:.0f} MiB")
        note(f"{most:.0f} MiB at its most")
        check(server.files() == [], "no file stays in the folders", str(server.files()))
        put(client, path, scans(1)[0])
        client.delete(path)


def outside_files(server):
    """Headers and names that point at other files."""
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret.raw"
        secret.write_bytes(bytes(range(64)) * 2048)
        nrrd = NRRD + "sizes: 32 32 32\nencoding: raw\ndata file: {}\n\n"
        meta = META_IMAGE + "DimSize = 32 32 32\nElementDataFile = {}\n"
        with server.client() as client:
            path = session(client)
            for kind, text in (("NRRD", nrrd), ("MetaImage", meta)):
                for name in (secret, "/etc/passwd", "../../../../etc/passwd", "/dev/zero", "/proc/self/environ", "LIST\n/etc/passwd"):
                    answer = client.put(f"{path}/scan", content=text.format(name).encode())
                    is_read = answer.status_code == 200 or b"root:" in answer.content
                    check(
                        not is_read and answer.status_code == 422,
                        f"{kind} with voxels in {Path(str(name)).name}: not read",
                        answer.text[:200],
                    )
            for name in ("../../../../tmp/segvol-escaped.dcm", "/tmp/segvol-escaped.dcm", "..\\segvol-escaped.dcm", "a\0b.dcm"):
                answer = client.put(f"{path}/scan", content=zipped((name, bytes(128) + b"DICM" + bytes(100))))
                check(answer.status_code == 422, f"zip with the entry {name!r}: refused", answer.text[:200])
            link = zipfile.ZipInfo("link.dcm")
            link.external_attr = 0o120777 << 16
            answer = client.put(f"{path}/scan", content=zipped((link, b"/etc/passwd")))
            check(answer.status_code == 422 and b"root:" not in answer.content, "zip with a symbolic link: refused", answer.text[:200])
            check(not Path("/tmp/segvol-escaped.dcm").exists(), "nothing was unpacked outside")
            client.delete(path)
