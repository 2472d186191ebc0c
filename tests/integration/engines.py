"""Engines with faults, around one without."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.engines.engine import Engine
from agent.errors import EngineError


class Spoiled:
    """An engine with a fault."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class Stale(Spoiled):
    """Runs fail, and old outputs come back as if fine: what the NPU's runtime does."""

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._engine.run(np.zeros_like(rows))


class Dead(Spoiled):
    def run(self, _: NDArray[np.float32]) -> NDArray[np.float32]:
        raise EngineError("no answer")
