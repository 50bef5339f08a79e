#!/usr/bin/env python3
"""Compares a bundle with the released PyTorch code, stage by stage, in your own clone of it.

    git clone https://github.com/BAAI-DCAI/SegVol
    pip install torch torchvision monai==0.9.0 transformers einops scipy matplotlib safetensors
    scripts/verify_against_torch.py --segvol-repo SegVol --checkpoint SegVol_v1.pth --bundle bundle

1. `segvol verify BUNDLE --dump` writes the windows, token ids, points and box to compare on.
2. The clone's modules run on them, on the CPU in float32, with the checkpoint's weights.
3. `segvol verify BUNDLE --goldens` compares; its exit code, 3 where something differs, is this script's.

The checkpoint is opened with `weights_only=True`: it cannot run code. The files of 1 and 2 stay in --work if that is given.
Nothing of the clone is copied or changed; only its module classes are used, on the released sizes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

MIXES = ["text", "box", "points", "text_box", "text_points", "points_box", "all"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sides(parser)
    parser.add_argument("--scan", type=Path, action="append", default=[], metavar="FILE", help="CT whose windows are compared too")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for the files in between [a temporary one]")
    parser.add_argument("rest", nargs="*", help="after `--`: more arguments of the last `segvol verify`")
    return parser.parse_args()


def add_sides(parser: argparse.ArgumentParser) -> None:
    """The arguments that name the two sides."""
    parser.add_argument("--segvol-repo", type=Path, required=True, metavar="DIR", help="clone of BAAI-DCAI/SegVol")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="what the bundle was made from")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="what `segvol convert` made of it")
    parser.add_argument("--segvol", default="segvol", metavar="PROGRAM", help="the command [segvol]")


def stop(reason: str) -> NoReturn:
    """Ends this script, or one that imports it."""
    print(f"{Path(sys.argv[0]).stem}: {reason}", file=sys.stderr)
    sys.exit(5)


def weights(path: Path) -> dict:
    """The model's tensors under the clone's own names, from any of the layouts."""
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("model", "model_state_dict", "state_dict"):
            if isinstance(state.get(key), dict):
                state = state[key]
                break
    plain = {}
    for name, tensor in state.items():
        for prefix in ("module.", "model."):
            name = name.removeprefix(prefix)
        plain[name] = tensor.float() if tensor.is_floating_point() else tensor
    if not any(name.startswith("image_encoder.") for name in plain):
        stop(f"{path}: expected tensors of image_encoder, found {sorted(plain)[:3]}")
    return plain


def released_modules(repo: Path, state: dict):
    """The four modules of the clone, with the checkpoint's weights."""
    if not (repo / "segment_anything_volumetric").is_dir():
        stop(f"{repo}: expected a clone of BAAI-DCAI/SegVol, found no folder segment_anything_volumetric")
    sys.path.insert(0, str(repo.resolve()))
    from segment_anything_volumetric import sam_model_registry
    from torch import nn
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = argparse.Namespace(spatial_size=(32, 256, 256), patch_size=(4, 16, 16))
    sam = sam_model_registry["vit"](args=sizes)

    class Text(nn.Module):
        """What the clone's text encoder holds; that class itself asks for CUDA, and for a tokenizer."""

        def __init__(self):
            super().__init__()
            self.clip_text_model = CLIPTextModel(CLIPTextConfig())
            self.dim_align = nn.Linear(512, 768)

    text = Text()
    modules = {
        "image_encoder": sam.image_encoder,
        "prompt_encoder": sam.prompt_encoder,
        "mask_decoder": sam.mask_decoder,
        "text_encoder": text,
    }
    for scope, module in modules.items():
        own = {name.removeprefix(f"{scope}."): tensor for name, tensor in state.items() if name.startswith(f"{scope}.")}
        if scope == "text_encoder":
            own = renamed_text(own, module.state_dict())
        module.load_state_dict(own, strict=True)
        module.eval()
    return modules


def renamed_text(found: dict, wanted: dict) -> dict:
    """`found` under the names of `wanted`: releases of transformers differ in a `text_model.` within CLIP's names, and in
    a buffer of positions, which holds no weight."""
    plain = {strip(name): tensor for name, tensor in found.items()}
    return {name: plain.get(strip(name), tensor) if "position_ids" in name else plain[strip(name)] for name, tensor in wanted.items()}


