"""The text encoder: CLIP's text tower and a linear layer to the decoder's width."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ClipConfig, Config


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's approximation of GELU."""
    return x * torch.sigmoid(1.702 * x)


class ClipAttention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, clip: ClipConfig) -> None:
        super().__init__()
        width = clip.hidden_size
        self.heads = clip.num_attention_heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, C]` to the same."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class ClipMlp(nn.Module):
    """Two linear layers with quick-GELU between."""

    def __init__(self, clip: ClipConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(clip.hidden_size, clip.intermediate_size)
        self.fc2 = nn.Linear(clip.intermediate_size, clip.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(quick_gelu(self.fc1(x)))


class ClipLayer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, clip: ClipConfig) -> None:
        super().__init__()
        self.self_attn = ClipAttention(clip)
        self.layer_norm1 = nn.LayerNorm(clip.hidden_size)
        self.mlp = ClipMlp(clip)
        self.layer_norm2 = nn.LayerNorm(clip.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class ClipEmbeddings(nn.Module):
    """Token plus position embedding."""

    def __init__(self, clip: ClipConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(clip.vocab_size, clip.hidden_size)
        self.position_embedding = nn.Embedding(clip.max_position_embeddings, clip.hidden_size)
        self.register_buffer("position_ids", torch.arange(clip.max_position_embeddings)[None])
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.01)

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = self.position_ids[:, : input_ids.shape[1]]
        return self.token_embedding(input_ids) + self.position_embedding(positions)


class ClipEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, clip: ClipConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ClipLayer(clip) for _ in range(clip.num_hidden_layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class ClipTower(nn.Module):
    """Embeddings, layers, final norm; pools at the first position of the largest id, the end token."""

    def __init__(self, clip: ClipConfig) -> None:
        super().__init__()
        self.embeddings = ClipEmbeddings(clip)
        self.encoder = ClipEncoder(clip)
        self.final_layer_norm = nn.LayerNorm(clip.hidden_size)

    def forward(self, input_ids: Tensor) -> Tensor:
        """`[B, T]` to `[B, hidden_size]`."""
        states = self.final_layer_norm(self.encoder(self.embeddings(input_ids)))
        return states[torch.arange(len(states)), input_ids.argmax(-1)]


class ClipTextModel(nn.Module):
    """The tower under the name that transformers 4.x gives it."""

    def __init__(self, clip: ClipConfig) -> None:
        super().__init__()
        self.text_model = ClipTower(clip)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.text_model(input_ids)


class TextEncoder(nn.Module):
    """Prompt ids to one embedding of the decoder's width."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.clip_text_model = ClipTextModel(config.clip)
        self.dim_align = nn.Linear(config.clip.hidden_size, config.hidden)

    def forward(self, input_ids: Tensor) -> Tensor:
        """`[B, T]` int64 to `[B, C]`."""
        return self.dim_align(self.clip_text_model(input_ids))
