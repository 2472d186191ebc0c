"""The weights that we start from: Moonshine tiny's encoder, out of its ONNX Runtime file, dequantized.

Source: `encoder_model.ort` in PyPI `moonshine-voice` 0.0.73 (MIT licence).
"""

import tempfile
from pathlib import Path
from typing import Any

import moonshine_voice
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from models.recipe.network import LAYERS, Encoder

ENCODER = Path(moonshine_voice.__file__).parent / "assets/tiny-en/encoder_model.ort"

Array = NDArray[Any]


def _graph(ort_file: Path) -> onnx.GraphProto:
    """Rewrite an ORT file as ONNX, without optimizing it further."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "encoder.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry("session.save_model_format", "ONNX")
        onnxruntime.InferenceSession(str(ort_file), options)
        return onnx.load(path).graph


def load(ort_file: Path = ENCODER) -> Encoder:
    """Read the ORT file into the PyTorch encoder (float32, evaluation mode).

    Raises:
        KeyError: the file is not the Moonshine tiny encoder.
    """
    graph = _graph(ort_file)
    values: dict[str, Array] = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    inputs = {n.name: list(n.input) for n in graph.node}

    def matrix(node: str) -> Array:
        weight = next(
            name for name in inputs[f"{node}/MatMul_quant"] if name.endswith("_quantized") and name in values
        )
        stem = weight.removesuffix("_quantized")
        zero = values[f"{stem}_zero_point"].astype(np.float32)
        dequantized = (values[weight].astype(np.float32) - zero) * values[f"{stem}_scale"]
        return np.ascontiguousarray(dequantized.T)

    def norm(name: str) -> Array:
        return values[f"{name}.weight"]

    state: dict[str, Array] = {
        "conv1.weight": values["conv1.weight_add_tensor"],
        "groupnorm.weight": values[inputs["/groupnorm/Mul"][1]].ravel(),
        "groupnorm.bias": values[inputs["/groupnorm/Add"][1]].ravel(),
        "norm.weight": norm("layer_norm"),
    }
    for conv in ("conv2", "conv3"):
        state[f"{conv}.weight"] = values[f"{conv}.weight_add_tensor"]
        state[f"{conv}.bias"] = values[f"{conv}.bias"]
    for i in range(LAYERS):
        ours, theirs = f"blocks.{i}", f"layers.{i}"
        state[f"{ours}.norm1.weight"] = norm(f"{theirs}.input_layernorm")
        state[f"{ours}.norm2.weight"] = norm(f"{theirs}.post_attention_layernorm")
        for letter in "qkvo":
            state[f"{ours}.attention.{letter}.weight"] = matrix(f"/{theirs}/self_attn/{letter}_proj")
        for linear in ("fc1", "fc2"):
            state[f"{ours}.{linear}.weight"] = matrix(f"/{theirs}/mlp/{linear}")
            state[f"{ours}.{linear}.bias"] = values[f"{theirs}.mlp.{linear}.bias"]
    encoder = Encoder()
    encoder.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in state.items()})
    return encoder.eval()
