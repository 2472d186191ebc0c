"""The script of the demonstration: what is said, in which noise, and what should come of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from agent.audio.file import read_audio
from agent.audio.mixing import mix
from agent.audio.source import SAMPLE_RATE_HZ

SCRIPT = Path(__file__).with_name("script.json")
PAUSE_S = 2.5
"""Of room after each utterance: time to decide, to be answered and to be read."""
_BLOCK = SAMPLE_RATE_HZ // 10


class Utterance(BaseModel):
    """One line of the script."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    """Of the bundle's golden set."""
    said: str
    outcome: Literal["command", "question", "reject"]
    command: str | None = None
    slots: dict[str, str | int | float] = {}
    snr_db: float | None = None
    """In factory noise; None for a quiet room."""


def read_script() -> list[Utterance]:
    """Read the script that ships with Voxline."""
    return TypeAdapter(list[Utterance]).validate_json(SCRIPT.read_bytes())


def play(
    script: list[Utterance], folder: Path, noise_file: str, begins: Callable[[Utterance], None]
) -> Iterator[NDArray[np.int16]]:
    """Yield the sound of the script in blocks of 100 ms, for a source that plays it in real time.

    Args:
        script: lines to play.
        folder: holds their recordings and `noise_file`.
        noise_file: mixed under the lines that ask for it.
        begins: called as each line begins.

    Raises:
        AudioError: a recording is missing or damaged.
    """
    rng = np.random.default_rng(1)
    noise = read_audio(folder / noise_file)
    yield _room(rng, SAMPLE_RATE_HZ)
    for line in script:
        speech = read_audio(folder / line.file)
        scene = np.pad(speech, (SAMPLE_RATE_HZ // 2, round(PAUSE_S * SAMPLE_RATE_HZ)))
        scene = scene + _room(rng, len(scene)) if line.snr_db is None else mix(scene, noise, line.snr_db)
        begins(line)
        yield from np.split(scene, range(_BLOCK, len(scene), _BLOCK))


def _room(rng: np.random.Generator, samples: int) -> NDArray[np.int16]:
    """A quiet room: hiss at -80 dBFS, which no converter is without."""
    return np.rint(rng.normal(0, 3, samples)).astype(np.int16)
