"""Trains the demo model: a small SegVol on CT phantoms.

    python scripts/train_demo.py train --work target/demo-model --minutes 86 --out demo
    python scripts/train_demo.py evaluate --work target/demo-model --model demo --split held-out

Training resumes from its last checkpoint in `--work`. Every draw follows from `--seed` and the step's number; only when
`--minutes` ends a phase early does the result depend on the machine.
"""

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import phantom
from demo_model import dataset, tokenizer
from demo_model.config import ClipConfig, Config
from demo_model.dataset import Scan, Window
from demo_model.evaluation import evaluate, table
from demo_model.pretraining import MaskedAutoencoder
from demo_model.prompting import PSEUDO, ZOOMED_IN, ZOOMED_OUT, choose, choose_pseudo, prompts_for
from demo_model.segvol import SegVol
from demo_model.supervoxels import supervoxels
from demo_model.tokenizer import PromptTokenizer

LABELLED_SCANS, UNLABELLED_SCANS, WINDOWS_PER_UNLABELLED = 320, 40, 4
PRETRAINING_STEPS, TRAINING_STEPS = 1_500, 9_000
PRETRAINING_SHARE = 0.08
PRETRAINING_WINDOWS, TRAINING_WINDOWS = 16, 6
PSEUDO_SHARE = 0.05
LEARNING_RATE, WARM_UP_STEPS, WEIGHT_DECAY = 1e-3, 150, 0.02
SAVE_EVERY_S = 120.0
SPLITS = {"validation": (dataset.VALIDATION, 8), "held-out": (dataset.HELD_OUT, 20)}


def small_config(vocabulary: int) -> Config:
    """Sizes that a CPU learns in about an hour."""
    clip = ClipConfig(64, 128, 2, 4, vocabulary)
    return Config((24, 64, 64), (4, 8, 8), hidden=128, mlp=384, layers=4, heads=8, dec_heads=8, dec_mlp=256, clip=clip)


