"""The image encoder: a plain vision transformer over the patches of one window."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config


class PatchEmbedding(nn.Module):
    """Patches to tokens: a linear layer over `(pd ph pw c)` plus a learned position."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch, self.grid = config.patch_size, config.grid
        voxels = config.patch_size[0] * config.patch_size[1] * config.patch_size[2]
        self.position_embeddings = nn.Parameter(torch.zeros(1, config.tokens, config.hidden))
        self.patch_embeddings = nn.Sequential(nn.Identity(), nn.Linear(voxels, config.hidden))
        nn.init.trunc_normal_(self.position_embeddings, std=0.02)

    def patches(self, image: Tensor) -> Tensor:
        """`[B, 1, D, H, W]` to `[B, N, voxels of a patch]`."""
        (gd, gh, gw), (pd, ph, pw) = self.grid, self.patch
        split = image.reshape(-1, gd, pd, gh, ph, gw, pw)
        return split.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, gd * gh * gw, pd * ph * pw)

    def forward(self, image: Tensor) -> Tensor:
        """`[B, 1, D, H, W]` to `[B, N, C]`."""
        return self.patch_embeddings(self.patches(image)) + self.position_embeddings


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention over `[B, heads, n, width]`, in steps: torch's fused kernel is slower on CPUs in bfloat16."""
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1).to(v.dtype) @ v


class SelfAttention(nn.Module):
    """Multi-head attention whose `qkv` outputs are ordered (q|k|v, head, channel)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.out_proj = nn.Linear(width, width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, N, C]` to the same."""
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = attention(q, k, v)  # [B, heads, N, C / heads]
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(F.gelu(self.linear1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.mlp = Mlp(width, inner)
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ImageEncoder(nn.Module):
    """A window to one embedding per patch."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(config)
        self.blocks = nn.ModuleList(Block(config.hidden, config.mlp, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden)

    def transform(self, tokens: Tensor) -> Tensor:
        """The blocks and the last norm, over any subset of tokens `[B, n, C]`."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def forward(self, image: Tensor) -> Tensor:
        """`[B, 1, D, H, W]` in [0, 1] to `[B, N, C]`."""
        return self.transform(self.patch_embedding(image))
