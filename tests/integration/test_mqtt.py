"""The link against a real mosquitto that is frozen, killed and restarted, and through a bad network."""

import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.commands.events import Fate
from agent.messaging.client import Link
from agent.messaging.compose import health
from agent.messaging.contract import Claim, MachineState, Reject, Response, State, Status
from agent.messaging.inbound import Admitted
from agent.messaging.namespace import Namespace
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
from tests.messaging.examples import NAMESPACE, command, mqtt

__all__ = ["mosquitto"]
pytestmark = needs_mosquitto
BASE = NAMESPACE.base


@contextmanager
def running(port: int, wait: bool = True, **arguments: Any) -> Iterator[Link]:
    """A link that is up."""
    link = Link(mqtt(port, **arguments.pop("settings", {})), NAMESPACE, **arguments)
    link.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
    link.start()
    try:
        assert not wait or eventually(lambda: link.health().connected)
        yield link
    finally:
        link.stop()


def reconnected(link: Link, count: int) -> bool:
    return link.health().connects_total == count


def has(items: Sized, count: int) -> bool:
    return len(items) == count


def statuses(scada: Scada) -> list[tuple[str, str]]:
    states = [json.loads(message.payload) for message in scada.on("/state")]
    return [(state["status"], state["reason"]) for state in states]


def test_state_is_retained_and_says_offline_at_a_clean_end(mosquitto: Mosquitto) -> None:
    with Scada(mosquitto.port) as scada:
        with running(mosquitto.port):
            scada.wait_for("/state")
        scada.wait_for("/state", 2)
        time.sleep(0.2)  # a will would come now
        assert statuses(scada) == [("online", ""), ("offline", "shutdown")]
        assert scada.on("/state")[0].retain
    with Scada(mosquitto.port) as late:
        late.wait_for("/state")
        assert statuses(late) == [("offline", "shutdown")]


def test_last_will_says_offline_when_the_process_is_killed(mosquitto: Mosquitto) -> None:
    program = (
        "import sys, time; from datetime import UTC, datetime; from agent.messaging.client import Link;"
        "from agent.messaging.contract import State, Status;"
        "from tests.messaging.examples import NAMESPACE, mqtt;"
        "link = Link(mqtt(int(sys.argv[1])), NAMESPACE);"
        "link.publish(State(time=datetime.now(UTC), status=Status.ONLINE)); link.start(); time.sleep(60)"
    )
    with Scada(mosquitto.port) as scada:
        station = subprocess.Popen([sys.executable, "-c", program, str(mosquitto.port)])
        scada.wait_for("/state")
        os.kill(station.pid, signal.SIGKILL)
        station.wait()
        scada.wait_for("/state", 2)
        assert statuses(scada) == [("online", ""), ("offline", "link_lost")]


def test_command_carries_its_contract(mosquitto: Mosquitto) -> None:
    order = command()
    with Scada(mosquitto.port) as scada, running(mosquitto.port) as link:
        outcome = link.command(order, "line/speed", time.monotonic() + 2).result(3)
        assert outcome.fate is Fate.ACKNOWLEDGED
        (received,) = scada.wait_for("/command/line/speed")
    assert received.topic == f"{BASE}/command/line/speed"
    assert (received.qos, received.retain) == (2, False)
    assert received.properties["MessageExpiryInterval"] == 1
    assert received.properties["ResponseTopic"] == f"{BASE}/response"
    assert UUID(bytes=received.properties["CorrelationData"]) == order.id
    attributes = dict(received.properties["UserProperty"])
    assert attributes["type"] == "voxline.command.v1"
    assert attributes["source"] == f"/{BASE}"
    assert attributes["id"] == str(order.id)
    assert json.loads(received.payload)["value"] == {"speed": 1250}


