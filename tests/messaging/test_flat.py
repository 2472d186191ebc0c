from datetime import UTC, datetime, timedelta

from agent.messaging.compose import health
from agent.messaging.contract import Reject, State, Status
from agent.messaging.flat import FlatValues
from agent.messaging.payload import Quality
from tests.health.test_report import WELL
from tests.messaging.examples import accept, command

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_only_what_changed_is_given() -> None:
    flat = FlatValues()
    first = flat.update(State(time=NOW, status=Status.ONLINE, text="listening"))
    assert {name: value.value for name, value in first} == {
        "status": "online",
        "armed": False,
        "text": "listening",
    }
    assert flat.update(State(time=NOW, status=Status.ONLINE, text="listening")) == []
    (changed,) = flat.update(State(time=NOW, status=Status.DEGRADED, text="listening"))
    assert (changed[0], changed[1].value, changed[1].time) == ("status", "degraded", NOW)


def test_health_and_commands_become_values_with_their_quality() -> None:
    flat = FlatValues()
    report = health(WELL, (), NOW).model_copy(update={"quality": Quality.UNCERTAIN})
    values = dict(flat.update(report))
    assert values["accepts_total"].value == 3
    assert values["rejects_total"].value == 2
    assert values["engine"].value == "rknn"
    assert values["snr_db"].value is None
    assert {value.quality for value in values.values()} == {Quality.UNCERTAIN}
    assert dict(flat.update(accept(NOW)))["last_command"].value == "set_speed"
    assert flat.update(Reject(time=NOW, reason="background", heard=command().heard)) == []


def test_a_command_that_is_said_again_is_given_again_with_its_time() -> None:
    flat = FlatValues()
    for moment in (NOW, NOW + timedelta(seconds=9)):
        given = dict(flat.update(accept(moment)))
        assert given.keys() == {"last_command", "last_probability"}
        assert {value.time for value in given.values()} == {moment}


def test_a_clock_that_is_set_after_the_start_makes_the_values_good() -> None:
    flat = FlatValues()
    report = health(WELL, (), NOW)
    unsure = flat.update(report.model_copy(update={"quality": Quality.UNCERTAIN}))
    sure = flat.update(report)
    assert [name for name, _ in sure] == [name for name, _ in unsure]
    assert {value.quality for _, value in sure} == {Quality.GOOD}
    assert flat.update(report) == []
