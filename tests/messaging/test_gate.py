"""What comes in is handed on or counted, and never ends the connection."""

import queue
from datetime import UTC, datetime

import pytest

from agent.messaging import gate as module
from agent.messaging.contract import MachineState, Talk
from agent.messaging.gate import Gate
from agent.messaging.inbound import Admitted, Arrival
from tests.messaging.examples import NAMESPACE


def talk() -> Arrival:
    payload = Talk(time=datetime.now(UTC), pressed=True).model_dump_json().encode()
    return Arrival(NAMESPACE.topic(Talk), payload, retain=False)


def test_what_may_be_obeyed_goes_on_and_the_rest_is_counted() -> None:
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    gate.pass_on(talk())
    gate.pass_on(Arrival(NAMESPACE.topic(Talk), b"{}", retain=False))
    assert [type(one.payload) for one in admitted] == [Talk]
    assert gate.refused == {"malformed": 1}


def test_a_broker_that_sends_what_nobody_asked_for_fills_no_memory() -> None:
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    gate.watched = frozenset({"door"})
    payload = MachineState(time=datetime.now(UTC), value=True).model_dump_json().encode()
    for name in ("door", *(f"noise-{number}" for number in range(20))):
        gate.pass_on(Arrival(f"{NAMESPACE.cell}/state/{name}", payload, retain=False))
    assert [message.name for message in admitted] == ["door"]
    assert gate.refused == {"unknown_topic": 20}


def test_a_full_inbox_is_a_flood() -> None:
    def full(_: Admitted) -> None:
        raise queue.Full

    gate = Gate(NAMESPACE, full)
    gate.pass_on(talk())
    assert gate.refused == {"flood": 1}


def test_a_message_that_the_judge_fails_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OverflowError

    monkeypatch.setattr(module, "judge", fail)
    gate = Gate(NAMESPACE, lambda _: pytest.fail("it was handed on"))
    gate.pass_on(talk())
    assert gate.refused == {"malformed": 1}