class Run:
    """The state of a training run, in memory and on disk."""

    def __init__(self, work: Path, model: SegVol, minutes: float) -> None:
        self.path, self.model, self.minutes = work / "last.pt", model, minutes
        self.autoencoder = MaskedAutoencoder(model.image_encoder, model.config)
        self.optimizer = optimizer_of(self.autoencoder)
        self.pretraining, self.step, self.spent_s = True, 0, 0.0
        self.saved_s = 0.0
        if self.path.exists():
            self.restore(torch.load(self.path, weights_only=True))

    def restore(self, state: dict) -> None:
        """Continues where `state` was saved."""
        if not state["pretraining"]:
            self.start_training()
        self.step, self.spent_s = state["step"], state["spent_s"]
        self.model.load_state_dict(state["model"])
        self.autoencoder.load_state_dict(state["autoencoder"])
        self.optimizer.load_state_dict(state["optimizer"])

    def start_training(self) -> None:
        """Ends pretraining."""
        self.pretraining, self.step = False, 0
        self.optimizer = optimizer_of(self.model)

    def save(self) -> None:
        """Writes the state beside the last one, then renames."""
        state = {
            "pretraining": self.pretraining,
            "step": self.step,
            "spent_s": self.spent_s,
            "model": self.model.state_dict(),
            "autoencoder": self.autoencoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        partial.rename(self.path)
        self.saved_s = self.spent_s

    def progress(self) -> float:
        """Share of the phase that is done, by steps or by time, whichever is further."""
        first_s = self.minutes * 60 * PRETRAINING_SHARE
        if self.pretraining:
            return max(self.step / PRETRAINING_STEPS, self.spent_s / first_s)
        return max(self.step / TRAINING_STEPS, (self.spent_s - first_s) / (self.minutes * 60 - first_s))

    def update(self, loss: Tensor, started: float) -> None:
        """One optimizer step at the rate of the warm-up and cosine schedule."""
        rate = 0.5 * (1 + math.cos(math.pi * min(self.progress(), 1.0)))
        rate = LEARNING_RATE * max(rate, 0.01) * min((self.step + 1) / WARM_UP_STEPS, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimizer.step()
        self.step += 1
        self.spent_s += time.monotonic() - started
        if self.spent_s - self.saved_s > SAVE_EVERY_S:
            self.save()


def optimizer_of(module: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW that decays matrices only."""
    matrices = [p for p in module.parameters() if p.ndim == 2]
    others = [p for p in module.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))


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
    while run.progress() < 1:
        started = time.monotonic()
        rng = np.random.default_rng((seed, 1, run.step))
        windows = draw_windows(scans, PRETRAINING_WINDOWS // 2, False, run.model.config, rng)
        windows += draw_windows(scans, PRETRAINING_WINDOWS // 2, True, run.model.config, rng)
        loss = run.autoencoder(images_of(windows), torch.Generator().manual_seed(int(rng.integers(2**62))))
        run.update(loss, started)
        if run.step % 50 == 0:
            print(f"pretrain {run.step} {run.spent_s:.0f} s  error {loss.item():.4f}", flush=True)
    run.start_training()
    run.save()


def train(run: Run, labelled: list[Scan], pseudo: dict[bool, list[Window]], words: PromptTokenizer, seed: int) -> None:
    """Supervised training: each step asks every kind of prompt of a few windows, zoomed out and in by turns."""
    recent: dict[str, list[float]] = {}
    while run.progress() < 1:
        started = time.monotonic()
        rng = np.random.default_rng((seed, 2, run.step))
        zoomed_in, is_pseudo = run.step % 2 == 1, rng.random() < PSEUDO_SHARE
        if is_pseudo:
            pool = pseudo[zoomed_in]
            windows = [pool[rng.integers(len(pool))] for _ in range(TRAINING_WINDOWS)]
        else:
            windows = draw_windows(labelled, TRAINING_WINDOWS, zoomed_in, run.model.config, rng)
        embedding = run.model.image_encoder(images_of(windows))
        kinds = PSEUDO if is_pseudo else ZOOMED_IN if zoomed_in else ZOOMED_OUT
        total = embedding.new_zeros(())
        for kind in kinds:
            targets = [choose_pseudo(w, rng) if is_pseudo else choose(w, kind, rng) for w in windows]
            truth = torch.from_numpy(np.stack([target.mask for target in targets])).float()
            prompts = prompts_for(targets, kind, zoomed_in, words, rng)
            loss = mask_loss(run.model.decode(embedding, prompts), truth) / len(windows)
            share = "pseudo" if is_pseudo else "in" if zoomed_in else "out"
            recent.setdefault(f"{share} {'+'.join(kind)}", []).append(loss.item())
            total = total + loss
        run.update(total / len(kinds), started)
        if run.step % 50 == 0:
            means = "  ".join(f"{name} {sum(v) / len(v):.3f}" for name, v in sorted(recent.items()))
            print(f"train {run.step} {run.spent_s:.0f} s  {means}", flush=True)
            recent.clear()
    run.save()


def run_training(arguments: argparse.Namespace) -> None:
    """Everything from the seed to the files in `--out`."""
    torch.manual_seed(arguments.seed)
    cache = arguments.work / "scans"
    cache.mkdir(parents=True, exist_ok=True)
    names = [*phantom.STRUCTURES, *(name for others in tokenizer.SYNONYMS.values() for name in others)]
    trained = tokenizer.train(names)
    trained.save(str(arguments.out / "tokenizer.json"))
    config = small_config(trained.get_vocab_size())
    config.save(arguments.out / "config.json")
    labelled = [dataset.load(dataset.LABELLED + index, cache) for index in range(LABELLED_SCANS)]
    unlabelled = [dataset.load(dataset.UNLABELLED + index, cache) for index in range(UNLABELLED_SCANS)]
    pseudo = pseudo_windows(unlabelled, config, np.random.default_rng((arguments.seed, 0)))
    run = Run(arguments.work, SegVol(config), arguments.minutes)
    if run.pretraining:
        pretrain(run, labelled + unlabelled, arguments.seed)
    train(run, labelled, pseudo, PromptTokenizer(arguments.out / "tokenizer.json"), arguments.seed)
    run.model.save(arguments.out / "SegVol_demo.pth")


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
    training.add_argument("--minutes", type=float, default=86.0, help="time for both phases, without drawing phantoms")
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
    torch.set_num_threads(2)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
