"""What the MQTT side holds under faults and load, measured against real brokers.

Alone: python -m tests.bench.bench_messaging outages|reconnects|stations [COUNT]
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
import structlog

from agent.commands.events import Delivered, Fate
from agent.messaging.client import Link
from agent.messaging.compose import health
from agent.messaging.namespace import Namespace
from tests.health.test_report import WELL
from tests.integration.brokers import Mosquitto, Scada, eventually
from tests.integration.chaos import ChaosProxy
from tests.messaging.examples import NAMESPACE, command, mqtt

TTL_S = 2.0


def run() -> dict[str, Any]:
    """Measure all three; about five minutes."""
    return {"outages": outages(1000), "reconnects": reconnects(200), "stations": stations(1000)}


# --- commands over broker outages ------------------------------------------------------------------------


@dataclass
class Tally:
    """What became of the commands of one broker."""

    fates: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    doubled: int = 0
    late: list[float] = field(default_factory=list)
    """Seconds after `expires` at which a command reached a subscriber."""
    reported_as_not_sent: int = 0
    """Delivered although the operator was told that it was dropped."""


def outages(count: int, brokers: int = 20) -> dict[str, Any]:
    """Break brokers and links at random moments, for 0 to 4 s, while commands of 2 s are spoken."""
    with ThreadPoolExecutor(brokers) as pool:
        tallies = list(pool.map(lambda seed: _outages(seed, count // brokers), range(brokers)))
    fates = sum((tally.fates for tally in tallies), Counter[str]())
    late = [delay for tally in tallies for delay in tally.late]
    return {
        "outages": count // brokers * brokers,
        "commands": fates.total(),
        "fates": dict(fates),
        "delivered": sum(tally.delivered for tally in tallies),
        "delivered_late": len(late),
        "latest_s": max(late, default=None),
        "delivered_twice": sum(tally.doubled for tally in tallies),
        "delivered_though_reported_as_not_sent": sum(tally.reported_as_not_sent for tally in tallies),
    }


def _outages(seed: int, count: int) -> Tally:
    draw = random.Random(seed)
    outcomes: dict[str, Future[Delivered]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder)) as broker,
        ChaosProxy(broker.port, seed) as proxy,
        Scada(
            broker.port, qos=1
        ) as scada,  # as the manual says: with QoS 2 a frozen broker holds the last half
    ):
        link = Link(mqtt(proxy.port, keepalive_s=10), NAMESPACE)
        link.start()
        done = threading.Event()
        speaker = threading.Thread(target=_speak, args=(link, done, outcomes, random.Random(-seed)))
        speaker.start()
        for _ in range(count):
            eventually(lambda: link.health().connected, 15)
            time.sleep(draw.uniform(0, 0.5))
            _break(broker, proxy, draw)
        done.set()
        speaker.join()
        time.sleep(TTL_S + 0.5)
        link.stop()
        return _tally(scada, outcomes)


def _speak(
    link: Link, done: threading.Event, outcomes: dict[str, Future[Delivered]], draw: random.Random
) -> None:
    while not done.wait(draw.uniform(0.02, 0.4)):
        order = command(TTL_S)
        outcomes[str(order.id)] = link.command(order, "x", time.monotonic() + TTL_S)


def _break(broker: Mosquitto, proxy: ChaosProxy, draw: random.Random) -> None:
    length_s = draw.uniform(0, 2 * TTL_S)
    match draw.choice(["freeze", "kill", "stall", "reset"]):
        case "freeze":
            broker.freeze()
            time.sleep(length_s)
            broker.thaw()
        case "kill":
            broker.kill()
            time.sleep(length_s)
            broker.start()
        case "stall":
            proxy.stalled = True
            time.sleep(length_s)
            proxy.stalled = False
        case "reset":
            proxy.reset()


def _tally(scada: Scada, outcomes: dict[str, Future[Delivered]]) -> Tally:
    tally = Tally(Counter(outcome.result(0).fate.value for outcome in outcomes.values()))
    wall_s = time.time() - time.monotonic()
    seen: set[str] = set()
    for received in scada.on("/command/x"):
        payload = json.loads(received.payload)
        tally.delivered += 1
        tally.doubled += payload["id"] in seen
        seen.add(payload["id"])
        late_s = received.arrived_s + wall_s - datetime.fromisoformat(payload["expires"]).timestamp()
        if late_s > 0:
            tally.late.append(round(late_s, 3))
        tally.reported_as_not_sent += outcomes[payload["id"]].result(0).fate is Fate.NOT_SENT
    return tally


# --- many stations return after a restart ----------------------------------------------------------------


def reconnects(count: int) -> dict[str, Any]:
    """Restart a broker under many stations with the settings of the example: how steeply do they return?"""
    spread_s = 60.0
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
        returned: list[float] = []

        links = [
            Link(
                mqtt(broker.port, keepalive_s=10, reconnect_spread_s=spread_s),
                Namespace(NAMESPACE.cell, f"station-{number}"),
                on_up=lambda _: returned.append(time.monotonic()),
            )
            for number in range(count)
        ]
        for link in links:
            link.start()
        assert eventually(lambda: len(returned) == count), "not all stations connect"
        returned.clear()
        broker.kill()
        time.sleep(1.0)
        broker.start()
        restarted_s = time.monotonic()
        assert eventually(lambda: len(set(map(id, links))) <= len(returned), 4 * spread_s), "not all return"
        moments = sorted(returned)
        for link in links:
            link.stop()
    return {
        "stations": count,
        "reconnect_spread_s": spread_s,
        "peak_connects_per_s": _peak(moments),
        "all_back_after_s": round(moments[count - 1] - restarted_s, 1),
    }


def _peak(moments: list[float]) -> int:
    """Most moments within any one second."""
    window: deque[float] = deque()
    peak = 0
    for moment in moments:
        window.append(moment)
        while window[0] <= moment - 1.0:
            window.popleft()
        peak = max(peak, len(window))
    return peak


# --- telemetry of a site ---------------------------------------------------------------------------------

_CHILD = "import sys; from tests.bench.bench_messaging import crowd; crowd(*map(int, sys.argv[1:]))"


def stations(count: int, processes: int = 4, seconds: float = 20.0) -> dict[str, Any]:
    """Let stations report their health once a second: the traffic of ten times as many at every 10 s."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder)) as broker,
        Scada(broker.port) as scada,
    ):
        share = count // processes
        crowds = [
            subprocess.Popen(
                [sys.executable, "-c", _CHILD, str(broker.port), str(number * share), str(share)],
                stdin=subprocess.PIPE,
            )
            for number in range(processes)
        ]
        assert eventually(lambda: len({m.topic for m in scada.on("/health")}) == share * processes, 120)
        assert broker.process
        server = psutil.Process(broker.process.pid)
        scada.received.clear()
        began_s, cpu_s = time.monotonic(), sum(server.cpu_times()[:2])
        time.sleep(seconds)
        took_s, used_s = time.monotonic() - began_s, sum(server.cpu_times()[:2]) - cpu_s
        reports = scada.on("/health")
        resident = server.memory_info().rss
        for crowd_process in crowds:
            crowd_process.kill()
            crowd_process.wait()
    wall_s = time.time() - time.monotonic()
    ages_ms = [1000 * (m.arrived_s + wall_s - _said_s(m.payload)) for m in reports]
    percentiles = quantiles(ages_ms, n=100)
    return {
        "stations": share * processes,
        "messages_per_s": round(len(reports) / took_s, 1),
        "bytes_per_message": len(reports[0].payload),
        "broker_cpu_ratio": round(used_s / took_s, 3),
        "broker_cpu_us_per_message": round(1e6 * used_s / len(reports), 1),
        "broker_resident_mb": round(resident / 2**20, 1),
        "age_at_subscriber_ms": {"p50": round(percentiles[49], 1), "p95": round(percentiles[94], 1)},
    }


def _said_s(payload: bytes) -> float:
    return datetime.fromisoformat(json.loads(payload)["time"]).timestamp()


def crowd(port: int, first: int, count: int) -> None:
    """Be many stations until killed."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    links = [
        Link(mqtt(port, keepalive_s=60), Namespace(NAMESPACE.cell + f"-{number}", "station"))
        for number in range(first, first + count)
    ]
    for link in links:
        link.start()
    while True:
        for number, link in enumerate(links):
            link.publish(health(WELL, (), datetime.now(UTC)))
            if number % 10 == 9:
                time.sleep(10 / count)


def main() -> None:
    """Run one measurement."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    measures: dict[str, Callable[[int], dict[str, Any]]] = {
        "outages": outages,
        "reconnects": reconnects,
        "stations": stations,
    }
    defaults = {"outages": 1000, "reconnects": 200, "stations": 1000}
    name = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else defaults[name]
    print(json.dumps(measures[name](count), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
