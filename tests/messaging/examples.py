"""A station and its payloads, as tests need them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from agent.grammar.schema import Risk
from agent.messaging.contract import Accept, Command, Heard, Meaning, State, Status, Word
from agent.messaging.namespace import Message, Namespace
from agent.settings import Mqtt, Station

STATION = Station(enterprise="acme", site="lyon", area="assembly", line="l3", cell="c7", id="press-2")
NAMESPACE = Namespace.of(STATION)


def command(ttl_s: float = 2.0) -> Command:
    """A command that was just spoken."""
    now = datetime.now(UTC)
    return Command(
        time=now,
        expires=now + timedelta(seconds=ttl_s),
        meaning=Meaning(command="set_speed", slots={"speed": 1250}),
        value={"speed": 1250},
        risk=Risk.NORMAL,
        heard=Heard(
            text="set speed one two five zero", probability=0.98, worst_word=Word(text="five", score=-0.4)
        ),
    )


def accept(time: datetime) -> Accept:
    """The event that a command was made of an utterance; each says the same."""
    order = command()
    return Accept(time=time, command_id=order.id, meaning=order.meaning, heard=order.heard)


def offline() -> Message:
    """A last will."""
    return NAMESPACE.message(State(time=datetime.now(UTC), status=Status.OFFLINE, reason="link_lost"))


def mqtt(port: int, **others: Any) -> Mqtt:
    """Settings of an impatient client, for short tests."""
    return Mqtt(**{"host": "127.0.0.1", "port": port, "keepalive_s": 2, "reconnect_spread_s": 0.2, **others})
