"""Certificates and data, one by one, as section 6.4 of the specification wants them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.messaging.channel import MAX_INBOUND_BYTES
from agent.messaging.compose import health
from agent.messaging.contract import State, Status
from agent.messaging.facts import FACTS
from agent.messaging.namespace import Message
from agent.messaging.sparkplug import wire
from agent.messaging.sparkplug.node import REBIRTH, Node
from tests.health.test_report import WELL
from tests.messaging.examples import NAMESPACE, accept

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NOW_MS = 1_795_420_800_000
DEATH = bytes.fromhex("088088adbba034 1212 0a056264536571 188088adbba034 2004 5800")
"""Of the first connection, as Eclipse Tahu's encoder (sparkplug-payload 1.0.3) writes it."""


def read(message: Message | None) -> Any:
    assert message
    return wire._PAYLOAD.FromString(message.payload)


def values(raw: bytes) -> dict[str, Any]:
    fields = {11: "boolean_value", 4: "long_value", 10: "double_value", 12: "string_value"}
    return {
        metric.name: None if metric.is_null else getattr(metric, fields[metric.datatype])
        for metric in wire._PAYLOAD.FromString(raw).metrics
    }


def state(text: str, seconds: float = 0) -> State:
    return State(time=NOW + timedelta(seconds=seconds), status=Status.ONLINE, text=text)


def test_a_death_certificate_is_what_the_reference_writes() -> None:
    death = Node(NAMESPACE, NOW).connect(NOW)
    assert death.topic == "spBv1.0/acme:lyon:assembly:l3:c7/NDEATH/press-2"
    assert death.payload == DEATH
    assert (death.qos, death.retain, death.content_type) == (1, False, None)


def test_a_birth_holds_everything_with_its_type_known_or_not() -> None:
    node = Node(NAMESPACE, NOW)
    node.connect(NOW)
    node.take(state("listening"))
    birth = node.birth(NOW)
    assert birth.topic == "spBv1.0/acme:lyon:assembly:l3:c7/NBIRTH/press-2"
    assert (birth.qos, birth.retain) == (0, False)
    assert values(birth.payload) == dict.fromkeys(FACTS) | {
        "bdSeq": 0,
        REBIRTH: False,
        "status": "online",
        "armed": False,
        "text": "listening",
    }
    assert (read(birth).seq, read(birth).timestamp) == (0, NOW_MS)
    assert all(metric.timestamp == NOW_MS for metric in read(birth).metrics)


def test_data_holds_only_what_is_new() -> None:
    node = Node(NAMESPACE, NOW)
    node.connect(NOW)
    node.birth(NOW)
    assert node.data(NOW) is None
    assert node.take(state("listening", 1))
    node.data(NOW)
    assert not node.take(state("listening", 2))
    assert node.take(state("Understood", 3))
    data = node.data(NOW)
    assert data
    assert values(data.payload) == {"text": "Understood"}
    assert read(data).metrics[0].timestamp == NOW_MS + 3000
    assert node.data(NOW) is None
    node.take(health(WELL, (), NOW))
    counted = node.data(NOW)
    assert counted
    assert values(counted.payload)["accepts_total"] == 3


def test_a_command_that_is_said_again_is_told_again_with_its_time() -> None:
    node = Node(NAMESPACE, NOW)
    node.connect(NOW)
    node.birth(NOW)
    for seconds in (1, 2):
        node.take(accept(NOW + timedelta(seconds=seconds)))
        told = read(node.data(NOW)).metrics
        assert [metric.name for metric in told] == ["last_command", "last_probability"]
        assert {metric.timestamp for metric in told} == {NOW_MS + 1000 * seconds}


def test_numbers_run_to_255_and_births_begin_anew() -> None:
    node = Node(NAMESPACE, NOW)
    births = []
    for _ in range(258):
        death = read(node.connect(NOW))
        births.append(death.metrics[0].long_value)
        assert not death.HasField("seq")
        assert values(node.birth(NOW).payload)["bdSeq"] == births[-1]
    assert births == [*range(256), 0, 1]
    numbers = []
    for number in range(258):
        node.take(state(str(number)))
        numbers.append(read(node.data(NOW)).seq)
    assert numbers == [*range(1, 256), 0, 1, 2]
    assert read(node.birth(NOW)).seq == 0


def test_what_is_told_before_a_birth_is_not_told_again_after_it() -> None:
    node = Node(NAMESPACE, NOW)
    node.connect(NOW)
    node.take(state("listening"))
    node.birth(NOW)
    assert node.data(NOW) is None


def rebirth(**fields: Any) -> bytes:
    payload = wire._PAYLOAD(timestamp=NOW_MS)
    payload.metrics.add(**{"name": REBIRTH, "boolean_value": True, **fields})
    return bytes(payload.SerializeToString())


def test_a_host_can_ask_for_a_birth() -> None:
    node = Node(NAMESPACE, NOW)
    assert node.commands == "spBv1.0/acme:lyon:assembly:l3:c7/NCMD/press-2"
    assert node.wants_birth(node.commands, rebirth())
    assert not node.wants_birth(node.commands, rebirth(boolean_value=False))
    assert not node.wants_birth(node.commands, rebirth(name="Node Control/Reboot"))
    assert not node.wants_birth(node.commands.replace("press-2", "press-3"), rebirth())
    assert not node.wants_birth(node.commands, rebirth() + rebirth(string_value="x" * MAX_INBOUND_BYTES))


@given(
    st.binary(max_size=200) | st.binary(max_size=20).map(lambda name: rebirth() + b"\x12\x02\x0a\x00" + name)
)
def test_whatever_a_host_sends_is_passed_over(raw: bytes) -> None:
    node = Node(NAMESPACE, NOW)
    node.wants_birth(node.commands, raw)
    node.wants_birth(node.commands, rebirth().replace(b"Node", raw[:4].ljust(4, b"\xff")))
