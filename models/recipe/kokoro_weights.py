"""Kokoro's weights out of the published int8 ONNX file, under the names that its PyTorch code uses.

The file was quantized by ONNX Runtime (per tensor or per column, dynamic activations) and its weight norms
were folded; a node's name still says which module it came from, so that nothing has to be listed by hand.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[np.float32]


def read_weights(path: Path) -> dict[str, Array]:
    """Read and dequantize all weights; keys such as `predictor.F0.0.conv1.weight`."""
    graph = onnx.load(path).graph
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    weights: dict[str, Array] = {
        _module(name): np.asarray(value, np.float32)
        for name, value in stored.items()
        if name.startswith(("encoder.", "decoder."))
        and value.dtype == np.float32
        and not name.endswith("_scale")
    }
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLSTM":
            module = _module(node.name)
            weights |= {f"{module}.{key}": value for key, value in _lstm(list(node.input), stored).items()}
        elif node.op_type == "DequantizeLinear" and node.input[1] in stored:
            name, scale, zero = (
                node.input[1].removesuffix("_scale"),
                stored[node.input[1]],
                stored[node.input[2]],
            )
            weights[_module(name)] = _dequantize(stored[f"{name}_quantized"], scale, zero)
        elif node.op_type in ("ConvInteger", "MatMulInteger") and node.input[1] in stored:
            quantized = node.input[1]
            scale = stored[quantized.replace("_quantized", "_scale")]
            matrix = _dequantize(stored[quantized], scale, stored[node.input[3]])
            weights[f"{_module(node.name)}.weight"] = matrix.T if node.op_type == "MatMulInteger" else matrix
        elif node.op_type in ("Conv", "ConvTranspose", "MatMul") and node.input[1] in stored:
            matrix = stored[node.input[1]]
            weights[f"{_module(node.name)}.weight"] = matrix.T if node.op_type == "MatMul" else matrix
    return weights


def _module(name: str) -> str:
    """Name in the PyTorch code of `/encoder/F0.0/conv1/Conv_quant` or `encoder.predictor.F0.0.conv1.bias`."""
    if name.startswith("/"):
        parts = name.strip("/").split("/")[:-1]
        # An exporter names a member of a list twice: cnn.0/cnn.0.1 is cnn.0.1.
        kept = [
            part
            for part, after in zip(parts, [*parts[1:], ""], strict=True)
            if not after.startswith(f"{part}.")
        ]
        name = ".".join(kept)
    name = re.sub(r"^(encoder|decoder)\.", "", name, count=1)
    # The shared layers of ALBERT were unrolled: query_2 is query.
    name = re.sub(r"(albert_layers\.0\..*?)_\d+$", r"\1", name)
    return f"predictor.{name}" if name.startswith(("F0.", "N.", "F0_proj", "N_proj", "shared")) else name


def _dequantize(values: npt.NDArray[np.int8], scale: Array, zero: npt.NDArray[np.int8]) -> Array:
    return ((values.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)


def _lstm(inputs: list[str], stored: dict[str, Array]) -> dict[str, Array]:
    """Both directions of an ONNX LSTM (gates i o f c) as PyTorch keeps them (gates i f g o)."""
    (w, r, bias), (w_scale, w_zero, r_scale, r_zero) = inputs[1:4], inputs[8:12]
    found: dict[str, Array] = {}

    def gates(rows: Array) -> Array:
        i, o, f, c = np.split(rows, 4)
        return np.concatenate([i, f, c, o])

    for direction, suffix in enumerate(("_l0", "_l0_reverse")):
        for key, name, scale, zero in (("weight_ih", w, w_scale, w_zero), ("weight_hh", r, r_scale, r_zero)):
            matrix = _dequantize(stored[name][direction], stored[scale][direction], stored[zero][direction])
            found[key + suffix] = gates(matrix.T)
        both = stored[bias][direction]
        found[f"bias_ih{suffix}"], found[f"bias_hh{suffix}"] = (gates(half) for half in np.split(both, 2))
    return found
