"""Whose word comes back from a station's own state topic."""

from datetime import UTC, datetime

from agent.messaging.contract import State, Status
from agent.messaging.twin import HOLD_S, REMEMBERED, Twin


def state(status: Status = Status.ONLINE) -> State:
    return State(time=datetime.now(UTC), status=status)


def test_what_was_not_said_here_is_a_twins_for_a_while() -> None:
    twin, own = Twin("state"), state()
    twin.say(own)
    twin.hear(state(), 0.0)
    assert not twin.present(0.0)  # it may be its own of an earlier run
    twin.hear(own, 1.0)
    twin.hear(state(), 2.0)
    assert twin.present(2.0)
    assert not twin.present(2.0 + HOLD_S)


def test_a_station_knows_its_own_word_after_an_outage_however_long() -> None:
    """Each try to connect has a will of its own; what comes back is what was said before them all."""
    twin, own, will = Twin("state"), state(), state(Status.OFFLINE)
    twin.tries(will)
    twin.say(will)
    twin.say(own)
    twin.hear(own, 0.0)
    for _ in range(2 * REMEMBERED):
        twin.tries(last := state(Status.OFFLINE))
    for known in (will, own, last):
        twin.hear(known, 1.0)
    assert not twin.present(1.0)
