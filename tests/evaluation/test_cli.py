"""`voxline evaluate` on a few golden clips, with the shipped bundle and grammar."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from agent.errors import AudioError, VoxlineError
from agent.evaluation.cli import DEFAULT_BUNDLE, app
from agent.evaluation.commands import LabelsError
from agent.evaluation.listening import Ear

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / DEFAULT_BUNDLE
COMMAND = "00-start-conveyor-three.opus"
OTHER = "51-the-oven-smells-strange-today.opus"
SETUP = ["--grammar", str(ROOT / "grammars/demo.yaml"), "--bundle", str(BUNDLE), "--json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in (COMMAND, OTHER):
        shutil.copy(BUNDLE / "golden" / file, tmp_path)
    labels = {COMMAND: {"command": "conveyor_start", "slots": {"conveyor": 3}}}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


def test_commands_are_scored_clean_and_in_noise(folder: Path) -> None:
    noise = folder / OTHER
    arguments = ["--labels", str(folder / "labels.json"), "--audio", str(folder), "--noise", str(noise)]
    picture = folder / "accuracy.svg"
    result = CliRunner().invoke(
        app,
        ["commands", *SETUP, *arguments, "--picture", str(picture), "--snr", "24", "18", "24"],
        catch_exceptions=False,
    )
    report = json.loads(result.stdout[result.stdout.index("{") :])
    assert [score["snr_db"] for score in report["scores"]] == [None, 24.0, 18.0]
    assert [score["exact"]["total"] for score in report["scores"]] == [1, 1, 1]
    assert report["scores"][0]["exact"]["count"] == 1
    assert picture.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("name", "said"),
    [("curve.gifx", "no .gifx; name it .png or .svg"), ("none/curve.png", "there is no folder")],
)
@pytest.mark.parametrize("what", ["commands", "rejects"])
def test_a_picture_that_cannot_be_drawn_is_named_before_anything_is_heard(
    what: str, name: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ear, "listener", None)
    arguments = ["--audio", str(folder), "--picture", str(folder / name)]
    arguments += ["--labels", str(folder / "labels.json")] if what == "commands" else []
    with pytest.raises(VoxlineError, match=said):
        CliRunner().invoke(app, [what, *SETUP, *arguments], catch_exceptions=False)


@pytest.mark.parametrize("what", ["commands", "rejects"])
def test_a_recording_that_cannot_be_read_is_named_before_anything_is_heard(
    what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ear, "listener", None)
    soundfile.write(folder / "z-empty.wav", np.zeros(0), 16_000)
    said = {"command": "conveyor_start", "slots": {"conveyor": 3}}
    (folder / "labels.json").write_text(json.dumps({COMMAND: said, "z-empty.wav": said}))
    arguments = ["--audio", str(folder)]
    arguments += ["--labels", str(folder / "labels.json")] if what == "commands" else []
    with pytest.raises(AudioError, match=r"z-empty\.wav: holds no sound"):
        CliRunner().invoke(app, [what, *SETUP, *arguments], catch_exceptions=False)


def test_a_silent_clip_has_no_ratio_and_is_named(folder: Path) -> None:
    soundfile.write(folder / "silent.wav", np.zeros(8000), 16_000)
    labels = folder / "labels.json"
    labels.write_text(json.dumps({"silent.wav": {"command": "conveyor_start", "slots": {"conveyor": 2}}}))
    arguments = [
        "--labels",
        str(labels),
        "--audio",
        str(folder),
        "--noise",
        str(folder / OTHER),
        "--snr",
        "9",
    ]
    with pytest.raises(AudioError, match=r"silent\.wav at 9 dB: speech and noise must both hold sound"):
        CliRunner().invoke(app, ["commands", *SETUP, *arguments], catch_exceptions=False)


@pytest.mark.parametrize("snr", ["nan", "inf", "5000"])
def test_a_ratio_that_no_sound_has_is_refused(snr: str, folder: Path) -> None:
    arguments = [
        "--labels",
        str(folder / "labels.json"),
        "--audio",
        str(folder),
        "--noise",
        str(folder / OTHER),
    ]
    result = CliRunner().invoke(app, ["commands", *SETUP, *arguments, "--snr", "12", snr])
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["medium", "copy"])
def test_an_operating_point_that_there_is_not_is_named(name: str, folder: Path) -> None:
    arguments = ["--labels", str(folder / "labels.json"), "--audio", str(folder), "--operating-point", name]
    with pytest.raises(VoxlineError, match=f"{name}: must be low, normal or high"):
        CliRunner().invoke(app, ["commands", *SETUP, *arguments], catch_exceptions=False)


def test_no_figure_is_cut_in_a_pipe(folder: Path) -> None:
    arguments = ["--labels", str(folder / "labels.json"), "--audio", str(folder)]
    result = CliRunner().invoke(app, ["commands", *SETUP[:-1], *arguments], catch_exceptions=False)
    assert "(20.7-100.0)" in result.stdout
    assert "…" not in result.stdout


def test_false_accepts_are_counted_by_the_hour(folder: Path) -> None:
    others = folder / "others"
    others.mkdir()
    (folder / OTHER).rename(others / OTHER)
    arguments = ["--audio", str(others), "--labels", str(folder / "labels.json")]
    picture = folder / "curve.svg"
    result = CliRunner().invoke(
        app,
        ["rejects", *SETUP, *arguments, "--labelled-audio", str(folder), "--picture", str(picture)],
        catch_exceptions=False,
    )
    report = json.loads(result.stdout[result.stdout.index("{") :])
    assert report["false_accepts"]["count"] == 0
    assert report["false_accepts"]["hours"] == pytest.approx(2.0 / 3600, rel=0.9)
    assert report["trade_off"][0]["false_rejects"]["count"] == 0
    assert picture.read_text().startswith("<?xml")


def test_what_was_not_exact_is_named(folder: Path) -> None:
    labels, file = folder / "labels.json", f"[night]{COMMAND}"
    (folder / COMMAND).rename(folder / file)
    labels.write_text(json.dumps({file: {"command": "conveyor_start", "slots": {"conveyor": 2}}}))
    arguments = ["--labels", str(labels), "--audio", str(folder)]
    result = CliRunner().invoke(app, ["commands", *SETUP[:-1], *arguments], catch_exceptions=False)
    assert f"{file}, clean: wrong: start conveyor three (accepted)" in result.stdout


def test_a_word_that_is_said_otherwise_is_named_with_what_to_write(folder: Path) -> None:
    grammar = folder / "grammar.yaml"
    wrong = "pronounce:\n  conveyor: K AH N B OY ER\n"
    grammar.write_text((ROOT / "grammars/demo.yaml").read_text().replace("pronounce:\n", wrong))
    said = {"command": "conveyor_start", "slots": {"conveyor": 3}}
    for copied in range(3):
        shutil.copy(folder / COMMAND, folder / f"{copied}.opus")
    (folder / "labels.json").write_text(json.dumps({f"{copied}.opus": said for copied in range(3)}))
    arguments = ["--grammar", str(grammar), "--labels", str(folder / "labels.json"), "--audio", str(folder)]
    arguments += ["--operating-point", "high"]
    result = CliRunner().invoke(app, ["commands", *SETUP[2:-1], *arguments], catch_exceptions=False)
    shown = " ".join(result.stdout.split())
    assert "start conveyor three (background; `conveyor`: not K AH N B OY ER but K AH N B EY ER)" in shown
    assert "`conveyor` was heard as K AH N B EY ER 3 of 3 times, not as K AH N B OY ER." in shown
    assert "write `pronounce: {conveyor: [K AH N B OY ER, K AH N B EY ER]}`" in shown


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({COMMAND: {"command": "conveyor_start", "slots": {"conveyor": "3"}}}, '`conveyor` is never "3"'),
        ({COMMAND: {"command": "conveyor_start", "slots": {"conveyor": 99}}}, "`conveyor` is never 99"),
        ({}, "names no recording"),
    ],
    ids=["type", "range", "none"],
)
def test_labels_of_what_nobody_can_say_are_refused(folder: Path, labels: object, said: str) -> None:
    file = folder / "labels.json"
    file.write_text(json.dumps(labels))
    arguments = ["--labels", str(file), "--audio", str(folder)]
    with pytest.raises(LabelsError, match=said):
        CliRunner().invoke(app, ["commands", *SETUP, *arguments], catch_exceptions=False)


@pytest.mark.parametrize("what", ["commands", "rejects"])
def test_labels_that_the_grammar_lacks_are_refused(folder: Path, what: str) -> None:
    labels = folder / "labels.json"
    labels.write_text(json.dumps({COMMAND: {"command": "conveyor_start", "slots": {"conveyer": 3}}}))
    arguments = ["--audio", str(folder), "--labels", str(labels)]
    arguments += ["--labelled-audio", str(folder)] if what == "rejects" else []
    result = CliRunner().invoke(app, [what, *SETUP, *arguments])
    assert isinstance(result.exception, LabelsError)
    assert "slots.conveyer: `conveyor_start` has no slot `conveyer`. Did you mean `conveyor`?" in str(
        result.exception
    )
