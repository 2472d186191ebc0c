"""Endless-stream training data, composed in batches on the training device, where all audio lives.

A batch is a few gathers, as `plans` says what comes when.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.recipe.corpus import Clip, unpack
from models.recipe.plans import TAPS, Piece


@dataclass(frozen=True)
class Bank:
    """Many clips in one array on the device."""

    audio: Tensor
    """int16, flat, with TAPS zeros at the end."""
    start: np.ndarray
    length: np.ndarray
    rms: np.ndarray
    """Level of the loud part of each clip, in int16 units."""

    @classmethod
    def load(cls, folders: Sequence[Path], device: torch.device) -> tuple["Bank", list[Clip]]:
        """Copy packed corpora to the device and measure the level of each clip."""
        packed = [unpack(folder) for folder in folders]
        clips = [clip for own, _ in packed for clip in own]
        return cls.of([samples for _, audio in packed for samples in audio], device), clips

    @classmethod
    def of(cls, clips: Sequence[NDArray[np.int16]], device: torch.device) -> "Bank":
        """Copy clips, int16 of any length, to the device and measure the level of each."""
        length = np.array([len(clip) for clip in clips], np.int64)
        audio = torch.from_numpy(np.concatenate([*clips, np.zeros(TAPS, np.int16)])).to(device)
        loud = np.array([_loud(clip) for clip in clips], np.float32)
        return cls(audio, np.cumsum(length) - length, length, np.maximum(loud, 1.0))


def _loud(clip: NDArray[np.int16]) -> float:
    """Return the rms of the block of 25 ms than which 15 % are louder, in int16 units."""
    blocks = clip[: len(clip) // 400 * 400].astype(np.float32).reshape(-1, 400)
    return float(np.sqrt(np.sort((blocks**2).mean(1))[int(len(blocks) * 0.85)])) if len(blocks) else 1.0


def render(bank: Bank, tracks: Sequence[Sequence[Piece]], samples: int) -> Tensor:
    """Lay pieces, which may not overlap, into streams: float32 [B, samples], about 0.05 where loud."""
    device = bank.audio.device
    lengths, origins, speeds, gains = [], [], [], []
    for pieces in tracks:
        at = 0
        for piece in sorted(pieces, key=lambda p: p.at):
            lengths += [piece.at - at, piece.length]
            origins += [0, bank.start[piece.clip] + piece.offset]
            speeds += [0.0, piece.speed]
            gains += [0.0, piece.gain * 0.05 / bank.rms[piece.clip]]
            at = piece.at + piece.length
        lengths, origins = [*lengths, samples - at], [*origins, 0]
        speeds, gains = [*speeds, 0.0], [*gains, 0.0]
    length = torch.tensor(lengths, device=device)
    segment = torch.repeat_interleave(
        torch.arange(len(lengths), device=device), length, output_size=len(tracks) * samples
    )
    within = torch.arange(len(segment), device=device) - (length.cumsum(0) - length)[segment]
    speed = torch.tensor(speeds, device=device, dtype=torch.float64)[segment]
    position = within * speed
    whole = position.floor()
    part = (position - whole).float()
    index = whole.long() + torch.tensor(np.array(origins, np.int64), device=device)[segment]
    last = len(bank.audio) - 1
    before, here, after, beyond = (bank.audio[(index + tap).clamp(0, last)].float() for tap in (-1, 0, 1, 2))
    curve = (
        0.5
        * part
        * (
            after
            - before
            + part
            * (2 * before - 5 * here + 4 * after - beyond + part * (3 * (here - after) + beyond - before))
        )
    )  # Catmull and Rom's
    out = here + curve
    return (out * torch.tensor(gains, device=device, dtype=torch.float32)[segment]).view(len(tracks), samples)
