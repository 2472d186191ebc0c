import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.events import (
    Answer,
    Answered,
    Button,
    Claimed,
    Event,
    InhibitReported,
    PeersChanged,
    StateReported,
)
from agent.messaging.channel import MAX_INBOUND_BYTES, Senders
from agent.messaging.contract import (
    KINDS,
    Claim,
    Desired,
    Inhibit,
    MachineState,
    Response,
    State,
    Status,
    Talk,
)
from agent.messaging.inbound import Admitted, Arrival, Refusal, fault, feared, judge
from agent.messaging.payload import Payload, Quality
from agent.messaging.understand import MAX_PEERS, Interpreter
from tests.messaging.examples import NAMESPACE

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
CELL = "acme/lyon/assembly/l3/c7"
TOPIC = NAMESPACE.topic(Response)
ORDER = UUID("01a205c6-11f1-75b7-95fa-fab641fd32af")
ANSWER = Response(time=NOW, command_id=ORDER, outcome="done", reason="ok")
GOOD = ANSWER.model_dump_json().encode()


def arrival(topic: str, payload: Payload, retain: bool = False) -> Arrival:
    return Arrival(topic, payload.model_dump_json().encode(), retain)


@pytest.mark.parametrize(
    ("topic", "payload", "retain", "event"),
    [
        (f"{CELL}/voice/press-2/response", ANSWER, False, Answered(ORDER, Answer.DONE, "ok")),
        (f"{CELL}/voice/press-2/talk", Talk(time=NOW, pressed=True), False, Button(True)),
        (
            f"{CELL}/voice/inhibit",
            Inhibit(time=NOW - timedelta(seconds=9), active=True, who="Ada", why="die change"),
            True,
            InhibitReported(True, "Ada", "die change", 9.0, NOW_S - 9),
        ),
        (
            f"{CELL}/state/press/door_closed",
            MachineState(time=NOW, value=True),
            True,
            StateReported("press/door_closed", True, 0.0, NOW_S),
        ),
        (
            f"{CELL}/state/press/door_closed",
            MachineState(time=NOW, value=True, quality=Quality.BAD),
            False,
            StateReported("press/door_closed", None, 0.0, NOW_S),
        ),
        (
            f"{CELL}/state/temperature",
            MachineState(time=NOW + timedelta(seconds=3), value=21.5),
            False,
            StateReported("temperature", 21.5, 3.0, NOW_S),  # from the future: one of the clocks is wrong
        ),
        (
            f"{CELL}/voice/press-9/claim",
            Claim(time=NOW - timedelta(hours=9), command_id=ORDER, command="stop", age_seconds=0.4),
            False,
            Claimed("press-9", ORDER, "stop", 0.4),  # however wrong its clock is
        ),
        (
            f"{CELL}/voice/press-9/state",
            State(time=NOW, status=Status.ONLINE),
            True,
            PeersChanged(frozenset({"press-9"})),
        ),
        (f"{CELL}/voice/press-2/state", State(time=NOW, status=Status.ONLINE), False, None),
    ],
)
def test_what_the_plant_says_reaches_the_policy(
    topic: str, payload: Payload, retain: bool, event: Event | None
) -> None:
    admitted = judge(arrival(topic, payload, retain), NAMESPACE, NOW)
    assert isinstance(admitted, Admitted)
    assert admitted.payload == payload
    assert Interpreter("press-2").event(admitted, NOW, 0.0) == event


def test_what_waited_is_as_old_as_it_is() -> None:
    """A claim for a sentence long past must not be taken for one of the sentence that is spoken now."""
    claim = Claim(time=NOW, command_id=ORDER, command="stop", age_seconds=0.4)
    told = Interpreter("press-2").event(Admitted(claim, "press-9"), NOW, 3.0)
    assert told == Claimed("press-9", ORDER, "stop", 3.4)
    told = Interpreter("press-2").event(Admitted(Talk(time=NOW, pressed=True), "press-2"), NOW, 3.0)
    assert told == Button(True, 3.0)


def test_peers_come_and_go() -> None:
    interpreter = Interpreter("press-2")

    def report(station: str, status: Status) -> Event | None:
        return interpreter.event(Admitted(State(time=NOW, status=status), station), NOW, 0.0)

    assert report("a", Status.ONLINE) == PeersChanged(frozenset({"a"}))
    assert report("a", Status.DEGRADED) is None
    assert report("b", Status.ONLINE) == PeersChanged(frozenset({"a", "b"}))
    assert report("a", Status.OFFLINE) == PeersChanged(frozenset({"b"}))
    assert report("a", Status.OFFLINE) is None
    assert report("press-2", Status.ONLINE) is None


def test_invented_peers_take_no_memory() -> None:
    interpreter = Interpreter("press-2")
    state = State(time=NOW, status=Status.ONLINE)
    for number in range(10_000):
        interpreter.event(Admitted(state, f"ghost-{number}"), NOW, 0.0)
    gone = interpreter.event(
        Admitted(state.model_copy(update={"status": Status.OFFLINE}), "ghost-0"), NOW, 0.0
    )
    assert isinstance(gone, PeersChanged)
    assert len(gone.stations) == MAX_PEERS - 1


