"""How a stateless network is slid over a stream, in training and in measurement alike."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from models.recipe.network import FRAME, Window


def slide(network: Callable[[Tensor], Tensor], audio: Tensor, window: Window) -> Tensor:
    """Answer for streams [B, samples] as the agent would: [B, W * hop, tokens] logits.

    Window w covers frames [w * hop, w * hop + frames) and answers for its `hop` frames before the look-ahead,
    so the first answer is for frame `frames - look_ahead - hop` of the stream.
    """
    windows = audio.unfold(1, window.samples, window.hop * FRAME)
    logits = network(windows.flatten(0, 1))
    end = window.frames - window.look_ahead
    return logits[:, end - window.hop : end].unflatten(0, windows.shape[:2]).flatten(1, 2)


def padded(audio: Tensor, window: Window) -> Tensor:
    """Pad one recording [samples] with its own quiet so that `slide` answers for each of its frames.

    The lead holds faint noise, as a microphone's stream would, not digital silence.
    """
    lead = (window.frames - window.look_ahead - window.hop) * FRAME
    tail = (window.look_ahead + window.hop + 2) * FRAME
    hiss = audio.abs().sort().values[: max(1, len(audio) // 5)].mean().clamp(min=3e-5)
    out = functional.pad(audio, (lead, tail))
    noise = torch.randn(len(out), generator=torch.Generator().manual_seed(0)).to(audio.device) * hiss
    return torch.where(out == 0, noise, out)
