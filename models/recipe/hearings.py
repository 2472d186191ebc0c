"""Recordings as the frozen part of a network hears them: computed once, for all that trains the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.recipe import augment
from models.recipe.network import FRAME, LAYERS, Network, Window, rotary_tables
from models.recipe.noise import FAMILIES, HELD_OUT_FAMILIES, synthesize
from models.recipe.plans import TAPS, Piece, noise_track
from models.recipe.sliding import padded
from models.recipe.streams import Bank, render

LOOK_AHEAD = (8, 24)
"""Frames, drawn for each guise as in training; recordings as they are get the bundle's."""
NOISE_S, NOISES_PER_FAMILY = 8.0, 2
HEAD_REACH = 4
"""Frames to each side that the head sees."""
AT_ONCE = 16
"""Windows per call of the frozen part: it needs the most memory."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """A recording in one guise."""

    features: Tensor
    """float16 [windows, frames, WIDTH]: what enters the first block that is trained."""
    window: Window


class Upper(nn.Module):
    """The part of a network that is trained: its last blocks and its head, shared with the network."""

    def __init__(self, network: Network, blocks: int) -> None:
        super().__init__()
        self.blocks = network.encoder.blocks[LAYERS - blocks :]
        self.norm, self.head = network.encoder.norm, network.head

    def answers(self, hearings: Sequence[Hearing]) -> list[Tensor]:
        """Answer for every frame of each recording, all with windows of one hop: logits [frames, tokens]."""
        x = torch.cat([each.features for each in hearings]).float()
        rotary = rotary_tables(x.shape[1])
        for block in self.blocks:
            x = block(x, rotary)
        counts = [len(each.features) for each in hearings]
        used = [
            own[:, end - each.window.hop - HEAD_REACH : end + HEAD_REACH]  # the head need not see the rest
            for each, own in zip(hearings, self.norm(x).split(counts), strict=True)
            for end in (each.window.frames - each.window.look_ahead,)
        ]
        logits = self.head(torch.cat(used))[:, HEAD_REACH:-HEAD_REACH]
        return [own.flatten(0, 1) for own in logits.split(counts)]


class Lower:
    """The part of a network that stays as it is, and the recordings that it hears."""

    def __init__(
        self,
        network: Network,
        blocks: int,
        recordings: Sequence[NDArray[np.int16]],
        window: Window,
        seed: int,
    ) -> None:
        """Take recordings (16 kHz); all but the last `blocks` blocks of the network hear them."""
        self.network, self.lower, self.recordings, self.window = network, LAYERS - blocks, recordings, window
        self.bank = Bank.of(recordings, torch.device("cpu"))
        self.rng = np.random.default_rng(seed)
        families = sorted(FAMILIES.keys() - HELD_OUT_FAMILIES)
        noises = [synthesize(name, i, NOISE_S) for name in families for i in range(NOISES_PER_FAMILY)]
        self.noise = Bank.of(noises, torch.device("cpu"))
        torch.manual_seed(seed)

    def as_recorded(self, clip: int) -> Hearing:
        """Hear a recording as it is, with the look-ahead that is shipped."""
        audio = torch.from_numpy(np.array(self.recordings[clip])).float() / 32768
        return self._hear(padded(audio, self.window), self.window)

    def guises(self, clip: int, count: int) -> Iterator[Hearing]:
        """Hear a recording at other speeds, in machine noise, at other gains."""
        for _ in range(count):
            look_ahead = int(self.rng.integers(*LOOK_AHEAD, endpoint=True))
            window = Window(self.window.frames, self.window.hop, look_ahead)
            yield self._hear(self._guise(clip, window), window)

    def _guise(self, clip: int, window: Window) -> Tensor:
        rng, span = self.rng, window.hop * FRAME
        speed = 1.0 if rng.random() < 0.25 else rng.uniform(0.9, 1.12)
        length = int(self.bank.length[clip] / speed) - TAPS
        first = (window.frames - window.look_ahead - window.hop) * FRAME + int(rng.integers(span // 4))
        windows = -(-(first + length + 8 * FRAME - (window.frames - window.look_ahead) * FRAME) // span) + 1
        samples = window.samples + (max(1, windows) - 1) * span
        x = render(self.bank, [[Piece(clip, first, length, 0, speed, 1.0)]], samples)
        everything = np.arange(len(self.noise.length))
        tracks = [noise_track(self.noise.length, everything, samples, rng, gap_s) for gap_s in (0.0, 4.0)]
        layers = [render(self.noise, [track], samples) for track in tracks]
        return augment.capture(augment.mix(x, layers, 0, 30, 0.4))[0]

    def _hear(self, stream: Tensor, window: Window) -> Hearing:
        windows = stream.unfold(0, window.samples, window.hop * FRAME)
        with torch.no_grad():
            parts = [self.network.encoder.lower(part, self.lower) for part in windows.split(AT_ONCE)]
        return Hearing(torch.cat(parts).half(), window)
