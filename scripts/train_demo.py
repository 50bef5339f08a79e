"""Trains the demo model: a small SegVol on CT phantoms.

    python scripts/train_demo.py train --work target/demo-model --out demo
    python scripts/train_demo.py evaluate --work target/demo-model --model demo --split held-out

Two processes of one thread each share every step: each takes windows of its own, and the gradients are averaged. Products
are in bfloat16, weights and sums in float32. Training resumes from its last checkpoint in `--work`. Every draw follows from
`--seed`, the step and the process; a machine of another kind rounds differently.
"""

import argparse
import fcntl
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed
from torch import multiprocessing as mp
from torch.nn import functional as F

import phantom
from demo_model import dataset, tokenizer
from demo_model.config import ClipConfig, Config
from demo_model.dataset import Scan, Window
from demo_model.evaluation import evaluate, table
from demo_model.image_encoder import PatchEmbedding
from demo_model.pretraining import MaskedAutoencoder
from demo_model.prompting import LABELLED, PSEUDO, choose, choose_pseudo, prompts_for
from demo_model.segvol import SegVol
from demo_model.supervoxels import supervoxels
from demo_model.tokenizer import PromptTokenizer

PROCESSES = 2
LABELLED_SCANS, UNLABELLED_SCANS, WINDOWS_PER_UNLABELLED = 640, 40, 4
PRETRAINING_STEPS, TRAINING_STEPS = 500, 9_000
PRETRAINING_WINDOWS, TRAINING_WINDOWS = 16, 8
"""Windows of one process in one step."""
PSEUDO_SHARE = 0.05
LEARNING_RATE, WARM_UP_STEPS, WEIGHT_DECAY = 1e-2, 150, 0.02
LAST_RATE = 0.01
"""Share of the rate that is left at the end."""
SAVE_EVERY_S = 120.0
WHITENED = 24
"""Principal components of a patch that start above half of unit deviation."""
SPLITS = {"validation": (dataset.VALIDATION, 8), "held-out": (dataset.HELD_OUT, 20)}


def small_config(vocabulary: int) -> Config:
    """Sizes that two cores learn in an hour and a half."""
    clip = ClipConfig(64, 128, 2, 4, vocabulary)
    return Config((24, 64, 64), (4, 8, 8), hidden=128, mlp=384, layers=6, heads=4, dec_heads=4, dec_mlp=256, clip=clip)


