"""From a trained model to the bundle that the agent loads."""

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
from agent.acoustics.manifest import CANARY_LOGITS_FILE, CANARY_SAMPLES_FILE
from agent.acoustics.support import REPORT_FILE, TargetSupport, fresh_report, store_report
from agent.audio.file import read_audio
from models.recipe.convert import TARGET, TOOLKIT, convert
from models.recipe.export import framed
from models.recipe.tokens import TOKENS

NPU = {"toolkit_version": TOOLKIT, "runtime_version": TOOLKIT, "input_layout": "nhwc"}
GOLDEN = "golden/labels.json"
RKNN = f"model.{TARGET}.rknn"
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


def widen(source: Path, target: Path) -> None:
    """Write weights that are stored in float16 and cast at the start as float32: the inverse of `halve`."""
    model = onnx.load(source)
    halves = {each.name: each for each in model.graph.initializer if each.data_type == TensorProto.FLOAT16}
    nodes = []
    for node in model.graph.node:
        half = halves.get(node.input[0]) if node.op_type == "Cast" else None
        if half is None:
            nodes.append(node)
        else:
            values = numpy_helper.to_array(half).astype(np.float32)
            half.CopyFrom(numpy_helper.from_array(values, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, target)


def manifest(info: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of an encoder model, without `files` and `npu`.

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
        **facts,
    }


def build(
    model: Path,
    folder: Path,
    described: Mapping[str, Any],
    converter: Path | None,
    canary: NDArray[np.int16],
) -> tuple[Bundle, dict[str, Any]]:
    """Convert an exported model, ask the converter what each system on chip makes of it, and seal the bundle.

    Args:
        model: folder that `export` wrote.
        folder: the bundle; everything in it that is not made here (golden set, licences) is kept.
        described: its manifest without `files` and `npu`, see `manifest`.
        converter: interpreter of the converter's environment; without it the bundle is for the CPU alone.
        canary: int16, one window of real speech.

    Returns:
        The bundle, and a report of the conversion, empty if there was none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    converted = None
    if converter:
        features = framed(canary.astype(np.float32) / np.float32(32768))
        converted = convert(converter, model / "model.onnx", folder / RKNN, features[None])
    else:
        (folder / RKNN).unlink(missing_ok=True)  # it would be of another model
    (folder / REPORT_FILE).unlink(missing_ok=True)  # so would it
    halve(model / "model.onnx", folder / "model.onnx")
    frames, tokens = described["frames"], len(described["tokens"])
    canary.astype("<i2").tofile(folder / CANARY_SAMPLES_FILE)
    (folder / CANARY_LOGITS_FILE).write_bytes(bytes(4 * frames * tokens))
    described = {**described, "npu": NPU if converter else None}
    if (folder / GOLDEN).exists():
        described["golden"] = GOLDEN
    bundle = seal_bundle(folder, described)  # an engine needs a bundle, and the canary an engine
    logits = np.array(OnnxEngine(bundle).run(window_rows(bundle.manifest, canary)), "<f4")
    logits.tofile(folder / CANARY_LOGITS_FILE)
    bundle = seal_bundle(folder, described)
    if not (converter and converted):
        return bundle, {}
    return store_report(bundle, fresh_report(bundle, converter)), _report(logits, *converted)


def _report(
    logits: NDArray[np.float32], simulated: NDArray[np.float32], table: TargetSupport
) -> dict[str, Any]:
    """Tell what the converter made, from its and ONNX Runtime's answers to the canary."""
    simulated = simulated.reshape(logits.shape[::-1]).T
    return {
        "layers": len(table.layers),
        "cpu_layers": sorted({layer.kind for layer in table.layers if layer.place == "CPU"}),
        "cycles": table.cycles,
        "predicted_ms": table.predicted_ms,
        "simulator_onnx_correlation": float(np.corrcoef(simulated.ravel(), logits.ravel())[0, 1]),
        "simulator_onnx_max_difference": float(np.abs(simulated - logits).max()),
    }


def canary_samples(folder: Path, count: int) -> NDArray[np.int16]:
    """Return one window of real speech: the bundle's first golden utterance, and silence."""
    speech = read_audio(sorted((folder / "golden").glob("*.opus"))[0])
    canary = np.zeros(count, np.int16)
    canary[: len(speech)] = speech[:count]
    return canary
