"""Number formats for the RK3568, made by the vendor's toolkit and run in its simulator."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count as numbers
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from agent.acoustics.bundle import Bundle
from models.recipe.batches import Data
from models.recipe.bundle import widen
from models.recipe.convert import convert
from models.recipe.export import framed, write_onnx
from models.recipe.network import FRAME
from models.recipe.plans import SCORED
from models.recipe.restore import restore
from models.recipe.spread import Spread

STEM = (r"/conv\d/.*", r"/Tanh.*", r"/groupnorm/.*", r"/Mul_[13]_output_0")
"""The convolutions below the transformer, by the toolkit's names: they take in all the range of sound."""
ENTER = "/enter/.*"
"""Where the stream of the transformer begins, see `spread`."""
RANGE_WINDOWS = 24
"""Of training streams, from which the ranges of rounding are taken."""
STREAMS, HOP = 8, 68
"""Training streams made at once, and frames between their windows, half of which are taken."""


@dataclass
class Recipe:
    """How a format is made."""

    onnx: Path | None = None
    """Another model than the bundle's, such as one that `qat` trained."""
    windows: int = 0
    """To take ranges from; 0: numbers stay as they are in the ONNX file."""
    algorithm: str = "normal"
    half: tuple[str, ...] = ()
    """Tensors that stay in float16: regular expressions of the toolkit's names for them."""
    spread: bool = False
    """See `spread`."""


@dataclass
class Compiled:
    """What the toolkit made of it."""

    rknn_bytes: int
    cycles: int
    predicted_ms: tuple[float, float]
    layers: Mapping[str, int]
    """By place and number type, such as `NPU INT8`."""


def recipes(algorithm: str, half: Sequence[str], trained: Path | None) -> dict[str, Recipe | None]:
    """Return the formats to compare, None for ONNX Runtime's float32; without `trained` no trained int8."""
    made: dict[str, Recipe | None] = {"float32": None, "float16": Recipe()}
    made["int8-ptq"] = plain = Recipe(windows=RANGE_WINDOWS, algorithm=algorithm)
    made["int8-hybrid"] = replace(plain, half=tuple(half))
    made["int8-spread"] = spread = replace(plain, half=(*half, ENTER), spread=True)
    return made | {"int8-qat": replace(spread, onnx=trained, spread=False)} if trained else made


@dataclass
class Workplace:
    """Where models are converted."""

    python: Path
    """Interpreter of the converter's environment."""
    corpus: Path
    """Training speech, noise and rooms, to take ranges from."""

    def simulate(
        self, bundle: Bundle, recipe: Recipe, windows: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], Compiled]:
        """Convert a bundle's model; return the simulator's answers [N, frames, tokens].

        Args:
            bundle: with the model, and the shape of its answers.
            recipe: into which format.
            windows: what to ask, [N, *input shape].

        Raises:
            RuntimeError: the toolkit failed.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            options: dict[str, object] = {"algorithm": recipe.algorithm, "half": recipe.half}
            if recipe.windows:
                options["calibration"] = str(write_windows(self.corpus, folder, recipe.windows))
            onnx = recipe.onnx or folder / "model.onnx"
            if recipe.spread:
                network = Spread(restore(bundle), bundle.manifest.frames)
                write_onnx(network, torch.from_numpy(windows[0]), onnx)
            elif recipe.onnx is None:
                widen(bundle.onnx, onnx)
            raw, support = convert(self.python, onnx, folder / "model.rknn", windows, **options)
            size = (folder / "model.rknn").stat().st_size
        output = bundle.manifest.output
        answers = np.stack([output.to_rows(each) for each in raw.reshape(len(windows), *output.shape)])
        layers = Counter(f"{layer.place} {layer.dtype}" for layer in support.layers)
        return answers, Compiled(size, support.cycles, support.predicted_ms, dict(layers))


def write_windows(corpus: Path, folder: Path, count: int) -> Path:
    """Write `count` windows of a corpus's training streams, and the list of them that the toolkit reads."""
    paths = [folder / f"{number}.npy" for number in range(count)]
    for path, window in zip(paths, windows_of(corpus), strict=False):
        np.save(path, window)
    listing = folder / "calibration.txt"
    listing.write_text("".join(f"{path}\n" for path in paths))
    return listing


def windows_of(corpus: Path) -> Iterator[NDArray[np.float32]]:
    """Yield windows of a corpus's training streams as the model takes them, without end, always the same.

    Neighbours are of different streams: a stream has one room, one microphone and one level.
    """
    data = Data([corpus / "train"], corpus, {"train/": 1.0}, torch.device("cpu"), seed=0)
    for number in numbers():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)  # rooms, microphones and levels
            plan = data.planner.plan(number, STREAMS * SCORED // HOP, HOP)
            streams = data.batch(plan)
        for windows in streams.unfold(1, plan.window.samples, 2 * HOP * FRAME).unbind(1):
            yield from (framed(window.numpy()) for window in windows)
