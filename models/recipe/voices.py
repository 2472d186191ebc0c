"""Kokoro's voices: which may be used, how they mix into new speakers, and the style row of a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

HELD_OUT = frozenset({"af_bella", "am_fenrir", "bf_emma", "bm_lewis", "zf_xiaoyi", "zm_yunyang"})
"""Voices that nothing is made with: never unpacked, mixed, trained on or listened to. No check speaks by them
so far; the last one has other synthesizers (`fresh`)."""

_NATIVE = {"en": ("af_", "am_", "bf_", "bm_"), "zh": ("zf_", "zm_")}
_ACCENT_SHARE = 0.25  # of English mixes that lean on a voice of another mother tongue


@dataclass(frozen=True)
class Mix:
    """A speaker: voices and their weights, which add up to 1."""

    voices: tuple[str, ...]
    weights: tuple[float, ...]

    def __str__(self) -> str:
        return "+".join(
            f"{voice}:{weight:.2f}" for voice, weight in zip(self.voices, self.weights, strict=True)
        )

    @classmethod
    def parse(cls, text: str) -> "Mix":
        """Read what `str` writes, such as `af_heart:0.60+am_adam:0.40`."""
        pairs = [part.split(":") for part in text.split("+")]
        return cls(tuple(voice for voice, _ in pairs), tuple(float(weight) for _, weight in pairs))

    @property
    def british(self) -> bool:
        """Whether British voices have the greater say."""
        weights = zip(self.voices, self.weights, strict=True)
        return sum(weight for voice, weight in weights if voice.startswith("b")) > 0.5


def draw_mix(language: str, names: Sequence[str], rng: Random) -> Mix:
    """Draw a speaker of `language` from the voices `names`: one voice, or two or three mixed."""
    allowed = [name for name in names if name not in HELD_OUT]
    native = [name for name in allowed if name.startswith(_NATIVE[language])]
    foreign = [name for name in allowed if not name.startswith((*_NATIVE["en"], *_NATIVE["zh"]))]
    pool = native + foreign if language == "en" and rng.random() < _ACCENT_SHARE else native
    count = rng.choices([1, 2, 3], [0.3, 0.4, 0.3])[0]
    voices = rng.sample(pool, min(count, len(pool)))
    shares = [rng.uniform(0.15, 1.0) for _ in voices]
    weights = [round(share / sum(shares), 2) for share in shares]
    weights[0] = round(1 - sum(weights[1:]), 2)
    return Mix(tuple(voices), tuple(weights))


def load_styles(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Style rows [tokens, 256] by voice name, from a folder's `*.bin`."""
    files = sorted(file for file in folder.glob("*.bin") if file.stem not in HELD_OUT)
    return {file.stem: np.fromfile(file, np.float32).reshape(-1, 256) for file in files}


def style(mix: Mix, styles: dict[str, npt.NDArray[np.float32]], tokens: int) -> npt.NDArray[np.float32]:
    """Style [256] of a speaker for a sentence of `tokens` phone letters."""
    rows = [styles[voice][tokens - 1] * weight for voice, weight in zip(mix.voices, mix.weights, strict=True)]
    total: npt.NDArray[np.float32] = np.sum(rows, axis=0, dtype=np.float32)
    return total
