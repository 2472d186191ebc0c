"""The link against a real mosquitto."""

import json
import os
import queue
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from agent.commands.decision import Detail
from agent.commands.events import Fate
from agent.messaging import quality as quality_module
from agent.messaging.client import Link, _offline
from agent.messaging.contract import Claim, Inhibit, MachineState, Reject, Response, State, Status
from agent.messaging.inbound import Admitted
from agent.messaging.namespace import Namespace
from tests.integration.brokers import (
    Mosquitto,
    Scada,
    eventually,
    mosquitto,
    needs_mosquitto,
)
from tests.integration.links import answers, has, reconnected, response, running, statuses
from tests.messaging.examples import NAMESPACE, command, mqtt

__all__ = ["mosquitto"]
pytestmark = needs_mosquitto
BASE = NAMESPACE.base


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
            scada.publish(topic, "x" * 2_000_000)  # the broker keeps this one back
            scada.publish(topic, response(reason="the guard is open " * 100))  # cut, but it is an answer
            assert eventually(lambda: answers(heard) == 2)
            assert link.health().connects_total == 1


@pytest.mark.parametrize(("synchronized", "quality"), [(True, "good"), (None, "good"), (False, "uncertain")])
def test_a_clock_that_nothing_sets_is_told_with_all_that_is_published(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, synchronized: bool | None, quality: str
) -> None:
    """Consumers judge by it whether a command is late."""
    monkeypatch.setattr(quality_module, "clock_synchronized", lambda: synchronized)
    with Scada(mosquitto.port) as scada:
        with running(mosquitto.port) as link:
            link.command(command(), "x", time.monotonic() + 2).result(3)
            assert _offline("link_lost").quality == quality
        scada.wait_for("/state", 2)
        assert {json.loads(message.payload)["quality"] for message in scada.received} == {quality}


def test_a_lockout_with_much_around_it_locks_out(mosquitto: Mosquitto) -> None:
    """A gateway may add properties, and a person may write at length."""
    heard: list[Admitted] = []
    lockout = Inhibit(time=datetime.now(UTC), active=True, who="Ada", why="die change").model_dump_json()

    def reasons() -> list[str]:
        said = [message.payload for message in heard]
        return [one.why for one in said if isinstance(one, Inhibit) and one.active]

    with Scada(mosquitto.port) as scada, running(mosquitto.port, on_inbound=heard.append):
        scada.publish(NAMESPACE.topic(Inhibit), lockout.replace("die change", "die change " * 10_000))
        scada.publish(NAMESPACE.topic(Inhibit), lockout, user=[("origin", "x" * 9_000)] * 3)
        assert eventually(lambda: reasons() == [Detail.UNREADABLE, "die change"])


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
        claims = [("press-9", Claim), ("press-2", Claim)]
        for count, speaker in enumerate((second, link), 1):
            speaker.publish(Claim(time=datetime.now(UTC), command_id=command().id, command="stop"))
            assert eventually(partial(has, heard, 2 + count))
        assert [(m.station, type(m.payload)) for m in heard[2:]] == claims
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


def test_two_stations_of_the_same_names_both_say_so(mosquitto: Mosquitto) -> None:
    """mosquitto 2.0 closes the connection of the first without a word."""

    def state() -> State:
        return State(time=datetime.now(UTC), status=Status.ONLINE)

    with running(mosquitto.port) as one:
        one.publish(state())
        assert eventually(lambda: one.health().published_total)
        with running(mosquitto.port) as other:
            other.publish(state())
            assert eventually(lambda: one.health().name_taken and other.health().name_taken)


def test_a_station_is_not_its_own_twin(mosquitto: Mosquitto) -> None:
    """What it said in an earlier run is kept by the broker, maybe by a clock that was ahead."""
    ahead = State(time=datetime.now(UTC) + timedelta(hours=1), status=Status.ONLINE)
    with Scada(mosquitto.port) as scada:
        scada.publish(NAMESPACE.topic(State), ahead.model_dump_json(), retain=True)
    with running(mosquitto.port) as link:
        link.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
        assert eventually(lambda: link.health().published_total)
        mosquitto.kill()
        mosquitto.start()
        assert eventually(lambda: link.health().published_total > 1)
        time.sleep(0.5)  # its own words come back
        assert not link.health().name_taken
