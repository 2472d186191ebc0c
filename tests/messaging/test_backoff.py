from unittest.mock import Mock

import pytest
import tenacity

from agent.messaging.backoff import Backoff
from agent.messaging.session import LinkDownError


def failed(by_broker: bool) -> tenacity.RetryCallState:
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    error = LinkDownError("gone", by_broker=by_broker)
    state.set_exception((LinkDownError, error, Mock()))
    return state


@pytest.mark.parametrize(("failures", "ceiling_s"), [(0, 1), (1, 2), (3, 8), (20, 60)])
def test_pauses_grow_to_the_spread_and_are_drawn_from_all_of_it(failures: int, ceiling_s: float) -> None:
    pauses = []
    for _ in range(300):
        backoff = Backoff(60)
        for _ in range(failures):
            backoff(failed(by_broker=False))
        pauses.append(backoff(failed(by_broker=False)))
    assert max(pauses) <= ceiling_s
    assert max(pauses) > 0.9 * ceiling_s
    assert min(pauses) < 0.1 * ceiling_s


def test_a_lost_broker_spreads_its_stations_at_once() -> None:
    pauses = [Backoff(60)(failed(by_broker=True)) for _ in range(300)]
    assert max(pauses) > 50
    assert sum(pause < 1 for pause in pauses) < 20


def test_a_link_that_came_up_begins_anew() -> None:
    backoff = Backoff(60)
    for _ in range(10):
        backoff(failed(by_broker=True))
    backoff.reset()
    assert all(Backoff.__call__(backoff, failed(by_broker=False)) <= 2**n for n in range(6))
