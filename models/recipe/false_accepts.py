"""What grammars take for a command in hours that hold none, for each of a bundle's operating points.

    python -m models.recipe.false_accepts FIGURES.json [--grammar FILE ...]

The hours are those of `synthesize negatives`; nothing was fitted on them. They are heard at `low`, the point
that lets most pass; what the stricter points let pass of it is counted by their limits.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated

import typer
from pydantic.dataclasses import dataclass

from agent.acoustics.bundle import Bundle, load_bundle
from agent.acoustics.engines.engine import Engine
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.manifest import Calibration
from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.evaluation.listening import unasked
from agent.evaluation.rejects import find_audio
from agent.evaluation.statistics import Rate
from agent.grammar import compile_grammar, load_grammar
from agent.grammar.graph import Graph
from agent.recognition.confidence import objection
from models.recipe.figures import hears_as, read, write
from models.recipe.negatives import Said
from models.recipe.places import BUNDLES, CACHE
from models.recipe.remembering import Recording

POINT_NAMES = ("low", "normal", "high")


@dataclass(frozen=True)
class Understood:
    """A sentence that was understood at `low`, refused ones included."""

    text: str
    start_s: float
    evidence: dict[str, float]
    """What it was judged by, see `agent.recognition.confidence`."""
    probability: float
    margin: float | None
    """Nats; None: nothing else was in question."""
    refused: bool

    def passes(self, point: Calibration) -> bool:
        """Whether it becomes a command."""
        return not (self.refused or objection(self.evidence, self.margin, self.probability, point))


@dataclass
class Figures:
    """Of one bundle."""

    digest: str
    """By the operating point `low`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each recording."""
    heard: dict[str, dict[str, list[Understood]]] = field(default_factory=dict)
    """Readings by grammar and recording."""


def begun(path: Path, bundle: Bundle) -> Figures:
    """Read figures, or begin new ones.

    Raises:
        ValueError: there are figures, but of another bundle.
    """
    return read(path, Figures(hears_as(bundle, bundle.manifest.operating_points.low)))


def hear_recordings(
    figures: Figures,
    path: Path,
    bundle: Bundle,
    engine: Engine,
    graphs: Mapping[str, Graph],
    folder: Path,
    cache: Path,
) -> Iterator[str]:
    """Hear what is not in the figures yet, and write them after each recording; yields its name.

    Args:
        figures: are added to.
        path: where they are written, whole or not at all.
        bundle: heard at its operating point `low`.
        engine: runs it.
        graphs: by name.
        folder: recordings, a stream of its own each.
        cache: of the recipe; keeps what the model said.
    """
    low = bundle.manifest.operating_points.low
    for file in sorted(find_audio(folder), key=lambda file: file.stem.rpartition("-")[2]):  # the kinds mixed
        missing = [name for name in graphs if file.name not in figures.heard.setdefault(name, {})]
        if not missing:
            continue
        recording = Recording(bundle, engine, read_audio(file), cache)
        figures.seconds[file.name] = len(recording.samples) / SAMPLE_RATE_HZ
        for name in missing:
            figures.heard[name][file.name] = [
                Understood(h.text, h.start_s, dict(h.evidence), h.probability, h.margin, h.reject is not None)
                for h in recording.hear(graphs[name], low, unasked(graphs[name]))
                if h.command
            ]
        write(figures, path)
        yield file.name


def table(figures: Figures, points: Mapping[str, Calibration]) -> str:
    """Show false accepts per hour for each grammar and all together, by operating point and kind of sound."""
    kinds = sorted({_kind(name) for name in figures.seconds})
    head = ["grammar", "hours", *points, *(f"{kind} (at low)" for kind in kinds)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for grammar, by_recording in figures.heard.items():
        hours = sum(figures.seconds[name] for name in by_recording) / 3600
        passing = {point: _passing(by_recording, limits) for point, limits in points.items()}
        counts: dict[str, int] = defaultdict(int)
        for recording, _ in passing[POINT_NAMES[0]]:
            counts[_kind(recording)] += 1
        cells = [f"{hours:.1f}", *(_rate(len(found), hours) for found in passing.values())]
        lines.append(f"| {' | '.join([grammar, *cells, *(str(counts[kind]) for kind in kinds)])} |")
    return "\n".join(lines)


def likeliest(figures: Figures, said: Mapping[str, Sequence[Said]], count: int) -> Iterator[str]:
    """Describe the likeliest readings that `low` lets pass or nearly does, with what was really said."""
    readings = [
        (one, grammar, name)
        for grammar, by_recording in figures.heard.items()
        for name, found in by_recording.items()
        for one in found
    ]
    for one, grammar, name in sorted(readings, key=lambda reading: -reading[0].probability)[:count]:
        at_s = one.start_s + 0.2  # a sentence may begin in the pause before what was said
        true = " / ".join(text.text for text in said.get(name, ()) if text.start_s <= at_s <= text.end_s)
        yield f"{one.probability:.2f} {grammar}, {name} at {one.start_s:.1f} s: {one.text} ({true})"


def said(folder: Path) -> dict[str, list[Said]]:
    """Read what is said in the recordings of a folder that `negatives` made."""
    texts: dict[str, list[Said]] = defaultdict(list)
    with (folder / "index.tsv").open(encoding="utf-8", newline="") as file:
        for name, start, end, text in csv.reader(file, delimiter="\t"):
            texts[name].append(Said(float(start), float(end), text))
    return texts


def _passing(
    by_recording: Mapping[str, Sequence[Understood]], point: Calibration
) -> list[tuple[str, Understood]]:
    return [(name, one) for name, found in by_recording.items() for one in found if one.passes(point)]


def _kind(recording: str) -> str:
    return recording.rpartition("-")[0]


def _rate(count: int, hours: float) -> str:
    rate = Rate.of(count, hours)
    return f"{count}: {rate.value:.2f} ({rate.low:.2f}-{rate.high:.2f})"


def main(
    out: Annotated[Path, typer.Argument(help="Figures, JSON; what is in it is not heard again.")],
    grammars: Annotated[
        list[Path], typer.Option("--grammar", help="Grammar file; may be given several times.")
    ] = [Path("grammars/demo.yaml")],  # noqa: B006
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
    recordings: Annotated[Path, typer.Option(help="Made by `synthesize negatives`.")] = CACHE / "negatives",
) -> None:
    """Count false accepts, and show the likeliest ones with what was really said."""
    bundle = load_bundle(folder)
    figures = begun(out, bundle)
    graphs = {path.stem: compile_grammar(load_grammar(path), bundle.manifest.tokens) for path in grammars}
    engine = OnnxEngine(bundle)
    for name in hear_recordings(figures, out, bundle, engine, graphs, recordings, CACHE):
        print(name, flush=True)
    points = {name: getattr(bundle.manifest.operating_points, name) for name in POINT_NAMES}
    print(table(figures, points))
    print(*likeliest(figures, said(recordings), 20), sep="\n")


if __name__ == "__main__":
    typer.run(main)
