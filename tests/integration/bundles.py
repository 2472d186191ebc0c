"""Bundles that are like the real one but for one fault."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from agent.acoustics.bundle import MANIFEST_FILE, load_bundle, seal_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.features import window_rows


def reseal(folder: Path, **changes: Any) -> Path:
    described = json.loads((folder / MANIFEST_FILE).read_text())
    del described["files"]
    seal_bundle(folder, described | changes)
    return folder


def spoil(folder: Path, out: Path) -> Path:
    """The same bundle with weights that lost their order: whole, well-formed, and deaf."""
    shutil.copytree(folder, out)
    model = onnx.load(out / "model.onnx")
    rng = np.random.default_rng(1)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if values.dtype.kind == "f" and values.ndim >= 2:
            rng.shuffle(values.reshape(-1))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, out / "model.onnx")
    return out


def teach_canary(folder: Path) -> None:
    """Let the bundle's canary know what the model answers, whatever that is."""
    loaded = load_bundle(folder)
    canary = loaded.canary()
    assert canary
    logits = OnnxEngine(loaded).run(window_rows(loaded.manifest, canary.samples))
    (folder / "canary.logits.f32").write_bytes(np.array(logits, "<f4").tobytes())
    reseal(folder)
