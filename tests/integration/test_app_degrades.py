"""Degrade, do not die: with sound, microphone, NPU or disk gone the rest of a station runs on and says so.

No broker and a bad new grammar: see test_app.py.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent import station as station_module
from agent.acoustics.engines.choose import ChosenEngine
from agent.app import App
from agent.audio.playback import Playback
from agent.audio.source import FRAME_S, FRAME_SAMPLES, AudioSource, Frame
from agent.health import probes
from agent.messaging import quality
from agent.messaging.namespace import Namespace
from agent.settings import Commands, Microphone
from tests.integration.booth import GRAMMAR, STATION, Booth, require_bundle, station_settings
from tests.integration.brokers import PATIENCE_S, Mosquitto, Scada, eventually, needs_mosquitto

require_bundle()
pytestmark = needs_mosquitto

BASE = Namespace.of(STATION).base
START_3 = "00-start-conveyor-three.opus"
FREE = Commands(inhibit_required=False, answer_within_s=0)


class Tap:
    """Frames in real time that a test makes silent, repeat or stop."""

    def __init__(self) -> None:
        self.fault = ""
        self._closed = threading.Event()
        self._rng = np.random.default_rng(0)
        self._once = self._rng.normal(0, 300, FRAME_SAMPLES).astype(np.int16)

    def frames(self) -> Iterator[Frame]:
        time_s = time.monotonic()
        while not self._closed.wait(max(0.0, time_s + FRAME_S - time.monotonic())):
            if self.fault == "stop":
                time_s = time.monotonic()
                continue
            yield Frame(self._samples(), time_s)
            time_s += FRAME_S

    def _samples(self) -> Any:
        if self.fault == "silence":
            return np.zeros(FRAME_SAMPLES, np.int16)
        if self.fault == "repeat":
            return self._once
        return self._rng.normal(0, 3, FRAME_SAMPLES).astype(np.int16)

    def close(self) -> None:
        self._closed.set()


@contextmanager
def running(folder: Path, source: AudioSource | None, **sections: Any) -> Iterator[Scada]:
    """Run a station; give a plant that hears it, from its first report on.

    A command has a minute to live, or a busy machine would drop it as late.
    """
    state = sections.pop("state", folder)
    grammar = folder / "grammar.yaml"
    topic = "    topic: conveyor/start\n"
    grammar.write_text(GRAMMAR.read_text().replace(topic, f"{topic}    time_to_live_s: 60\n"))
    with Mosquitto(folder) as broker, Scada(broker.port, f"{BASE}/#") as plant:
        app = App(station_settings(broker.port, state, grammar, commands=FREE, **sections), source)
        thread = threading.Thread(target=app.run, daemon=True)
        thread.start()
        try:
            plant.wait_for("/health")
            yield plant
            assert thread.is_alive(), "it died"
        finally:
            app.stop()
            thread.join(PATIENCE_S)


def last_state(plant: Scada) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(plant.on("/state")[-1].payload)
    return content


def wait_for_fault(plant: Scada, fault: str, *, gone: bool = False) -> None:
    def named() -> bool:
        return fault in last_state(plant)["reason"].split(", ")

    assert eventually(lambda: named() is not gone), last_state(plant)
    assert gone or last_state(plant)["status"] == "degraded"


def heard(plant: Scada) -> list[str]:
    """What was understood, whatever became of it."""
    events = plant.on("/event/accept") + plant.on("/event/reject")
    return [json.loads(message.payload)["heard"]["text"] for message in events]


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_sound_that_stops_repeats_or_falls_silent_is_a_fault(tmp_path: Path) -> None:
    """How soon: tests/audio/test_stuck.py counts it in samples, which a busy machine cannot stretch."""
    tap = Tap()
    with running(tmp_path, tap) as plant:
        wait_for_fault(plant, "no_link", gone=True)
        for fault in ("silence", "repeat", "stop"):
            time.sleep(3.5)  # more than what is compared
            wait_for_fault(plant, "audio_stuck", gone=True)
            tap.fault = fault
            wait_for_fault(plant, "audio_stuck")
            tap.fault = ""
            wait_for_fault(plant, "audio_stuck", gone=True)


def test_without_a_microphone_it_says_so_and_stays_reachable(tmp_path: Path) -> None:
    pytest.importorskip("pyaudio", reason="PyAudio is not installed: pip install 'voxline[mic]'")
    with running(tmp_path, None, audio=Microphone(device="no such microphone")) as plant:
        wait_for_fault(plant, "no_audio")
        reports = len(plant.on("/health"))
        report = json.loads(plant.wait_for("/health", reports + 2)[-1].payload)
        assert report["audio"]["source"] == ""


def test_without_its_npu_it_hears_on_the_cpu_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = tmp_path / "compatible"
    board.write_bytes(b"radxa,rock-3a\0rockchip,rk3568\0")
    monkeypatch.setattr(station_module, "ChosenEngine", partial(ChosenEngine, compatible=board))
    booth = Booth()
    with running(tmp_path, Playback(booth.blocks(), real_time=True)) as plant:
        wait_for_fault(plant, "engine_fallback")
        engine = json.loads(plant.wait_for("/event/engine")[0].payload)
        assert (engine["engine"], engine["fallback"]) == ("onnx", True)
        booth.say(START_3)
        assert eventually(lambda: "start conveyor three" in heard(plant))


def test_with_a_full_disk_commands_go_on_and_it_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here: be root")
    try:
        booth = Booth()
        with running(tmp_path, Playback(booth.blocks(), real_time=True), state=disk) as plant:
            with pytest.raises(OSError, match="No space"):
                fill(disk / "filler")
            wait_for_fault(plant, "disk_low")
            booth.say(START_3)
            plant.wait_for("/command/conveyor/start")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_before_any_sound_no_level_is_told(tmp_path: Path) -> None:
    """An alarm on a bad signal would come at each start."""
    tap = Tap()
    tap.fault = "stop"
    with running(tmp_path, tap) as plant:
        first, *_ = plant.on("/health")
        audio = json.loads(first.payload)["audio"]
        assert {audio[name] for name in ("level_dbfs", "peak_dbfs", "noise_floor_dbfs", "snr_db")} == {None}


def test_a_clock_that_is_set_after_the_start_makes_the_state_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller without a clock of its own starts long before it hears from a time server."""
    synchronized = False
    for module in (quality, probes):
        monkeypatch.setattr(module, "clock_synchronized", lambda: synchronized)
    with running(tmp_path, Tap()) as plant:
        plant.wait_for("/health", 2)  # by now all is said of the start
        assert last_state(plant)["quality"] == "uncertain"
        synchronized = True
        assert eventually(lambda: last_state(plant)["quality"] == "good")
