"""The whole chain: computing time, end of speech to MQTT message, memory and start of the running agent."""

import array
import fcntl
import os
import statistics
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
from numpy.typing import NDArray

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.engine import Engine, Latency
from agent.acoustics.engines.onnx import OnnxEngine
from agent.app import App
from agent.audio.file import read_audio
from agent.audio.playback import Playback
from agent.audio.source import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, AudioSource
from agent.commands.events import Delivered
from agent.evaluation.commands import read_labels
from agent.evaluation.listening import Ear, in_room
from agent.grammar import compile_grammar, load_grammar
from agent.hearing import Heard
from agent.messaging.namespace import Namespace
from agent.recognition.decoder import Decoder
from agent.recognition.endpoint import Endpoint, Patience, find_endpoint
from agent.recognition.hypothesis import Hypothesis
from agent.settings import Commands, Settings
from tests.integration.booth import BUNDLE, GOLDEN, GRAMMAR, STATION, Booth, station_settings
from tests.integration.brokers import Mosquitto, Scada, eventually

GOALS = {
    "real_time_factor": 0.2,
    "real_time_factor_without_engine": 0.05,
    "p50_ms": 400,
    "p95_ms": 600,
    "resident_mb": 200,
    "start_s": 2,
}
FRAME_OF_MODEL_S = 0.024
SILENT_DB = -35.0
"""Below its peak a recording counts as silent: so its last sound is found."""
STAGES = ("endpoint", "hop", "engine", "policy", "broker")
RUN_S = 20.0
MOST_MISSED = 5
_SETTINGS = """
[station]
{station}
[audio]
type = "stdin"
[recognition]
grammar = "{grammar}"
bundle = "{bundle}"
[commands]
inhibit_required = false
[mqtt]
port = {port}
[storage]
state = "{folder}/state"
cache = "{folder}/cache"
"""


def run() -> dict[str, object]:
    """Measure everything; skipped where the model or mosquitto is missing."""
    if not (BUNDLE / "model.onnx").exists():
        return {"skipped": f"no model in {BUNDLE.name}"}
    return {
        "goals": GOALS,
        "load_average": os.getloadavg()[0],
        "computing": _computing(),
        "latency": _latency(),
        "process": _process(),
    }


def _spoken_commands() -> list[str]:
    """Recordings that lead to a command at once: the axis asks back first, built-in phrases publish none.

    In such an order that no command follows itself, which would be taken for a repetition.
    """
    groups: dict[str, list[str]] = {}
    for file, said in read_labels(GOLDEN / "labels.json").items():
        if "." not in said.command and said.command != "move_axis":
            groups.setdefault(said.command, []).append(file)
    return [file for row in zip_longest(*groups.values()) for file in row if file]


class _Recorder:
    """Hands on what an engine answers, and keeps it."""

    name = "recorder"

    def __init__(self, engine: Engine) -> None:
        self.latency = engine.latency
        self.answers: list[NDArray[np.float32]] = []
        self._engine = engine

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.answers.append(self._engine.run(rows))
        return self.answers[-1]

    def close(self) -> None: ...


class _Replay:
    """Answers what was recorded, at once: what remains is everything but the engine."""

    name = "replay"

    def __init__(self, answers: Sequence[NDArray[np.float32]]) -> None:
        self.latency = Latency()
        self._answers = iter(answers)

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        np.ascontiguousarray(rows)  # every engine copies its input once
        return next(self._answers)

    def close(self) -> None: ...


def _computing() -> dict[str, float]:
    """CPU time of a listener per second of sound, frame by frame, commands and pauses as they come."""
    bundle = load_bundle(BUNDLE)
    graph = compile_grammar(load_grammar(GRAMMAR), bundle.manifest.tokens)
    calibration = bundle.manifest.operating_points.normal
    speech = [read_audio(GOLDEN / file) for file in _spoken_commands()[:12]]
    sound = np.concatenate([in_room(clip, None, None, seed) for seed, clip in enumerate(speech)])
    recorder = _Recorder(OnnxEngine(bundle))
    whole_s, wall_s = _listen(Ear(bundle, recorder, graph, calibration), sound)
    rest_s, _ = _listen(Ear(bundle, _Replay(recorder.answers), graph, calibration), sound)
    seconds = len(sound) / SAMPLE_RATE_HZ
    return {
        "sound_seconds": round(seconds, 1),
        "real_time_factor": round(whole_s / seconds, 4),
        "real_time_factor_without_engine": round(rest_s / seconds, 4),
        "wall_real_time_factor": round(wall_s / seconds, 4),
    }


