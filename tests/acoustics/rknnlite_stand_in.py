"""A stand-in for the `rknnlite.api` module that has the real one's manners and, on demand, its faults.

Its manners were seen with the real wheel 2.5.0: `load_rknn` takes anything, errors go to the vendor's logger,
`data_format` is written into, float64 gives None, a failing run brings the old outputs back in silence.
"""

import logging
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

VERSION = "=====\nRKNN VERSION:\n  API: {} (686ab84@2026-09-01T00:00:00)\n  DRV: 0.9.8\n=====\n"


class Board:
    """What the next runtime will do; shared by all runtimes that a test starts."""

    def __init__(self, onnx: Path) -> None:
        self.session = onnxruntime.InferenceSession(onnx)
        self.version: str | None = "2.5.0"
        self.init = 0
        self.stale = False
        self.answer: Any = None
        """Called instead of a run, when set."""
        self.leak_bytes = 0
        self.collectable = True
        self.leaked: list[Any] = []
        self.hang = threading.Event()
        self.runs = self.started = self.released = 0

    def module(self) -> ModuleType:
        board = self

        class RKNNLite:
            def __init__(self) -> None:
                self.outputs: list[NDArray[np.float32]] | None = None

            def load_rknn(self, _path: str) -> int:
                return 0

            def init_runtime(self, target: object = None, core_mask: object = None) -> int:
                if target is not None or core_mask is not None or board.init != 0:
                    reason = "Exception: RKNN init failed. error code: RKNN_ERR_MODEL_INVALID"
                    logging.getLogger("acuityLogger").error(
                        "Traceback (most recent call last):\n%s\n", reason
                    )
                    return -1
                board.started += 1
                return 0

            def get_sdk_version(self) -> str | None:
                return None if board.version is None else VERSION.format(board.version)

            def inference(self, inputs: list[Any], data_format: list[Any]) -> Any:
                board.runs += 1
                (tensor,) = inputs
                assert tensor.flags.c_contiguous
                assert data_format == ["nhwc"]
                data_format[0] = 1
                if tensor.dtype != np.float32:
                    logging.getLogger("acuityLogger").error("Unsupport inputs[0].dtype: %s", tensor.dtype)
                    return None
                if board.answer is not None:
                    return board.answer()
                self._leak()
                if not board.stale or self.outputs is None:
                    self.outputs = board.session.run(None, {"audio": tensor.transpose(0, 3, 1, 2)})
                return [output.copy() for output in self.outputs]

            def _leak(self) -> None:
                if board.leak_bytes:
                    lost: list[Any] = [np.ones(board.leak_bytes, np.uint8)]
                    lost.append(lost)  # only a collection finds this
                    if not board.collectable:
                        board.leaked.append(lost)

            def release(self) -> None:
                board.released += 1
                board.leaked.clear()

        module = ModuleType("rknnlite.api")
        module.RKNNLite = RKNNLite  # type: ignore[attr-defined]
        return module
