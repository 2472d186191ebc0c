"""Stations that hear the same sentences agree over a real broker: how long that takes, and whether one acts.

The stations are real policies on real links; what they hear is given to them, each at a time of its own.
"""

import queue
import random
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from agent.commands import effects, events
from agent.commands.policy import Policy
from agent.grammar.load import parse_grammar
from agent.inbox import Inbox
from agent.messaging import compose
from agent.messaging.client import Link
from agent.messaging.contract import State, Status
from agent.messaging.inbound import Admitted
from agent.messaging.namespace import Namespace
from agent.messaging.understand import Interpreter
from agent.settings import Commands
from tests.commands.station import utterance
from tests.integration.brokers import Mosquitto, eventually
from tests.messaging.examples import NAMESPACE, mqtt

SENTENCES = 200
COMMANDS = 10
PAUSE_S = 0.4
"""Between sentences; the same command comes again when its claims are over."""
HEARD_AFTER_S = 0.3
"""Detectors differ by up to this."""
_GRAMMAR = parse_grammar(
    "name: bench\ncommands:\n"
    + "".join(f"  c{n}: {{sentences: [number {n}], topic: c{n}, risk: low}}\n" for n in range(COMMANDS)),
    "bench.yaml",
)


class _Station:
    """A policy on a link."""

    def __init__(self, name: str, port: int) -> None:
        self.published: dict[float, float] = {}
        """By the end of the sentence: how long after it was understood its command went out."""
        settings = Commands(inhibit_required=False, burst_commands=100)
        loaded = events.Loaded(_GRAMMAR, "bench@1", "none@1")
        self._policy = Policy(settings, name, loaded, new_id=uuid7)
        self._understand = Interpreter(name)
        self._inbox = Inbox()
        self._heard_s: dict[UUID, float] = {}
        self._stopping = threading.Event()
        namespace = Namespace(NAMESPACE.cell, name)
        self.link = Link(mqtt(port, keepalive_s=60), namespace, self._inbox.offer)
        self.link.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
        self.link.start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hear(self, command: str, end_s: float) -> None:
        self._inbox.put(events.Heard(utterance(command, end_s, seconds=0.05)))

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.link.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            event: events.Event | None = events.Tick()
            try:
                item, waited_s = self._inbox.get(0.1)
            except queue.Empty:
                pass
            else:
                if isinstance(item, Admitted):
                    event = self._understand.event(item, datetime.now(UTC), waited_s)
                elif isinstance(item, events.Heard):
                    event = item
            if event:
                self._step(event)

    def _step(self, event: events.Event) -> None:
        began_s = time.monotonic()
        clock = compose.Clock(datetime.now(UTC), began_s)
        for effect in self._policy.step(event, began_s):
            match effect:
                case effects.Claim(order):
                    self._heard_s[order.id] = began_s
                    self.link.publish(compose.claim(order, clock))
                case effects.Publish(order):
                    heard_s = self._heard_s.get(order.id, began_s)
                    self.published[order.heard.end_s] = time.monotonic() - heard_s


def run() -> dict[str, Any]:
    """Let 1, 2 and 4 stations hear the same sentences."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    return {f"{count}_stations": _agree(count) for count in (1, 2, 4)}


def _agree(count: int) -> dict[str, Any]:
    draw = random.Random(count)
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
        stations = [_Station(f"s{number}", broker.port) for number in range(count)]
        assert eventually(lambda: all(len(s._understand._peers) == count - 1 for s in stations))
        ends_s = [_speak(f"c{number % COMMANDS}", stations, draw) for number in range(SENTENCES)]
        time.sleep(2.0)
        for station in stations:
            station.stop()
    acted = Counter(end_s for station in stations for end_s in station.published)
    waits_ms = sorted(1000 * wait_s for station in stations for wait_s in station.published.values())
    cuts = quantiles(waits_ms, n=100)
    return {
        "sentences": len(ends_s),
        "acted_once": sum(acted[end_s] == 1 for end_s in ends_s),
        "acted_twice": sum(acted[end_s] > 1 for end_s in ends_s),
        "nobody_acted": sum(acted[end_s] == 0 for end_s in ends_s),
        "added_delay_ms": {
            "p50": round(cuts[49], 2),
            "p95": round(cuts[94], 2),
            "max": round(waits_ms[-1], 2),
        },
    }


def _speak(command: str, stations: list[_Station], draw: random.Random) -> float:
    """Let all hear one sentence, each in its own time; gives when it ended."""
    time.sleep(PAUSE_S)
    end_s = time.monotonic()
    for station in draw.sample(stations, len(stations)):
        time.sleep(draw.uniform(0.0, HEARD_AFTER_S / len(stations)))
        station.hear(command, end_s)
    return end_s
