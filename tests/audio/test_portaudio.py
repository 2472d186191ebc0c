import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audio.portaudio import Device, choose
from agent.errors import AudioError


def device(name: str, *, inputs: int = 1, outputs: int = 0, default: bool = False) -> Device:
    return Device(0, name, inputs, outputs, 48_000, default and inputs > 0, default and outputs > 0)


DEVICES = [
    device("HDMI: 0 (hw:0,3)", inputs=0, outputs=8),
    device("USB PnP Sound Device: Audio (hw:1,0)"),
    device("rockchip,rk809-codec: dailink (hw:2,0)", inputs=2, outputs=2),
    device("default", inputs=32, outputs=32, default=True),
]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("usb pnp*", "USB PnP Sound Device: Audio (hw:1,0)"),
        ("*Audio (hw:1,0)", "USB PnP Sound Device: Audio (hw:1,0)"),
        ("rockchip*(hw:?,0)", "rockchip,rk809-codec: dailink (hw:2,0)"),
        ("*", "default"),
    ],
)
def test_chosen_by_a_pattern_of_the_name(pattern: str, name: str) -> None:
    assert choose(DEVICES, pattern).name == name


def test_inputs_and_outputs_are_not_confused() -> None:
    assert choose(DEVICES, "*hw:*", output=True).name.startswith("HDMI")
    with pytest.raises(AudioError, match="'USB PnP Sound Device"):
        choose(DEVICES, "HDMI*")


def test_nothing_there_is_said() -> None:
    with pytest.raises(AudioError, match="no default input device; there are: none at all"):
        choose([])


@given(st.text(), st.text())
def test_any_pattern_chooses_or_is_refused(pattern: str, name: str) -> None:
    with contextlib.suppress(AudioError):
        assert choose([device(name)], pattern).name == name


def test_without_pyaudio_the_agent_starts_and_the_microphone_says_what_to_install() -> None:
    code = """
import sys
sys.modules["pyaudio"] = None
import agent.audio.microphone, agent.audio.player, agent.audio.cli
from agent.errors import AudioError
try:
    agent.audio.microphone.Microphone()
except AudioError as error:
    assert "voxline[mic]" in str(error) and "portaudio19-dev" in str(error), error
else:
    sys.exit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