def strip(name: str) -> str:
    return name.replace("clip_text_model.text_model.", "clip_text_model.")


def run(modules: dict, given: dict) -> tuple[dict, dict]:
    """The outputs of every stage on the given windows and prompts, under the names of `docs/verify.md`, and the least
    milliseconds of a run of each stage, as `segvol verify` keeps them."""
    least_ms = {}

    def timed(stage: str, work):
        start = time.perf_counter()
        found = work()
        took = 1e3 * (time.perf_counter() - start)
        least_ms[stage] = min(took, least_ms.get(stage, took))
        return found

    # The inputs are what both sides are fed with, and stay in the file.
    inputs = ("points", "labels", "box", "input_ids")
    out = {name: tensor for name, tensor in given.items() if name in inputs or name.endswith("window")}
    text_encoder, prompt_encoder, decoder = (modules[name] for name in ("text_encoder", "prompt_encoder", "mask_decoder"))

    # Attention is causal and pooling takes the first end token, so the padding needs no mask.
    def embedding_of_text():
        return text_encoder.dim_align(text_encoder.clip_text_model(input_ids=given["input_ids"]).pooler_output)

    out["text_embedding"] = timed("text_encoder", embedding_of_text)
    out["text_alignment"] = decoder.txt_align_upscaled_embedding(out["text_embedding"])
    text = out["text_embedding"][:1]

    def prompt(mix: str) -> dict:
        has = lambda part: mix == "all" or part in mix.split("_")  # noqa: E731
        return {
            "points": (given["points"][None], given["labels"][None]) if has("points") else None,
            "boxes": given["box"].reshape(1, 1, 6) if has("box") else None,
            "masks": None,
            "text_embedding": text if has("text") else None,
        }

    for name in sorted(name for name in given if name.endswith("window")):
        prefix = name.removesuffix("window")
        tokens, _ = timed("image_encoder", lambda: modules["image_encoder"](given[name][None, None]))
        out[f"{prefix}image_embedding"] = tokens[0]
        grid = prompt_encoder.image_embedding_size
        image = tokens.transpose(1, 2).reshape(1, tokens.shape[2], *grid)
        # A scan's windows are decoded with one mix, as `segvol verify` does.
        for mix in ["text_box"] if prefix else MIXES:
            asked = prompt(mix)
            sparse, dense = timed("prompt_encoder", lambda: prompt_encoder(**asked))
            out[f"{mix}.sparse"] = sparse[0]
            decode = dict(
                image_embeddings=image,
                text_embedding=asked["text_embedding"],
                image_pe=prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            logits, _ = timed("mask_decoder", lambda: decoder(**decode))
            out[f"{prefix}{mix}.low_res_logits"] = logits[0, 0]
        print(f"torch: {prefix or 'seeded window'} done", flush=True)
    return {name: tensor.detach().contiguous() for name, tensor in out.items()}, least_ms


def main() -> int:
    asked = arguments()
    segvol = shutil.which(asked.segvol) or stop(f"`{asked.segvol}`: no such program; name it with --segvol")
    try:
        import torch
        from safetensors.torch import load_file, save_file
    except ImportError as error:
        stop(f"{error}; see the head of this script for what to install")
    torch.manual_seed(0)
    folder = Path(tempfile.mkdtemp()) if asked.work is None else asked.work
    folder.mkdir(parents=True, exist_ok=True)
    try:
        given, found = folder / "inputs.safetensors", folder / "torch.safetensors"
        scans = [argument for scan in asked.scan for argument in ("-i", os.fspath(scan))]
        subprocess.run([segvol, "verify", os.fspath(asked.bundle), "--dump", os.fspath(given), *scans], check=True)
        tensors = load_file(given)
        with torch.no_grad():
            outputs, least_ms = run(released_modules(asked.segvol_repo, weights(asked.checkpoint)), tensors)
        about = {"tool": "BAAI-DCAI/SegVol", "bundle": asked.checkpoint.name, "provider": f"torch {torch.__version__}", "precision": "fp32"}
        about |= {f"ms.{stage}": str(ms) for stage, ms in least_ms.items()}
        save_file(outputs, found, metadata=about)
        return subprocess.run([segvol, "verify", os.fspath(asked.bundle), "--goldens", os.fspath(found), *asked.rest]).returncode
    except subprocess.CalledProcessError as error:
        return error.returncode
    finally:
        if asked.work is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
