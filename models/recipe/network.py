"""The acoustic network in PyTorch: the Moonshine tiny encoder and a phone-CTC head.

The encoder hears raw audio and answers one frame per 24 ms; its architecture is that of Moonshine tiny
(Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FRAME = 384
"""Samples between two frames: the product of the three strides."""
RECEPTIVE = 895
"""Samples that one frame sees before attention; frame i sees [384 i, 384 i + 895)."""
WIDTH, HEADS, LAYERS, ROTARY = 288, 8, 6, 32
HEAD_WIDTH = WIDTH // HEADS


def frames_of(samples: int) -> int:
    """Return how many frames the network gives for that many samples (at least RECEPTIVE)."""
    return (samples - RECEPTIVE) // FRAME + 1


def rotary_tables(frames: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, each [frames, HEAD_WIDTH]: 1 and 0 where a dimension is not rotated."""
    inverse = 10_000.0 ** (-torch.arange(0, ROTARY, 2, device=device, dtype=torch.float32) / ROTARY)
    angle = torch.arange(frames, device=device, dtype=torch.float32)[:, None] * inverse
    angle = functional.pad(angle.repeat_interleave(2, dim=1), (0, HEAD_WIDTH - ROTARY))
    return angle.cos(), angle.sin()


def swap_pairs(x: Tensor) -> Tensor:
    """Rotate interleaved pairs of the last dimension by a quarter turn: (a, b) becomes (-b, a)."""
    return torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)


class Attention(nn.Module):
    """Self-attention with rotary positions, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Mix frames x [B, T, WIDTH]."""
        q, k, v = (p(x).unflatten(-1, (HEADS, HEAD_WIDTH)).transpose(1, 2) for p in (self.q, self.k, self.v))
        cosine, sine = (t.to(q.dtype) for t in rotary)
        q, k = (h * cosine + swap_pairs(h) * sine for h in (q, k))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, bias=False)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH, bias=False)
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Map frames [B, T, WIDTH] to frames of the same shape."""
        x = x + self.attention(self.norm1(x), rotary)
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return out


class Encoder(nn.Module):
    """Raw audio [B, samples] in -1..1 to frames [B, frames_of(samples), WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, WIDTH, 127, 64, bias=False)
        self.groupnorm = nn.GroupNorm(1, WIDTH)
        self.conv2 = nn.Conv1d(WIDTH, 2 * WIDTH, 7, 3)
        self.conv3 = nn.Conv1d(2 * WIDTH, WIDTH, 3, 2)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Encode."""
        out: Tensor = self.norm(self.lower(audio, LAYERS))
        return out

    def lower(self, audio: Tensor, blocks: int) -> Tensor:
        """Answer what leaves the convolutions and the first `blocks` blocks, [B, T, WIDTH]."""
        # The first convolution is framing and a matrix product, which trains much faster than a convolution.
        x = torch.tanh(functional.linear(audio.unfold(1, 127, 64), self.conv1.weight[:, 0]))
        x = functional.layer_norm(x, x.shape[1:]) * self.groupnorm.weight + self.groupnorm.bias
        x = functional.gelu(self.conv3(functional.gelu(self.conv2(x.transpose(1, 2))))).transpose(1, 2)
        rotary = rotary_tables(x.shape[1], x.device)
        for block in self.blocks[:blocks]:
            x = block(x, rotary)
        return x


class Head(nn.Module):
    """Encoder frames to token logits; its two convolutions see four frames to each side."""

    def __init__(self, tokens: int, width: int = 256) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.conv1 = nn.Conv1d(WIDTH, width, 5, padding=2)
        self.conv2 = nn.Conv1d(width, width, 5, padding=2)
        self.out = nn.Linear(width, tokens)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, T, WIDTH] to logits [B, T, tokens]."""
        y = self.norm(x).transpose(1, 2)
        y = self.dropout(functional.relu(self.conv1(y)))
        y = self.dropout(functional.relu(self.conv2(y)))
        out: Tensor = self.out(y.transpose(1, 2))
        return out


class Network(nn.Module):
    """The whole acoustic model: audio [B, samples] to logits [B, T, tokens]."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = Head(tokens)

    def forward(self, audio: Tensor) -> Tensor:
        """Answer token logits for every frame."""
        out: Tensor = self.head(self.encoder(audio))
        return out


@dataclass(frozen=True, slots=True)
class Window:
    """How a stateless network is slid over a stream; all in frames of FRAME samples."""

    frames: int = 123
    hop: int = 10
    look_ahead: int = 12

    @property
    def samples(self) -> int:
        """Samples that one window needs."""
        return (self.frames - 1) * FRAME + RECEPTIVE
