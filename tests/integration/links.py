"""Links to a real broker, and what came over them."""

import json
import time
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from agent.commands.events import Fate
from agent.messaging.client import Link
from agent.messaging.contract import Response, State, Status
from agent.messaging.inbound import Admitted
from tests.integration.brokers import Scada, eventually
from tests.messaging.examples import NAMESPACE, command, mqtt


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


def assert_never_comes(suffix: str, link: Link, scada: Scada) -> None:
    """Give another command, which comes, once; the one below `suffix`, given before, has not come by then."""
    assert link.command(command(), "y", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
    assert len(scada.wait_for("/command/y")) == 1
    assert scada.on(f"/command/{suffix}") == []


def response(**changes: Any) -> str:
    answer = Response(time=datetime.now(UTC), command_id=command().id, outcome="accepted")
    return answer.model_copy(update=changes).model_dump_json()


def answers(heard: list[Admitted]) -> int:
    return sum(isinstance(message.payload, Response) for message in heard)
