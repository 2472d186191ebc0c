"""Phone error rates on dev speech, as the model is used: a window slid over padded recordings."""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.recipe.corpus import unpack
from models.recipe.network import Window
from models.recipe.noise import HELD_OUT_CLASSES, HELD_OUT_FAMILIES, ratio_name
from models.recipe.scoring import error_rate, greedy, with_noise
from models.recipe.sliding import padded, slide
from models.recipe.tcn import Tcn, mel

SOURCES = ("dev/an4", "dev/coffee", "dev/aishell")


class PhoneErrors:
    """Phone error rates of a network, by dev speech and held-out noise on a device."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self.clips, audio = unpack(folder / "dev")
        self.audio = [self._floats(a) for a in audio]
        unseen = HELD_OUT_CLASSES | HELD_OUT_FAMILIES
        self.noise = [
            self._floats(a) for clip, a in zip(*unpack(folder / "noise"), strict=True) if clip.text in unseen
        ]
        self.references: list[list[list[int]]] = json.loads(
            (folder / "dev/references.json").read_text("utf-8")
        )

    def _floats(self, audio: NDArray[np.int16]) -> torch.Tensor:
        return torch.from_numpy(np.array(audio)).to(self.device).float() / 32768

    def some(self, source: str, every: int) -> list[int]:
        """Return every so manieth clip of a source that has a reference."""
        own = [i for i, c in enumerate(self.clips) if c.source == source and self.references[i]]
        return own[::every]

    def quick(self, network: nn.Module) -> dict[str, float]:
        """Score a few clips of each source, clean and at 6 dB."""
        return self._table(network, 40, (None, 6.0), (1.0,))

    def full(self, network: nn.Module) -> dict[str, float]:
        """Score everything at hand, with two blank penalties."""
        return self._table(network, 500, (None, 12.0, 6.0), (0.0, 2.0))

    def _table(
        self, network: nn.Module, most: int, ratios: tuple[float | None, ...], penalties: tuple[float, ...]
    ) -> dict[str, float]:
        table = {}
        for source in SOURCES:
            chosen = self.some(source, 1)
            chosen = chosen[:: max(1, len(chosen) // most)]
            for ratio in ratios if chosen else ():
                logits = [self._logits(network, i, ratio) for i in chosen]
                for penalty in penalties:
                    pairs = [
                        (greedy(each, penalty), self.references[i])
                        for each, i in zip(logits, chosen, strict=True)
                    ]
                    name = f"{source} {ratio_name(ratio)} penalty {penalty:g}"
                    table[name] = round(error_rate(pairs), 4)
        return table

    @torch.no_grad()
    def _logits(self, network: nn.Module, clip: int, ratio: float | None) -> torch.Tensor:
        window = Window()
        audio = padded(self.audio[clip], window)
        if ratio is not None:
            audio = with_noise(audio, self.noise[clip * 7 % len(self.noise)], ratio)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            if isinstance(network, Tcn):
                return network(network.normalized(mel(audio[None])))[0, :, 0].T.float().cpu()
            return slide(network, audio[None], window)[0].float().cpu()
