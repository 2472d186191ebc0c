"""Batches of endless streams: what is said, in which noise, where, through which microphone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.recipe import augment
from models.recipe.corpus import Clip
from models.recipe.noise import HELD_OUT_CLASSES, HELD_OUT_FAMILIES
from models.recipe.plans import Plan, Planner
from models.recipe.streams import Bank, render


class Data:
    """Speech, noise and rooms on the device, and the batches made of them."""

    def __init__(
        self, speech: Sequence[Path], folder: Path, shares: dict[str, float], device: torch.device, seed: int
    ) -> None:
        """Load speech corpora; `noise` and `rooms.npy` from a folder; `shares` as in `sampling_weights`."""
        self.device = device
        self.speech, clips = Bank.load(speech, device)
        self.noise, noises = Bank.load([folder / "noise"], device)
        self.rooms = torch.from_numpy(np.load(folder / "rooms.npy")).to(device)
        heard = [i for i, clip in enumerate(noises) if clip.text not in HELD_OUT_CLASSES | HELD_OUT_FAMILIES]
        self.planner = Planner(
            self.speech.length,
            [c.words for c in clips],
            sampling_weights(clips, shares),
            self.noise.length,
            np.array(heard),
            seed,
        )

    def batch(self, plan: Plan) -> Tensor:
        """Make the streams of a plan, [B, samples]."""
        count, samples = len(plan.speech), plan.samples
        speech = render(self.speech, plan.speech, samples)
        layers = [render(self.noise, plan.steady, samples), render(self.noise, plan.events, samples)]
        size = 1 << (samples + self.rooms.shape[1]).bit_length()
        x = augment.filtered(speech, augment.room_spectra(self.rooms, count, size, 0.6))
        babble = speech.roll(1, 0) + speech.roll(3, 0).flip(1) + speech.roll(5, 0) + speech.roll(7, 0).flip(1)
        talk = torch.rand(count, 1, device=self.device) < 0.15
        layers[0] = torch.where(
            talk & (count > 8),
            augment.filtered(babble, augment.room_spectra(self.rooms, count, size, 1.0)),
            layers[0],
        )
        x = augment.mix(x, layers, -5, 30, 0.15)
        x = augment.filtered(x, augment.microphone_spectra(count, size, self.device))
        return augment.capture(x)


def sampling_weights(clips: Sequence[Clip], shares: dict[str, float]) -> np.ndarray:
    """Return how often to draw each clip, so that each group of sources gets its share of what is heard.

    Args:
        clips: the corpus.
        shares: by the beginning of a source's name; a clip without words or share is never drawn.

    Raises:
        ValueError: names a share that no clip has.
    """
    groups = [next((name for name in shares if c.words and c.source.startswith(name)), None) for c in clips]
    seconds = {
        name: sum(c.seconds for c, g in zip(clips, groups, strict=True) if g == name) for name in shares
    }
    if missing := [name for name, heard in seconds.items() if not heard]:
        raise ValueError(f"share of {', '.join(missing)}: no clip with known words is of a source so named")
    return np.array([shares[g] / seconds[g] if g else 0.0 for g in groups])
