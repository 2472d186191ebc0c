"""Endless-stream training data, composed in batches on the training device.

The model is used as a stateless window that slides over an endless stream, so it is trained as one: several
utterances of several speakers follow each other with gaps, in noise that never stops, after a window of
context that is not scored. All audio lives on the device; a batch is a few gathers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.recipe.corpus import Clip, unpack
from models.recipe.network import FRAME, SAMPLE_RATE

TAPS = 4
"""Points of the cubic interpolator that changes speed."""


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


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a clip at a place in a stream."""

    clip: int
    at: int
    """First sample in the stream."""
    length: int
    """Samples in the stream."""
    offset: int
    """First sample in the clip."""
    speed: float
    gain: float
    """Linear, on top of level normalization."""


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


class Planner:
    """Draws what each stream of a batch says, and when."""

    def __init__(
        self,
        bank: Bank,
        labels: Sequence[Sequence[Sequence[Sequence[int]]]],
        weights: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """Take the clips' words (per word its pronunciations) and how often each clip is to be heard."""
        self.bank, self.labels, self.rng = bank, labels, rng
        self.cumulative = np.cumsum(weights / weights.sum())

    def draw(self) -> int:
        """Draw a clip."""
        return int(np.searchsorted(self.cumulative, self.rng.random()).clip(0, len(self.labels) - 1))

    def stream(self, unscored: int, first: int, last: int) -> tuple[list[Piece], list[int]]:
        """Plan one stream.

        Utterances lie whole in [first, last); before `unscored` (samples) another may end, without a target.
        """
        rng, pieces, target = self.rng, [], []
        level = rng.normal(0, 2)
        if rng.random() < 0.5 and unscored > SAMPLE_RATE // 2:  # something was said before
            clip, speed = self.draw(), rng.uniform(0.87, 1.17)
            length = min(int(self.bank.length[clip] / speed), unscored - int(rng.uniform(0, 0.5) * unscored))
            offset = max(0, int(self.bank.length[clip] - (length + TAPS) * speed))
            pieces.append(Piece(clip, max(0, unscored - length), length, offset, speed, 10 ** (level / 20)))
        at = first + int(rng.exponential(0.4) * SAMPLE_RATE)
        for _ in range(30):
            clip = self.draw()
            speed = 1.0 if rng.random() < 0.25 else rng.uniform(0.87, 1.17)
            length = int(self.bank.length[clip] / speed) - TAPS
            if at + length >= last:
                if pieces and rng.random() < 0.3:
                    break
                continue
            pieces.append(Piece(clip, at, length, 0, speed, 10 ** ((level + rng.normal(0, 3)) / 20)))
            target += [t for variants in self.labels[clip] for t in variants[0]]
            at += length + int(rng.choice([rng.uniform(0.05, 0.4), rng.uniform(0.3, 3)]) * SAMPLE_RATE)
        return pieces, target


def noise_track(
    bank: Bank, candidates: np.ndarray, samples: int, rng: np.random.Generator, gap_s: float
) -> list[Piece]:
    """Plan noise: clips end to end, or with gaps of up to `gap_s` seconds between them."""
    pieces = []
    at = int(rng.uniform(0, gap_s) * SAMPLE_RATE)
    while at < samples:
        clip, speed = int(rng.choice(candidates)), rng.uniform(0.7, 1.4)
        length = min(int(bank.length[clip] / speed) - TAPS, samples - at)
        if length < FRAME:
            break
        pieces.append(Piece(clip, at, length, 0, speed, 1.0))
        at += length + int(rng.uniform(0, gap_s) * SAMPLE_RATE)
    return pieces
