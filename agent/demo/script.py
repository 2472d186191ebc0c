"""The script of the demonstration: what is said, and what should come of it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ

SCRIPT = Path(__file__).with_name("script.json")
PAUSE_S = 2.0
"""Of room after each line: time to decide, to be answered and to be read."""
ARRIVAL_S = 3.5
"""Of room before a line that is said elsewhere than the last one: the meter shows the quietest of 5 s."""
_EDGE = SAMPLE_RATE_HZ * 2 // 5
"""Samples at each end of a recording in which nobody speaks."""
_BLOCK = SAMPLE_RATE_HZ // 10


class Line(BaseModel):
    """One line of the script."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    """Of the bundle's golden set."""
    said: str
    where: str = "quiet room"
    outcome: Literal["command", "question", "reject"]
    command: str = ""
    slots: dict[str, str | int | float] = {}


def read_script() -> list[Line]:
    """Read the script that ships with Voxline."""
    return TypeAdapter(list[Line]).validate_json(SCRIPT.read_bytes())


def play(script: Sequence[Line], folder: Path, begins: Callable[[Line], None]) -> Iterator[NDArray[np.int16]]:
    """Yield the sound of the script in blocks of 100 ms, for a source that plays it in real time.

    Args:
        script: lines to play.
        folder: holds their recordings.
        begins: called as each line begins.

    Raises:
        AudioError: a recording is missing or damaged.
    """
    rng, where = np.random.default_rng(1), ""
    for line in script:
        lead_s = ARRIVAL_S if where not in ("", line.where) else 0.0
        where = line.where
        recording = read_audio(folder / line.file)
        speech = _in_room(recording, _BLOCK + round(lead_s * SAMPLE_RATE_HZ), round(PAUSE_S * SAMPLE_RATE_HZ))
        hiss = rng.normal(0, 3, len(speech))  # -80 dBFS: no converter is without
        scene = np.clip(speech + hiss, -32768, 32767).astype(np.int16)
        begins(line)
        yield from np.split(scene, range(_BLOCK, len(scene), _BLOCK))


def _in_room(recording: NDArray[np.int16], before: int, after: int) -> NDArray[np.int16]:
    """Let the noise of a recording go on around it: so many samples of its edges, played to and fro."""
    return np.concatenate(
        [
            np.pad(recording[:_EDGE], (before, 0), mode="reflect"),
            recording[_EDGE:-_EDGE],
            np.pad(recording[-_EDGE:], (0, after), mode="reflect"),
        ]
    )
