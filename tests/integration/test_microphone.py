"""The microphone through the real path: PulseAudio, ALSA, PortAudio, PyAudio; unplugged and plugged in."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from agent.audio import microphone as microphone_module
from agent.audio.portaudio import portaudio
from agent.audio.source import FRAME_S
from tests.audio.blocks import follows
from tests.integration.brokers import eventually
from tests.integration.listening import best_match, listening, sweep
from tests.integration.pulse import MICROPHONE, Pulse, require_pulseaudio, running_pulse

require_pulseaudio()


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulse]:
    with running_pulse(tmp_path_factory.mktemp("pulse")) as daemon:
        yield daemon


@pytest.mark.parametrize("rates", [(16_000,), (48_000,), (44_100,)], ids=["16k", "48k", "44k1"])
def test_what_is_played_comes_out(
    pulse: Pulse, monkeypatch: pytest.MonkeyPatch, rates: tuple[int, ...]
) -> None:
    monkeypatch.setattr(microphone_module, "_RATES_HZ", rates)
    played = sweep()
    with listening() as listener:
        assert eventually(lambda: len(listener.frames) > 20)
        pulse.play(played).wait(timeout=10)
        finished_s = time.monotonic()
        listener.catch_up()
        assert listener.microphone.state.rate_hz == rates[0]
        assert listener.microphone.state.reason is None
        assert MICROPHONE in str(listener.microphone.state.device)
        score, at = best_match(listener.samples(), played)
        assert score > 0.98
        begins_s = listener.frames[at // 160].time_s
        assert abs(begins_s - (finished_s - 2.5)) < 0.15, "half a second of silence follows the sound"
        assert all(follows(later, earlier) for earlier, later in pairwise(listener.frames[10:]))
        assert listener.microphone.overruns == 0


def test_unplugged_is_reported_and_found_again_within_5_s(pulse: Pulse) -> None:
    with listening() as listener:
        assert eventually(lambda: len(listener.frames) > 20)
        for round_number, attempts in enumerate((1, 2, 6), start=1):
            pulse.unplug()
            assert eventually(lambda: listener.microphone.state.device is None)
            assert listener.microphone.state.reason
            assert eventually(listener.tried(attempts))
            before = len(listener.frames)
            pulse.plug()
            assert eventually(listener.heard_since(before), 5)
            assert listener.microphone.state.reason is None
            assert listener.microphone.state.losses == round_number
            assert not follows(listener.frames[before], listener.frames[before - 1])
            assert abs(listener.frames[-1].time_s - time.monotonic()) < 1.0
        played = sweep()
        pulse.play(played).wait(timeout=10)
        listener.catch_up()
        assert best_match(listener.samples(), played)[0] > 0.98


def test_it_may_be_absent_at_the_start(pulse: Pulse) -> None:
    pulse.unplug()
    try:
        with listening() as listener:
            assert eventually(lambda: listener.microphone.state.attempts >= 1)
            assert "voxline_microphone" in str(listener.microphone.state.reason)
            pulse.plug()
            assert eventually(lambda: len(listener.frames) > 10)
    finally:
        if "cable" not in pulse.pactl("list", "short", "sinks"):
            pulse.plug()


def test_a_sound_server_that_dies_and_comes_back(pulse: Pulse) -> None:
    with listening() as listener:
        assert eventually(lambda: len(listener.frames) > 20)
        pulse.stop()
        assert eventually(lambda: listener.microphone.state.device is None)
        assert eventually(listener.tried(3))
        before = len(listener.frames)
        pulse.start()
        assert eventually(listener.heard_since(before))


@pytest.mark.usefixtures("pulse")
def test_an_unknown_name_says_what_is_there() -> None:
    with listening("no such microphone") as listener:
        assert eventually(lambda: listener.microphone.state.attempts >= 1)
        assert "no input device is named like 'no such microphone'" in str(listener.microphone.state.reason)
        assert MICROPHONE in str(listener.microphone.state.reason)


def test_a_frozen_sound_server_is_noticed_and_survived(pulse: Pulse) -> None:
    """Streams neither end nor deliver while the server is stopped: only the missing sound shows it."""
    with listening() as listener:
        assert eventually(lambda: len(listener.frames) > 20)
        pulse.freeze()
        try:
            assert eventually(lambda: listener.microphone.state.device is None)
            assert "no sound" in str(listener.microphone.state.reason)
        finally:
            pulse.thaw()
        before = len(listener.frames)
        assert eventually(lambda: len(listener.frames) > before + 10)


@pytest.mark.usefixtures("pulse")
def test_a_slow_listener_loses_sound_and_it_is_counted() -> None:
    with listening() as listener:
        assert eventually(lambda: len(listener.frames) > 20)
        began_s = time.monotonic()
        listener.slow.set()
        assert eventually(lambda: listener.microphone.overruns == 1)
        full_s = time.monotonic()
        time.sleep(1.0)
        listener.slow.clear()
        lost_s = time.monotonic() - full_s
        listener.catch_up()
        assert listener.microphone.overruns == 1
        gaps = [
            later.time_s - earlier.time_s - FRAME_S
            for earlier, later in pairwise(listener.frames[20:])
            if not follows(later, earlier)
        ]
        assert len(gaps) == 1
        assert full_s - began_s > 2.5, "3 s are kept"
        assert abs(gaps[0] - lost_s) < 0.5


def test_devices_and_levels_on_the_command_line(pulse: Pulse) -> None:
    def voxline_audio(*arguments: str) -> "subprocess.CompletedProcess[str]":
        code = "import sys; from agent.audio.cli import app; app(args=sys.argv[1:])"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
        )

    listed = voxline_audio("devices", "--json")
    assert listed.returncode == 0
    assert MICROPHONE in [device["name"] for device in json.loads(listed.stdout)]
    assert listed.stderr == "", "the chatter of the sound libraries must not be seen"
    assert MICROPHONE in voxline_audio("devices").stdout
    player = pulse.play(sweep(8.0))
    shown = voxline_audio("levels", "--device", MICROPHONE, "--seconds", "3", "--json")
    player.kill()
    player.wait()
    assert shown.returncode == 0
    last = json.loads(shown.stdout.splitlines()[-1])
    assert MICROPHONE in last["device"]
    assert -12 < last["rms_dbfs"] < -6
    assert last["clipping_ratio"] == 0


def test_scanning_for_a_lost_microphone_takes_no_memory() -> None:
    """In a process of its own: another test's memory would hide 12 kB a scan."""
    code = """
import psutil
from agent.audio.portaudio import portaudio
audio, process = portaudio(), psutil.Process()
for scan in range(60):
    audio.rescan()
    if scan == 19:
        before = process.memory_info().rss
print((process.memory_info().rss - before) // 40)
"""
    scanned = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert int(scanned.stdout) < 4096, scanned.stderr


def test_rescan_leaves_stderr_to_others(capfd: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            os.write(2, b"a line of ours\n")
            written += 1
            time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(5):
        portaudio().rescan()
    stop.set()
    writer.join()
    assert capfd.readouterr().err.splitlines() == ["a line of ours"] * written
