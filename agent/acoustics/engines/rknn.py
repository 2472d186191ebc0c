"""The NPU through RKNNLite, which reports few of its failures: everything that it says is checked here.

It runs only with `rknn-toolkit-lite2` on the board. Neither a target nor a core mask is ever passed: the
NPU of the RK3568 has one core and refuses both.
"""

import gc
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import structlog
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.deadline import DeadlineThread
from agent.acoustics.engines.engine import Latency
from agent.acoustics.features import window_rows
from agent.acoustics.memory import give_back
from agent.errors import EngineError

MAGIC = b"RKNN"
START_LIMIT_S = 30.0
RUN_LIMIT_S = 1.0
"""An answer later than this is of no use: several hops have passed."""
CANARY_INTERVAL_S = 3600.0
SUSPICION_INTERVAL_S = 5.0
"""In near silence different windows may give one answer: do not ask the canary about each of them."""
MEMORY_CHECK_CALLS = 256
MEMORY_GROWTH_BYTES = 32 * 2**20
"""Growth of the process that is put up with before garbage is collected and then the runtime restarted."""

log = structlog.get_logger()
Clock = Callable[[], float]


class RknnEngine:
    """Runs the bundle's `.rknn` file and believes an answer only while the canary's is right.

    Args:
        bundle: a verified bundle with a model for `soc`.
        soc: system on chip, such as `rk3568`.
        clock: monotonic seconds.

    Raises:
        EngineError: the NPU cannot be used; the message says why.
    """

    name = "rknn"

    def __init__(self, bundle: Bundle, soc: str, clock: Clock = time.monotonic) -> None:
        manifest, model, canary = bundle.manifest, bundle.rknn(soc), bundle.canary()
        if model is None or canary is None or manifest.npu is None:
            raise EngineError(f"{bundle.folder}: the bundle has no model for {soc}")
        self._model: Path = model
        self._manifest, self._npu, self._output = manifest, manifest.npu, manifest.output
        self._silent_rows = np.zeros((manifest.input.rows, manifest.input.channels), np.float32)
        self._canary_rows = window_rows(manifest, canary.samples)
        self._canary_logits = canary.logits
        self._clock = clock
        self._thread = DeadlineThread("npu")
        self._runtime: Any = None
        self.latency = Latency()
        try:
            self._start()
        except EngineError:
            self.close()
            raise

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits [frames, tokens] for the front end's rows [rows, channels].

        Raises:
            EngineError: no answer in time, none at all, one that is no result, or a canary that died.
        """
        if self._clock() >= self._canary_due_s:
            self.check()
        with self.latency.measure():
            fed, previous_fed, previous = self._manifest.npu_tensor(rows), self._fed, self._answer
            answer = self._infer(fed)
        if np.array_equal(answer, previous) and not np.array_equal(fed, previous_fed):
            self._suspect()
        if self.latency.calls % MEMORY_CHECK_CALLS == 0:
            self._guard_memory()
        return self._output.to_rows(answer)

    def check(self) -> None:
        """Run the canary: the NPU must still give the known answer.

        A run that fails gives the outputs of the run before as if they were new, and nothing says so. Silence
        goes first, so that a right answer left over from an earlier canary cannot pass for a new one.

        Raises:
            EngineError: it does not.
        """
        silent = self._infer(self._manifest.npu_tensor(self._silent_rows))
        answer = self._infer(self._manifest.npu_tensor(self._canary_rows))
        if np.array_equal(silent, answer):
            raise EngineError("the NPU gives the same answer to different sound: its runs fail unnoticed")
        correlation = _correlation(self._output.to_rows(answer), self._canary_logits)
        if not correlation >= self._npu.min_correlation:
            raise EngineError(
                f"the NPU's answer to the canary is wrong: its correlation with the known answer is"
                f" {correlation:.3f}, at least {self._npu.min_correlation:g} is needed"
            )
        self._checked_s = self._clock()
        self._canary_due_s = self._checked_s + CANARY_INTERVAL_S

    def close(self) -> None:
        """Give memory and device back. Safe to call twice."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            try:
                self._thread.call(runtime.release, START_LIMIT_S)
            except EngineError as error:
                log.warning("npu_release_failed", reason=str(error))
        self._thread.close()

    def _start(self) -> None:
        with self._model.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:  # load_rknn would answer 0 all the same
                raise EngineError(f"{self._model}: is no RKNN model")
        self._thread.call(self._load, START_LIMIT_S)
        self._check_version()
        self._fed: NDArray[np.float32] = np.empty(0, np.float32)
        self._answer: NDArray[np.float32] = np.empty(0, np.float32)
        self.check()
        self._memory_bytes = _memory_bytes()

    def _load(self) -> None:
        try:
            from rknnlite.api import RKNNLite
        except ImportError as error:
            raise EngineError(f"rknn-toolkit-lite2 is not installed: {error}") from error
        self._runtime = RKNNLite()
        with _VendorErrors() as errors:
            if self._runtime.load_rknn(str(self._model)) != 0 or self._runtime.init_runtime() != 0:
                raise EngineError(f"{self._model}: the NPU runtime cannot start it: {errors.last}")

    def _check_version(self) -> None:
        told = self._thread.call(self._runtime.get_sdk_version, START_LIMIT_S)
        found = re.search(r"API:\s*(\d+)\.(\d+)\.(\d+)", told or "")
        if found is None:
            raise EngineError(f"the NPU runtime does not tell its version: {told!r}")
        version = tuple(int(part) for part in found.groups())
        needed = tuple(int(part) for part in re.findall(r"\d+", self._npu.runtime_version)[:3])
        if version[0] != needed[0] or version < needed:
            raise EngineError(
                f"librknnrt.so is version {found[1]}.{found[2]}.{found[3]},"
                f" the bundle needs {self._npu.runtime_version} or later of the same major version"
            )

    def _infer(self, fed: NDArray[np.float32]) -> NDArray[np.float32]:
        layout = self._npu.input_layout
        runtime = self._runtime
        with _VendorErrors() as errors:
            # a new list every time: the runtime writes into it
            outputs = self._thread.call(
                lambda: runtime.inference([fed], data_format=None if layout is None else [layout]),
                RUN_LIMIT_S,
            )
        if outputs is None:
            raise EngineError(f"the NPU gave no answer: {errors.last}")
        if len(outputs) != 1 or outputs[0].shape != self._output.shape:
            shapes = [output.shape for output in outputs]
            raise EngineError(f"the NPU answered shapes {shapes}, the manifest says {self._output.shape}")
        answer = np.array(outputs[0], np.float32)  # the runtime may use its buffer again
        if not np.isfinite(answer).all():
            raise EngineError("the NPU answered values that are not finite")
        self._fed, self._answer = fed, answer
        return answer

    def _suspect(self) -> None:
        """Two windows gave one answer: perhaps the runs fail and the old outputs come back."""
        if self._clock() - self._checked_s >= SUSPICION_INTERVAL_S:
            self.check()

    def _guard_memory(self) -> None:
        if _memory_bytes() - self._memory_bytes <= MEMORY_GROWTH_BYTES:
            return
        gc.collect()
        give_back()
        grown = _memory_bytes() - self._memory_bytes
        if grown > MEMORY_GROWTH_BYTES:
            log.warning("npu_runtime_restarted", reason="memory grew", grown_bytes=grown)
            self._thread.call(self._runtime.release, START_LIMIT_S)
            self._start()


class _VendorErrors(logging.Handler):
    """The runtime answers -1 or None and tells the reason only to its own log."""

    _LOGGER = logging.getLogger("acuityLogger")

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = "it gave no reason"

    def __enter__(self) -> "_VendorErrors":
        self._LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._LOGGER.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the last line: that of the exception in a traceback."""
        self.last = record.getMessage().strip().rsplit("\n", 1)[-1]


def _correlation(answer: NDArray[np.float32], known: NDArray[np.float32]) -> float:
    """Compare what changes over time: an answer that never moves correlates with nothing."""
    a, b = answer - answer.mean(axis=0), known - known.mean(axis=0)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / size if size > 0 else 0.0


def _memory_bytes() -> int:
    resident: int = psutil.Process().memory_info().rss
    return resident