class Run:
    """The state of a training run, the same in every process, and its place on disk."""

    def __init__(self, work: Path, model: SegVol, rank: int) -> None:
        self.path, self.model, self.rank = work / "last.pt", model, rank
        self.autoencoder = MaskedAutoencoder(model.image_encoder, model.config)
        self.pretraining, self.step, self.spent_s, self.saved_s = True, 0, 0.0, 0.0
        self.optimizers = optimizers_of(self.autoencoder)

    def restore(self) -> None:
        """Continues where the last checkpoint was saved."""
        state = torch.load(self.path, weights_only=True)
        if not state["pretraining"]:
            self.start_training()
        self.step, self.spent_s = state["step"], state["spent_s"]
        self.model.load_state_dict(state["model"])
        self.autoencoder.load_state_dict(state["autoencoder"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)

    def start_training(self) -> None:
        """Ends pretraining."""
        self.pretraining, self.step = False, 0
        self.optimizers = optimizers_of(self.model)

    def save(self) -> None:
        """The first process writes the state beside the last one, then renames."""
        self.saved_s = self.spent_s
        if self.rank:
            return
        state = {
            "pretraining": self.pretraining,
            "step": self.step,
            "spent_s": self.spent_s,
            "model": self.model.state_dict(),
            "autoencoder": self.autoencoder.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        partial.rename(self.path)

    def update(self, loss: Tensor, steps: int, started: float) -> None:
        """One step on the gradients of all processes, at the rate of the warm-up and cosine schedule."""
        rate = 0.5 * (1 + math.cos(math.pi * self.step / steps))
        rate = LEARNING_RATE * max(rate, LAST_RATE) * min((self.step + 1) / WARM_UP_STEPS, 1.0)
        loss.backward()
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        average_gradients([parameter for group in groups for parameter in group["params"]])
        for group in groups:
            group["lr"] = rate
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.spent_s += time.monotonic() - started
        if self.spent_s - self.saved_s > SAVE_EVERY_S:
            self.save()


def average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Replaces each gradient by its mean over the processes; a parameter that none of them used has 0."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    torch._foreach_copy_(
        [parameter.grad for parameter in parameters],
        [part.view_as(p) for part, p in zip(flat.split([p.numel() for p in parameters]), parameters)],
    )


def optimizers_of(module: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between hidden states, AdamW for embeddings, norms, biases and convolutions."""
    embeddings = {m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding)}
    embeddings |= {p for name, p in module.named_parameters() if "patch_embeddings" in name}
    matrices = [p for p in module.parameters() if p.ndim == 2 and p not in embeddings]
    others = [p for p in module.parameters() if p.ndim != 2 or p in embeddings]
    return [
        torch.optim.Muon(matrices, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def whiten(embedding: PatchEmbedding, images: Tensor) -> None:
    """Starts the patch embedding at the principal components of patches, each scaled to about unit deviation.

    A CT's patches differ mostly in brightness; without this, the small differences that tell organs apart start small.
    """
    patches = embedding.patches(images).flatten(0, 1)
    patches = patches[patches.std(-1) > 0]
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    linear = embedding.patch_embeddings[1]
    width = linear.out_features
    values, vectors = values.flip(0)[:width], vectors.flip(1)[:, :width]
    weight = vectors.T / (values + values[WHITENED]).sqrt()[:, None]
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(-weight @ patches.mean(0))


def images_of(windows: list[Window]) -> Tensor:
    """`[B, 1, D, H, W]`."""
    return torch.from_numpy(np.stack([window.image for window in windows]))[:, None]


def draw_windows(scans: list[Scan], count: int, zoomed_in: bool, config: Config, rng: np.random.Generator) -> list[Window]:
    """Windows of as many random scans."""
    cut = dataset.zoomed_in if zoomed_in else dataset.zoomed_out
    return [cut(scans[rng.integers(len(scans))], config.spatial_size, rng) for _ in range(count)]


def pseudo_windows(scans: list[Scan], config: Config, rng: np.random.Generator) -> dict[bool, list[Window]]:
    """Windows of the unlabelled scans with supervoxels for labels, by whether they are zoomed in."""
    windows = {False: [], True: []}
    for scan in scans:
        for index in range(WINDOWS_PER_UNLABELLED):
            (window,) = draw_windows([scan], 1, index > 0, config, rng)
            windows[window.zoomed_in].append(Window(window.image, supervoxels(window.image), window.zoomed_in))
    return windows


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Dice plus binary cross-entropy, both per mask `[B, D, H, W]`, summed over the batch; an empty mask has no Dice."""
    found = logits.sigmoid()
    overlap, sizes = (found * truth).sum((1, 2, 3)), (found + truth).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (sizes + 1)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3))
    return (dice * (truth.amax((1, 2, 3)) > 0) + entropy).sum()


