"""Whose word comes back from a station's own state topic."""

import time
from datetime import UTC, datetime, timedelta

from agent.messaging.contract import State, Status
from agent.messaging.twin import HOLD_S, REMEMBERED, Twin


def state(status: Status = Status.ONLINE) -> State:
    return State(time=datetime.now(UTC), status=status)


def test_what_was_not_said_here_is_a_twins_for_a_while() -> None:
    twin, own = Twin("state"), state()
    now_s = time.monotonic()
    twin.say(own)
    twin.hear(state(), now_s)
    assert not twin.present(now_s)  # it may be its own of an earlier run
    twin.hear(own, now_s)
    twin.hear(state(), now_s)
    assert twin.present(now_s)
    assert not twin.present(now_s + HOLD_S)


def test_what_was_said_before_the_start_may_be_its_own_whenever_it_comes() -> None:
    """mosquitto writes down what it keeps every half hour: after a power cut it says what was true then."""
    twin, own = Twin("state"), state()
    now_s = time.monotonic()
    twin.say(own)
    twin.hear(own, now_s)
    earlier = State(time=datetime.now(UTC) - timedelta(minutes=20), status=Status.ONLINE)
    twin.hear(earlier, now_s)
    assert not twin.present(now_s)


def test_a_station_knows_its_own_word_after_an_outage_however_long() -> None:
    """Each try to connect has a will of its own; what comes back is what was said before them all."""
    twin, own, will = Twin("state"), state(), state(Status.OFFLINE)
    twin.tries(will)
    twin.say(will)
    twin.say(own)
    now_s = time.monotonic()
    twin.hear(own, now_s)
    for _ in range(2 * REMEMBERED):
        twin.tries(last := state(Status.OFFLINE))
    for known in (will, own, last):
        twin.hear(known, now_s)
    assert not twin.present(now_s)


def test_a_state_that_does_not_come_back_is_kept_from_us() -> None:
    mine, will = state(), state()
    twin = Twin("a/state")
    twin.stand(will, now_s=0.0)
    assert not twin.unheard(60.0)  # nothing was said
    twin.say(mine)
    twin.stand(will, now_s=100.0)
    assert not twin.unheard(109.0)
    assert twin.unheard(111.0)
    twin.hear(mine, now_s=112.0)
    assert not twin.unheard(1000.0)
    twin.stand(will, now_s=2000.0)
    assert twin.unheard(2011.0)