def test_command_without_a_link_is_dropped_and_never_comes(mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    with running(mosquitto.port, wait=False) as link:
        outcome = link.command(command(), "x", time.monotonic() + 2).result(0)
        assert outcome.fate is Fate.NOT_SENT
        mosquitto.start()
        with Scada(mosquitto.port) as scada:
            scada.wait_for("/state")
            time.sleep(0.3)
            assert scada.on("/command/x") == []


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


def assert_never_comes(suffix: str, link: Link, scada: Scada) -> None:
    """Give another command, which comes, once; the one below `suffix`, given before, has not come by then."""
    assert link.command(command(), "y", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
    assert len(scada.wait_for("/command/y")) == 1
    assert scada.on(f"/command/{suffix}") == []


def test_a_frozen_broker_does_not_deliver_when_it_wakes(mosquitto: Mosquitto) -> None:
    with Scada(mosquitto.port) as scada, running(mosquitto.port, settings={"keepalive_s": 60}) as link:
        mosquitto.freeze()
        try:
            outcome = link.command(command(1.0), "x", time.monotonic() + 1.0)
            time.sleep(1.5)
        finally:
            mosquitto.thaw()
        assert outcome.result(0).fate is Fate.UNCONFIRMED
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


@pytest.mark.parametrize("release", [True, False])
def test_the_broker_passes_on_only_what_is_released(mosquitto: Mosquitto, release: bool) -> None:
    wake, waker = socket.socketpair()
    with Scada(mosquitto.port) as scada, wake, waker:
        asked: list[int] = []

        def may(number: int) -> bool:
            asked.append(number)
            return release

        will = NAMESPACE.last_will(datetime.now(UTC))
        session = Session(mqtt(mosquitto.port), "station", will, [], print, may, print)
        number = session.publish(replace(NAMESPACE.message(command(), "x"), expiry_s=5))
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            session.step(wake, 0.1)
        assert asked == [number]
        assert len(scada.on("/command/x")) == release
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


def test_a_failing_handler_is_counted_and_changes_nothing(mosquitto: Mosquitto) -> None:
    heard: list[Admitted] = []

    def handler(message: Admitted) -> None:
        if isinstance(message.payload, Response):
            heard.append(message)
            raise RuntimeError("handler bug")  # noqa: TRY004 - a bug, not a check

    patient = {"keepalive_s": 30}  # a traceback may take a second to format for people
    with (
        Scada(mosquitto.port) as scada,
        running(mosquitto.port, settings=patient, on_inbound=handler, on_up=lambda _: 1 / 0) as link,
    ):
        for count in (1, 2, 3):
            scada.publish(f"{BASE}/response", response())
            assert eventually(partial(has, heard, count))
        assert link.health().handler_failures_total == 4
        assert link.command(command(), "x", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
        assert link.health().connects_total == 1


def test_a_flood_that_the_handler_cannot_take_is_counted_and_named(mosquitto: Mosquitto) -> None:
    def full(message: Admitted) -> None:
        if isinstance(message.payload, Response):
            raise queue.Full

    with Scada(mosquitto.port) as scada, running(mosquitto.port, on_inbound=full) as link:
        for _ in range(3):
            scada.publish(f"{BASE}/response", response())
        assert eventually(lambda: link.health().refused_total == {"flood": 3})
        assert link.health().handler_failures_total == 0
        assert link.health().connects_total == 1


def test_a_command_that_was_decided_on_before_an_outage_is_not_sent_after_it(mosquitto: Mosquitto) -> None:
    """What allowed it, such as that nobody has locked out, was heard on a connection that is gone."""
    with running(mosquitto.port) as link:
        decided_on = link.health().connects_total
        mosquitto.kill()
        mosquitto.start()
        assert eventually(partial(reconnected, link, decided_on + 1))
        with Scada(mosquitto.port) as scada:
            outcome = link.command(command(), "x", time.monotonic() + 2, decided_on).result(0)
            assert outcome.fate is Fate.NOT_SENT
            outcome = link.command(command(), "y", time.monotonic() + 2, decided_on + 1).result(3)
            assert outcome.fate is Fate.ACKNOWLEDGED
            scada.wait_for("/command/y")
            assert scada.on("/command/x") == []


def response(**changes: Any) -> str:
    answer = Response(time=datetime.now(UTC), command_id=command().id, outcome="accepted")
    return answer.model_copy(update=changes).model_dump_json()


def answers(heard: list[Admitted]) -> int:
    return sum(isinstance(message.payload, Response) for message in heard)


def test_dangerous_messages_are_refused_and_named(mosquitto: Mosquitto) -> None:
    heard: list[Admitted] = []
    topic = f"{BASE}/response"
    with Scada(mosquitto.port) as scada:
        scada.publish(topic, response(), retain=True)
        with running(mosquitto.port, on_inbound=heard.append) as link:
            assert eventually(lambda: link.health().refused_total.get("retained") == 1)
            scada.publish(topic, "{" * 10_000)
            scada.publish(topic, b"\xff\x00")
            scada.publish(topic, "x" * 18_000)  # above the payload limit, within the packet limit
            scada.publish(topic, response(time=datetime(2020, 1, 1, tzinfo=UTC)))
            scada.publish(topic, response())
            assert eventually(lambda: answers(heard) == 1)
            assert link.health().refused_total == {
                "retained": 1,
                "malformed": 2,
                "too_large": 1,
                "expired": 1,
            }
            scada.publish(topic, "x" * 100_000)  # the broker keeps this one back
            scada.publish(topic, response())
            assert eventually(lambda: answers(heard) == 2)
            assert link.health().connects_total == 1


def test_only_watched_machine_states_are_heard(mosquitto: Mosquitto) -> None:
    heard: list[Admitted] = []
    cell = NAMESPACE.cell
    value = MachineState(time=datetime.now(UTC), value=True).model_dump_json()
    with Scada(mosquitto.port) as scada:
        for name in ("door", "guard", "noise"):
            scada.publish(f"{cell}/state/{name}", value, retain=True)
        with running(mosquitto.port, on_inbound=heard.append) as link:

            def names() -> list[str]:
                return [message.name for message in heard if isinstance(message.payload, MachineState)]

            link.watch(frozenset({"door"}))
            assert eventually(lambda: names() == ["door"])
            link.watch(frozenset({"guard"}))
            assert eventually(lambda: names() == ["door", "guard"])
            mosquitto.kill()
            mosquitto.start()
            assert eventually(lambda: link.health().connects_total == 2)
            for name in ("door", "noise", "guard"):
                scada.publish(f"{cell}/state/{name}", value, retain=True)
            assert eventually(lambda: "guard" in names()[2:])
            assert set(names()[2:]) == {"guard"}


def test_stations_of_a_cell_hear_each_other_and_themselves(mosquitto: Mosquitto) -> None:
    heard: list[Admitted] = []
    other = Namespace(NAMESPACE.cell, "press-9")
    with running(mosquitto.port, on_inbound=heard.append) as link:
        second = Link(mqtt(mosquitto.port), other)
        second.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
        second.start()
        states = [("press-2", State), ("press-9", State)]
        assert eventually(lambda: [(m.station, type(m.payload)) for m in heard] == states)
        for speaker in (second, link):
            speaker.publish(Claim(time=datetime.now(UTC), command_id=command().id, command="stop"))
            time.sleep(0.1)
        claims = [("press-9", Claim), ("press-2", Claim)]
        assert eventually(lambda: [(m.station, type(m.payload)) for m in heard[2:]] == claims)
        second.stop()
        assert eventually(lambda: isinstance(heard[-1].payload, State) and heard[-1].station == "press-9")


def test_events_beyond_the_window_all_arrive(mosquitto: Mosquitto) -> None:
    """More at once than broker and client allow unacknowledged."""
    with Scada(mosquitto.port) as scada, running(mosquitto.port) as link:
        for _ in range(200):
            now = datetime.now(UTC)
            link.publish(Reject(time=now, reason="background", heard=command().heard))
        scada.wait_for("/event/reject", 200)
        assert sum(link.health().dropped_total.values()) == 0


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
