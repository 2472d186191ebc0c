"""What comes in is handed on or counted, and never ends the connection."""

import queue
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from agent.commands.decision import Detail
from agent.messaging import gate as module
from agent.messaging.contract import Inhibit, MachineState, Response, Talk
from agent.messaging.gate import Gate
from agent.messaging.inbound import Admitted, Arrival
from agent.messaging.payload import Quality
from tests.messaging.examples import NAMESPACE


def talk() -> Arrival:
    payload = Talk(time=datetime.now(UTC), pressed=True).model_dump_json().encode()
    return Arrival(NAMESPACE.topic(Talk), payload, retain=False)


def test_what_may_be_obeyed_goes_on_and_the_rest_is_counted() -> None:
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    gate.pass_on(talk())
    gate.pass_on(Arrival(NAMESPACE.topic(Response), b"{}", retain=False))
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


def test_a_flood_on_ever_other_topics_does_not_fill_the_journal() -> None:
    gate = Gate(NAMESPACE, lambda _: None)
    with capture_logs() as logs:
        for number in range(5000):
            gate.pass_on(Arrival(f"{NAMESPACE.cell}/voice/press-{number % 1000}/claim", b"{", retain=False))
    assert gate.refused == {"malformed": 5000}
    assert len(logs) < 110


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
    gate.pass_on(Arrival(NAMESPACE.topic(Response), b"{}", retain=False))
    assert gate.refused == {"malformed": 1}


LOCKOUT = Inhibit(time=datetime.now(UTC), active=True, who="Ada", why="die change").model_dump_json()

FREE = LOCKOUT.replace('"active":true', '"active":false')


@pytest.mark.parametrize(
    "payload",
    [
        LOCKOUT.replace("die change", "die change " * 30),
        LOCKOUT.replace("}", ',"ticket":7}'),
        LOCKOUT.replace('"die change"', "null"),
        LOCKOUT.replace("die change", "die change " * 3000),
        LOCKOUT.replace('"active":true', '"active":0'),
        LOCKOUT.replace('"active":true', '"active":"no"'),
        LOCKOUT.replace('"active":true', '"active":"false"'),
        LOCKOUT.replace('"active":true', '"active":false').replace('"quality":"good"', '"quality":"bad"'),
        LOCKOUT.replace('"active":true', '"active":false').replace(
            '"quality":"good"', '"quality":"uncertain"'
        ),
        "locked",
    ],
)
def test_what_cannot_be_read_on_the_lockout_topic_locks_out(payload: str) -> None:
    """Passed over, it would leave an older "free" standing, and commands of low risk free for ever."""
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    gate.pass_on(Arrival(NAMESPACE.topic(Inhibit), payload.encode(), retain=True))
    (lockout,) = [one.payload for one in admitted]
    assert isinstance(lockout, Inhibit)
    assert (lockout.active, lockout.why) == (True, Detail.UNREADABLE)
    assert sum(gate.refused.values()) == 1


def test_a_lockout_of_any_quality_counts_as_what_it_says() -> None:
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    payload = LOCKOUT.replace('"quality":"good"', '"quality":"bad"')
    gate.pass_on(Arrival(NAMESPACE.topic(Inhibit), payload.encode(), retain=True))
    (lockout,) = [one.payload for one in admitted]
    assert isinstance(lockout, Inhibit)
    assert (lockout.active, lockout.why) == (True, "die change")
    assert not gate.refused


def test_the_log_tells_what_is_wrong_once_for_each_topic() -> None:
    gate = Gate(NAMESPACE, lambda _: None)
    with capture_logs() as logs:
        for topic in (NAMESPACE.topic(Inhibit), NAMESPACE.topic(Talk)):
            for _ in range(9):
                gate.pass_on(Arrival(topic, b'{"time": 5}', retain=False))
    assert [log["topic"] for log in logs] == [NAMESPACE.topic(Inhibit), NAMESPACE.topic(Talk)]
    assert all(log["fault"].startswith("time: ") for log in logs)
    assert gate.refused == {"malformed": 18}


def test_a_reader_that_stumbles_locks_out_and_the_link_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object, **__: object) -> Inhibit:
        raise RecursionError("too deep")

    monkeypatch.setattr(Inhibit, "model_validate_json", stumble)
    admitted: list[Admitted] = []
    Gate(NAMESPACE, admitted.append).pass_on(Arrival(NAMESPACE.topic(Inhibit), LOCKOUT.encode(), retain=True))
    (lockout,) = [one.payload for one in admitted]
    assert isinstance(lockout, Inhibit)
    assert lockout.active


def test_a_mangled_packet_on_the_lockout_topic_locks_out_and_an_empty_one_does_not() -> None:
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    gate.pass_on(Arrival(NAMESPACE.topic(Inhibit), b"", retain=False))  # the broker was told to forget
    assert admitted == []
    gate.pass_on(Arrival(NAMESPACE.topic(Inhibit), b"", retain=False, malformed=True))
    assert len(admitted) == 1


@pytest.mark.parametrize("value", ["null", "Infinity", "NaN", "1e999", "[true]", ""])
def test_a_machine_state_that_cannot_be_read_is_unknown(value: str) -> None:
    """As sensors say it that fail; what was said before does not hold on."""
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    gate.watched = frozenset({"door"})
    payload = f'{{"time":"{datetime.now(UTC).isoformat()}","value":{value}}}'.encode() if value else b""
    for name in ("door", "noise"):
        gate.pass_on(Arrival(f"{NAMESPACE.cell}/state/{name}", payload, retain=False))
    (state,) = admitted
    assert isinstance(state.payload, MachineState)
    assert (state.name, state.payload.quality) == ("door", Quality.BAD)
    assert gate.refused == {"malformed": 1, "unknown_topic": 1}


@pytest.mark.parametrize("pressed", [True, False])
@pytest.mark.parametrize("away", [timedelta(seconds=-9), timedelta(seconds=9)])
def test_a_button_whose_word_is_not_believed_is_let_go(pressed: bool, away: timedelta) -> None:
    """A clock that is set while it is down must not leave the station armed; nor may an old press arm it."""
    admitted: list[Admitted] = []
    gate = Gate(NAMESPACE, admitted.append)
    payload = Talk(time=datetime.now(UTC) + away, pressed=pressed).model_dump_json().encode()
    gate.pass_on(Arrival(NAMESPACE.topic(Talk), payload, retain=False))
    gate.pass_on(Arrival(NAMESPACE.topic(Talk), b"up", retain=False))
    gate.pass_on(Arrival(NAMESPACE.topic(Talk), payload, retain=True))
    assert [isinstance(one.payload, Talk) and one.payload.pressed for one in admitted] == [False, False]
    assert gate.refused == {"expired": 1, "malformed": 1, "retained": 1}
