"""A room for tests of the whole agent: quiet until a test lets somebody speak there, and a station in it."""

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.settings import Health, Recognition, Settings, Station, Storage
from tests.messaging.examples import mqtt

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models/bundles/voxline-en-zh"
GOLDEN = BUNDLE / "golden"
GRAMMAR = ROOT / "grammars/demo.yaml"
STATION = Station(enterprise="acme", site="lyon", area="assembly", line="l3", cell="c7", id="press-2")
_BLOCK = SAMPLE_RATE_HZ // 10


def require_bundle() -> None:
    """Skip the calling test module where the model is not."""
    if not (BUNDLE / "model.onnx").exists():
        pytest.skip(f"no {BUNDLE.name}/model.onnx in models/bundles", allow_module_level=True)


def station_settings(port: int, folder: Path, grammar: Path = GRAMMAR, **sections: Any) -> Settings:
    """A station that keeps its files in `folder` and reports every second."""
    return Settings(
        station=STATION,
        recognition=Recognition(grammar=grammar, bundle=BUNDLE),
        mqtt=mqtt(port),
        storage=Storage(state=folder / "state", cache=folder / "cache"),
        **{"health": Health(interval_s=1), **sections},
    )


class Booth:
    """Sound without end for a `Playback` in real time; what is said begins with the next block."""

    def __init__(self) -> None:
        self.samples_total = 0
        self.start_s = 0.0
        """Monotonic time of the first sample."""
        self.spoken: list[tuple[str, float]] = []
        """Each recording with the monotonic time of its first sample."""
        self._said: queue.Queue[str | None] = queue.Queue()

    def say(self, file: str) -> None:
        """Let a recording of the golden set be heard."""
        self._said.put(file)

    def end(self) -> None:
        """Close the room after everything was said."""
        self._said.put(None)

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """Yield blocks of 100 ms until `end`."""
        rng = np.random.default_rng(1)
        self.start_s = time.monotonic()
        while True:
            try:
                file = self._said.get_nowait()
            except queue.Empty:
                speech = np.zeros(_BLOCK, np.int16)
            else:
                if file is None:
                    return
                self.spoken.append((file, self.start_s + self.samples_total / SAMPLE_RATE_HZ))
                speech = read_audio(GOLDEN / file)
                speech = np.pad(speech, (0, -len(speech) % _BLOCK))
            for block in speech.reshape(-1, _BLOCK):
                self.samples_total += _BLOCK
                hiss = rng.normal(0, 3, _BLOCK)  # -80 dBFS
                yield np.clip(block + hiss, -32768, 32767).astype(np.int16)
