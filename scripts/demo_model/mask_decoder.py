"""The mask decoder: prompt tokens and image tokens attend to each other; one token becomes the mask's classifier."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config, Size3
from .image_encoder import attention


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its outer."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries `[B, n, C]`, keys and values `[B, m, C]` to `[B, n, C]`."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        return self.out_proj(attention(q, k, v).transpose(1, 2).flatten(2))


class TokenMlp(nn.Module):
    """Two linear layers with ReLU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, inner)
        self.lin2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayBlock(nn.Module):
    """Tokens to tokens, tokens to image, MLP, image to tokens; a norm after each."""

    def __init__(self, config: Config, first: bool) -> None:
        super().__init__()
        width, heads = config.hidden, config.dec_heads
        self.first = first
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TokenMlp(width, config.dec_mlp)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, width // 2)

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[B, n, C]` and image `[B, N, C]` to the same.

        # Quirk
        The first block's self-attention has no position code and no residual.
        """
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            coded = tokens + token_pe
            tokens = tokens + self.self_attn(coded, coded, tokens)
        tokens = self.norm1(tokens)
        placed = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, placed, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(placed, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Two blocks and a last attention from the tokens to the image."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.hidden
        self.layers = nn.ModuleList(TwoWayBlock(config, first) for first in (True, False))
        self.final_attn_token_to_image = Attention(width, config.dec_heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[B, n, C]` and image `[B, N, C]` to the same."""
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image


class HyperMlp(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def doubled(grid: Size3) -> Size3:
    """The grid after one transposed convolution of kernel and stride 2."""
    depth, height, width = (2 * g for g in grid)
    return depth, height, width


@cache
def interpolation(before: int, after: int) -> Tensor:
    """Weights `[before, after]` of linear interpolation with half-pixel centres."""
    return F.interpolate(torch.eye(before)[None], after, mode="linear", align_corners=False)[0].clone()


class MaskDecoder(nn.Module):
    """Image and prompt embeddings to mask logits; the heads for other masks and for IoU exist, unused."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, self.grid = config.hidden, config.grid
        self.window = config.spatial_size
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(4, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose3d(width, width // 4, 2, 2),
            nn.LayerNorm((width // 4, *doubled(config.grid))),
            nn.GELU(),
            nn.ConvTranspose3d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(HyperMlp(width, width, width, width // 8) for _ in range(4))
        self.iou_prediction_head = HyperMlp(width, width // 3, width // 3, 4)
        self.txt_align_upscaled_embedding = nn.Linear(width, width // 8)

    def low_res(self, image: Tensor, image_pe: Tensor, sparse: Tensor, text_embedding: Tensor | None) -> Tensor:
        """Logits `[B, 4 gd, 4 gh, 4 gw]` from the image `[B, N, C]` (dense embedding added) and tokens `[B, n, C]`."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], 1)
        tokens, image = self.transformer(tokens, image, image_pe)
        upscaled = self.output_upscaling(image.transpose(1, 2).unflatten(2, self.grid))  # [B, C/8, ...]
        classifier = self.output_hypernetworks_mlps[0](tokens[:, 1])
        if text_embedding is not None:
            classifier = classifier + self.txt_align_upscaled_embedding(text_embedding)
        with torch.autocast("cpu", enabled=False):
            return torch.einsum("bc,bcdhw->bdhw", classifier.float(), upscaled.float())

    def forward(self, image: Tensor, image_pe: Tensor, sparse: Tensor, text_embedding: Tensor | None) -> Tensor:
        """Window logits `[B, D, H, W]`: trilinear, one axis after the other as products with small matrices."""
        low = self.low_res(image, image_pe, sparse, text_embedding)
        with torch.autocast("cpu", enabled=False):
            for axis, size in enumerate(self.window, 1):
                if low.shape[axis] != size:
                    low = (low.transpose(axis, -1) @ interpolation(low.shape[axis], size)).transpose(axis, -1)
        return low