@pytest.mark.parametrize(
    ("arrived", "refusal"),
    [
        (Arrival(TOPIC + "/x", GOOD, retain=False), Refusal.UNKNOWN_TOPIC),
        (Arrival(NAMESPACE.base + "/event/accept", GOOD, retain=False), Refusal.UNKNOWN_TOPIC),
        (Arrival(f"{CELL}/voice/press-9/response", GOOD, retain=False), Refusal.UNKNOWN_TOPIC),
        (Arrival(f"{CELL}/voice/a/b/claim", GOOD, retain=False), Refusal.UNKNOWN_TOPIC),
        (Arrival(TOPIC, GOOD, retain=True), Refusal.RETAINED),
        (arrival(f"{CELL}/voice/press-2/talk", Talk(time=NOW, pressed=True), retain=True), Refusal.RETAINED),
        (
            arrival(f"{CELL}/voice/b/claim", Claim(time=NOW, command_id=ORDER, command="x"), retain=True),
            Refusal.RETAINED,
        ),
        (Arrival(TOPIC, GOOD, retain=False, expiry_s=0), Refusal.EXPIRED),
        (Arrival(TOPIC, b" " * MAX_INBOUND_BYTES + GOOD, retain=False), Refusal.TOO_LARGE),
        (Arrival(TOPIC, GOOD.replace(b'"done"', b'"maybe"'), retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, GOOD.replace(b'"outcome"', b'"outcmoe"'), retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, GOOD.replace(b'"1.0"', b'"2.0"'), retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, GOOD.replace(b"Z", b""), retain=False), Refusal.MALFORMED),  # no time zone
        (Arrival(TOPIC, GOOD.replace(b"{", b'{"reason":"x",', 1), retain=False), Refusal.MALFORMED),  # twice
        (Arrival(TOPIC, b"", retain=False), Refusal.MALFORMED),
        (Arrival(TOPIC, b"[" * 10_000, retain=False), Refusal.MALFORMED),
    ],
)
def test_refusals(arrived: Arrival, refusal: Refusal) -> None:
    assert judge(arrived, NAMESPACE, NOW) == refusal


def test_of_a_channel_and_releases_only_one_can_be_wanted() -> None:
    """To pass over one of them would run what nobody meant."""
    topic, stable = NAMESPACE.topic(Desired), {"time": NOW.isoformat(), "follow": "stable"}
    both = json.dumps({**stable, "grammar": {"name": "press", "version": "1.0.0"}}).encode()
    assert judge(Arrival(topic, both, retain=True), NAMESPACE, NOW) is Refusal.MALFORMED
    alone = judge(Arrival(topic, json.dumps(stable).encode(), retain=True), NAMESPACE, NOW)
    assert isinstance(alone, Admitted)


def test_a_lockout_that_says_both_locks_out() -> None:
    """Readers of JSON take now the first of two values, now the last: its writer may mean either."""
    time = NOW.isoformat()
    both = f'{{"time": "{time}", "active": true, "active": false, "who": "Ada", "why": ""}}'.encode()
    arrival = Arrival(f"{CELL}/voice/inhibit", both, retain=True)
    assert judge(arrival, NAMESPACE, NOW) is Refusal.MALFORMED
    assert fault(arrival, NAMESPACE) == "`active` stands there twice"
    feared_of = feared(arrival, Refusal.MALFORMED, NAMESPACE, NOW)
    assert feared_of
    assert isinstance(feared_of.payload, Inhibit)
    assert feared_of.payload.active


def test_what_a_later_station_adds_is_passed_over() -> None:
    state = State(time=NOW, status=Status.ONLINE)
    newer = json.dumps(json.loads(state.model_dump_json()) | {"signature": "abc"}).encode()
    topic = f"{CELL}/voice/press-9/state"
    assert judge(Arrival(topic, newer, retain=True), NAMESPACE, NOW) == Admitted(state, "press-9")
    misspelt = json.dumps(json.loads(GOOD) | {"raeson": "abc"}).encode()
    assert judge(Arrival(TOPIC, misspelt, retain=False), NAMESPACE, NOW) is Refusal.MALFORMED


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_that_utc_cannot_hold_is_refused(time: str) -> None:
    """.NET writes the first for "no time"; an exception would end the connection, again and again."""
    inhibit = Inhibit(time=NOW, active=True, who="Ada", why="die change").model_dump(mode="json")
    payload = json.dumps(inhibit | {"time": time}).encode()
    assert judge(Arrival(f"{CELL}/voice/inhibit", payload, retain=True), NAMESPACE, NOW) is Refusal.MALFORMED


@pytest.mark.parametrize("away", [timedelta(seconds=31), timedelta(seconds=-31), timedelta(days=-900)])
def test_an_answer_from_another_time_is_refused(away: timedelta) -> None:
    assert judge(Arrival(TOPIC, GOOD, retain=False), NAMESPACE, NOW + away) is Refusal.EXPIRED


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


topics = st.sampled_from(
    [
        NAMESPACE.filter(kind, "x/y").replace("+", "other")
        for kind in KINDS
        if kind.channel.heard is not Senders.NONE
    ]
)


@given(
    topic=topics | st.text(),
    payload=st.one_of(
        st.binary(max_size=300),
        json_values.map(lambda value: json.dumps(value).encode()),
        st.dictionaries(
            st.sampled_from(
                ["time", "value", "active", "who", "why", "pressed", "status", "command", "command_id"]
            ),
            json_values | st.just(NOW.isoformat()) | st.just(str(ORDER)),
        ).map(lambda fields: json.dumps(json.loads(GOOD) | fields).encode()),
    ),
    retain=st.booleans(),
    expiry_s=st.none() | st.integers(0, 2**32 - 1),
)
def test_anything_gets_a_verdict(topic: str, payload: bytes, retain: bool, expiry_s: int | None) -> None:
    verdict = judge(Arrival(topic, payload, retain, expiry_s), NAMESPACE, NOW)
    assert isinstance(verdict, Admitted | Refusal)
    if isinstance(verdict, Admitted):
        assert expiry_s != 0
        assert verdict.payload.channel.retain or not retain
        Interpreter("press-2").event(verdict, NOW, 0.0)
