"""The SCADA system in miniature, on the broker that the demonstration brings."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

pytest.importorskip("iotcore", reason="iotcore is not installed: pip install 'voxline[demo]'")

from agent.demo.broker import broker
from agent.demo.scada import Scada
from agent.messaging.client import Link
from agent.messaging.contract import Inhibit, MachineState, Response, State, Status
from agent.messaging.inbound import Admitted
from tests.integration.brokers import eventually
from tests.messaging.examples import NAMESPACE, command, mqtt


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with broker() as port:
        yield port


def test_it_answers_commands_and_reports_the_plant(port: int) -> None:
    inbound: list[Admitted] = []
    link = Link(mqtt(port), NAMESPACE, inbound.append)
    link.watch(frozenset({"axis/homed"}))
    with Scada(port, NAMESPACE) as scada:
        link.start()
        order = command()
        assert eventually(lambda: link.health().connected)
        link.command(order, "speed", time.monotonic() + 2).result(3)
        kinds = (Response, Inhibit, MachineState)
        assert eventually(lambda: {type(admitted.payload) for admitted in inbound} >= set(kinds))
        link.stop()
        answers = [admitted.payload for admitted in inbound if isinstance(admitted.payload, Response)]
        assert [(answer.command_id, answer.outcome) for answer in answers] == [(order.id, "accepted")]
        received = scada.last("command/speed")
        assert received
        assert received.payload["id"] == str(order.id)
        assert received.expiry_s is not None


def test_it_keeps_what_came_in_order(port: int) -> None:
    link = Link(mqtt(port), NAMESPACE)
    with Scada(port, NAMESPACE) as scada:
        began_s = time.monotonic()
        link.start()
        link.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
        assert eventually(lambda: scada.last("state") is not None)
        link.stop()
        assert eventually(lambda: len(states := statuses(scada, began_s)) >= 2 and states[-1] == "offline")
        assert statuses(scada, began_s)[-2:] == ["online", "offline"]
        assert scada.since(time.monotonic()) == []


def statuses(scada: Scada, since_s: float) -> list[str]:
    return [str(m.payload["status"]) for m in scada.since(since_s) if m.topic == "state"]
