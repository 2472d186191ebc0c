"""From a trained model to the bundle that the agent loads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from agent.acoustics.bundle import Bundle, seal_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.features import window_rows
from models.recipe.convert import convert
from models.recipe.export import framed
from models.recipe.tokens import TOKENS

TOOLKIT = "2.5.0"
GOLDEN = "golden/labels.json"
SMALL = 1024
"""Arrays of fewer values stay in float32."""


def halve(source: Path, target: Path) -> None:
    """Store a model's weights in float16, widened when it is loaded; it computes in float32 as before."""
    model = onnx.load(source)
    graph = model.graph
    casts = []
    for initializer in graph.initializer:
        if initializer.data_type == TensorProto.FLOAT and np.prod(initializer.dims) >= SMALL:
            values = numpy_helper.to_array(initializer).astype(np.float16)
            name = initializer.name
            initializer.CopyFrom(numpy_helper.from_array(values, f"{name}_half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def manifest(info: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of an encoder model, without `files`.

    Args:
        info: what `export` wrote about the model.
        facts: name, version, training, rights, operating points, and look-ahead of this bundle.
    """
    frame = info["frame_samples"]
    return {
        "schema_version": 1,
        "family": "encoder",
        "languages": ["en", "zh"],
        "tokens": list(TOKENS),
        "front_end": {
            "kind": "waveform",
            "kernel_samples": info["input"]["framing"],
            "stride_samples": info["input"]["framing_hop"],
        },
        "window_samples": info["window_samples"],
        "frame_samples": frame,
        "frames": info["window_frames"],
        "hop_samples": info["hop_frames"] * frame,
        "look_ahead_samples": info["look_ahead_frames"] * frame,
        "first_frame_samples": info["frame_receptive_samples"] // 2,
        "input": {"name": "audio", "shape": info["input"]["shape"], "time_axis": 3, "channel_axis": 1},
        "output": {"name": "logits", "shape": info["output"]["shape"], "time_axis": 3, "channel_axis": 1},
        "npu": {"toolkit_version": TOOLKIT, "runtime_version": TOOLKIT, "input_layout": "nhwc"},
        **facts,
    }


def build(
    model: Path, folder: Path, facts: Mapping[str, Any], converter: Path, canary: NDArray[np.int16]
) -> tuple[Bundle, dict[str, Any]]:
    """Convert an exported model and seal the bundle.

    Args:
        model: folder that `export` wrote.
        folder: the bundle; everything in it that is not made here (golden set, licences) is kept.
        facts: see `manifest`.
        converter: interpreter of the converter's environment.
        canary: int16, one window of real speech.

    Returns:
        The bundle, and a report of the conversion.
    """
    folder.mkdir(parents=True, exist_ok=True)
    info = json.loads((model / "info.json").read_text())
    features = framed(canary.astype(np.float32) / np.float32(32768))
    answer, table = convert(converter, model / "model.onnx", folder / "model.rk3568.rknn", features[None])
    halve(model / "model.onnx", folder / "model.onnx")
    (folder / "canary.samples.i16").write_bytes(canary.astype("<i2").tobytes())
    frames, tokens = info["window_frames"], len(TOKENS)
    (folder / "canary.logits.f32").write_bytes(bytes(4 * frames * tokens))
    described = manifest(info, facts)
    if (folder / GOLDEN).exists():
        described["golden"] = GOLDEN
    bundle = seal_bundle(folder, described)  # an engine needs a bundle, and the canary an engine
    logits = np.array(OnnxEngine(bundle).run(window_rows(bundle.manifest, canary)), "<f4")
    (folder / "canary.logits.f32").write_bytes(logits.tobytes())
    simulated = answer[0].reshape(tokens, frames).T
    report = {
        "layers": len(table.layers),
        "cpu_layers": sorted({layer.kind for layer in table.layers if layer.place == "CPU"}),
        "cycles": table.cycles,
        "predicted_ms": table.predicted_ms,
        "simulator_onnx_correlation": float(np.corrcoef(simulated.ravel(), logits.ravel())[0, 1]),
        "simulator_onnx_max_difference": float(np.abs(simulated - logits).max()),
    }
    return seal_bundle(folder, described), report
