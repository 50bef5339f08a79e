"""The prompt encoder: points, boxes and text become sparse tokens; the grid gets its position code."""

import math

import torch
from torch import Tensor, nn

from .config import Config

FREQUENCY_SCALE = 0.5
"""Deviation of the random frequencies: the swapped axes below stretch height to several units."""


class PositionCode(nn.Module):
    """Random Fourier features of three coordinates."""

    def __init__(self, half_width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", FREQUENCY_SCALE * torch.randn(3, half_width))

    def forward(self, coordinates: Tensor) -> Tensor:
        """`[..., 3]` to `[..., C]`: sines, then cosines."""
        with torch.autocast("cpu", enabled=False):
            angles = 2 * math.pi * (2 * coordinates - 1) @ self.positional_encoding_gaussian_matrix
            return torch.cat([angles.sin(), angles.cos()], -1)


class ChannelNorm(nn.Module):
    """Weights of a 2-D norm inside `mask_downscaling`, which no prompt reaches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))


class PromptEncoder(nn.Module):
    """Prompts in window voxels to tokens of width C."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.hidden
        self.window, self.grid = config.spatial_size, config.grid
        self.pe_layer = PositionCode(width // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, 2), ChannelNorm(4), nn.GELU(),
            nn.Conv2d(4, 16, 2, 2), ChannelNorm(16), nn.GELU(),
            nn.Conv2d(16, width, 1),
        )  # fmt: skip
        self.no_mask_embed = nn.Embedding(1, width)

    def code(self, voxels: Tensor) -> Tensor:
        """Position code `[B, n, C]` of voxels `[B, n, 3]`.

        # Quirk
        Depth is divided by the window's height and height by its depth.
        """
        depth, height, width = self.window
        return self.pe_layer((voxels + 0.5) / voxels.new_tensor((height, depth, width)))

    def embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Tokens of points `[B, n, 3]` with labels `[B, n]`: 1 inside, 0 outside, -1 not a point."""
        label = labels[..., None]
        inside, outside = self.point_embeddings[1].weight, self.point_embeddings[0].weight
        coded = self.code(points) + torch.where(label == 1, inside, outside)
        return torch.where(label == -1, self.not_a_point_embed.weight, coded)

    def embed_box(self, box: Tensor) -> Tensor:
        """Tokens `[B, 2, C]` of the corners of a box `[B, 6]`, maximum inclusive."""
        corners = self.code(box.reshape(-1, 2, 3))
        return corners + torch.stack([self.point_embeddings[2].weight, self.point_embeddings[3].weight], 1)

    def forward(
        self, points: tuple[Tensor, Tensor] | None, box: Tensor | None, text_embedding: Tensor | None
    ) -> Tensor:
        """Sparse tokens `[B, n, C]`: points (and padding), box corners, text.

        # Quirk
        Points without a box are followed by one more "not a point".
        """
        tokens = []
        if points is not None:
            voxels, labels = points
            if box is None:
                voxels = torch.cat([voxels, voxels.new_zeros(len(voxels), 1, 3)], 1)
                labels = torch.cat([labels, labels.new_full((len(labels), 1), -1)], 1)
            tokens.append(self.embed_points(voxels, labels))
        if box is not None:
            tokens.append(self.embed_box(box))
        if text_embedding is not None:
            tokens.append(text_embedding[:, None])
        return torch.cat(tokens, 1)

    def dense_embedding(self) -> Tensor:
        """`[1, 1, C]`: the same at every image token, since no mask is ever given."""
        return self.no_mask_embed.weight[None]

    def dense_pe(self) -> Tensor:
        """Position code of the grid `[N, C]`.

        # Quirk
        Height and depth change places, and each keeps its own axis' size.
        """
        depth, height, width = ((torch.arange(g) + 0.5) / g for g in self.grid)
        i, j, k = torch.meshgrid(depth, height, width, indexing="ij")
        coordinates = torch.stack([j, i, k], -1).to(self.no_mask_embed.weight)
        return self.pe_layer(coordinates).flatten(0, 2)
