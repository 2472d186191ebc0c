"""The link where a real mosquitto is frozen, killed and restarted, and through a bad network."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.commands.events import Fate
from agent.messaging.compose import health
from agent.messaging.contract import State, Status, Update
from agent.messaging.inbound import Admitted
from agent.messaging.session import Session
from tests.health.test_report import WELL
from tests.integration.brokers import (
    Mosquitto,
    Scada,
    eventually,
    mosquitto,
    needs_mosquitto,
    publish_malformed,
)
from tests.integration.chaos import ChaosProxy
from tests.integration.links import answers, assert_never_comes, reconnected, response, running, statuses
from tests.messaging.examples import NAMESPACE, command, mqtt, offline

__all__ = ["mosquitto"]
pytestmark = needs_mosquitto
BASE = NAMESPACE.base


def test_a_broker_that_is_killed_and_restarted_hears_the_state_again(mosquitto: Mosquitto) -> None:
    with running(mosquitto.port) as link:
        for _ in range(3):
            mosquitto.kill()
            assert eventually(lambda: not link.health().connected)
            mosquitto.start()
            with Scada(mosquitto.port) as scada:
                scada.wait_for("/state")
                assert statuses(scada)[-1] == ("online", "")
                assert link.command(command(), "x", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED


def test_a_frozen_broker_is_noticed_within_one_keepalive(mosquitto: Mosquitto) -> None:
    with running(mosquitto.port, settings={"keepalive_s": 4}) as link:
        time.sleep(0.5)
        mosquitto.freeze()
        try:
            frozen_s = time.monotonic()
            assert eventually(lambda: not link.health().connected)
            assert time.monotonic() - frozen_s <= 4.6  # the client looks twice a second
        finally:
            mosquitto.thaw()
        assert eventually(lambda: link.health().connected)


def test_a_frozen_broker_does_not_hold_a_command_beyond_its_time(mosquitto: Mosquitto) -> None:
    with running(mosquitto.port, settings={"keepalive_s": 60}) as link:
        mosquitto.freeze()
        try:
            spoken_s = time.monotonic()
            outcome = link.command(command(1.0), "x", spoken_s + 1.0).result(3)
            assert outcome.fate is Fate.UNCONFIRMED
            assert 0.9 < time.monotonic() - spoken_s < 1.5
            assert eventually(lambda: not link.health().connected)
        finally:
            mosquitto.thaw()


def test_a_frozen_broker_does_not_deliver_when_it_wakes(mosquitto: Mosquitto) -> None:
    with Scada(mosquitto.port) as scada, running(mosquitto.port, settings={"keepalive_s": 60}) as link:
        mosquitto.freeze()
        try:
            outcome = link.command(command(1.0), "x", time.monotonic() + 1.0).result(10)
        finally:
            mosquitto.thaw()
        assert outcome.fate is Fate.UNCONFIRMED
        assert eventually(lambda: link.health().connects_total == 2)
        assert_never_comes("x", link, scada)


def test_a_command_whose_release_would_take_too_long_is_not_released(mosquitto: Mosquitto) -> None:
    """Over a slow way there is time left when the broker asks, but not enough for the answer."""
    with (
        ChaosProxy(mosquitto.port) as proxy,
        Scada(mosquitto.port) as scada,
        running(proxy.port, settings={"keepalive_s": 60}) as link,
    ):
        proxy.delay_s = 0.4
        assert link.command(command(1.3), "x", time.monotonic() + 1.3).result(3).fate is Fate.UNCONFIRMED
        proxy.delay_s = 0.0
        assert eventually(lambda: link.health().connects_total == 2)
        assert_never_comes("x", link, scada)


def test_reports_wait_while_a_command_is_under_way(mosquitto: Mosquitto) -> None:
    """At 2 kB/s the reports would take 10 s; the release of the command goes before them."""
    with (
        ChaosProxy(mosquitto.port) as proxy,
        Scada(mosquitto.port) as scada,
        running(proxy.port, settings={"keepalive_s": 60}) as link,
    ):
        scada.wait_for("/state")
        proxy.drip_bytes = 20
        outcome = link.command(command(4.0), "x", time.monotonic() + 4.0)
        for _ in range(7):
            link.publish(health(WELL, (), datetime.now(UTC)))
        assert outcome.result(5).fate is Fate.ACKNOWLEDGED
        proxy.drip_bytes = None
        scada.wait_for("/health", 7)


def test_a_stop_before_a_slow_broker_answers_a_command_leaves_no_station_online(mosquitto: Mosquitto) -> None:
    with ChaosProxy(mosquitto.port) as proxy, Scada(mosquitto.port) as scada:
        with running(proxy.port, settings={"keepalive_s": 60}) as link:
            scada.wait_for("/state")
            proxy.delay_s = 1.5
            link.command(command(30), "x", time.monotonic() + 30)
        scada.wait_for("/state", 2)
        assert statuses(scada)[-1] == ("offline", "link_lost")


def test_a_flood_while_the_broker_stands_still_takes_the_place_of_no_other_state(
    mosquitto: Mosquitto,
) -> None:
    with Scada(mosquitto.port) as scada, running(mosquitto.port, settings={"keepalive_s": 60}) as link:
        scada.wait_for("/state")
        mosquitto.freeze()
        try:
            link.command(command(30), "x", time.monotonic() + 30)
            link.publish(Update(time=datetime.now(UTC), phase="committed", active=None))
            for number in range(300):
                link.publish(State(time=datetime.now(UTC), status=Status.ONLINE, text=str(number)))
        finally:
            mosquitto.thaw()
        scada.wait_for("/update")
        assert eventually(lambda: json.loads(scada.on("/state")[-1].payload)["text"] == "299")


@pytest.mark.parametrize("release", [True, False])
def test_the_broker_passes_on_only_what_is_released(mosquitto: Mosquitto, release: bool) -> None:
    wake, waker = socket.socketpair()
    with Scada(mosquitto.port) as scada, wake, waker:
        asked: list[int] = []

        def may(number: int) -> bool:
            asked.append(number)
            return release

        session = Session(mqtt(mosquitto.port), "station", offline(), [], print, may, print)

        def passed_on() -> bool:
            session.step(wake, 0.1)
            return bool(asked) and len(scada.on("/command/x")) == release

        number = session.publish(replace(NAMESPACE.message(command(), "x"), expiry_s=60))
        assert eventually(passed_on)
        assert asked == [number]
        session.close()
        time.sleep(0.2)
        assert len(scada.on("/command/x")) == release


def test_a_station_that_stood_still_does_not_release_a_command(mosquitto: Mosquitto) -> None:
    """Stopped between the two halves of a publication, it wakes too late and must not say yes."""
    program = (
        "import sys, time; import structlog; from agent.messaging.client import Link;"
        "structlog.configure(logger_factory=structlog.ReturnLoggerFactory());"
        "from tests.messaging.examples import NAMESPACE, command, mqtt;"
        "link = Link(mqtt(int(sys.argv[1]), keepalive_s=60), NAMESPACE,"
        "on_up=lambda _: print('up', flush=True));"
        "link.start(); input();"
        "outcome = link.command(command(1.0), 'x', time.monotonic() + 1.0); print('sent', flush=True);"
        "print(outcome.result(9).fate, flush=True)"
    )
    with Scada(mosquitto.port) as scada, ChaosProxy(mosquitto.port) as proxy:
        station = subprocess.Popen(
            [sys.executable, "-c", program, str(proxy.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert station.stdin
        assert station.stdout
        assert station.stdout.readline() == "up\n"
        proxy.delay_s = 0.3
        station.stdin.write("\n")
        station.stdin.flush()
        assert station.stdout.readline() == "sent\n"
        time.sleep(0.4)  # its first half is at the broker, the answer on the way back
        os.kill(station.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(station.pid, signal.SIGCONT)
        assert station.stdout.readline() == "unconfirmed\n"
        station.wait()
        time.sleep(1.0)
        assert scada.on("/command/x") == []


def test_a_command_caught_in_a_half_open_link_dies_there(mosquitto: Mosquitto) -> None:
    with (
        Scada(mosquitto.port) as scada,
        ChaosProxy(mosquitto.port) as proxy,
        running(proxy.port, settings={"keepalive_s": 60}) as link,
    ):
        proxy.stalled = True
        assert link.command(command(1.0), "x", time.monotonic() + 1.0).result(3).fate is Fate.UNCONFIRMED
        assert eventually(lambda: not link.health().connected)
        time.sleep(0.5)
        proxy.stalled = False
        assert eventually(lambda: link.health().connected)
        assert_never_comes("x", link, scada)


def test_a_reset_link_comes_back(mosquitto: Mosquitto) -> None:
    with ChaosProxy(mosquitto.port) as proxy, running(proxy.port) as link:
        for count in range(2, 6):
            proxy.reset()
            assert eventually(partial(reconnected, link, count))
        assert link.health().reason


def test_a_slow_drip_delays_and_breaks_nothing(mosquitto: Mosquitto) -> None:
    with Scada(mosquitto.port) as scada, ChaosProxy(mosquitto.port) as proxy, running(proxy.port) as link:
        proxy.drip_bytes = 20
        assert link.command(command(), "x", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
        assert len(scada.wait_for("/command/x")) == 1
        assert link.health().connects_total == 1


def test_flipped_bits_never_kill_the_link(mosquitto: Mosquitto) -> None:
    draw = random.Random(3)
    with ChaosProxy(mosquitto.port) as proxy, running(proxy.port) as link:
        proxy.flip_rate = 0.02
        end_s = time.monotonic() + 4
        while time.monotonic() < end_s:
            link.command(command(), "x", time.monotonic() + 0.5)
            time.sleep(draw.uniform(0, 0.05))
        proxy.flip_rate = 0.0
        proxy.reset()
        assert eventually(
            lambda: link.command(command(), "x", time.monotonic() + 1).result(3).fate is Fate.ACKNOWLEDGED,
            10,
        )


def test_a_malformed_message_that_the_broker_retains_takes_no_station_off(mosquitto: Mosquitto) -> None:
    heard: list[Admitted] = []
    publish_malformed(mosquitto.port, f"{NAMESPACE.cell}/voice/press-9/state")
    with (
        Scada(mosquitto.port, "elsewhere") as scada,  # paho does not outlive what the station does
        running(mosquitto.port, on_inbound=heard.append) as link,
    ):
        # More than a broker passes on at a time before they are acknowledged.
        publish_malformed(mosquitto.port, f"{BASE}/talk", 25)
        assert eventually(lambda: link.health().refused_total == {"malformed": 26})
        scada.publish(f"{BASE}/response", response())
        assert eventually(lambda: answers(heard) == 1)
        assert link.health().connects_total == 1


@pytest.mark.parametrize("seed", range(3))
def test_no_stale_command_over_random_outages(tmp_path: Path, seed: int) -> None:
    """A consumer that heeds `expires` never acts late, and acts only on what was not reported as dropped."""
    draw = random.Random(seed)
    with Mosquitto(tmp_path) as broker, ChaosProxy(broker.port) as proxy, running(proxy.port) as link:
        acted: list[str] = []
        fates: dict[str, Any] = {}
        with Scada(broker.port, qos=1) as scada:
            for _ in range(8):
                proxy.stalled = True
                healed_s = time.monotonic() + draw.uniform(0.0, 1.2)
                while time.monotonic() < healed_s:
                    order = command(0.5)
                    fates[str(order.id)] = link.command(order, "x", time.monotonic() + 0.5)
                    time.sleep(draw.uniform(0, 0.2))
                proxy.stalled = False
                if draw.random() < 0.3:
                    proxy.reset()
                eventually(lambda: link.health().connected)
            time.sleep(0.6)
            for received in scada.on("/command/x"):
                payload = json.loads(received.payload)
                late_s = received.arrived_s - time.monotonic() + time.time()
                late_s -= datetime.fromisoformat(payload["expires"]).timestamp()
                assert late_s <= 0.1, f"{late_s} s late, {fates[payload['id']].result(0)}"
                acted.append(payload["id"])
        assert len(acted) == len(set(acted))
        assert all(fate.done() for fate in fates.values())
        assert all(fates[done].result().fate is not Fate.NOT_SENT for done in acted)
