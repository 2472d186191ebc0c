import json
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from agent.audio import cli
from agent.audio.cli import app
from agent.audio.portaudio import Device
from agent.errors import AudioError
from tests.audio.blocks import noise


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(1.5), 16_000)
    return path


def test_levels_of_a_recording_as_json(recording: Path) -> None:
    result = CliRunner().invoke(app, ["levels", "--file", str(recording), "--json"])
    assert result.exit_code == 0
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert reports[-1]["rms_dbfs"] == pytest.approx(-30.3, abs=0.2)
    assert "hardly above the noise" in reports[-1]["advice"]


def test_without_a_microphone_the_status_is_the_same_for_people_and_scripts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nothing:
        def devices(self) -> list[Device]:
            return []

    monkeypatch.setattr(cli, "portaudio", Nothing)
    for arguments, said in (["devices"], "Inputs: none\nOutputs: none\n"), (["devices", "--json"], "[]\n"):
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, result.stdout) == (1, said)


def test_levels_for_people(recording: Path) -> None:
    result = CliRunner().invoke(app, ["levels", "--file", str(recording), "--seconds", "0.5"])
    assert result.exit_code == 0
    assert "SNR" in result.stdout
    assert "dBFS" in result.stdout


def test_a_bad_recording_is_an_audio_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["levels", "--file", str(tmp_path / "absent.wav")])
    assert isinstance(result.exception, AudioError)
