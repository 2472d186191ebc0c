"""Training that hears its own eight bits: the weights learn to answer as in float when all is rounded.

    python -m models.recipe.qat OUT.onnx [--steps N]

The part of a spread network (see `spread`) that is above the convolutions learns; these stay as they are, as
the hybrid keeps them in float16. What each operation gives is rounded as the toolkit will: a scale per tensor
from the least to the largest value in the calibration windows, taken anew now and then as the weights
move; of a matrix, a scale per output. The float network teaches, on training streams: no labels are needed.
The toolkit then quantizes the new weights like any others. It refuses a model that brings its own scales for
a part of its tensors, and need not be told them: it takes the same ranges from the same windows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from agent.acoustics.bundle import load_bundle
from models.recipe.export import write_onnx
from models.recipe.places import BUNDLES, CORPUS
from models.recipe.quantize import RANGE_WINDOWS, windows_of
from models.recipe.restore import restore
from models.recipe.spread import Spread

COMPUTES = {"linear", "conv2d", "layer_norm", "matmul", "add", "mul", "softmax", "gelu", "relu"}
"""Operations that make new numbers, by PyTorch's names; others only move them."""
BELOW = ("conv1.", "groupnorm.", "conv2.", "conv3.", "enter.")
"""Weights of the part that stays in float."""
LESSONS = 400
"""Windows to learn from, at most."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is learnt, and how fast."""

    steps: int
    batch: int = 8
    """Windows in a step."""
    rate: float = 1e-3
    warmup: int = 5
    """Steps."""
    judge_every: int = 20
    """Steps after which ranges are taken anew, and windows apart are asked."""
    calibrated: int = RANGE_WINDOWS
    """The first windows give the ranges: those that the toolkit is given."""
    judged: int = 40
    """So many after these only tell how it goes; the rest are learnt from."""


class Watched(TorchFunctionMode):
    """Puts what `seen` makes of it, and of its place in their order, for what every operation gives."""

    def __init__(self, seen: Callable[[int, Tensor], Tensor]) -> None:
        super().__init__()
        self._seen, self._place = seen, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Do as PyTorch asks of a mode."""
        out = func(*args, **(kwargs or {}))
        if func.__name__ not in COMPUTES:
            return out
        self._place += 1
        return self._seen(self._place, out)


class Ranges:
    """The least and the largest value of each tensor, by its place; zero is always within."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[float, float]] = {}

    def widen(self, place: int, value: Tensor) -> Tensor:
        """Take a tensor in, and return it as it is."""
        low, high = self._found.get(place, (0.0, 0.0))
        least, largest = value.detach().aminmax()
        self._found[place] = min(low, float(least)), max(high, float(largest))
        return value

    def round(self, place: int, value: Tensor) -> Tensor:
        """Return a tensor in 256 steps of its range; gradients pass where nothing was cut off."""
        low, high = self._found[place]
        scale = max((high - low) / 255, 1e-9)
        return torch.fake_quantize_per_tensor_affine(value, scale, round(-low / scale), 0, 255)


@contextmanager
def weights_rounded(matrices: Sequence[Tensor]) -> Iterator[None]:
    """Hold matrices [outputs, ...] rounded to eight bits, a scale per output; then they are as before."""
    exact = [matrix.detach().clone() for matrix in matrices]
    with torch.no_grad():
        for matrix in matrices:
            scale = matrix.flatten(1).abs().amax(1).clamp(min=1e-9) / 127
            zero = torch.zeros(len(scale), dtype=torch.int32)
            matrix.copy_(torch.fake_quantize_per_channel_affine(matrix, scale, zero, 0, -127, 127))
    try:
        yield
    finally:
        with torch.no_grad():
            for matrix, own in zip(matrices, exact, strict=True):
                matrix.copy_(own)


class Student:
    """A network of which the part above the convolutions learns, and what it answered before, in float."""

    def __init__(self, network: Spread, windows: Sequence[NDArray[np.float32]], calibrated: int) -> None:
        """Hear the windows, [1, 127, 1, columns]; ranges are taken from the first `calibrated`."""
        self._network = network.eval().requires_grad_(False)
        inputs = [torch.from_numpy(window) for window in windows]
        self._heard = [network.below(window) for window in inputs]
        self._wanted = [network.above(heard).log_softmax(1) for heard in self._heard]
        self.weights = [own for name, own in network.named_parameters() if not name.startswith(BELOW)]
        self._matrices = [weight for weight in self.weights if weight.dim() > 1]
        for weight in self.weights:
            weight.requires_grad_()
        self._calibrated = calibrated
        self.look_up()

    def look_up(self) -> None:
        """Take the ranges of all tensors with the weights as they are now."""
        self._ranges = Ranges()
        with torch.no_grad(), weights_rounded(self._matrices):
            for heard in self._heard[: self._calibrated]:
                self._answer(heard, self._ranges.widen)

    def drift(self, windows: Sequence[int]) -> float:
        """Return how far rounded answers are from those in float, nats per frame; its gradients are added."""
        total = 0.0
        with weights_rounded(self._matrices):
            for window in windows:
                answer = self._answer(self._heard[window], self._ranges.round).log_softmax(1)
                moved = functional.kl_div(answer, self._wanted[window], reduction="sum", log_target=True)
                mean = moved / (answer.shape[-1] * len(windows))
                if torch.is_grad_enabled():
                    mean.backward()
                total += float(mean.detach())
        return total

    def _answer(self, heard: Tensor, seen: Callable[[int, Tensor], Tensor]) -> Tensor:
        entered = seen(0, heard)
        with Watched(seen):
            return self._network.above(entered)


def train(
    network: Spread, windows: Sequence[NDArray[np.float32]], settings: Settings, say: Callable[[str], None]
) -> None:
    """Let a network learn, in place, to be rounded, and say how it goes."""
    student = Student(network, windows, settings.calibrated)
    apart = range(settings.calibrated, settings.calibrated + settings.judged)
    # Not Adam: where nearly nothing is left to learn, its steps are as long as ever, and of noise alone.
    optimizer = torch.optim.SGD(student.weights, momentum=0.9)
    rng = np.random.default_rng(0)
    for step in range(settings.steps + 1):
        if step % settings.judge_every == 0 or step == settings.steps:
            student.look_up()
            with torch.no_grad():
                moved = student.drift(apart)
            say(f"step {step} of {settings.steps}: {moved:.4f} nats per frame on others")
        if step < settings.steps:
            share = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            optimizer.param_groups[0]["lr"] = settings.rate * share * min(1.0, (step + 1) / settings.warmup)
            optimizer.zero_grad()
            chosen = rng.choice(len(windows) - apart.stop, settings.batch, replace=False) + apart.stop
            student.drift(chosen.tolist())
            torch.nn.utils.clip_grad_norm_(student.weights, 1.0)
            optimizer.step()


def main(
    out: Annotated[Path, typer.Argument(help="ONNX model to write, for `quantize --trained`.")],
    steps: Annotated[int, typer.Option(min=1, help="Of eight windows; one takes a core 3 seconds.")] = 40,
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
) -> None:
    """Train a bundle's weights to answer in eight bits as they did in float."""
    bundle, settings = load_bundle(folder), Settings(steps)
    count = settings.calibrated + settings.judged + min(settings.batch * steps, LESSONS)
    windows = list(islice(windows_of(CORPUS), count))
    network = Spread(restore(bundle), bundle.manifest.frames)
    train(network, windows, settings, partial(print, flush=True))
    write_onnx(network, torch.from_numpy(windows[0]), out)


if __name__ == "__main__":
    typer.run(main)
