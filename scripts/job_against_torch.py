#!/usr/bin/env python3
"""Times whole segmentations against the released PyTorch code, in your own clone of it, on a processor or a GPU.

    git clone https://github.com/BAAI-DCAI/SegVol
    pip install torch torchvision monai==0.9.0 transformers einops scipy matplotlib nibabel
    scripts/job_against_torch.py --segvol-repo SegVol --work job

1. The scan is the demo's phantom, enlarged to 512 x 512 x 300 voxels. Its 12 structures have the sizes and places of
   organs: the liver has 1.4 litres.
2. The model has the released sizes and random weights. A few of them are set so that a name gives the structure of that
   name in the zoom-out window: masks are compact, and each of the 12 objects has a region of its own.
3. `segvol convert` makes a bundle of it, in float32 and int8; with `--device cuda`, in float32 and float16.
4. In every round, each program segments the liver, and the 12 objects: the released program in 12 runs, since it takes
   one name, `segvol segment` in one run with 12 names.

A run of the released program is what its `inference_demo.py` does without a ground truth: reading and preparing the scan,
zoom-out, zoom-in. Starting Python and loading the model are not counted. A run of `segvol segment` is the whole command, with
opening the bundle and writing the mask.

With `segvol segment --profile released`, the mask must be the released one. With other windows it is another, because this
model knows an organ by its place in the window; `segvol eval` measures masks, with a trained model.
Nothing of the clone is copied or changed. The files of 1 to 3 stay in --work and are used again.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from verify_against_torch import stop

WINDOW = (32, 256, 256)
PATCH = (4, 16, 16)
# Logits are computed on this grid, four positions for each patch and axis.
LOW_RES = tuple(4 * window // patch for window, patch in zip(WINDOW, PATCH))
NAMES = ["liver", "spleen", "left kidney", "right kidney", "aorta", "spine", "left lung", "right lung", "stomach", "bladder",
         "liver tumour", "lung nodule"]  # fmt: skip
DEMO = Path(__file__).resolve().parent.parent / "demo"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segvol-repo", type=Path, required=True, metavar="DIR", help="clone of BAAI-DCAI/SegVol")
    parser.add_argument("--segvol", default="segvol", metavar="PROGRAM", help="the command [segvol]")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for scan, checkpoint, bundle and masks")
    parser.add_argument("--size", default="512,512,300", metavar="I,J,K", help="voxels of the scan [512,512,300]")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of every program [3]")
    parser.add_argument("--objects", type=int, default=12, metavar="N", help="the first N names; 1 leaves out the second table [12]")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of every program [one per core]")
    parser.add_argument("--library", type=Path, metavar="LIBRARY", help="ONNX Runtime of the other rows [where segvol finds one]")
    parser.add_argument("--openvino", type=Path, metavar="LIBRARY", help="ONNX Runtime with OpenVINO: adds int8 with bfloat16 on it")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where both programs run [cpu]")
    parser.add_argument("--bfloat16", action="store_true", help="also time the released program under bfloat16 autocast")
    parser.add_argument("--float16", action="store_true", help="the same with float16")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument("rest", nargs="*", help="after `--`: more arguments of every `segvol segment`")
    return parser.parse_args()


# The scan


def enlarged(path: Path, size: tuple[int, ...], order: int):
    """A volume of the demo at `size`, and the affine that keeps it where it is; `order` 0 for labels, 1 for intensities."""
    import nibabel
    import numpy as np
    from scipy.ndimage import affine_transform

    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj)
    scale = np.array(voxels.shape) / np.array(size)
    # The outer faces of the volume stay where they are.
    offset = (scale - 1) / 2
    large = affine_transform(voxels, scale, offset, tuple(size), order=order, mode="nearest")
    to_old = np.diag([*scale, 1.0])
    to_old[:3, 3] = offset
    return large, image.affine @ to_old


def make_scan(path: Path, size: tuple[int, ...]) -> None:
    import nibabel

    voxels, affine = enlarged(DEMO / "phantom.nii.gz", size, order=1)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)


def structures(size: tuple[int, ...]) -> list:
    """For each of NAMES, which voxels of the scan it has. The phantom has one label for both lungs."""
    import numpy as np

    labels, affine = enlarged(DEMO / "phantom_labels.nii.gz", size, order=0)
    numbers = json.loads((DEMO / "labels.json").read_text())
    left = affine[0, 0] * np.arange(size[0]) + affine[0, 3] < 0  # x goes to the right.
    found = []
    for name in NAMES:
        side, _, organ = name.partition(" ")
        mask = labels == numbers["lungs" if organ == "lung" else name]
        if organ == "lung":
            mask &= (left if side == "left" else ~left)[:, None, None]
        found.append(mask)
    return found


# The released program


def released_code(repo: Path, device: str) -> dict:
    """The functions and classes of the clone. It asks for CUDA throughout; on the CPU its tensors stay where they are."""
    if not (repo / "segment_anything_volumetric").is_dir():
        stop(f"{repo}: expected a clone of BAAI-DCAI/SegVol, found no folder segment_anything_volumetric")
    import torch

    if device == "cpu":
        torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    sys.path.insert(0, str(repo.resolve()))
    import monai.transforms
    from data_process import demo_data_process
    from network.model import SegVol
    from segment_anything_volumetric import sam_model_registry
    from utils import monai_inferers_utils

    return {
        "transforms": monai.transforms,
        "process": demo_data_process,
        "model": SegVol,
        "registry": sam_model_registry,
        "inferers": monai_inferers_utils,
    }


def new_model(code: dict, repo: Path):
    """The clone's model with the random weights of its constructor."""
    import torch

    torch.manual_seed(0)
    sizes = argparse.Namespace(spatial_size=WINDOW, patch_size=PATCH)
    sam = code["registry"]["vit"](args=sizes)
    parts = dict(image_encoder=sam.image_encoder, mask_decoder=sam.mask_decoder, prompt_encoder=sam.prompt_encoder)
    clip = os.fspath(repo / "config" / "clip")
    return code["model"](**parts, clip_ckpt=clip, roi_size=WINDOW, patch_size=PATCH, test_mode=True).eval().cuda()


