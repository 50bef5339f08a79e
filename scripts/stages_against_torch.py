#!/usr/bin/env python3
"""Times every stage against the released PyTorch code, in your own clone of it, on the same processor or GPU.

    git clone https://github.com/BAAI-DCAI/SegVol
    pip install torch torchvision monai==0.9.0 transformers einops scipy matplotlib safetensors
    scripts/stages_against_torch.py --segvol-repo SegVol --checkpoint SegVol_v1.pth --bundle bundle --device cuda --compile \\
        -- --provider cuda --precision fp32,fp16

1. `segvol verify BUNDLE --dump` writes a window, token ids and prompts.
2. The clone's modules run on them: in float32 as they are, under PyTorch's autocast to float16 (bfloat16 on a processor), and
   with --compile as a user would make them fast: weights in that type, `scaled_dot_product_attention`, and `torch.compile`
   with CUDA graphs.
3. `segvol bench BUNDLE` runs the same stages, with the arguments after `--`.

A run begins and ends with tensors in the processor's memory, on both sides. The error is the relative L2 distance to float32:
of PyTorch on the processor, and of the CPU provider. The programs run one after the other, not in turns, so that one does not
hold a GPU's memory while the other runs. `segvol bench` repeats outputs of one item for a batch; so does this script.
Nothing of the clone is copied or changed.
"""

import argparse
import copy
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from verify_against_torch import add_sides, released_modules, stop, weights

STAGES = ["image_encoder", "text_encoder", "prompt_encoder", "mask_decoder"]
WARM_UP = 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sides(parser)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where PyTorch runs [cpu]")
    parser.add_argument("--stage", default=",".join(STAGES), metavar="LIST", help="stages [all four]")
    parser.add_argument("--batch", default="1", metavar="LIST", help="windows in a run of the image encoder [1]")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="timed runs [20]")
    parser.add_argument("--compile", action="store_true", help="also time compiled modules: some minutes for every batch size")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument("rest", nargs="*", help="after `--`: more arguments of `segvol bench`")
    return parser.parse_args()


def calls(modules: dict, given: dict, embedding) -> dict:
    """For each stage, a function that runs its module on inputs, and the inputs of one item."""
    def image_encoder(module, window):
        return module(window)[0]

    def text_encoder(module, ids):
        return module.dim_align(module.clip_text_model(input_ids=ids).pooler_output)

    def prompt_encoder(module, name):
        return module(points=None, boxes=None, masks=None, text_embedding=name)[0]

    def mask_decoder(module, image, name, pe, sparse, dense):
        return module(image, name, pe, sparse, dense, multimask_output=False)[0]

    name = text_encoder(modules["text_encoder"], given["input_ids"][:1])
    prompts = modules["prompt_encoder"]
    sparse, dense = prompts(points=None, boxes=None, masks=None, text_embedding=name)
    image = embedding.transpose(1, 2).reshape(1, embedding.shape[2], *prompts.image_embedding_size)
    return {
        "image_encoder": (image_encoder, [given["window"][None, None]]),
        "text_encoder": (text_encoder, [given["input_ids"][:1]]),
        "prompt_encoder": (prompt_encoder, [name]),
        "mask_decoder": (mask_decoder, [image, name, prompts.get_dense_pe(), sparse, dense.contiguous()]),
    }


