"""Number formats for the RK3568, made by the vendor's toolkit and run in its simulator."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from agent.acoustics.bundle import Bundle
from models.recipe.batches import Data
from models.recipe.convert import convert
from models.recipe.export import framed, write_onnx
from models.recipe.int8 import widen
from models.recipe.network import FRAME
from models.recipe.restore import restore
from models.recipe.spread import Spread

STEM = (r"/conv\d/.*", r"/Tanh.*", r"/groupnorm/.*", r"/Mul_[13]_output_0")
"""The convolutions below the transformer, by the toolkit's names: they take in all the range of sound."""
ENTER = "/enter/.*"
"""Where the stream of the transformer begins, see `spread`."""
CALIBRATION_WINDOWS = 24
"""Of training streams."""


@dataclass
class Recipe:
    """How a format is made."""

    onnx: Path | None = None
    """Another model than the bundle's, such as one that was trained quantized."""
    windows: int = 0
    """To calibrate on; 0: numbers stay as they are in the ONNX file."""
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
    made["int8-ptq"] = plain = Recipe(windows=CALIBRATION_WINDOWS, algorithm=algorithm)
    made["int8-hybrid"] = replace(plain, half=tuple(half))
    made["int8-spread"] = replace(plain, half=(*half, ENTER), spread=True)
    return made | {"int8-qat": Recipe(onnx=trained)} if trained else made


@dataclass
class Workplace:
    """Where models are converted."""

    python: Path
    """Interpreter of the converter's environment."""
    corpus: Path
    """Training speech, noise and rooms, to calibrate on."""

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
                options["calibration"] = str(calibration(self.corpus, folder, recipe.windows))
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


def calibration(corpus: Path, folder: Path, count: int) -> Path:
    """Write `count` windows of a corpus's training streams, and the list of them that the toolkit reads."""
    data = Data([corpus / "train"], corpus, {"train/": 1.0}, torch.device("cpu"), seed=0)
    rng = np.random.default_rng(0)
    paths: list[Path] = []
    while len(paths) < count:
        plan = data.planner.plan(len(paths), 34, hop=40)
        windows = data.batch(plan).unfold(1, plan.window.samples, 17 * FRAME).flatten(0, 1)
        for one in rng.permutation(len(windows))[: min(8, count - len(paths))]:
            paths.append(folder / f"{len(paths)}.npy")
            np.save(paths[-1], framed(windows[one].numpy()))
    listing = folder / "calibration.txt"
    listing.write_text("".join(f"{path}\n" for path in paths))
    return listing
