"""The low-cost model: convolutions over log-mel, no state, no padding; taught by the encoder.

Shapes follow what the RK3568's converter runs whole on the NPU: 4-D tensors, plain ReLU, dilation <= 32.
One output frame per 40 ms.
"""

import torch
from torch import Tensor, nn

from agent.acoustics.features import mel_matrix

MEL_HOP, MEL_WINDOW, FFT, BANDS = 160, 400, 512, 80
STRIDE = 4
"""Mel frames per output frame."""
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 4)
CONTEXT = 5 + 2 * 4 + 4 * 2 * sum(DILATIONS)
"""Mel frames that one output frame sees."""
LOOK_AHEAD = 32
"""Mel frames of them that come after the sound which an output frame tells."""


def mel(audio: Tensor) -> Tensor:
    """Return log-mel bands [B, BANDS, frames] of audio [B, samples]: the agent's front end, in batches."""
    frames = audio.unfold(1, MEL_WINDOW, MEL_HOP) * torch.hann_window(MEL_WINDOW, device=audio.device)
    power = torch.fft.rfft(frames, FFT).abs().square()
    bands = power @ torch.from_numpy(mel_matrix()).to(audio.device)
    return (bands + 1e-8).log().transpose(1, 2)


class Residual(nn.Module):
    """A dilated convolution without padding, added to its cropped input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, (1, 3), dilation=(1, dilation), bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.crop = dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, 1, T] to [B, C, 1, T - 2 * dilation]."""
        out: Tensor = torch.relu(self.norm(self.conv(x)) + x[..., self.crop : -self.crop])
        return out


class Tcn(nn.Module):
    """Normalized log-mel [B, BANDS, 1, T] to logits [B, tokens, 1, (T - CONTEXT) // STRIDE + 1]."""

    def __init__(self, tokens: int, width: int = 256) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv2d(BANDS, 192, (1, 5), (1, 2), bias=False),
            nn.BatchNorm2d(192),
            nn.ReLU(),
            nn.Conv2d(192, width, (1, 5), (1, 2), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.body = nn.Sequential(*(Residual(width, dilation) for dilation in DILATIONS))
        self.out = nn.Conv2d(width, tokens, 1)
        self.register_buffer("mean", torch.zeros(BANDS))
        self.register_buffer("deviation", torch.ones(BANDS))

    def normalized(self, bands: Tensor) -> Tensor:
        """Scale log-mel [B, BANDS, T] to the input that `forward` takes."""
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        return ((bands - mean[:, None]) / deviation[:, None]).unsqueeze(2)

    def forward(self, x: Tensor) -> Tensor:
        """Answer token logits."""
        out: Tensor = self.out(self.body(self.front(x)))
        return out