def _listen(ear: Ear, sound: NDArray[np.int16]) -> tuple[float, float]:
    listener = ear.listener()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for at in range(0, len(sound), FRAME_SAMPLES):
        listener.hear(sound[at : at + FRAME_SAMPLES], at / SAMPLE_RATE_HZ)
    return time.process_time() - cpu_s, time.perf_counter() - wall_s


class _TimedApp(App):
    """An agent that notes when it heard and when it sent."""

    sound_start_s = 0.0
    newest_s = heard_s = sent_s = 0.0

    def __init__(self, settings: Settings, source: AudioSource) -> None:
        super().__init__(settings, source)
        command = self._link.command

        def timed(*arguments: Any) -> "Future[Delivered]":
            self.sent_s = time.monotonic()
            return command(*arguments)

        setattr(self._link, "command", timed)  # noqa: B010 - mypy rightly refuses the plain way

        self._hearing._sink = self._note_heard

    def _note_heard(self, item: Heard) -> None:
        if isinstance(item, Hypothesis):
            frames = self._hearing.frames_total + 1
            self.newest_s, self.heard_s = self.sound_start_s + frames * FRAME_S, time.monotonic()
        self._inbox.put(item)


def _latency() -> dict[str, object]:
    """From the last sound of a recording to the message at a subscriber, in real time, stage by stage."""
    rows, missed = [], []
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name)) as broker:
        booth, patience = Booth(), _PatienceSpy()
        settings = station_settings(broker.port, Path(name), commands=Commands(inhibit_required=False))
        app = _TimedApp(settings, Playback(booth.blocks(), real_time=True))
        running = threading.Thread(target=app.run, daemon=True)
        with Scada(broker.port, f"{Namespace.of(STATION).base}/#", qos=1) as plant, patience:
            running.start()
            eventually(lambda: booth.samples_total > 0)
            app.sound_start_s = booth.start_s
            for file in _spoken_commands():
                seen = len(plant.received)
                booth.say(file)
                arrived = _next_command(plant, seen)
                if arrived is None:
                    missed.append(file)
                    if len(missed) > MOST_MISSED:
                        break
                    continue
                end_s = booth.spoken[-1][1] + _last_sound_s(read_audio(GOLDEN / file))
                wait_s = patience.last_s
                moments = (end_s, end_s + wait_s, app.newest_s, app.heard_s, app.sent_s, arrived)
                rows.append((file, wait_s, [1000 * (after - before) for before, after in pairwise(moments)]))
                time.sleep(0.3)
            app.stop()
            running.join(10)
    return _latency_report(rows, missed, patience.shortest_s)


class _PatienceSpy:
    """Notes how long the endpoint waited after the last sound."""

    last_s = shortest_s = 0.0

    def __enter__(self) -> None:
        def watched(decoder: Decoder, patience: Patience) -> Endpoint | None:
            endpoint = find_endpoint(decoder, patience)
            if endpoint and endpoint.finish:
                self.last_s = endpoint.quiet * FRAME_OF_MODEL_S
                self.shortest_s = patience.final * FRAME_OF_MODEL_S
            return endpoint

        self._patch = patch("agent.recognition.recognizer.find_endpoint", watched)
        self._patch.start()

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


def _next_command(plant: Scada, before: int, timeout_s: float = 7.0) -> float | None:
    def arrivals() -> list[float]:
        return [m.arrived_s for m in plant.received[before:] if "/command/" in m.topic]

    return arrivals()[0] if eventually(lambda: bool(arrivals()), timeout_s) else None


