"""The way back: from a bundle's `model.onnx` to the network that it was exported from."""

from collections.abc import Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.audio.source import SAMPLE_RATE_HZ
from agent.errors import BundleError
from models.recipe.export import FRAMING, FRAMING_HOP
from models.recipe.network import HEAD_WIDTH, LAYERS, WIDTH, Network, swap_pairs

PRODUCTS = ("q", "q_turned", "k", "k_turned", "v", "o", "fc1", "fc2")
"""Matrix products of a block, in the order in which the exported graph computes them."""
TOLERANCE = 1e-2
"""Logits: as much as `export` allows between PyTorch and ONNX Runtime."""


def restore(bundle: Bundle) -> Network:
    """Return the network in a bundle, in float32, ready to answer (`eval`).

    Weights are those of the file to the bit, widened; exporting and halving them again gives the same file's
    weights. That the network answers as the file does is checked on a second of noise.

    Raises:
        BundleError: the model is none that `export` wrote.
    """
    path = bundle.onnx
    network = Network(len(bundle.manifest.tokens))
    try:
        state = _state(_constants(onnx.load(path)))
        network.load_state_dict(
            {name: torch.from_numpy(np.array(v, np.float32)) for name, v in state.items()}
        )
    except (KeyError, ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: is no encoder that this recipe exported: {error}") from error
    network.eval()
    _check(bundle, network)
    return network


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Return the constants by the names that `export.Deployed` gave them, those of products by their place.

    The exporter calls a matrix that it transposed, and what it made of GroupNorm, by a running number.
    """
    stored = {
        each.name: np.asarray(numpy_helper.to_array(each), np.float32) for each in model.graph.initializer
    }
    wide = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    named: dict[str, NDArray[np.float32]] = {}
    products = 0
    for node in model.graph.node:
        for name in node.input:
            value = stored.get(wide.get(name, name))
            if value is None:
                continue
            if not name.startswith("onnx::"):
                named[name] = value
            elif node.op_type == "MatMul":
                block, product = divmod(products, len(PRODUCTS))
                named[f"blocks.{block}.{PRODUCTS[product]}"] = value.T
                products += 1
            else:
                named[f"groupnorm.{node.op_type}"] = value
    return named


def _state(named: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Name the constants as `Network` does.

    Raises:
        KeyError: a constant is missing.
        ValueError: the rotated projections are not those of the plain ones.
    """
    state = {
        "encoder.conv1.weight": named["conv1.weight"].reshape(WIDTH, 1, FRAMING),
        "encoder.groupnorm.weight": named["groupnorm.Mul"].reshape(WIDTH),
        "encoder.groupnorm.bias": named["groupnorm.Add"].reshape(WIDTH),
        "encoder.norm.weight": named["norm.weight"],
        "head.norm.weight": named["head_norm.weight"],
        "head.norm.bias": named["head_norm.bias"],
        "head.out.weight": named["out.weight"][:, :, 0, 0],
        "head.out.bias": named["out.bias"],
    }
    for ours, theirs in (("encoder.conv2", "conv2"), ("encoder.conv3", "conv3")):
        state[f"{ours}.weight"] = named[f"{theirs}.weight"][:, :, 0]
        state[f"{ours}.bias"] = named[f"{theirs}.bias"]
    for ours, theirs in (("head.conv1", "head1"), ("head.conv2", "head2")):
        state[f"{ours}.weight"] = named[f"{theirs}.weight"][:, :, 0]
        state[f"{ours}.bias"] = named[f"{theirs}.bias"]
    turn = swap_pairs(torch.eye(WIDTH)).T.numpy()
    for block in (f"blocks.{index}" for index in range(LAYERS)):
        for plain in ("q", "k"):
            if not np.array_equal(turn @ named[f"{block}.{plain}"], named[f"{block}.{plain}_turned"]):
                raise ValueError(f"{block}.{plain} and its rotation do not belong together")
        scale = np.float32(HEAD_WIDTH**-0.5)  # `export` multiplied queries with it
        state[f"encoder.{block}.attention.q.weight"] = named[f"{block}.q"] / scale
        for each in ("k", "v", "o"):
            state[f"encoder.{block}.attention.{each}.weight"] = named[f"{block}.{each}"]
        for each in ("norm1.weight", "norm2.weight", "fc1.bias", "fc2.bias"):
            state[f"encoder.{block}.{each}"] = named[f"{block}.{each}"]
        for each in ("fc1", "fc2"):
            state[f"encoder.{block}.{each}.weight"] = named[f"{block}.{each}"]
    return state


def _check(bundle: Bundle, network: Network) -> None:
    samples = bundle.manifest.window_samples
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn(samples, generator=generator) * 0.05
    audio[SAMPLE_RATE_HZ:] *= 0.01
    with torch.no_grad():
        ours = network(audio[None])[0].numpy()
    theirs = OnnxEngine(bundle).run(audio.unfold(0, FRAMING, FRAMING_HOP).numpy())
    error = float(np.abs(ours - theirs).max())
    if not error <= TOLERANCE:
        raise BundleError(f"{bundle.onnx}: the network made of it answers otherwise, by {error:.3g} (logits)")
