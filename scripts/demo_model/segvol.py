"""The whole model and its checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .config import Config
from .image_encoder import ImageEncoder
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .text_encoder import TextEncoder


@dataclass(frozen=True)
class Prompts:
    """A batch of prompts of one kind, in window voxels; None where the kind has no such part."""

    points: Tensor | None = None  # [B, n, 3]
    labels: Tensor | None = None  # [B, n]
    box: Tensor | None = None  # [B, 6], maximum inclusive
    input_ids: Tensor | None = None  # [B, T]


class SegVol(nn.Module):
    """Image, text and prompt encoders and the mask decoder, named as in the released checkpoint."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.text_encoder = TextEncoder(config)

    def decode(self, image_embedding: Tensor, prompts: Prompts) -> Tensor:
        """Window logits `[B, D, H, W]` of one prompt per image embedding `[B, N, C]`."""
        text = None if prompts.input_ids is None else self.text_encoder(prompts.input_ids)
        points = None if prompts.points is None else (prompts.points, prompts.labels)
        sparse = self.prompt_encoder(points, prompts.box, text)
        image = image_embedding + self.prompt_encoder.dense_embedding()
        return self.mask_decoder(image, self.prompt_encoder.dense_pe(), sparse, text)

    def save(self, path: Path) -> None:
        """Writes the weights alone in the layout of the release: `{"model": {"module.…"}}`."""
        torch.save({"model": {f"module.{name}": value for name, value in self.state_dict().items()}}, path)

    @staticmethod
    def load(path: Path, config: Config) -> "SegVol":
        """Reads what `save` wrote."""
        weights = torch.load(path, map_location="cpu", weights_only=True)["model"]
        model = SegVol(config)
        model.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
        return model
