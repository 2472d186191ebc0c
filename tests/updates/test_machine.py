"""The state machine: its table is true, and no order of events makes it do harm."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.updates import machine
from agent.updates.effects import Activate, Check, Fetch, Revert, Try
from agent.updates.events import (
    Delivered,
    Event,
    Failed,
    Fetched,
    Found,
    Go,
    Healthy,
    Passed,
    Pin,
    Reverted,
    Rollback,
    Started,
    Steady,
    Stopping,
    Swapped,
    Trouble,
    Withdraw,
)
from agent.updates.machine import TABLE, advance, awaited
from agent.updates.release import Kind, Reference
from agent.updates.state import (
    BY_HAND,
    PREPARING,
    RESTING,
    Candidate,
    Phase,
    State,
    Wanted,
    Wish,
)


def ref(version: str) -> Reference:
    return Reference(Kind.MODEL, "press", version)


def want(version: str) -> Wanted:
    return Wanted((ref(version),))


def candidate(version: str) -> Candidate:
    return Candidate(f"slot-{version}", (ref(version),), 10)


def run(state: State, *events: Event) -> tuple[State, list[Any]]:
    """Return the state after some events, and what was to be done after each that changed something."""
    effects: list[Any] = []
    for event in events:
        before, state = state, advance(state, event)
        effects += [effect] if state != before and (effect := awaited(state)) else []
    return state, effects


def install(version: str) -> tuple[Event, ...]:
    slot = f"slot-{version}"
    return (
        Wish(want(version)), Found(candidate(version)), Fetched(slot), Passed(slot), Go(None), Swapped(slot)
    )  # fmt: skip


def committed(*versions: str) -> State:
    state = State()
    for version in versions:
        state, _ = run(state, *install(version), Healthy(f"slot-{version}", "well"))
        assert state.phase is Phase.COMMITTED
    return state


def test_an_update_from_wish_to_commit() -> None:
    state, effects = run(State(), *install("1.0.0"), Healthy("slot-1.0.0", "well"))
    assert [type(effect).__name__ for effect in effects] == ["Check", "Fetch", "Try", "Activate"]
    assert state.phase is Phase.COMMITTED
    assert state.active == "slot-1.0.0"
    assert state.highest == {"model/press": "1.0.0"}
    assert [outcome.phase for outcome in state.outcomes] == [Phase.COMMITTED]
    assert run(state, Delivered(1))[0].outcomes == ()


def test_a_bundle_that_is_worse_goes_and_is_not_tried_again_until_told_so() -> None:
    state, effects = run(committed("1.0.0"), *install("2.0.0"), Failed("slot-2.0.0", "deaf"))
    assert effects[-1] == Revert("slot-1.0.0")
    state, _ = run(state, Reverted("slot-1.0.0", (ref("1.0.0"),)))
    assert (state.phase, state.active, state.reason) == (Phase.ROLLED_BACK, "slot-1.0.0", "deaf")
    assert state.highest == {"model/press": "1.0.0"}
    assert run(state, Wish(want("2.0.0"))) == (state, [])
    again, _ = run(state, Wish(Wanted(follow="stable")), Found(candidate("2.0.0")))
    assert again.phase is Phase.REFUSED
    told, effects = run(state, Wish(want("2.0.0"), retry="message 1"), Found(candidate("2.0.0")))
    assert (told.phase, effects[-1]) == (Phase.DOWNLOADING, Fetch(candidate("2.0.0"), keep=(None,)))


def test_an_order_to_try_again_is_obeyed_once_however_often_it_is_repeated() -> None:
    state, _ = run(committed("1.0.0"), *install("2.0.0"), Failed("slot-2.0.0", "deaf"))
    state, _ = run(state, Reverted("slot-1.0.0", (ref("1.0.0"),)))
    order = Wish(want("2.0.0"), retry="message 1")
    state, _ = run(state, order, *install("2.0.0")[1:], Failed("slot-2.0.0", "deaf"))
    state, _ = run(state, Reverted("slot-1.0.0", (ref("1.0.0"),)))
    assert run(state, order) == (state, [])
    assert run(state, Wish(want("2.0.0"), retry="message 2"))[0].phase is Phase.CHECKING


def test_what_a_broker_repeats_after_an_order_by_hand_is_no_new_order() -> None:
    order = Wish(want("2.0.0"), retry="message 1")
    state, _ = run(committed("1.0.0"), order, *install("2.0.0")[1:], Failed("slot-2.0.0", "deaf"))
    state, _ = run(state, Reverted("slot-1.0.0", (ref("1.0.0"),)))
    by_hand = Wish(want("1.0.0"), retry=BY_HAND)
    state, _ = run(state, by_hand, Found(candidate("1.0.0")), *install("2.0.0"), Failed("slot-2.0.0", "deaf"))
    state, _ = run(state, Reverted("slot-1.0.0", (ref("1.0.0"),)))
    assert run(state, order) == (state, [])
    again, _ = run(state, Wish(want("2.0.0"), retry=BY_HAND), Found(candidate("2.0.0")))
    assert again.phase is Phase.DOWNLOADING


def test_an_order_to_try_again_outlives_a_pin() -> None:
    state, _ = run(committed("1.0.0"), *install("2.0.0"), Failed("slot-2.0.0", "deaf"))
    state, _ = run(state, Reverted("slot-1.0.0", (ref("1.0.0"),)), Pin(True))
    order = Wish(want("2.0.0"), retry="message 1")
    state, _ = run(state, order, Pin(False), order, Found(candidate("2.0.0")))
    assert state.phase is Phase.DOWNLOADING


def test_what_ran_here_is_never_followed_by_something_older() -> None:
    state, effects = run(committed("1.0.0", "2.0.0"), Wish(want("1.0.0")), Found(candidate("1.0.0")))
    assert state.phase is Phase.REFUSED
    assert not [effect for effect in effects if isinstance(effect, Fetch)]
    assert "older" in state.reason


def test_rolled_back_by_hand_it_stays_so() -> None:
    state, effects = run(committed("1.0.0", "2.0.0"), Rollback("by hand"))
    assert effects == [Revert("slot-1.0.0")]
    state, _ = run(state, Reverted("slot-1.0.0", (ref("1.0.0"),)), Wish(want("2.0.0")))
    assert state.phase is Phase.ROLLED_BACK
    assert state.history == (None,)
    state, effects = run(state, Rollback("once more"))
    assert effects == [Revert(None)]


def test_back_to_what_the_settings_name_because_the_slot_before_is_lost() -> None:
    state, _ = run(committed("1.0.0", "2.0.0"), Rollback("by hand"), Reverted(None, ()))
    assert (
        state.outcomes[-1].reason == state.reason == "by hand; the slot before it is gone or damaged as well"
    )


def test_nothing_to_roll_back() -> None:
    state, effects = run(State(), Rollback("by hand"))
    assert (state.phase, effects) == (Phase.IDLE, [])
    assert "nothing" in state.reason


@pytest.mark.parametrize("crashes", [1, 2])
def test_a_process_that_ends_twice_on_probation_loses_its_bundle(crashes: int) -> None:
    state, _ = run(committed("1.0.0"), *install("2.0.0"))
    for _ in range(crashes):
        state, effects = run(state, Started("slot-2.0.0", (ref("2.0.0"),)))
    assert state.phase is (Phase.PROBATION if crashes == 1 else Phase.ROLLING_BACK)
    assert effects == ([] if crashes == 1 else [Revert("slot-1.0.0")])


def test_a_stop_on_purpose_is_no_crash() -> None:
    state, _ = run(committed("1.0.0"), *install("2.0.0"))
    for _ in range(5):
        state, _ = run(state, Stopping(), Started("slot-2.0.0", (ref("2.0.0"),)))
    assert state.phase is Phase.PROBATION


def again(boot: str) -> Started:
    return Started("slot-2.0.0", (ref("2.0.0"),), boot)


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ([Steady("a"), again("b"), Steady("b"), again("c"), Steady("c"), again("d")], Phase.PROBATION),
        ([again("b"), again("c")], Phase.ROLLING_BACK),
        ([Steady("a"), again("a"), Steady("a"), again("a")], Phase.ROLLING_BACK),
        ([Steady("a"), again("b"), again("c")], Phase.PROBATION),
        ([Steady("a"), again("b"), again("c"), again("d")], Phase.ROLLING_BACK),
    ],
    ids=["each night", "at once", "in one boot", "once at once", "twice at once"],
)
def test_mains_that_go_out_speak_against_no_bundle_that_ran_well(events: list[Event], phase: Phase) -> None:
    """Where hardly anybody speaks a probation lasts for days, and machines are switched off at night."""
    state, _ = run(committed("1.0.0"), *install("2.0.0"), *events)
    assert state.phase is phase


def test_a_trial_that_ends_the_process_twice_is_refused() -> None:
    state, _ = run(State(), *install("1.0.0")[:3])
    state, effects = run(state, Started(None, ()))
    assert effects == [Try(candidate("1.0.0"))]
    state, effects = run(state, Started(None, ()))
    assert (state.phase, effects) == (Phase.REFUSED, [])
    assert state.failed == ("slot-1.0.0",)


@pytest.mark.parametrize("link", ["slot-2.0.0", "slot-1.0.0"])
def test_the_link_decides_what_became_of_an_activation(link: str) -> None:
    state, _ = run(committed("1.0.0"), *install("2.0.0")[:-1])
    assert state.phase is Phase.ACTIVATING
    state, _ = run(state, Started(link, (ref(link.removeprefix("slot-")),)))
    assert state.phase is (Phase.PROBATION if link == "slot-2.0.0" else Phase.STAGED)
    assert state.history == ((None, "slot-1.0.0") if link == "slot-2.0.0" else (None,))


def test_pinned_nothing_changes_but_back() -> None:
    state, effects = run(committed("1.0.0"), Pin(True), Wish(want("2.0.0")))
    assert (state.phase, effects) == (Phase.REFUSED, [])
    assert run(state, Rollback("by hand"))[1] == [Revert(None)]


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_pinned_what_is_under_way_ends(steps: int) -> None:
    state, _ = run(State(), *install("1.0.0")[:steps], Pin(True))
    assert (state.phase, state.reason, state.candidate) == (Phase.REFUSED, machine.PINNED, None)
    assert run(state, *install("1.0.0")[1:]) == (state, [])
    state, _ = run(state, Pin(False), Wish(want("1.0.0")))
    assert state.phase is Phase.CHECKING


def test_pinned_during_an_activation_that_a_power_cut_undid() -> None:
    state, _ = run(State(), *install("1.0.0")[:5], Pin(True), Started(None, ()))
    assert (state.phase, state.reason) == (Phase.REFUSED, machine.PINNED)


def test_the_same_refusal_is_said_once() -> None:
    events: tuple[Event, ...] = (Wish(want("1.0.0")), Trouble("expired", final=True))
    state, _ = run(State(), *events, *events, *events)
    assert len(state.outcomes) == 1
    state, _ = run(state, Wish(want("1.0.0")), Trouble("forged", final=True))
    assert [outcome.reason for outcome in state.outcomes] == ["expired", "forged"]


def test_a_late_answer_does_no_harm() -> None:
    state, _ = run(State(), *install("1.0.0")[:2], Wish(want("2.0.0")), Found(candidate("2.0.0")))
    assert run(state, Fetched("slot-1.0.0")) == (state, [])


def test_withdrawn_before_it_was_in_use() -> None:
    state, _ = run(State(), *install("1.0.0")[:4], Withdraw())
    assert (state.phase, state.wanted, state.candidate) == (Phase.IDLE, None, None)


@pytest.mark.parametrize("trouble", [Trouble("no network", final=False), Trouble("expired", final=True)])
def test_withdrawn_at_rest_it_is_not_asked_for_again(trouble: Trouble) -> None:
    state, _ = run(State(), Wish(want("1.0.0")), trouble)
    assert advance(state, Withdraw()) == replace(state, wanted=None)
    state, _ = run(committed("1.0.0"), Withdraw())
    assert (state.phase, state.active, state.wanted) == (Phase.COMMITTED, "slot-1.0.0", None)


@pytest.mark.parametrize("end", [Healthy("slot-1.0.0", "well"), Failed("slot-1.0.0", "worse")])
def test_what_is_wanted_during_probation_comes_after_it(end: Event) -> None:
    state, _ = run(State(), *install("1.0.0"), Wish(want("2.0.0"), "by hand"))
    assert state.phase is Phase.PROBATION
    state, _ = run(state, end, Reverted(None, ()))
    assert state.later
    state, effects = run(state, state.later)
    assert (state.phase, effects, state.later) == (Phase.CHECKING, [Check(want("2.0.0"))], None)


def test_what_a_broker_repeats_during_probation_is_no_news() -> None:
    state, _ = run(State(), *install("1.0.0"), Wish(want("2.0.0")), Wish(want("1.0.0"), "message 1"))
    assert state.later is None
    state, _ = run(state, Failed("slot-1.0.0", "worse"), Reverted(None, ()))
    assert run(state, Wish(want("1.0.0"), "message 1")) == (state, [])


def test_withdrawn_during_an_activation_that_a_power_cut_undid() -> None:
    state, _ = run(State(), *install("1.0.0")[:5], Withdraw(), Started(None, ()))
    assert (state.phase, state.wanted, state.candidate) == (Phase.IDLE, None, None)


versions = st.sampled_from(["1.0.0", "1.1.0", "2.0.0"])
slots = versions.map(lambda version: f"slot-{version}")
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Wish, versions.map(want), st.sampled_from(["", "message 1", "message 2"])),
    st.builds(Found, versions.map(candidate)),
    st.builds(Trouble, st.just("trouble"), st.booleans()),
    st.builds(Fetched, slots), st.builds(Passed, slots), st.builds(Swapped, slots),
    st.builds(Failed, slots, st.just("worse")), st.builds(Healthy, slots, st.just("well")),
    st.builds(Steady, st.sampled_from(["a", "b"])),
    st.builds(Rollback, st.just("by hand")), st.builds(Pin, st.booleans()),
    st.builds(Delivered, st.integers(1, 5)),
    st.sampled_from([Withdraw(), Go(None), Stopping()]),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_no_order_of_events_does_harm(data: st.DataObject) -> None:
    """A disk and a station obey the effects; events come in any order, also such as nobody asked for."""
    state, link, passed = State(), None, set()
    for _ in range(data.draw(st.integers(0, 40))):
        event = data.draw(st.one_of(events, st.just(None)))
        if event is None:  # a crash: before or after the effects of the last step
            event = Started(link, (ref(link.removeprefix("slot-")),) if link else ())
        elif isinstance(event, Swapped | Reverted):
            event = Swapped(link or "none")  # a station says what is true
        before = state
        state = advance(state, event)
        if isinstance(event, Passed) and state != before:
            passed.add(event.slot)
        match awaited(state):
            case Activate(slot):
                assert slot in passed, "in use without a trial"
                assert slot not in state.failed
                link = slot
            case Revert(slot):
                link = slot
                state = advance(state, Reverted(link, (ref(link.removeprefix("slot-")),) if link else ()))
        if state.phase is Phase.COMMITTED and before.phase is Phase.PROBATION:
            assert isinstance(event, Healthy)
        if state.phase in RESTING | PREPARING:
            assert state.active == link, "it says that something else is in use"
        assert len(state.history) <= machine.MAX_HISTORY
        assert len(state.outcomes) <= machine.MAX_OUTCOMES


def test_every_event_is_in_the_table_or_means_the_same_everywhere() -> None:
    everywhere = {Started, Stopping, Pin, Delivered}
    known = set(Event.__args__)
    assert {row.event for row in TABLE} | everywhere == known