def prepared(code: dict, scan: Path) -> dict:
    """The scan as `process_ct_gt` prepares it, but without labels."""
    import numpy as np

    transforms, process = code["transforms"], code["process"]
    transform = transforms.Compose(
        [
            transforms.Orientationd(keys=["image"], axcodes="RAS"),
            process.ForegroundNormalization(keys=["image"]),
            process.DimTranspose(keys=["image"]),
            process.MinMaxNormalization(),
            transforms.SpatialPadd(keys=["image"], spatial_size=WINDOW, mode="constant"),
            transforms.CropForegroundd(keys=["image"], source_key="image"),
            transforms.ToTensord(keys=["image"]),
        ]
    )
    voxels, _ = transforms.LoadImage()(scan)
    item = transform({"image": np.expand_dims(np.array(voxels).squeeze(), axis=0)})
    zoom_out = transforms.Resized(keys=["image"], spatial_size=WINDOW, mode="nearest-exact")(item)["image"]
    return {"image": item["image"].float(), "zoom_out": zoom_out.float(), "start": item["foreground_start_coord"]}


def run_released(code: dict, model, scan: Path, name: str):
    """`zoom_in_zoom_out` of the clone's `inference_demo.py`, with a text prompt: the mask of the crop, and its first voxel."""
    import torch

    item, inferers = prepared(code, scan), code["inferers"]
    image, zoom_out = item["image"].unsqueeze(0), item["zoom_out"].unsqueeze(0)
    logits = model(zoom_out.cuda(), text=name, boxes=None, points=None).cpu().float()
    logits = torch.nn.functional.interpolate(logits, size=image.shape[2:], mode="nearest")[0][0]
    low_d, low_h, low_w, high_d, high_h, high_w = inferers.logits2roi_coor(WINDOW, logits)
    if low_d is not None:
        region = (slice(low_d, high_d + 1), slice(low_h, high_h + 1), slice(low_w, high_w + 1))
        cropped = inferers.sliding_window_inference(
            image[0, 0][region][None, None].cuda(), None, WINDOW, 1, model, 0.5, text=name, use_box=False, use_point=False
        )
        logits[region] = cropped.cpu().squeeze().float()
    return torch.sigmoid(logits) > 0.5, item["start"]


