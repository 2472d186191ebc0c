"""What the acoustic model costs per hop: engine, host, and what the guards of the NPU add to a call."""

import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle, load_bundle
from agent.acoustics.engines.engine import Engine, Latency
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.engines.rknn import RknnEngine
from agent.acoustics.manifest import LogMel, Manifest, Tensor
from agent.acoustics.stream import AcousticStream
from agent.errors import BundleError
from tests.acoustics.rknnlite_stand_in import Board
from tests.acoustics.small import write_bundle

_SECONDS = 30
_BLOCK = 160
_BUNDLES = Path(__file__).parents[2] / "models/bundles"


class _Instant:
    """Answers at once, so that what remains is the host's share."""

    name = "instant"

    def __init__(self, manifest: Manifest) -> None:
        self.latency = Latency()
        shape = (manifest.frames, len(manifest.tokens))
        self._logits = np.random.default_rng(1).standard_normal(shape).astype(np.float32)

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        np.ascontiguousarray(rows)  # every engine copies its input once
        return self._logits

    def close(self) -> None: ...


def run() -> dict[str, object]:
    """Measure every bundle of the repository, the log-mel front end and the guards."""
    results: dict[str, object] = {}
    for folder in sorted(path.parent for path in _BUNDLES.glob("*/manifest.json")):
        try:
            results[folder.name] = _measure(folder)
        except BundleError as error:
            results[folder.name] = {"skipped": str(error)}
    with tempfile.TemporaryDirectory() as scratch:
        small = write_bundle(Path(scratch))
        results["logmel_host_ms_per_hop"] = _logmel(small)
        results["npu_guards_ms_per_call"] = _guards(small)
    return results


def _measure(folder: Path) -> dict[str, float]:
    before_bytes = psutil.Process().memory_info().rss
    start_s = time.perf_counter()
    bundle = load_bundle(folder)
    verified_s = time.perf_counter()
    engine = OnnxEngine(bundle)
    started_s = time.perf_counter()
    took_s = _stream(bundle.manifest, engine)
    resident_bytes = psutil.Process().memory_info().rss - before_bytes
    hops = _SECONDS * 16_000 / bundle.manifest.hop_samples
    return {
        "verify_ms": round(1000 * (verified_s - start_s), 1),
        "start_ms": round(1000 * (started_s - verified_s), 1),
        "engine_p50_ms": round(1000 * (engine.latency.quantile_s(0.5) or 0), 2),
        "engine_p95_ms": round(1000 * (engine.latency.quantile_s(0.95) or 0), 2),
        "host_ms_per_hop": round(1000 * _stream(bundle.manifest, _Instant(bundle.manifest)) / hops, 3),
        "real_time_factor": round(took_s / _SECONDS, 4),
        "resident_mb": round(resident_bytes / 2**20, 1),
    }


def _stream(manifest: Manifest, engine: Engine) -> float:
    sound = np.random.default_rng(0).integers(-9000, 9000, _SECONDS * 16_000, dtype=np.int16)
    stream = AcousticStream(manifest, engine)
    start_s = time.perf_counter()
    for at in range(0, len(sound), _BLOCK):
        stream.push(sound[at : at + _BLOCK], at / 16_000)
    return time.perf_counter() - start_s


def _logmel(small: Bundle) -> float:
    """The tcn of the design: a window of 229 rows, four frames per hop of 160 ms."""
    rows, frames = 229, 4
    manifest = small.manifest.model_copy(
        update={
            "front_end": LogMel(kind="logmel", mean=(0.0,) * 80, deviation=(1.0,) * 80),
            "window_samples": 400 + (rows - 1) * 160,
            "hop_samples": 2560,
            "frame_samples": 640,
            "first_frame_samples": 16_000,
            "frames": frames,
            "look_ahead_samples": 0,
            "input": Tensor(name="x", shape=(1, 80, 1, rows), time_axis=3, channel_axis=1),
        }
    )
    return round(1000 * _stream(manifest, _Instant(manifest)) / (_SECONDS * 16_000 / 2560), 3)


def _guards(small: Bundle, calls: int = 2000) -> float:
    """A call through every guard, less the same call without them."""
    board = Board(small.onnx)
    rows = np.random.default_rng(2).standard_normal((2, 39, 64)).astype(np.float32)
    with patch.dict(sys.modules, {"rknnlite": board.module(), "rknnlite.api": board.module()}):
        guarded = RknnEngine(small, "rk3568")
    bare = board.module().RKNNLite()
    tensors = [small.manifest.npu_tensor(each) for each in rows]
    took_s = [0.0, 0.0]
    for call in range(calls):
        start_s = time.perf_counter()
        guarded.run(rows[call % 2])
        middle_s = time.perf_counter()
        bare.inference([tensors[call % 2]], data_format=["nhwc"])
        took_s[0] += middle_s - start_s
        took_s[1] += time.perf_counter() - middle_s
    return round(1000 * (took_s[0] - took_s[1]) / calls, 4)
