"""A small model that answers quickly, in a bundle of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from agent.acoustics.bundle import Bundle, seal_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.features import window_rows
from agent.acoustics.manifest import Calibration

TOKENS = ["<blank>", "<noise>", "AA", "B", "K"]
KERNEL, STRIDE, ROWS = 64, 32, 39
WINDOW = (ROWS - 1) * STRIDE + KERNEL  # 1280
FRAME = 2 * STRIDE  # two rows make a frame


def manifest(**changes: Any) -> dict[str, Any]:
    """1280 samples are 19 frames of 64; a hop is 4 frames, the look-ahead leaves 2 or 3 provisional."""
    # the values do not matter here, and new fields of the recognizer should not break these tests
    calibration: dict[str, Any] = {
        name: {} if name == "weights" else 0.5 for name in Calibration.model_fields
    }
    fields: dict[str, Any] = {
        "schema_version": 1,
        "name": "small",
        "version": "0.1.0",
        "family": "tcn",
        "languages": ["en"],
        "tokens": TOKENS,
        "front_end": {"kind": "waveform", "kernel_samples": KERNEL, "stride_samples": STRIDE},
        "window_samples": WINDOW,
        "hop_samples": 4 * FRAME,
        "look_ahead_samples": 128,
        "frame_samples": FRAME,
        "first_frame_samples": 48,
        "frames": 19,
        "input": {"name": "audio", "shape": [1, KERNEL, 1, ROWS], "time_axis": 3, "channel_axis": 1},
        "output": {"name": "logits", "shape": [1, len(TOKENS), 1, 19], "time_axis": 3, "channel_axis": 1},
        "npu": {"toolkit_version": "2.5.0", "runtime_version": "2.3.0", "input_layout": "nhwc"},
        "operating_points": {"low": calibration, "normal": calibration, "high": calibration},
        "training": {"summary": "random weights", "hours": 0, "data": []},
        "rights": {"licence": "Apache-2.0", "attribution": []},
    }
    return fields | changes


def write_model(path: Path, seed: int = 1) -> None:
    """Two convolutions with a ReLU between them, random weights."""
    rng = np.random.default_rng(seed)
    first = (rng.standard_normal((16, KERNEL, 1, 1)) * 0.5).astype(np.float32)
    second = rng.standard_normal((len(TOKENS), 16, 1, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["audio", "first"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second"], ["logits"], strides=[1, 2]),
        ],
        "small",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, KERNEL, 1, ROWS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(TOKENS), 1, 19])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_bundle(folder: Path, **changes: Any) -> Bundle:
    """A sealed bundle with a canary; the `.rknn` file only looks like one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "model.onnx")
    bundle = seal_bundle(folder, manifest(**changes))
    samples = np.random.default_rng(2).integers(-20_000, 20_000, WINDOW, dtype=np.int16)
    rows = window_rows(bundle.manifest, samples)
    samples.tofile(folder / "canary.samples.i16")
    OnnxEngine(bundle).run(rows).tofile(folder / "canary.logits.f32")
    (folder / "model.rk3568.rknn").write_bytes(b"RKNN" + bytes(60))
    return seal_bundle(folder, manifest(**changes))
