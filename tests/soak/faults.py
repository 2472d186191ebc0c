"""What goes wrong in the soak: each minute a fault of the network and one of the house, at random moments."""

import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.integration.brokers import Mosquitto, eventually
from tests.integration.chaos import ChaosProxy
from tests.soak.plant import Plant
from tests.soak.sound import Mode, Speaker

LANE_S = 60.0
RETURN_S = 10.0
"""A broker's other clients must be back within this time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was broken, from when until when (monotonic)."""

    kind: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Stage:
    """All that can be broken."""

    broker: Mosquitto
    proxy: ChaosProxy
    plant: Plant
    speaker: Speaker
    agent: int
    """Process id."""
    grammar: Path


class Faults:
    """Breaks one thing after the other, in two threads, so that two faults may coincide."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.made: list[Fault] = []
        self._stage = stage
        self._grammar_text = stage.grammar.read_text()
        self._edits = 0
        self._stopping = threading.Event()
        network = {
            "broker_killed": self._kill,
            "broker_frozen": self._freeze,
            "half_open": self._stall,
            "reset": self._reset,
            "slow_drip": self._drip,
            "delay": self._delay,
            "flipped_bits": self._flip,
        }
        house = {
            "disk_full": self._fill_disk,
            "sound_stopped": lambda draw: self._sound("stopped", draw),
            "sound_repeating": lambda draw: self._sound("repeating", draw),
            "sound_silent": lambda draw: self._sound("silent", draw),
            "grammar_good": self._edit_well,
            "grammar_bad": self._edit_badly,
            "sighup": self._hang_up,
            "agent_frozen": self._freeze_agent,
            "lockout": self._lock_out,
        }
        self._threads = [
            threading.Thread(target=self._run, args=(lane, random.Random(seed + number)), daemon=True)
            for number, lane in enumerate((network, house))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Make no more; returns when everything works again."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, lane: dict[str, Callable[[random.Random], float | None]], draw: random.Random) -> None:
        waiting: list[str] = []
        minute_s = time.monotonic()
        while True:
            if not waiting:
                waiting = draw.sample(sorted(lane), len(lane))
            kind = waiting.pop()
            if self._stopping.wait(draw.uniform(0.1, 0.6) * LANE_S):
                return
            start_s = time.monotonic()
            began_s = lane[kind](draw)
            self.made.append(Fault(kind, began_s or start_s, time.monotonic()))
            minute_s += LANE_S
            if self._stopping.wait(max(0.0, minute_s - time.monotonic())):
                return

    # --- the network

    def _kill(self, draw: random.Random) -> None:
        """Kill the broker; the plant is back before the station, so that it misses nothing that was kept."""
        stage = self._stage
        stage.plant.expect_return()
        stage.broker.kill()
        time.sleep(draw.uniform(0.2, 8.0))
        stage.proxy.stalled = True
        stage.broker.start()
        eventually(stage.plant.is_back, RETURN_S)
        stage.proxy.stalled = False

    def _freeze(self, draw: random.Random) -> None:
        self._stage.broker.freeze()
        time.sleep(draw.uniform(0.2, 10.0))
        self._stage.broker.thaw()

    def _stall(self, draw: random.Random) -> None:
        self._stage.proxy.stalled = True
        time.sleep(draw.uniform(0.2, 10.0))
        self._stage.proxy.stalled = False

    def _reset(self, _draw: random.Random) -> None:
        self._stage.proxy.reset()

    def _drip(self, draw: random.Random) -> None:
        self._stage.proxy.drip_bytes = 20
        time.sleep(draw.uniform(5.0, 15.0))
        self._stage.proxy.drip_bytes = None

    def _delay(self, draw: random.Random) -> None:
        self._stage.proxy.delay_s = draw.uniform(0.05, 0.5)
        time.sleep(draw.uniform(5.0, 15.0))
        self._stage.proxy.delay_s = 0.0

    def _flip(self, draw: random.Random) -> None:
        self._stage.proxy.flip_rate = 0.01
        time.sleep(draw.uniform(2.0, 6.0))
        self._stage.proxy.flip_rate = 0.0

    # --- the house

    def _fill_disk(self, draw: random.Random) -> None:
        """Let every write to a file fail, as on a full disk: from outside, and without being root."""
        hard = resource.prlimit(self._stage.agent, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self._stage.agent, resource.RLIMIT_FSIZE, (0, hard))
        time.sleep(draw.uniform(10.0, 25.0))
        resource.prlimit(self._stage.agent, resource.RLIMIT_FSIZE, (hard, hard))

    def _sound(self, mode: Mode, draw: random.Random) -> float:
        """Let no sound, the same sound or silence come; gives when that began."""
        self._stage.speaker.mode = mode
        eventually(lambda: self._stage.speaker.mode_since_s > 0)
        began_s = self._stage.speaker.mode_since_s
        time.sleep(draw.uniform(6.0, 12.0))
        self._stage.speaker.mode = "speech"
        return began_s

    def _edit_well(self, _draw: random.Random) -> None:
        self._edits += 1
        self._write(f"{self._grammar_text}\n# edition {self._edits}\n")

    def _edit_badly(self, _draw: random.Random) -> None:
        self._write(self._grammar_text.replace("{conveyor}", "{konveyor}"))
        time.sleep(5.0)
        self._edit_well(_draw)

    def _write(self, text: str) -> None:
        draft = self._stage.grammar.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self._stage.grammar)

    def _hang_up(self, _draw: random.Random) -> None:
        os.kill(self._stage.agent, signal.SIGHUP)

    def _freeze_agent(self, draw: random.Random) -> None:
        os.kill(self._stage.agent, signal.SIGSTOP)
        time.sleep(draw.uniform(0.5, 6.0))
        os.kill(self._stage.agent, signal.SIGCONT)

    def _lock_out(self, draw: random.Random) -> None:
        self._stage.plant.lock_out(True)
        time.sleep(draw.uniform(5.0, 12.0))
        self._stage.plant.lock_out(False)
