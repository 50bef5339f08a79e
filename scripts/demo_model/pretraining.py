"""Masked-autoencoder pretraining of the image encoder."""

import torch
from torch import Tensor, nn

from .config import Config
from .image_encoder import Block, ImageEncoder

HIDDEN_SHARE = 0.75


class MaskedAutoencoder(nn.Module):
    """The image encoder on a quarter of the patches, and a light decoder that restores the rest."""

    def __init__(self, encoder: ImageEncoder, config: Config) -> None:
        super().__init__()
        width = config.hidden
        self.encoder = encoder
        self.hidden_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, config.tokens, width))
        self.decoder = Block(width, 2 * width, config.heads)
        self.to_voxels = nn.Linear(width, encoder.patch_embedding.patch_embeddings[1].in_features)

    def forward(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error over the hidden patches of `[B, 1, D, H, W]`, each patch normalised by itself."""
        patches = self.encoder.patch_embedding.patches(image)
        tokens = self.encoder.patch_embedding(image)
        batch, count, width = tokens.shape
        order = torch.rand(batch, count, generator=generator).argsort(1)
        seen, hidden = order.tensor_split([round(count * (1 - HIDDEN_SHARE))], 1)
        encoded = self.encoder.transform(tokens.gather(1, seen[..., None].expand(-1, -1, width)))
        canvas = self.hidden_token.expand(batch, count, -1)
        canvas = canvas.scatter(1, seen[..., None].expand(-1, -1, width), encoded) + self.position
        guess = self.to_voxels(self.decoder(canvas))
        deviation = patches.var(-1, keepdim=True).add(1e-3).sqrt()
        error = (guess - (patches - patches.mean(-1, keepdim=True)) / deviation).square().mean(-1)
        return error.gather(1, hidden).mean()
