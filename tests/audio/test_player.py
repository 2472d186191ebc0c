"""The player without a loudspeaker; with one it is tested in tests/integration."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from agent.audio import player as player_module
from agent.audio.player import TonePlayer
from agent.audio.portaudio import Device
from agent.audio.tones import Tone
from tests.integration.brokers import eventually

SPEAKER = Device(0, "speaker", 0, 2, 48_000, is_default_input=False, is_default_output=True)


class Audio:
    """PortAudio with one loudspeaker."""

    def __init__(self) -> None:
        self.devices = lambda: [SPEAKER]
        self.may_open = threading.Event()

    def open(self, *_args: Any, **_named: Any) -> Any:
        self.may_open.wait(20)
        raise OSError(-9985, "Device unavailable")


@pytest.fixture
def audio(monkeypatch: pytest.MonkeyPatch) -> Audio:
    audio = Audio()
    monkeypatch.setattr(player_module, "portaudio", lambda: audio)
    return audio


def test_a_device_that_makes_no_sense_does_not_end_all_tones(audio: Audio) -> None:
    audio.may_open.set()
    audio.devices = lambda: [replace(SPEAKER, rate_hz=0)]
    player = TonePlayer()
    player.play(Tone.HEARD)
    assert eventually(lambda: player.failure is not None)
    audio.devices = lambda: [SPEAKER]
    player.play(Tone.HEARD)
    assert eventually(lambda: player.failure == "[Errno -9985] Device unavailable")
    player.close()


def test_a_loudspeaker_that_hangs_does_not_keep_the_agent(
    audio: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player_module, "_LEAVE_S", 0.05)
    player = TonePlayer()
    for _ in range(8):
        player.play(Tone.HEARD)
    closing = threading.Thread(target=player.close, daemon=True)
    closing.start()
    closing.join(5)
    assert not closing.is_alive()
    audio.may_open.set()
