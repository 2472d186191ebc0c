"""What a bundle hears and refuses at each of its operating points: the figures of its card.

    python -m models.recipe.judge FIGURES.json

Every recording is heard once, with nothing refused; then each point refuses by its own limits. Nothing is
fitted or chosen here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic.dataclasses import dataclass

from agent.acoustics.bundle import Bundle, load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.manifest import Calibration
from agent.evaluation.commands import Trial, Verdict
from agent.recognition.confidence import objection, probability
from agent.recognition.hypothesis import Hypothesis
from agent.settings import Commands
from models.recipe.calibrate import NOTHING_REFUSED, Negative, Positive, permissive
from models.recipe.calibration_data import COFFEE, SNRS_DB, Listening
from models.recipe.figures import hears_as, read, write
from models.recipe.mandarin import Mandarin
from models.recipe.near_grammars import near_grammars
from models.recipe.noise import ratio_name
from models.recipe.places import BUNDLES, CACHE, SPEECH

SURE: float = Commands.model_fields["confirm_below"].default
"""Probability from which on a station asks nothing back, as it comes."""

Sounds = Iterable[Positive] | Iterable[Negative]


@dataclass(frozen=True)
class Count:
    """Recordings of one kind, judged at one operating point."""

    total: int
    exact: int
    """Commands of which all, and nothing else, was understood."""
    wrong: int
    """Commands that became another one; of what is no command, recordings in which one was understood."""
    at_once: int
    """Of the wrong ones, those that a station would act on without a question, at normal risk."""

    def __str__(self) -> str:
        return f"{self.exact} / {self.wrong} ({self.at_once})"


@dataclass
class Figures:
    """Of one bundle."""

    digest: str
    """By all operating points."""
    counts: dict[str, dict[str, Count]] = field(default_factory=dict)
    """By kind of recordings, by operating point."""


def points(bundle: Bundle) -> dict[str, Calibration]:
    """Return the operating points by name, and first what a bundle understands with nothing refused."""
    stored = bundle.manifest.operating_points
    free = permissive(stored.normal)
    return {NOTHING_REFUSED: free, "low": stored.low, "normal": stored.normal, "high": stored.high}


def refuse(heard: Hypothesis, limits: Calibration) -> Hypothesis:
    """Judge anew by other limits what was heard with nothing refused."""
    if heard.command is None or heard.reject:
        return heard
    sure = probability(heard.evidence, limits.weights)
    return replace(heard, probability=sure, reject=objection(heard.evidence, heard.margin, sure, limits))


def count(sounds: Sounds, limits: Mapping[str, Calibration]) -> dict[str, Count]:
    """Hear recordings of one kind, and count them at each point."""
    verdicts: dict[str, list[Verdict]] = {name: [] for name in limits}
    at_once = dict.fromkeys(limits, 0)
    for sound in sounds:
        heard = tuple(sound.recording.hear(sound.graph, limits[NOTHING_REFUSED]))
        for name, point in limits.items():
            judged = tuple(refuse(one, point) for one in heard)
            passed = [one for one in judged if one.reject is None]
            verdict = Verdict.WRONG if passed else Verdict.REJECTED
            if isinstance(sound, Positive):
                verdict = Trial(sound.file, sound.snr_db, sound.label, judged).verdict
            verdicts[name].append(verdict)
            at_once[name] += verdict is Verdict.WRONG and any(one.probability >= SURE for one in passed)
    return {
        name: Count(len(own), own.count(Verdict.EXACT), own.count(Verdict.WRONG), at_once[name])
        for name, own in verdicts.items()
    }


def judge(out: Path, bundle: Bundle, kinds: Iterable[tuple[str, Sounds]]) -> None:
    """Count each kind of recordings that is not in the figures yet, and print the table of all.

    Raises:
        ValueError: the figures are of another bundle.
    """
    new = Figures(hears_as(bundle, bundle.manifest.operating_points))
    figures = read(out, new)
    for kind, sounds in kinds:
        if kind not in figures.counts:
            figures.counts[kind] = count(sounds, points(bundle))
            write(figures, out)
            print(f"{kind}: done", flush=True)
    print(table(figures))


def known(listening: Listening, grammar_clips: Path) -> Iterator[tuple[str, Sounds]]:
    """Yield what the operating points were fitted on."""
    for snr_db in SNRS_DB:
        yield f"orders, {ratio_name(snr_db)}", listening.orders([snr_db])
    for snr_db in SNRS_DB:
        yield f"forms, {ratio_name(snr_db)}", listening.forms([snr_db])
    yield "synthetic commands", listening.grammar_clips(grammar_clips)
    yield "near misses", listening.near_misses(grammar_clips)
    for snr_db in SNRS_DB:
        positives, tokens = listening.orders([snr_db]), listening.bundle.manifest.tokens
        yield f"near misses by strangers, {ratio_name(snr_db)}", near_grammars(COFFEE, positives, 1, tokens)
    mandarin = Mandarin(listening)
    for kind in ("play", "set", "go", "dial"):
        yield f"Mandarin, {kind}", mandarin.commands(kind)
    yield "Mandarin, unknown songs and places", mandarin.unknown()
    yield "Mandarin, news", mandarin.news()


def table(figures: Figures) -> str:
    """Show a row per kind of recordings: exact / wrong (of these at once) at each point."""
    names = next(iter(figures.counts.values()), {})
    lines = [f"| | recordings | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for kind, by_point in figures.counts.items():
        total = by_point[NOTHING_REFUSED].total
        lines.append(f"| {kind} | {total} | {' | '.join(map(str, by_point.values()))} |")
    return "\n".join(lines)


def main(
    out: Annotated[Path, typer.Argument(help="Figures, JSON; what is in it is not heard again.")],
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
    grammar_clips: Annotated[
        Path, typer.Option(help="Made by `synthesize plan GRAMMAR ...`, `speak`.")
    ] = CACHE / "grammar-dev",
) -> None:
    """Count what is heard exactly, wrong, or in spite of being no command, at each operating point."""
    bundle = load_bundle(folder)
    judge(out, bundle, known(Listening(bundle, OnnxEngine(bundle), SPEECH, CACHE), grammar_clips))


if __name__ == "__main__":
    typer.run(main)
