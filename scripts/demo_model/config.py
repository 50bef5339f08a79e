"""Sizes of a model: the fields of the `config.json` beside a checkpoint."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

Size3 = tuple[int, int, int]


@dataclass(frozen=True)
class ClipConfig:
    """Sizes of the text tower."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    max_position_embeddings: int = 77


@dataclass(frozen=True)
class Config:
    """Sizes of the whole model; axes are depth, height, width."""

    spatial_size: Size3
    patch_size: Size3
    hidden: int
    mlp: int
    layers: int
    heads: int
    dec_heads: int
    dec_mlp: int
    clip: ClipConfig
    axes: str = "RAS"
    """The axes in which the model sees scans, from the first voxel axis to the last: those of `phantom.generate`."""

    @property
    def grid(self) -> Size3:
        """Image tokens along each axis."""
        depth, height, width = (s // p for s, p in zip(self.spatial_size, self.patch_size))
        return depth, height, width

    @property
    def tokens(self) -> int:
        """Image tokens in a window."""
        depth, height, width = self.grid
        return depth * height * width

    def save(self, path: Path, names: list[str | dict[str, str | list[str]]]) -> None:
        """Writes the sizes and, for the converter, the names that the model is trained with."""
        fields = asdict(self)
        clip = fields.pop("clip")
        path.write_text(json.dumps({**fields, "names": names, "clip": clip}, indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> "Config":
        fields = json.loads(path.read_text())
        fields.pop("names", None)
        fields["spatial_size"], fields["patch_size"] = tuple(fields["spatial_size"]), tuple(fields["patch_size"])
        return Config(**{**fields, "clip": ClipConfig(**fields["clip"])})
