"""Counting what is heard and refused at each operating point."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("misaki", reason="sentences are planned with misaki, of the extra `train`")
# Not imported where tests are collected: it brings up PortAudio, which then sees no new device.
if find_spec("pyroomacoustics") is None:
    pytest.skip("rooms are simulated with pyroomacoustics, of the extra `train`", allow_module_level=True)

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.audio.file import read_audio
from agent.evaluation.commands import Label, read_labels
from agent.evaluation.listening import in_room
from models.recipe import fresh, judge
from models.recipe.calibrate import Negative, Positive
from models.recipe.calibration_data import REPOSITORY, Listening
from models.recipe.fresh import Fresh
from models.recipe.remembering import Recording

BUNDLE = load_bundle(REPOSITORY / "models/bundles/voxline-en-zh")
GOLDEN = BUNDLE.folder / "golden"
TALK = "49-i-think-peter-moved-the-pallets-after-lunch.opus"


@pytest.fixture
def listening(tmp_path: Path) -> Listening:
    return Listening(BUNDLE, OnnxEngine(BUNDLE), tmp_path, tmp_path)


def test_commands_and_what_is_none_are_counted_apart_and_once(
    listening: Listening, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = listening.graph(REPOSITORY / "grammars/demo.yaml")

    def recording(file: str) -> Recording:
        return listening.recording(in_room(read_audio(GOLDEN / file), None, None, seed=0))

    file, label = sorted(read_labels(GOLDEN / "labels.json").items())[0]
    right, misread = Positive(file, None, label, graph, recording(file)), Label(command="something_else")
    commands = [right, Positive(file, None, misread, graph, right.recording)]
    others = [
        Negative(graph, right.recording),
        Negative(graph, recording(TALK)),
    ]
    kinds: list[tuple[str, judge.Sounds]] = [("commands", commands), ("others", others)]
    judge.judge(tmp_path / "figures.json", BUNDLE, kinds)
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first == "| commands | 2 | 1 / 1 (1) | 1 / 1 (1) | 1 / 1 (1) | 1 / 1 (1) |"
    assert second.startswith("| others | 2 | 0 / ")
    assert second.endswith(" | 0 / 1 (1) | 0 / 1 (1) | 0 / 1 (1) |")
    judge.judge(tmp_path / "figures.json", BUNDLE, [("commands", iter(())), ("others", iter(()))])
    assert capsys.readouterr().out.splitlines()[-2:] == [first, second]


def test_figures_of_another_bundle_are_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text('{"digest": "0123"}')
    with pytest.raises(ValueError, match=r"its bundle is 0123, not .*: name another file"):
        judge.judge(path, BUNDLE, [])


def test_the_last_check_hears_labelled_commands_and_near_misses(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "GRAMMARS", [REPOSITORY / "grammars/demo.yaml"])
    for name, value in {"COMMANDS": 2, "NEAR_MISSES": 1, "ROOMS": 2, "SNRS_DB": (None, 24.0)}.items():
        monkeypatch.setattr(fresh, name, value)
    kinds = {name: list(sounds) for name, sounds in Fresh(listening).kinds()}
    assert {name: len(sounds) for name, sounds in kinds.items()} == {
        "commands, clean": 2,
        "commands, 24 dB": 2,
        "near misses": 1,
    }
    quiet, noisy = kinds["commands, clean"][1], kinds["commands, 24 dB"][1]
    assert isinstance(quiet, Positive)
    assert isinstance(noisy, Positive)
    assert quiet.label == noisy.label
    assert not np.array_equal(quiet.recording.samples, noisy.recording.samples)
