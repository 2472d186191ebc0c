"""False accepts per hour, counted by recording and kept."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("scipy", reason="negatives are made with scipy, of the extra `train`")
pytest.importorskip("misaki", reason="negatives are planned with misaki, of the extra `train`")

from agent.acoustics.bundle import load_bundle  # noqa: E402
from agent.acoustics.engines.onnx import OnnxEngine  # noqa: E402
from agent.audio.file import read_audio  # noqa: E402
from agent.grammar import compile_grammar, load_grammar  # noqa: E402
from agent.recognition.confidence import EVIDENCE  # noqa: E402
from models.recipe import false_accepts  # noqa: E402
from models.recipe.negatives import Said  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
BUNDLE = load_bundle(REPOSITORY / "models/bundles/voxline-en-zh")
POINTS = {name: getattr(BUNDLE.manifest.operating_points, name) for name in false_accepts.POINT_NAMES}


def test_a_command_among_hours_without_one_is_counted_once_and_kept(tmp_path: Path) -> None:
    recordings, out = tmp_path / "negatives", tmp_path / "figures.json"
    recordings.mkdir()
    command = read_audio(BUNDLE.folder / "golden/02-start-belt-two.opus")
    hiss = np.random.default_rng(0).normal(0, 30, 48_000).astype(np.int16)
    confirm = read_audio(BUNDLE.folder / "golden/39-confirm.opus")  # nobody asked
    soundfile.write(
        recordings / "flite-000.flac", np.concatenate([hiss, command, hiss, confirm, hiss]), 16_000
    )
    soundfile.write(recordings / "machines-000.flac", hiss, 16_000)
    (recordings / "index.tsv").write_text("flite-000.flac\t3.0\t5.0\tnobody said so\n")
    graph = compile_grammar(load_grammar(REPOSITORY / "grammars/demo.yaml"), BUNDLE.manifest.tokens)

    def hear() -> list[str]:
        figures = false_accepts.begun(out, BUNDLE)
        everything = (figures, out, BUNDLE, OnnxEngine(BUNDLE), {"demo": graph}, recordings, tmp_path)
        return list(false_accepts.hear_recordings(*everything))

    assert hear() == ["flite-000.flac", "machines-000.flac"]
    assert hear() == []
    figures = false_accepts.begun(out, BUNDLE)
    hours = sum(figures.seconds.values()) / 3600
    header, _, row = false_accepts.table(figures, POINTS).splitlines()
    assert header == "| grammar | hours | low | normal | high | flite (at low) | machines (at low) |"
    assert row.startswith("| demo | 0.0 | 1: ")
    assert f"1: {1 / hours:.2f} (" in row
    assert row.endswith(" | 1 | 0 |")
    (line,) = false_accepts.likeliest(figures, false_accepts.said(recordings), 1)
    assert "demo, flite-000.flac at 3." in line
    assert line.endswith("s: start belt two (nobody said so)")


def test_figures_of_another_bundle_are_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text('{"digest": "0123"}')
    with pytest.raises(ValueError, match=r"its bundle is 0123, not .*: name another file"):
        false_accepts.begun(path, BUNDLE)


def test_figures_of_another_shape_are_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    kept_before = {"text": "start", "start_s": 0.0, "probability": 0.9, "margin": None, "refused": False}
    path.write_text(json.dumps({"digest": "0123", "heard": {"demo": {"a.flac": [kept_before]}}}))
    with pytest.raises(ValueError, match=r"figures.json: heard.*evidence: .*: name another file"):
        false_accepts.begun(path, BUNDLE)


def test_a_reading_passes_where_it_is_sure_and_alone_enough() -> None:
    normal = POINTS["normal"]
    evidence = dict.fromkeys(EVIDENCE, 0.0) | {"gain_per_sound": 3.0}
    sure = false_accepts.Understood("start", 0.0, evidence, normal.min_probability, None, refused=False)
    assert sure.passes(normal)
    assert not sure.passes(POINTS["high"])
    assert not replace(sure, margin=normal.min_margin - 0.1).passes(normal)
    assert not replace(sure, refused=True).passes(normal)
    in_talk = normal.model_copy(update={"max_talk_before": 0.0})
    assert replace(sure, evidence=evidence | {"talk_before": 0.05}).passes(normal)
    assert not replace(sure, evidence=evidence | {"talk_before": 0.05}).passes(in_talk)


def test_what_was_said_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "index.tsv").write_text("a.flac\t1.00\t2.50\tone, two\n")
    assert false_accepts.said(tmp_path) == {"a.flac": [Said(1.0, 2.5, "one, two")]}