def pretrain(run: Run, scans: list[Scan], seed: int) -> None:
    """Masked-autoencoder pretraining, half the windows zoomed out."""
    while run.step < PRETRAINING_STEPS:
        started = time.monotonic()
        rng = np.random.default_rng((seed, 1, run.step, run.rank))
        windows = draw_windows(scans, PRETRAINING_WINDOWS // 2, False, run.model.config, rng)
        windows += draw_windows(scans, PRETRAINING_WINDOWS // 2, True, run.model.config, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = run.autoencoder(images_of(windows), torch.Generator().manual_seed(int(rng.integers(2**62))))
        run.update(loss, PRETRAINING_STEPS, started)
        if run.step % 50 == 0 and not run.rank:
            print(f"pretrain {run.step} {run.spent_s:.0f} s  error {loss.item():.4f}", flush=True)
    run.start_training()
    run.save()


def train(run: Run, labelled: list[Scan], pseudo: dict[bool, list[Window]], words: PromptTokenizer, seed: int) -> None:
    """Supervised training: of two processes one asks zoomed out, the other zoomed in, by turns."""
    recent: dict[str, list[float]] = {}
    while run.step < TRAINING_STEPS:
        started = time.monotonic()
        rng = np.random.default_rng((seed, 2, run.step, run.rank))
        zoomed_in, is_pseudo = (run.step + run.rank) % 2 == 1, rng.random() < PSEUDO_SHARE
        if is_pseudo:
            pool = pseudo[zoomed_in]
            windows = [pool[rng.integers(len(pool))] for _ in range(TRAINING_WINDOWS)]
        else:
            windows = draw_windows(labelled, TRAINING_WINDOWS, zoomed_in, run.model.config, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedding = run.model.image_encoder(images_of(windows))
        kinds = PSEUDO if is_pseudo else LABELLED
        total = embedding.new_zeros(())
        for kind in kinds:
            targets = [choose_pseudo(w, rng) if is_pseudo else choose(w, kind, rng) for w in windows]
            truth = torch.from_numpy(np.stack([target.mask for target in targets])).float()
            prompts = prompts_for(targets, kind, zoomed_in, words, rng)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = run.model.decode(embedding, prompts)
            loss = mask_loss(logits.float(), truth) / len(windows)
            share = "pseudo" if is_pseudo else "in" if zoomed_in else "out"
            recent.setdefault(f"{share} {'+'.join(kind)}", []).append(loss.item())
            total = total + loss
        run.update(total / len(kinds), TRAINING_STEPS, started)
        if run.step % 50 == 0 and not run.rank:
            means = "  ".join(f"{name} {sum(v) / len(v):.3f}" for name, v in sorted(recent.items()))
            print(f"train {run.step} {run.spent_s:.0f} s  {means}", flush=True)
            recent.clear()
    run.save()


def run_training(arguments: argparse.Namespace) -> None:
    """Everything from the seed to the files in `--out`."""
    (arguments.work / "scans").mkdir(parents=True, exist_ok=True)
    meeting = arguments.work / "meeting"
    meeting.unlink(missing_ok=True)
    mp.spawn(run_process, (arguments, meeting.absolute()), PROCESSES)


def run_process(rank: int, arguments: argparse.Namespace, meeting: Path) -> None:
    """One of the processes that train together; the first writes the files."""
    held = open(arguments.work / f"lock.{rank}", "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"{arguments.work}: another training, or a process left of one, works in this folder") from None
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=PROCESSES)
    torch.manual_seed(arguments.seed)
    names = [*phantom.STRUCTURES, *(name for others in tokenizer.SYNONYMS.values() for name in others)]
    trained = tokenizer.train(names)
    config = small_config(trained.get_vocab_size())
    if rank == 0:
        trained.save(str(arguments.out / "tokenizer.json"))
        config.save(arguments.out / "config.json", tokenizer.listed(phantom.STRUCTURES))
    cache = arguments.work / "scans"
    seeds = [dataset.LABELLED + index for index in range(LABELLED_SCANS)]
    seeds += [dataset.UNLABELLED + index for index in range(UNLABELLED_SCANS)]
    for seed in seeds[rank::PROCESSES]:
        dataset.load(seed, cache)
    distributed.barrier()
    scans = [dataset.load(seed, cache) for seed in seeds]
    labelled, unlabelled = scans[:LABELLED_SCANS], scans[LABELLED_SCANS:]
    pseudo = pseudo_windows(unlabelled, config, np.random.default_rng((arguments.seed, 0)))
    model = SegVol(config)
    whiten(model.image_encoder.patch_embedding, images_of(sampled(labelled, config, arguments.seed)))
    run = Run(arguments.work, model, rank)
    if run.path.exists():
        run.restore()
    if run.pretraining:
        pretrain(run, scans, arguments.seed)
    train(run, labelled, pseudo, PromptTokenizer(arguments.out / "tokenizer.json"), arguments.seed)
    if rank == 0:
        model.save(arguments.out / "SegVol_demo.pth")
    distributed.destroy_process_group()


def sampled(scans: list[Scan], config: Config, seed: int) -> list[Window]:
    """Windows of both kinds that stand for all."""
    rng = np.random.default_rng((seed, 3))
    return draw_windows(scans, 16, False, config, rng) + draw_windows(scans, 16, True, config, rng)


def run_evaluation(arguments: argparse.Namespace) -> None:
    """Prints the table and writes every score to `--work`."""
    config = Config.load(arguments.model / "config.json")
    model = SegVol.load(arguments.model / "SegVol_demo.pth", config)
    first, count = SPLITS[arguments.split]
    cache = arguments.work / "scans"
    cache.mkdir(parents=True, exist_ok=True)
    words = PromptTokenizer(arguments.model / "tokenizer.json")
    scores = evaluate(model, words, range(first, first + min(count, arguments.limit or count)), cache)
    (arguments.work / f"scores-{arguments.split}.json").write_text(json.dumps([asdict(s) for s in scores], indent=1))
    print(table(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains and evaluates the demo model.")
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train, resuming from --work, and write --out")
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--out", type=Path, required=True, help="folder of the released files, must exist")
    training.set_defaults(run=run_training)
    evaluation = commands.add_parser("evaluate", help="print the table of Dice")
    evaluation.add_argument("--model", type=Path, required=True, help="folder of the released files")
    evaluation.add_argument("--split", choices=SPLITS, default="validation")
    evaluation.add_argument("--limit", type=int, help="only the first phantoms")
    evaluation.set_defaults(run=run_evaluation)
    for command in (training, evaluation):
        command.add_argument("--work", type=Path, required=True, help="folder for phantoms, checkpoints and scores")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
