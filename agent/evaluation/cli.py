"""`voxline evaluate`: figures from recordings."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.audio.file import read_audio, require_audio
from agent.errors import VoxlineError
from agent.evaluation import commands, pictures, rejects
from agent.evaluation.listening import Ear
from agent.grammar import compile_grammar, load_grammar
from agent.options import Json
from agent.recognition.confidence import WEAK_NATS
from agent.recognition.hypothesis import Hypothesis

app = typer.Typer(help="Measure a bundle and a grammar on recordings.", no_args_is_help=True)

Grammar = Annotated[Path, typer.Option(help="Grammar file.")]
Audio = Annotated[Path, typer.Option(help="Folder with the recordings.")]
BundleFolder = Annotated[Path, typer.Option("--bundle", exists=True, help="Model bundle.")]
Point = Annotated[str, typer.Option("--operating-point", help="low, normal or high.")]
Picture = Annotated[Path | None, typer.Option(help="Write a picture (PNG or SVG) here.")]
Labels = Annotated[
    Path, typer.Option(help='What was said: {"file.wav": {"command": "...", "slots": {...}}}.')
]

THRESHOLDS = [step / 20 for step in range(20)] + [0.97, 0.98, 0.99, 0.995, 0.999]
_MOST_DB = 100
"""16-bit sound has no more."""
DEFAULT_BUNDLE = Path("models/bundles/voxline-en-zh")
# In 80 columns, as in a pipe, figures would be cut; and what stands in brackets in a file's name is no style.
_console = Console(width=max(120, Console().width), markup=False)
_progress_console = Console(stderr=True)


def _open_ear(bundle_folder: Path, grammar_file: Path, operating_point: str) -> Ear:
    bundle = load_bundle(bundle_folder)
    try:
        calibration = bundle.manifest.operating_points.at(operating_point)
    except KeyError:
        wrong = f"--operating-point {operating_point}: must be low, normal or high"
        raise VoxlineError(wrong) from None
    graph = compile_grammar(load_grammar(grammar_file), bundle.manifest.tokens)
    return Ear(bundle, OnnxEngine(bundle), graph, calibration)


def _read_labels(path: Path, audio: Path, ear: Ear) -> dict[str, commands.Label]:
    """Read what was said in the recordings in `audio`; see that all are there before hours of listening."""
    labels = commands.read_labels(path)
    commands.require_known(labels, ear.graph, path)
    require_audio(audio / file for file in sorted(labels))
    return labels


@app.command("commands")
def evaluate_commands(
    grammar: Grammar,
    labels: Labels,
    audio: Audio,
    noise: Annotated[
        list[Path] | None, typer.Option(help="Noise to mix in; may be given several times.")
    ] = None,
    snr: Annotated[
        list[float] | None,
        typer.Option(min=-_MOST_DB, max=_MOST_DB, help="Signal-to-noise ratios, dB: --snr 24 18 12."),
    ] = None,
    more_snr: Annotated[list[float] | None, typer.Argument(min=-_MOST_DB, max=_MOST_DB, hidden=True)] = None,
    bundle: BundleFolder = DEFAULT_BUNDLE,
    operating_point: Point = "normal",
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Exact, wrong and rejected commands, clean and at each SNR (of the loudest 2048-sample frames)."""
    snrs = {*(snr or []), *(more_snr or [])}  # click gives an option one value; what follows are arguments
    if bool(noise) != bool(snrs):
        raise VoxlineError("--noise and --snr come together: give both or neither")
    if picture:
        pictures.require_drawable(picture)
    bed = np.concatenate([read_audio(file) for file in noise]) if noise else None
    conditions: list[float | None] = [None, *sorted(snrs, reverse=True)]
    ear = _open_ear(bundle, grammar, operating_point)
    said = _read_labels(labels, audio, ear)
    with Progress(console=_progress_console, transient=True) as progress:
        task = progress.add_task("hearing", total=len(said) * len(conditions))
        trials = commands.run_trials(ear, said, audio, bed, conditions, lambda _: progress.advance(task))
    scores = [commands.score(trials, condition) for condition in conditions]
    if picture:
        pictures.accuracy_against_snr({ear.bundle.manifest.name: scores}, picture)
    if as_json:
        print(commands.to_json(trials, scores))  # noqa: T201
    else:
        _console.print(_score_table(scores))
        for trial in commands.not_exact(trials):
            condition = "clean" if trial.snr_db is None else f"{trial.snr_db:g} dB"
            heard = "; ".join(f"{h.text or 'nothing'} ({_why(h)})" for h in trial.heard)
            _console.print(f"  {trial.file}, {condition}: {trial.verdict}: {heard or 'nothing was noticed'}")
        for word in commands.said_otherwise(trials):
            _console.print(f"  {word}")


def _why(heard: Hypothesis) -> str:
    outcome, worst = heard.reject or "accepted", heard.worst_word
    if worst is None or worst.score > WEAK_NATS:
        return outcome
    return (
        f"{outcome}; `{worst.text}`: not {' '.join(worst.sounds)} but {' '.join(worst.likelier) or 'nothing'}"
    )


def _score_table(scores: list[commands.Score]) -> Table:
    table = Table("SNR dB", "exact", "wrong", "rejected", "slots", "numbers", "reasons")
    for score in scores:
        table.add_row(
            "clean" if score.snr_db is None else f"{score.snr_db:g}",
            *map(str, (score.exact, score.wrong, score.rejected, score.slots, score.numbers)),
            ", ".join(f"{reason} {count}" for reason, count in score.reasons.items()),
        )
    return table


@app.command("rejects")
def evaluate_rejects(
    grammar: Grammar,
    audio: Audio,
    bundle: BundleFolder = DEFAULT_BUNDLE,
    operating_point: Point = "normal",
    labels: Annotated[Path | None, typer.Option(help="Labelled commands, for the trade-off curve.")] = None,
    labelled_audio: Annotated[Path | None, typer.Option(help="Folder of the labelled commands.")] = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """False accepts per hour in speech and noise that hold no command; with labels, against false rejects."""
    if bool(labels) != bool(labelled_audio):
        raise VoxlineError("--labels and --labelled-audio come together: give both or neither")
    if picture:
        pictures.require_drawable(picture)
    ear = _open_ear(bundle, grammar, operating_point)
    said = _read_labels(labels, labelled_audio, ear) if labels and labelled_audio else {}
    files = rejects.find_audio(audio)
    if not files:
        raise VoxlineError(f"--audio {audio}: holds no recordings")
    require_audio(files)
    with Progress(console=_progress_console, transient=True) as progress:
        task = progress.add_task("hearing", total=len(files))
        negatives = rejects.hear_negatives(ear, files, lambda _file, _hours: progress.advance(task))
        trials = []
        if labelled_audio:
            task = progress.add_task("hearing commands", total=len(said))
            trials = commands.run_trials(
                ear, said, labelled_audio, None, [None], lambda _: progress.advance(task)
            )
    curve = rejects.trade_off(negatives, trials, THRESHOLDS)
    if picture:
        pictures.trade_off_curve(curve, ear.calibration.min_probability, picture)
    if as_json:
        print(rejects.to_json(negatives, curve))  # noqa: T201
    else:
        _console.print(f"false accepts: {negatives.rate}")
        for item in negatives.accepted:
            _console.print(f"  {item.file}: {item.hypothesis.text} ({item.hypothesis.probability:.2f})")
