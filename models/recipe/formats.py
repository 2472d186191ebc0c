"""Number formats side by side: the orders that a station hears by each one's answers to the same windows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.stream import log_softmax
from agent.evaluation.commands import Score
from models.recipe import figures as figure_files
from models.recipe.calibration_data import Order
from models.recipe.figures import hears_as
from models.recipe.noise import ratio_name
from models.recipe.peers.compare import Grammars, count_orders
from models.recipe.peers.contestants import Mode, Voxline
from models.recipe.quantize import Compiled, Recipe, Workplace
from models.recipe.replay import Answered, Collector, stream

SNRS_DB: tuple[float | None, ...] = (None, 6.0)


@dataclass
class Outcome:
    """What a format gave."""

    recipe: Recipe | None
    """None: the bundle's ONNX model in ONNX Runtime, float32."""
    compiled: Compiled | None
    orders: Mapping[Mode, Sequence[Score]]
    divergence: float
    """See `divergence`."""
    best_kept: float
    """Share of frames whose likeliest token is float32's."""


@dataclass
class Figures:
    """Of one bundle."""

    digest: str
    """By the operating point `normal`."""
    hop_samples: int
    every: int
    """Each so manieth order was heard."""
    formats: dict[str, Outcome]


def read(path: Path, bundle: Bundle, hop_samples: int, every: int) -> Figures:
    """Read figures, or begin new ones.

    Raises:
        ValueError: there are figures, but they are of something else.
    """
    digest = hears_as(bundle, bundle.manifest.operating_points.normal)
    figures = figure_files.read(path, Figures(digest, hop_samples, every, {}))
    for field, asked in {"hop_samples": hop_samples, "every": every}.items():
        there = getattr(figures, field)
        if there != asked:
            raise ValueError(f"{path}: its {field} is {there}, not {asked}: name another file")
    return figures


class Bench:
    """The recordings of a comparison, and every window that they are heard through."""

    def __init__(self, bundle: Bundle, hop_samples: int, recordings: Sequence[Order], cache: Path) -> None:
        """Cut the windows, and ask ONNX Runtime.

        Args:
            bundle: its thresholds are used as they are.
            hop_samples: may be longer than the bundle's, as the simulator is slow.
            recordings: to hear.
            cache: of the recipe.
        """
        self.bundle, self._recordings = bundle, recordings
        self._manifest = bundle.manifest.model_copy(update={"hop_samples": hop_samples})
        self._voxline = Voxline(bundle, Grammars.of(bundle.manifest.tokens).coffee, cache)
        collector = Collector(self._manifest)
        for recording in recordings:
            list(stream(self._manifest, collector, recording.sound))
        self.windows = np.stack(collector.asked)
        engine, tensor = OnnxEngine(bundle), bundle.manifest.input
        self._exact = np.stack([engine.run(tensor.to_rows(window)) for window in self.windows])

    def outcome(self, recipe: Recipe | None, workplace: Workplace) -> Outcome:
        """Ask the simulator for every window, and count the orders that are heard by its answers."""
        answers, compiled = self._exact, None
        if recipe:
            answers, compiled = workplace.simulate(self.bundle, recipe, self.windows)
        return Outcome(
            recipe=recipe,
            compiled=compiled,
            orders=count_orders(Answered(self._manifest, self._voxline, answers), self._recordings),
            divergence=divergence(self._exact, answers),
            best_kept=float((self._exact.argmax(-1) == answers.argmax(-1)).mean()),
        )


def divergence(exact: NDArray[np.float32], answers: NDArray[np.float32]) -> float:
    """Return how far logits [..., tokens] are from exact ones, in nats per frame (Kullback and Leibler)."""
    wanted, got = log_softmax(exact), log_softmax(answers)
    return float((np.exp(wanted) * (wanted - got)).sum(-1).mean())


def table(figures: Figures) -> str:
    """Show figures; orders are exact / wrong with the bundle's rejection, then with nothing refused."""
    lines = [
        "| format | cycles | predicted | file | nats per frame | likeliest kept | orders, as shipped | all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, outcome in figures.formats.items():
        cost = ["", "", ""]
        if made := outcome.compiled:
            low, high = made.predicted_ms
            cost = [
                f"{made.cycles / 1e6:.2f} M",
                f"{low:.1f}-{high:.1f} ms",
                f"{made.rknn_bytes / 1e6:.1f} MB",
            ]
        heard = [
            ", ".join(f"{ratio_name(one.snr_db)} {one.exact.count} / {one.wrong.count}" for one in scores)
            for scores in (outcome.orders[Mode.ITSELF], outcome.orders[Mode.EVERYTHING])
        ]
        close = [f"{outcome.divergence:.4f}", f"{100 * outcome.best_kept:.2f} %"]
        lines.append(f"| {' | '.join([name, *cost, *close, *heard])} |")
    return "\n".join(lines)
