"""Which engine is at work, why, and what happens when the NPU fails."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.board import COMPATIBLE, find_npu
from agent.acoustics.engines.engine import Engine, Latency
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.engines.rknn import RknnEngine
from agent.errors import EngineError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine was taken into use."""

    name: str
    """`onnx` or `rknn`."""
    reason: str
    fallback: bool = False
    """The NPU should be at work and is not."""


class ChosenEngine:
    """The engine that the settings ask for; with `auto` the NPU as long as it can be trusted, else the CPU.

    The model is a stateless window, so the engine can change between two hops without a frame lost. The NPU
    is tried again when the agent starts or the bundle changes, not before.

    Args:
        bundle: a verified bundle.
        wanted: from the settings.
        announce: called with every choice in the thread that makes it: at once, and if the NPU fails later.
        compatible: the device tree's list of names of this board.

    Raises:
        EngineError: the engine asked for cannot start.
    """

    def __init__(
        self,
        bundle: Bundle,
        wanted: Literal["auto", "onnx", "rknn"],
        announce: Callable[[EngineChoice], None] = lambda _: None,
        *,
        compatible: Path = COMPATIBLE,
    ) -> None:
        self._bundle, self._announce = bundle, announce
        self._may_fall_back = wanted == "auto"
        npu = find_npu(compatible)
        if wanted == "onnx":
            self._take(OnnxEngine(bundle), "the settings ask for it")
        elif npu is None:
            if wanted == "rknn":
                raise EngineError(f"the settings ask for the NPU, but {compatible} names no Rockchip NPU")
            self._take(OnnxEngine(bundle), "this machine has no Rockchip NPU")
        else:
            try:
                self._take(
                    RknnEngine(bundle, npu), f"{npu} with a bundle that fits and the right canary answer"
                )
            except EngineError as error:
                self._fall_back(error)

    @property
    def name(self) -> str:
        """`onnx` or `rknn`."""
        return self._engine.name

    @property
    def latency(self) -> Latency:
        """Of the engine at work."""
        return self._engine.latency

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits [frames, tokens] for the front end's rows [rows, channels].

        Raises:
            EngineError: the engine failed, and there is none to fall back to.
        """
        try:
            return self._engine.run(rows)
        except EngineError as error:
            if not self._may_fall_back or self._engine.name == OnnxEngine.name:
                raise
            self._engine.close()
            self._fall_back(error)
            return self._engine.run(rows)

    def close(self) -> None:
        """Give memory and device back. Safe to call twice."""
        self._engine.close()

    def _fall_back(self, error: EngineError) -> None:
        if not self._may_fall_back:
            raise error
        self._take(OnnxEngine(self._bundle), f"the NPU cannot be used: {error}", fallback=True)

    def _take(self, engine: Engine, reason: str, *, fallback: bool = False) -> None:
        self._engine = engine
        self.choice = EngineChoice(engine.name, reason, fallback)
        (log.warning if fallback else log.info)("engine_chosen", engine=engine.name, reason=reason)
        self._announce(self.choice)
