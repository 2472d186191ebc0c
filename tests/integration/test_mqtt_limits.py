"""Brokers that take or give less than others: the station says so, and loses them only if it must."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.commands.events import Fate
from agent.messaging.client import Link
from agent.messaging.contract import Claim, Delivery, Inhibit, Reject, SelfTest, State, Status
from agent.messaging.outbox import Outbox
from agent.messaging.payload import Payload
from tests.integration.brokers import PATIENCE_S, Mosquitto, Scada, eventually, needs_mosquitto
from tests.messaging.examples import NAMESPACE, command, mqtt

pytestmark = needs_mosquitto
BASE = NAMESPACE.base


@contextmanager
def limited(folder: Path, limit: str, outbox: Outbox | None = None) -> Iterator[tuple[Link, Scada]]:
    """A station, and one that listens, at a broker with a limit."""
    with Mosquitto(folder, f"allow_anonymous true\n{limit}") as broker, Scada(broker.port) as scada:
        link = Link(mqtt(broker.port), NAMESPACE, outbox=outbox)
        link.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
        link.start()
        try:
            assert eventually(lambda: link.health().connected)
            yield link, scada
        finally:
            link.stop()


def large() -> Reject:
    heard = command().heard.model_copy(update={"text": "set speed " * 150})
    return Reject(time=datetime.now(UTC), reason="background", heard=heard)


def test_a_broker_without_qos_2_gets_no_command_and_keeps_the_station(tmp_path: Path) -> None:
    with limited(tmp_path, "max_qos 1") as (link, scada):
        for _ in range(2):
            outcome = link.command(command(), "x", time.monotonic() + 2).result(3)
            assert outcome.fate is Fate.REFUSED
            assert "QoS 2" in outcome.reason
        scada.wait_for("/state")
        assert scada.on("/command/x") == []
        assert link.health().connects_total == 1


# The first is told when the station connects, the second only by an answer that MQTT does not know.
LIMITS = pytest.mark.parametrize("limit", ["max_packet_size 1500", "message_size_limit 1200"])


@LIMITS
@pytest.mark.parametrize("kept", [True, False])
def test_an_event_that_the_broker_finds_too_large_is_given_up(tmp_path: Path, limit: str, kept: bool) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite") if kept else None
    with limited(tmp_path, limit, outbox) as (link, scada):
        link.publish(large())
        now = datetime.now(UTC)
        link.publish(Delivery(time=now, command_id=command().id, fate=Fate.ACKNOWLEDGED, latency_seconds=0))
        scada.wait_for("/event/delivery")
        assert link.command(command(), "x", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
        assert eventually(lambda: link.health().dropped_total.get("refused_by_broker") == 1)
        assert eventually(lambda: link.health().outbox_messages == 0)
        assert link.health().connects_total == 1
        assert scada.on("/event/reject") == []


@LIMITS
def test_a_command_that_the_broker_finds_too_large_is_refused(tmp_path: Path, limit: str) -> None:
    order: Any = command().model_copy(update={"value": "x" * 1500})
    with limited(tmp_path, limit) as (link, scada):
        assert link.command(order, "x", time.monotonic() + 2).result(3).fate is Fate.REFUSED
        assert link.command(command(), "y", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
        scada.wait_for("/command/y")
        assert scada.on("/command/x") == []
        assert link.health().connects_total == 1


def test_a_broker_that_takes_one_at_a_time_gets_them_all(tmp_path: Path) -> None:
    with limited(tmp_path, "max_inflight_messages 1") as (link, scada):
        for number in range(10):
            assert link.command(command(), "x", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
            now = datetime.now(UTC)
            link.publish(
                Delivery(time=now, command_id=command().id, fate=Fate.ACKNOWLEDGED, latency_seconds=number)
            )
        scada.wait_for("/event/delivery", 10)
        assert len(scada.wait_for("/command/x", 10)) == 10
        assert link.health().connects_total == 1


@pytest.mark.parametrize("keepalive_s", [0, 600])
def test_a_broker_that_hears_of_a_station_less_often_is_noticed_as_soon_when_it_is_dead(
    keepalive_s: int,
) -> None:
    assert_ends_with("no sign of life", b"\x20\x06\0\0\x03\x13" + keepalive_s.to_bytes(2, "big"))


def test_a_station_that_another_of_its_name_pushes_out_says_what_to_do() -> None:
    assert_ends_with("give each its own", b"\x20\x03\0\0\0" + b"\xe0\x01\x8e")


def assert_ends_with(reason: str, answer: bytes) -> None:
    link = Link(mqtt(answer_and_fall_silent(answer)), NAMESPACE)
    link.start()
    try:
        assert eventually(lambda: link.health().connects_total)
        assert eventually(lambda: reason in link.health().reason)
    finally:
        link.stop()


def answer_and_fall_silent(answer: bytes) -> int:
    """Be a broker that answers a station, and then is dead until it connects anew."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            with listener.accept()[0] as station, contextlib.suppress(OSError):
                station.recv(4096)
                station.sendall(answer)
                while station.recv(4096):
                    pass

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


RULES = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), None)


@pytest.mark.skipif(RULES is None, reason="mosquitto has no rules for subscriptions")
@pytest.mark.parametrize(("kind", "up"), [(Inhibit, False), (Claim, False), (State, False), (SelfTest, True)])
def test_without_a_word_of_lockouts_and_other_stations_there_is_no_link(
    tmp_path: Path, kind: type[Payload], up: bool
) -> None:
    """A station that may not hear them would move what is locked out, or do what another does."""
    topic = NAMESPACE.filter(kind)
    allowed = ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe")
    rules = tmp_path / "rules.json"
    deny = {"acltype": "subscribePattern", "topic": topic, "allow": False}
    rules.write_text(
        json.dumps(
            {
                "defaultACLAccess": dict.fromkeys(allowed, True),
                "roles": [{"rolename": "deaf", "acls": [deny]}],
                "groups": [{"groupname": "all", "roles": [{"rolename": "deaf"}]}],
                "anonymousGroup": "all",
            }
        )
    )
    plugin = f"plugin {RULES}\nplugin_opt_config_file {rules}"
    with Mosquitto(tmp_path, f"allow_anonymous true\n{plugin}") as broker:
        link = Link(mqtt(broker.port, reconnect_spread_s=60.0), NAMESPACE)
        link.start()
        try:
            assert eventually(lambda: link.health().connects_total == 1)
            assert eventually(lambda: topic in link.health().reason, 2.0 if up else PATIENCE_S) is not up
            assert link.health().connected is up
        finally:
            link.stop()
