"""A bundle adapted to a site, or the reason why there is none."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle, load_bundle, reseal_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.audio.file import read_audio
from agent.errors import BundleError, VoxlineError
from agent.evaluation.commands import Trial, Verdict, run_trials
from agent.evaluation.golden import GoldenSet, find_golden
from agent.evaluation.listening import Ear, in_room
from agent.grammar import compile_grammar, load_grammar
from agent.grammar.graph import Graph
from agent.names import VERSION
from agent.updates.trial import REJECTS
from models.recipe.adapt import Lesson, Settings, adapt, foreign_sounds
from models.recipe.bundle import build, canary_samples
from models.recipe.convert import TARGET
from models.recipe.export import export
from models.recipe.hearings import HEAD_REACH, Hearing, Lower, Upper
from models.recipe.network import Network, Window
from models.recipe.proof import Commands, Comparison, Course, compare, folds
from models.recipe.recordings import SiteRecording
from models.recipe.refine import likeliest
from models.recipe.restore import restore
from models.recipe.tokens import TOKENS, first_variant

Say = Callable[[str], None]
HOPS_PER_WINDOW = 3
"""While learning: a hop is four times the agent's, so that there are a quarter of the windows."""
REHEARSED_GUISES = 2


class NotAdaptedError(VoxlineError):
    """The adapted model is not better: the bundle in use stays."""

    code = "not_adapted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An adapted bundle and what speaks for it."""

    bundle: Bundle
    held_back: Comparison
    golden: tuple[Commands, Commands]
    """Before and after."""


def adapt_bundle(
    bundle: Bundle,
    recordings: Sequence[SiteRecording],
    grammar: Path | None,
    out: Path,
    version: str,
    converter: Path | None,
    settings: Settings,
    say: Say,
) -> Outcome:
    """Adapt a bundle to recordings, prove it, and write the new bundle.

    Args:
        bundle: the one in use; holds a golden set.
        recordings: of the site; some are always held back while judging, all are learnt from in the end.
        grammar: of the site, if the commands in held-back recordings shall be judged as well.
        out: folder of the new bundle; must not exist.
        version: of the new bundle; must be newer.
        converter: interpreter of the converter's environment; without it the bundle is for the CPU alone.
        settings: of the adaptation.
        say: is told how it goes.

    Raises:
        NotAdaptedError: the model did not become better, or lost something; nothing is written.
        BundleError: the bundle cannot be adapted, or `version` or `out` does not fit.
        RecordingsError: there are too few recordings.
    """
    _check(bundle, out, version)
    parts = folds(recordings)
    golden_set = find_golden(bundle.folder)
    if golden_set is None:
        raise BundleError(f"{bundle.folder}: has no golden set and grammar to show what would be forgotten")
    network = restore(bundle)
    course = prepare(bundle, network, recordings, golden_set, settings, say)
    own = compile_grammar(load_grammar(grammar), bundle.manifest.tokens) if grammar else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        hear = _hearing(bundle, own, recordings, Path(scratch)) if own else None
        compared = compare(network, course, parts, settings, hear, say)
        say(f"held back: {compared}")
        if compared.fault:
            raise NotAdaptedError(compared.fault)
        say("learning from all recordings")
        everything = course.lessons(range(len(recordings)))
        adapted = adapt(network, everything, course.others, settings, say)
        changes = _changes(bundle, recordings, settings, version)
        made = write(adapted, bundle, Path(scratch) / "adapted", changes, None)
        say("hearing the golden set")
        golden = golden_commands(bundle, golden_set), golden_commands(made, golden_set)
        say(f"golden set: {golden[0]} before, {golden[1]} after")
        if golden[1].worse_than(golden[0]):
            raise NotAdaptedError(f"the golden set suffers: {golden[0]} before, {golden[1]} after")
        if converter:
            say("converting for the NPU")
            made = write(adapted, bundle, Path(scratch) / "adapted", changes, converter)
        (made.folder / "README.md").write_text(_card(made, bundle, compared, golden), encoding="utf-8")
        reseal_bundle(made.folder).folder.rename(out)
    return Outcome(load_bundle(out), compared, golden)