def _last_sound_s(samples: NDArray[np.int16]) -> float:
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    energy = (frames.astype(np.float64) ** 2).mean(axis=1)
    return float((np.flatnonzero(energy > energy.max() * 10 ** (SILENT_DB / 10))[-1] + 1) * FRAME_S)


def _latency_report(
    rows: list[tuple[str, float, list[float]]], missed: list[str], shortest_wait_s: float
) -> dict[str, object]:
    if not rows:
        return {"missed": missed}
    stages = np.array([stage_ms for _, _, stage_ms in rows])
    total = stages.sum(axis=1)
    waits = np.array([wait_s for _, wait_s, _ in rows])
    report: dict[str, object] = {
        "commands": len(rows),
        "missed": missed,
        **_quantiles(total),
        "stages": {name: _quantiles(stages[:, column]) for column, name in enumerate(STAGES)},
    }
    for name, chosen in (("can_only_end", waits <= shortest_wait_s), ("may_go_on", waits > shortest_wait_s)):
        report[name] = {"commands": int(chosen.sum()), **_quantiles(total[chosen])}
    slowest = total.argsort()[::-1][:5]
    report["slowest"] = {rows[row][0]: [round(ms) for ms in rows[row][2]] for row in slowest}
    return report


def _quantiles(values_ms: NDArray[np.float64]) -> dict[str, float]:
    if not len(values_ms):
        return {}
    p50, p95 = np.quantile(values_ms, [0.5, 0.95])
    return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}


def _process() -> dict[str, object]:
    """`voxline run` as a process: time until it listens, and what it holds after 20 s of speech."""
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name)) as broker:
        folder = Path(name)
        config = folder / "config.toml"
        station = "\n".join(f'{key} = "{value}"' for key, value in STATION.model_dump().items())
        config.write_text(
            _SETTINGS.format(station=station, grammar=GRAMMAR, bundle=BUNDLE, port=broker.port, folder=folder)
        )
        first_s, _ = _start(config, broker.port)
        again = [_start(config, broker.port) for _ in range(3)]
        with _agent(config) as agent:
            _speak(agent, RUN_S)
            usage = psutil.Process(agent.pid)
            memory, cpu = usage.memory_full_info(), usage.cpu_times()
        return {
            "start_s": round(statistics.median(wall for wall, _ in again), 2),
            "start_cpu_s": round(statistics.median(cpu for _, cpu in again), 2),
            "first_start_s": round(first_s, 2),
            "resident_mb": round(memory.rss / 2**20, 1),
            "unique_mb": round(memory.uss / 2**20, 1),
            "cpu_s_in_20_s": round(cpu.user + cpu.system, 2),
        }


@contextmanager
def _agent(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [Path(sys.executable).with_name("voxline"), "run", "--config", config],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _start(config: Path, port: int) -> tuple[float, float]:
    """Time until the plant is told that the station is online and its first sound was taken."""
    with Scada(port, f"{Namespace.of(STATION).base}/state") as plant:
        plant.received.clear()
        began_s = time.monotonic()
        with _agent(config) as agent:
            assert agent.stdin
            agent.stdin.write(bytes(2 * FRAME_SAMPLES))
            agent.stdin.flush()
            taken = eventually(lambda: _unread(agent) == 0)
            taken_s = time.monotonic()
            assert taken
            assert eventually(lambda: any(b"offline" not in m.payload for m in plant.received))
            online_s = next(m.arrived_s for m in plant.received if b"offline" not in m.payload)
            cpu = psutil.Process(agent.pid).cpu_times()
    return max(taken_s, online_s) - began_s, cpu.user + cpu.system


def _unread(agent: "subprocess.Popen[bytes]") -> int:
    assert agent.stdin
    held = array.array("i", [0])
    fcntl.ioctl(agent.stdin, termios.FIONREAD, held)
    return held[0]


def _speak(agent: "subprocess.Popen[bytes]", seconds: float) -> None:
    assert agent.stdin
    booth = Booth()
    for file in _spoken_commands():
        booth.say(file)
    for frame in Playback(booth.blocks(), real_time=True).frames():
        agent.stdin.write(frame.samples.tobytes())
        agent.stdin.flush()
        if booth.samples_total > seconds * SAMPLE_RATE_HZ:
            return
