import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messaging.contract import MAX_INBOUND_BYTES, Payload, Response
from agent.messaging.inbound import Arrival, Refusal, judge
from tests.messaging.examples import NAMESPACE, command

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TOPIC = NAMESPACE.topic(Response)
ANSWER = Response(time=NOW, command_id=command().id, outcome="done", reason="ok")
GOOD = ANSWER.model_dump_json().encode()


def test_a_good_answer_is_admitted() -> None:
    assert judge(Arrival(TOPIC, GOOD, retain=False, expiry_s=5), NAMESPACE, NOW) == ANSWER


@pytest.mark.parametrize(
    ("arrival", "refusal"),
    [
        (Arrival(TOPIC + "/x", GOOD, retain=False), Refusal.UNKNOWN_TOPIC),
        (Arrival(NAMESPACE.base + "/state", GOOD, retain=False), Refusal.UNKNOWN_TOPIC),
        (Arrival(TOPIC, GOOD, retain=True), Refusal.RETAINED),
        (Arrival(TOPIC, GOOD, retain=False, expiry_s=0), Refusal.EXPIRED),
        (Arrival(TOPIC, b" " * MAX_INBOUND_BYTES + GOOD, retain=False), Refusal.TOO_LARGE),
        (Arrival(TOPIC, GOOD.replace(b'"done"', b'"maybe"'), retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, GOOD.replace(b'"outcome"', b'"outcmoe"'), retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, GOOD.replace(b'"1.0"', b'"2.0"'), retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, GOOD.replace(b"Z", b""), retain=False), Refusal.MALFORMED),  # no time zone
        (Arrival(TOPIC, b"", retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, b"[" * 10_000, retain=False), Refusal.MALFORMED),
    ],
)
def test_refusals(arrival: Arrival, refusal: Refusal) -> None:
    assert judge(arrival, NAMESPACE, NOW) == refusal


@pytest.mark.parametrize("away", [timedelta(seconds=31), timedelta(seconds=-31), timedelta(days=-900)])
def test_an_answer_from_another_time_is_refused(away: timedelta) -> None:
    assert judge(Arrival(TOPIC, GOOD, retain=False), NAMESPACE, NOW + away) is Refusal.EXPIRED


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    topic=st.one_of(st.just(TOPIC), st.text()),
    payload=st.one_of(
        st.binary(max_size=300),
        json_values.map(lambda value: json.dumps(value).encode()),
        st.tuples(st.sampled_from(sorted(json.loads(GOOD))), json_values).map(
            lambda change: json.dumps(json.loads(GOOD) | {change[0]: change[1]}).encode()
        ),
    ),
    retain=st.booleans(),
    expiry_s=st.none() | st.integers(0, 2**32 - 1),
)
def test_anything_gets_a_verdict(topic: str, payload: bytes, retain: bool, expiry_s: int | None) -> None:
    verdict = judge(Arrival(topic, payload, retain, expiry_s), NAMESPACE, NOW)
    assert isinstance(verdict, Payload | Refusal)
    if isinstance(verdict, Payload):
        assert (topic, retain) == (TOPIC, False)
        assert expiry_s != 0