class Released:
    """The released program, with its model in memory."""

    def __init__(self, code: dict, model, scan: Path, device: str, precision: str):
        self.code, self.model, self.scan, self.device, self.precision = code, model, scan, device, precision
        self.windows = 0
        model.image_encoder.register_forward_hook(lambda *_: self.count())

    def count(self) -> None:
        self.windows += 1

    def run(self, names: list[str]) -> list[dict]:
        """One run for each name."""
        import torch

        runs = []
        for name in names:
            self.windows, start = 0, time.perf_counter()
            cast = torch.autocast(self.device, getattr(torch, self.precision), enabled=self.precision != "float32")
            with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet), torch.inference_mode(), cast:
                mask, first = run_released(self.code, self.model, self.scan, name)
            runs.append({"seconds": time.perf_counter() - start, "windows": self.windows, "mask": mask, "start": first})
        return runs


# The model


def set_weights(model, inside: list) -> None:
    """Sets weights so that a name of NAMES gives `inside`, `[D, H, W]` of LOW_RES, in every window.

    An organ has 64 of the 768 channels, one for each position of the logits within a patch. The position embedding writes
    into them whether the position is inside the organ. It is larger than what the random layers add, so it arrives
    at the decoder, where the upsampling puts each channel at its position, and the text chooses the organ.
    """
    import torch

    organs, channels = len(NAMES), 64 * len(NAMES)
    signs = torch.tensor([1.0, -1.0]).repeat(channels // 2)  # The mean of a token stays about 0, for the norms.
    codes = torch.zeros(1, 2048, channels)
    for organ, mask in enumerate(inside):
        cells = torch.as_tensor(mask).float().mul(2).sub(1)
        # [D/4, 2, 2, H/4, 2, 2, W/4, 2, 2]: patch, first and second upsampling of each axis.
        parts = cells.reshape(*(n for axis in LOW_RES for n in (axis // 4, 2, 2)))
        codes[0, :, 64 * organ : 64 * (organ + 1)] = parts.permute(0, 3, 6, 1, 4, 7, 2, 5, 8).reshape(2048, 64)
    decoder = model.mask_decoder
    first, second = decoder.output_upscaling[0], decoder.output_upscaling[3]
    hyper = decoder.output_hypernetworks_mlps[0].layers[2]
    align = decoder.txt_align_upscaled_embedding
    with torch.no_grad():
        model.image_encoder.patch_embedding.position_embeddings.copy_(30 * codes * signs)
        for layer in decoder.transformer.layers:
            layer.cross_attn_image_to_token.out_proj.weight.mul_(0.1)  # What the prompt adds to the channels.
        model.prompt_encoder.no_mask_embed.weight.zero_()
        for part in (first.weight, first.bias, second.weight, second.bias, hyper.weight, hyper.bias):
            part.zero_()
        for channel in range(channels):
            organ, place = divmod(channel, 64)
            one, two = divmod(place, 8)
            to = 8 * organ + two
            for row, sign in ((to, signs[channel]), (8 * organs + to, -signs[channel])):
                first.weight.view(channels, 192, 8)[channel, row, one] = sign
            if one == 0:
                second.weight.view(192, 96, 8)[to, organ, two] = 4.0
                second.weight.view(192, 96, 8)[8 * organs + to, organ, two] = -4.0
        # Logits are 4 inside the organ that the text names, -4 elsewhere, and without a name.
        second.bias[95] = 4.0
        hyper.bias[95] = -1.0
        texts = torch.cat([model.text_encoder(name) for name in NAMES]).double().cpu()
        wanted = torch.zeros(organs, 96).double()
        wanted[:, :organs] = 2 * torch.eye(organs)
        align.weight.copy_((torch.linalg.pinv(texts) @ wanted).T)
        align.bias.zero_()


def low_res(mask, start, shape):
    """A mask of the scan, `[I, J, K]`, where the logits of the zoom-out window show it, `[D, H, W]` of LOW_RES."""
    import numpy as np

    oriented = mask.transpose(2, 1, 0)
    places = [
        first + np.floor((np.arange(cells) + 0.5) * count / cells).astype(int)
        for first, count, cells in zip(start, shape, LOW_RES)
    ]
    return oriented[np.ix_(*places)]


# Ours


class Ours:
    """`segvol segment` with some precision, on some provider."""

    def __init__(self, asked: argparse.Namespace, segvol: str, precision: list[str]):
        self.work, self.segvol = asked.work, segvol
        self.settings = ["-m", os.fspath(asked.work / "bundle"), *precision]
        if asked.threads:
            self.settings += ["--threads", str(asked.threads)]
        self.rest = asked.rest

    def run(self, names: list[str], released: bool = False) -> list[dict]:
        """One run for all names, with `--profile released` or with the arguments of the user."""
        mask, report = self.work / "mask.nii.gz", self.work / "report.json"
        texts = [part for name in names for part in ("--text", name)]
        more = ["--orientation", "stored", *(["--profile", "released"] if released else self.rest)]
        command = [self.segvol, "segment", "-i", os.fspath(self.work / "scan.nii.gz"), *self.settings, *more, *texts]
        start = time.perf_counter()
        subprocess.run([*command, "-q", "-o", os.fspath(mask), "--report", os.fspath(report)], check=True)
        seconds = time.perf_counter() - start
        windows = json.loads(report.read_text())["windows_encoded"]
        return [{"seconds": seconds, "windows": windows, "mask": mask}]

    def first_coarse(self, rounds: int) -> tuple[float, float] | None:
        """Seconds from a click to the coarse mask, and of one encoded window; None if the command does not measure it."""
        click = self.work / "click.json"
        click.write_text(json.dumps({"schema_version": 1, "objects": [{"text": NAMES[0]}]}))
        inputs = ["--prompts", os.fspath(click), "-i", os.fspath(self.work / "scan.nii.gz"), "--runs", str(rounds), "--warm-up", "0"]
        command = [self.segvol, "bench", *self.settings, *inputs, "--format", "json"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        (job,) = found["jobs"].values()
        encode = next(share["samples_ms"] for share in job["shares"] if share["name"] == "encode")
        if "first_coarse_ms" not in job:
            return None
        return statistics.median(job["first_coarse_ms"]) / 1e3, statistics.median(encode) / job["windows"] / 1e3


# The comparison


def dice_with(path: Path, released: dict) -> float:
    """Dice of a saved mask and one of the released program."""
    import nibabel
    import numpy as np

    ours = np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0) == 1
    padding = [max(0, window - count) // 2 for window, count in zip(WINDOW, ours.shape)]
    theirs = np.zeros([max(sizes) for sizes in zip(ours.shape, WINDOW)], bool)
    mask = released["mask"].numpy()
    theirs[tuple(slice(first, first + count) for first, count in zip(released["start"], mask.shape))] = mask
    theirs = theirs[tuple(slice(first, first + count) for first, count in zip(padding, ours.shape))]
    both = ours.sum() + theirs.sum()
    return 2.0 * (ours & theirs).sum() / both if both else 1.0


def table(programs: dict, samples: dict, objects: int) -> None:
    """Prints the medians of `samples` and how many times faster each program is than the first."""
    print(f"\n| {objects} object{'s' if objects > 1 else ''} | runs | seconds, median | all | windows | times faster |")
    print("|---|---|---|---|---|---|")
    reference = None
    for name in programs:
        found = samples[name]
        median = statistics.median(seconds for seconds, _ in found)
        reference = reference or median
        every = ", ".join(f"{seconds:.1f}" for seconds, _ in found)
        runs = objects if isinstance(programs[name], Released) else 1
        print(f"| {name} | {runs} | {median:.1f} | {every} | {found[0][1]} | {reference / median:.2f} |")


def compare(asked: argparse.Namespace, programs: dict, ours: Ours) -> None:
    samples: dict = {objects: {name: [] for name in programs} for objects in sorted({1, asked.objects})}
    first: dict = {}
    for round_number in range(asked.rounds):
        for name, program in programs.items():
            runs = program.run(NAMES[: asked.objects]) if isinstance(program, Released) else []
            for objects, found in samples.items():
                some = runs[:objects] or program.run(NAMES[:objects])
                found[name].append((sum(run["seconds"] for run in some), sum(run["windows"] for run in some)))
                print(f"round {round_number + 1}, {name}, {objects}: {found[name][-1][0]:.1f} s", flush=True)
            if runs and not first:
                first = runs[0]
    for objects, found in samples.items():
        table(programs, found, objects)
    (same,) = ours.run(NAMES[:1], released=True)
    voxels = int(first["mask"].sum())
    print(f"\n{NAMES[0]}: {voxels} voxels in the released mask; Dice with --profile released: {dice_with(same['mask'], first):.5f}")
    print(f"--profile released, fp32: {same['seconds']:.1f} s, {same['windows']} windows")
    if asked.json:
        asked.json.write_text(json.dumps({"samples": samples, "names": NAMES[: asked.objects]}, indent=2))


def main() -> int:
    asked = arguments()
    segvol = shutil.which(asked.segvol) or stop(f"`{asked.segvol}`: no such program; name it with --segvol")
    size = tuple(int(part) for part in asked.size.split(","))
    if len(size) != 3 or any(count < window for count, window in zip(size, reversed(WINDOW))):
        stop(f"expected --size I,J,K of at least {','.join(str(count) for count in reversed(WINDOW))}, a window")
    if not 1 <= asked.objects <= len(NAMES) or asked.rounds < 1:
        stop(f"expected at most {len(NAMES)} --objects, and --rounds of at least 1")
    try:
        import torch

        start = time.perf_counter()
        code = released_code(asked.segvol_repo, asked.device)
    except ImportError as error:
        stop(f"{error}; see the head of this script for what to install")
    if asked.threads:
        torch.set_num_threads(asked.threads)
    asked.work.mkdir(parents=True, exist_ok=True)
    scan, checkpoint, bundle = (asked.work / name for name in ("scan.nii.gz", "job.pth", "bundle"))
    model = new_model(code, asked.segvol_repo)
    print(f"released program: {time.perf_counter() - start:.1f} s to import and make the model, not counted", flush=True)
    if not scan.exists():
        make_scan(scan, size)
    if not bundle.exists():
        item = prepared(code, scan)
        inside = [low_res(mask, item["start"], item["image"].shape[1:]) for mask in structures(size)]
        set_weights(model, inside)
        # As the released checkpoint is stored.
        torch.save({"model": {f"module.{key}": value.cpu() for key, value in model.state_dict().items()}, "epoch": 0}, checkpoint)
        tokenizer = os.fspath(asked.segvol_repo / "config" / "clip")
        convert = [segvol, "convert", os.fspath(checkpoint), "-o", os.fspath(bundle), "--tokenizer", tokenizer]
        if asked.device == "cpu":
            convert += ["--precision", "fp32,int8", "--calibrate", os.fspath(scan)]
        else:
            convert += ["--precision", "fp32,fp16"]
        subprocess.run(convert, check=True)
    else:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
        model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})

    precisions = ["float32", *(["bfloat16"] if asked.bfloat16 else []), *(["float16"] if asked.float16 else [])]
    programs: dict = {f"released program, {kind}": Released(code, model, scan, asked.device, kind) for kind in precisions}
    where = ["--provider", asked.device, *(["--library", os.fspath(asked.library)] if asked.library else [])]
    float32 = Ours(asked, segvol, [*where, "--precision", "fp32"])
    lower = "int8" if asked.device == "cpu" else "fp16"
    best = Ours(asked, segvol, [*where, "--precision", lower])
    programs |= {f"segvol, fp32, {asked.device}": float32, f"segvol, {lower}, {asked.device}": best}
    if asked.openvino:
        library = ["--library", os.fspath(asked.openvino), "--provider-option", "openvino.precision=bf16"]
        best = Ours(asked, segvol, ["--provider", "openvino", "--precision", "int8", *library])
        programs["segvol, int8 and bfloat16, OpenVINO"] = best
    compare(asked, programs, float32)
    coarse = best.first_coarse(asked.rounds)
    if coarse is None:
        print("first coarse mask: this segvol does not measure it")
    else:
        print(f"first coarse mask: {1e3 * coarse[0]:.0f} ms, {coarse[0] / coarse[1]:.2f} windows of {1e3 * coarse[1]:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