def with_fused_attention(encoder) -> None:
    """Replaces the attention of the image encoder's blocks by PyTorch's fused one. The weights stay."""
    import torch

    def attention(block):
        def forward(tokens):
            items, count, width = tokens.shape
            shape = (items, count, 3, block.num_heads, width // block.num_heads)
            query, key, value = block.qkv(tokens).view(shape).permute(2, 0, 3, 1, 4)
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
            return block.out_proj(mixed.transpose(1, 2).reshape(items, count, width))

        return forward

    for layer in encoder.blocks:
        layer.attn.forward = attention(layer.attn)


def time_torch(asked: argparse.Namespace, modules: dict, given: dict) -> list[dict]:
    import torch

    half = torch.float16 if asked.device == "cuda" else torch.bfloat16
    half_name = str(half).removeprefix("torch.")
    embedding = modules["image_encoder"](given["window"][None, None])[0]
    rows = []
    for stage, (call, inputs) in calls(modules, given, embedding).items():
        if stage not in asked.stage.split(","):
            continue
        exact = call(modules[stage], *inputs)
        programs = ["float32", f"{half_name} autocast", *([f"{half_name}, compiled"] if asked.compile else [])]
        for program in programs:
            module = copy.deepcopy(modules[stage]).to(asked.device)
            compiled = program.endswith("compiled")
            kind = half if compiled else torch.float32
            if compiled:
                if stage == "image_encoder":
                    with_fused_attention(module)
                module = module.to(half)
                work = torch.compile(call, mode="reduce-overhead", dynamic=False)
            else:
                work = call
            cast = torch.autocast(asked.device, half, enabled=program.endswith("autocast"))
            for batch in asked.batch.split(",") if stage == "image_encoder" else ["1"]:
                host = [tensor.repeat(int(batch), *[1] * (tensor.dim() - 1)) for tensor in inputs]
                host = [tensor.to(kind) if tensor.is_floating_point() else tensor for tensor in host]

                def run():
                    return work(module, *(tensor.to(asked.device) for tensor in host)).cpu()

                samples = []
                with cast:
                    for _ in range(WARM_UP + asked.runs):
                        start = time.perf_counter()
                        output = run()
                        samples.append(1e3 * (time.perf_counter() - start))
                error = float((output[:1].float() - exact).norm() / exact.norm())
                rows.append({"stage": stage, "batch": int(batch), "program": f"released, {program}", "error": error})
                rows[-1]["samples_ms"] = samples[WARM_UP:]
                print(f"{rows[-1]['program']}, {stage}, batch {batch}: {statistics.median(samples[WARM_UP:]):.2f} ms", flush=True)
            del module
    return rows


def time_ours(asked: argparse.Namespace, segvol: str) -> list[dict]:
    rows = []
    for stage in asked.stage.split(","):
        batch = asked.batch if stage == "image_encoder" else "1"
        command = [segvol, "bench", "-m", os.fspath(asked.bundle), "--stage", stage, "--batch", batch]
        command += ["--runs", str(asked.runs), "--warm-up", str(WARM_UP), "--format", "json", *asked.rest]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode not in (0, 3):
            print(f"{stage}: `segvol bench` ended with exit code {done.returncode}", flush=True)
            continue
        for row in json.loads(done.stdout)["rows"]:
            found = row.get("measured")
            program = f"segvol, {row['precision']}, {row['provider']}"
            if found is None or not found.get("samples_ms"):
                print(f"{program}, {stage}, batch {row['batch']}: not timed: {row.get('error') or row.get('note')}", flush=True)
                continue
            error = found["difference"]["relative_l2"]
            rows.append({"stage": stage, "batch": row["batch"], "program": program, "error": error, "samples_ms": found["samples_ms"]})
    return rows


def table(rows: list[dict]) -> None:
    """Prints the rows; times faster than the released code in float32 with the same batch."""
    print("\n| stage | batch | program | median, ms | shortest, ms | per item, ms | times faster | error |")
    print("|---|---|---|---|---|---|---|---|")
    rows.sort(key=lambda row: (STAGES.index(row["stage"]), row["batch"], not row["program"].startswith("released")))
    for row in rows:
        same = [other for other in rows if (other["stage"], other["batch"]) == (row["stage"], row["batch"])]
        first = statistics.median(same[0]["samples_ms"])
        median, least = statistics.median(row["samples_ms"]), min(row["samples_ms"])
        times = f"{median:.2f} | {least:.2f} | {median / row['batch']:.2f} | {first / median:.2f}"
        print(f"| {row['stage']} | {row['batch']} | {row['program']} | {times} | {row['error']:.1e} |")


def main() -> int:
    asked = arguments()
    segvol = shutil.which(asked.segvol) or stop(f"`{asked.segvol}`: no such program; name it with --segvol")
    unknown = [stage for stage in asked.stage.split(",") if stage not in STAGES]
    if unknown or asked.runs < 1 or not all(part.isdigit() and int(part) for part in asked.batch.split(",")):
        stop(f"expected stages of {', '.join(STAGES)}, --runs of at least 1, and a --batch such as 1,2,4")
    try:
        import torch
        from safetensors.torch import load_file
    except ImportError as error:
        stop(f"{error}; see the head of this script for what to install")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.safetensors"
        subprocess.run([segvol, "verify", "-m", os.fspath(asked.bundle), "--dump", os.fspath(inputs)], check=True)
        given = load_file(inputs)
    modules = released_modules(asked.segvol_repo, weights(asked.checkpoint))
    with torch.no_grad():
        rows = time_torch(asked, modules, given)
    del modules
    if asked.device == "cuda":
        print(f"GPU: {torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
        torch.cuda.empty_cache()
    rows += time_ours(asked, segvol)
    table(rows)
    if asked.json:
        asked.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