def _check(bundle: Bundle, out: Path, version: str) -> None:
    manifest = bundle.manifest
    if manifest.family != "encoder" or manifest.tokens != TOKENS:
        raise BundleError(f"{bundle.folder}: only an encoder with this recipe's tokens can be adapted")
    if out.exists():
        raise BundleError(f"{out}: exists; name a folder that does not")
    if not re.fullmatch(VERSION, version) or _numbers(version) <= _numbers(manifest.version):
        raise BundleError(
            f"--version {version}: must be newer than {manifest.version}, such as {_next(manifest.version)}"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _next(version: str) -> str:
    major, minor, patch = _numbers(version)
    return f"{major}.{minor}.{patch + 1}+site"


def prepare(
    bundle: Bundle,
    network: Network,
    recordings: Sequence[SiteRecording],
    golden_set: GoldenSet,
    settings: Settings,
    say: Say,
) -> Course:
    """Hear everything once with the part that stays frozen."""
    manifest = bundle.manifest
    look_ahead = max(HEAD_REACH, manifest.look_ahead_samples // manifest.frame_samples)
    window = Window(manifest.frames, manifest.frames // HOPS_PER_WINDOW, look_ahead)
    site = Lower(network, settings.blocks, [each.audio for each in recordings], window, seed=1)
    upper = Upper(network, settings.blocks)
    plain, guises = [], []
    for index, recording in enumerate(recordings):
        if index % 10 == 0:
            say(f"hearing recording {index + 1} of {len(recordings)}")
        lesson = _lesson(upper, site.as_recorded(index), recording)
        plain.append(lesson)
        guises.append([replace(lesson, hearing=each) for each in site.guises(index, settings.guises)])
    say("hearing other people's commands")
    others = Lower(network, settings.blocks, _rehearsed(golden_set), window, seed=2)
    kept = [each for i in range(len(others.recordings)) for each in others.guises(i, REHEARSED_GUISES)]
    return Course(recordings, plain, guises, kept)


def _lesson(upper: Upper, hearing: Hearing, recording: SiteRecording) -> Lesson:
    """Take each word in the pronunciation that the model finds likeliest."""
    foreign = foreign_sounds(recording.language)
    with torch.no_grad():
        (logits,) = upper.answers([hearing])
        words = likeliest(logits.masked_fill(foreign, -1e4).log_softmax(-1), recording.words)
    return Lesson(hearing, tuple(first_variant(words)), foreign)


def _rehearsed(golden_set: GoldenSet) -> list[NDArray[np.int16]]:
    """Return every second golden utterance: the others judge what is forgotten, and are never learnt from."""
    return [read_audio(golden_set.folder / file) for file in sorted(golden_set.labels)[::2]]


def write(
    network: Network, base: Bundle, folder: Path, changes: Mapping[str, Any], converter: Path | None
) -> Bundle:
    """Write a network as a bundle that is like another in all but the weights and some fields."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in base.manifest.files:
        if not name.endswith(".rknn"):  # it is of the old weights
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base.folder / name, folder / name)
    m = base.manifest
    hop, look_ahead = (samples // m.frame_samples for samples in (m.hop_samples, m.look_ahead_samples))
    described = m.model_dump(mode="json", exclude={"files", "npu"}) | dict(changes)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch)
        torch.save(network.state_dict(), model / "weights.pt")
        export(model / "weights.pt", model, Window(m.frames, hop, look_ahead))
        made, _ = build(model, folder, described, converter, canary_samples(folder, m.window_samples))
    return made


def _hearing(
    bundle: Bundle, graph: Graph, recordings: Sequence[SiteRecording], scratch: Path
) -> Callable[[Network | None, Sequence[int]], Commands]:
    def hear(network: Network | None, chosen: Sequence[int]) -> Commands:
        judged = write(network, bundle, scratch / "fold", {}, None) if network else bundle
        return heard_as_labelled(judged, graph, [recordings[i] for i in chosen])

    return hear


def heard_as_labelled(bundle: Bundle, graph: Graph, recordings: Sequence[SiteRecording]) -> Commands:
    """Hear recordings with labels as the station would."""
    ear = Ear(bundle, OnnxEngine(bundle), graph, bundle.manifest.operating_points.normal)
    trials = [
        Trial(each.file, None, each.label, tuple(ear.listen(in_room(each.audio, None, None, seed=0))))
        for each in recordings
        if each.label
    ]
    return _count(trials)


def golden_commands(bundle: Bundle, golden_set: GoldenSet) -> Commands:
    """Hear a golden set as the station would; a reject that becomes a command counts as wrong."""
    graph = compile_grammar(golden_set.grammar, bundle.manifest.tokens)
    ear = Ear(bundle, OnnxEngine(bundle), graph, bundle.manifest.operating_points.normal)
    folder = golden_set.folder
    commands = _count(run_trials(ear, golden_set.labels, folder, None, [None]))
    rejects = json.loads((folder / REJECTS).read_bytes()) if (folder / REJECTS).exists() else ()
    heard = [ear.listen(in_room(read_audio(folder / file), None, None, seed=0)) for file in rejects]
    accepted = sum(any(each.reject is None for each in hypotheses) for hypotheses in heard)
    return replace(commands, wrong=commands.wrong + accepted)


def _count(trials: Sequence[Trial]) -> Commands:
    verdicts = [trial.verdict for trial in trials]
    return Commands(verdicts.count(Verdict.EXACT), verdicts.count(Verdict.WRONG), len(verdicts))


def _changes(
    base: Bundle, recordings: Sequence[SiteRecording], settings: Settings, version: str
) -> dict[str, Any]:
    training = base.manifest.training
    hours = sum(recording.seconds for recording in recordings) / 3600
    line = f"a site's own {len(recordings)} recordings, {60 * hours:.1f} min"
    return {
        "version": version,
        "training": {
            "summary": f"{training.summary} Then adapted to a site: last {settings.blocks} blocks and head.",
            "hours": round(training.hours + hours, 2),
            "data": [*training.data, line],
        },
    }


def _card(made: Bundle, base: Bundle, compared: Comparison, golden: tuple[Commands, Commands]) -> str:
    """Describe an adapted bundle: the base's own figures hold no more."""
    m, old = made.manifest, base.manifest
    npu = "" if made.rknn(TARGET) else "\nFor the CPU engine only: it was made without the NPU's converter.\n"
    return f"""# {m.name} {m.version}

{old.name} {old.version} (digest {base.digest[:16]}), adapted to a site: {m.training.data[-1]}.
{npu}
| | |
|---|---|
| recordings held back, three folds | {compared} |
| golden set, operating point `normal` | {golden[0]} before, {golden[1]} after |

The figures of {old.name} {old.version} do not hold for this model. Thresholds are those of {old.version}.
"""
