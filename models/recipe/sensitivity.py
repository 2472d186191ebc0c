"""What eight bits hurt: groups of tensors rounded alone, in ONNX Runtime, without the vendor's toolkit.

    python -m models.recipe.sensitivity BUNDLE [--spread]

Scales are those of the toolkit's plainest way: one per tensor, from the least to the largest value that
training streams give. Weights, which have a scale per channel, cost little and are left alone.
"""

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnxruntime
import torch
import typer
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from agent.acoustics.bundle import load_bundle
from models.recipe.bundle import widen
from models.recipe.export import write_onnx
from models.recipe.formats import divergence
from models.recipe.places import BUNDLES, CORPUS
from models.recipe.quantize import RANGE_WINDOWS, write_windows
from models.recipe.restore import restore
from models.recipe.spread import Spread

Ranges = Mapping[str, tuple[float, float]]
GROUPS = {
    "first convolution, after tanh": r"/Tanh_output_0",
    "after GroupNorm": r"/groupnorm/Add_output_0",
    "second convolution, after GELU": r"/Mul_1_output_0",
    "third convolution, after GELU": r"/Mul_3_output_0|/enter/Conv_output_0",
    "LayerNorms": r".*norm.*/LayerNormalization_output_0",
    "queries, keys, values": r".*/(q|k|v|q_turned|k_turned)/MatMul_output_0",
    "rotated queries and keys": r"/blocks\.\d/(Add|Add_1|Mul|Mul_1|Mul_2|Mul_3)_output_0",
    "attention: scores and weights": r"/blocks\.\d/(MatMul|Softmax)_output_0",
    "attention: what it mixes": r"/blocks\.\d/MatMul_1_output_0",
    "inside the feed-forward layers": r"/blocks\.\d/(fc1/Add|Mul_5)_output_0",
    "what is added to the stream": r"/blocks\.\d/(o/MatMul|fc2/Add)_output_0",
    "the stream": r"/blocks\.\d/Add_[24]_output_0",
    "head": r"/Relu.*_output_0|/leave/.*_output_0",
}
"""By the exporter's names."""
JUDGED = 24
"""Windows; ranges are taken from others. Few tell little, since quiet ones lose by far the most."""


def answers(model: onnx.ModelProto, windows: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return logits, [windows, frames, tokens]."""
    session = _session(model)
    logits = [session.run(["logits"], {"audio": window})[0][0, :, 0].T for window in windows]
    return np.stack(logits)


def ranges(model: onnx.ModelProto, windows: Iterable[NDArray[np.float32]]) -> Ranges:
    """Return the least and the largest value of every tensor that the model computes."""
    wide = deepcopy(model)
    names = [name for node in model.graph.node if node.op_type != "Constant" for name in node.output]
    wide.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n != "logits")
    session = _session(wide)
    found: dict[str, tuple[float, float]] = {}
    for window in windows:
        for name, value in zip(names, session.run(names, {"audio": window}), strict=True):
            if value.dtype == np.float32:
                low, high = found.get(name, (0.0, 0.0))
                found[name] = min(low, float(value.min())), max(high, float(value.max()))
    return found


def tensors_rounded(model: onnx.ModelProto, found: Ranges, tensors: Sequence[str]) -> onnx.ModelProto:
    """Return the model with these tensors in eight bits, by their ranges."""
    out = deepcopy(model)
    nodes = []
    for node in out.graph.node:
        for place, name in enumerate(node.input):
            if name in tensors:
                node.input[place] = f"{name}:back"
        nodes.append(node)
        for name in (each for each in node.output if each in tensors):
            low, high = found[name]
            scale = np.float32(max((high - low) / 255, 1e-9))
            zero = np.uint8(np.clip(round(-low / float(scale)), 0, 255))
            constants = {f"{name}:scale": scale, f"{name}:zero": zero}
            out.graph.initializer.extend(
                numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()
            )
            nodes += [
                helper.make_node("QuantizeLinear", [name, *constants], [f"{name}:bits"]),
                helper.make_node("DequantizeLinear", [f"{name}:bits", *constants], [f"{name}:back"]),
            ]
    kept = [deepcopy(node) for node in nodes]
    del out.graph.node[:]
    out.graph.node.extend(kept)
    return out


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def main(
    folder: Annotated[Path, typer.Argument(help="The bundle.")] = BUNDLES / "voxline-en-zh",
    spread: Annotated[bool, typer.Option("--spread", help="Spread outliers first.")] = False,
) -> None:
    """Print how far the answers move, in nats per frame, with each group of tensors alone in eight bits."""
    bundle = load_bundle(folder)
    with tempfile.TemporaryDirectory() as scratch:
        listing = write_windows(CORPUS, Path(scratch), RANGE_WINDOWS + JUDGED)
        windows = [np.load(path) for path in listing.read_text().split()]
        path = Path(scratch) / "model.onnx"
        if spread:
            write_onnx(Spread(restore(bundle), bundle.manifest.frames), torch.from_numpy(windows[0]), path)
        else:
            widen(bundle.onnx, path)
        model = onnx.load(path)
    found = ranges(model, windows[:RANGE_WINDOWS])
    exact = answers(model, windows[RANGE_WINDOWS:])
    for name, pattern in GROUPS.items():
        tensors = [each for each in found if re.fullmatch(pattern, each)]
        moved = divergence(exact, answers(tensors_rounded(model, found, tensors), windows[RANGE_WINDOWS:]))
        peak = max(max(-found[each][0], found[each][1]) for each in tensors)
        print(f"{moved:8.4f}  {name} ({len(tensors)} tensors, up to {peak:.3g})", flush=True)


if __name__ == "__main__":
    typer.run(main)
