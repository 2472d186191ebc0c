"""Lockout, machine states, time to live, repetition and bursts: what keeps an understood command back."""

from dataclasses import replace

import pytest

from agent.commands.decision import Detail, Hindrances
from agent.commands.effects import Announce, Enable, InhibitChanged
from agent.commands.events import (
    Answer,
    Answered,
    Delivered,
    Fate,
    Heard,
    InhibitReported,
    Reconnected,
    StateReported,
    Tick,
)
from agent.commands.inhibit import MOST_TOLD, TOLD_WITHIN_S
from agent.grammar.schema import CONFIRM
from tests.commands.station import LOADED, Station, all_of, outcome, texts, tones, utterance

FREE = InhibitReported(active=False)
LOCKED = InhibitReported(active=True, who="Kim", why="oil change")


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (None, ["accept", "inhibited", "inhibited"]),
        (FREE, ["accept", "accept", "confirm"]),
        (InhibitReported(active=False, age_s=61), ["accept", "inhibited", "inhibited"]),
        (LOCKED, ["inhibited", "inhibited", "inhibited"]),
        (InhibitReported(active=True, age_s=1e6), ["inhibited", "inhibited", "inhibited"]),
    ],
)
def test_lockout_by_risk(report: InhibitReported | None, expected: list[str]) -> None:
    station = Station(inhibit_required=True, inhibit_max_age_s=60)
    if report:
        station.tell(report)
    assert [outcome(station.say(command)) for command in ("lamp", "belt", "press")] == expected


def test_freedom_ages_and_a_lockout_does_not() -> None:
    station = Station(inhibit_required=True, inhibit_max_age_s=60)
    station.tell(FREE)
    station.tell(Tick(), after_s=58)
    assert outcome(station.say("belt", after_s=1)) == "accept"
    assert outcome(station.say("belt", after_s=5)) == "inhibited"
    station.tell(LOCKED)
    station.tell(Tick(), after_s=100_000)
    assert outcome(station.say("lamp")) == "inhibited"


def test_a_lockout_that_flaps_holds_at_once_and_is_told_now_and_then() -> None:
    station = Station(inhibit_required=True)
    station.tell(FREE)
    told = []
    for _ in range(100):
        told += all_of(InhibitChanged, station.tell(LOCKED, after_s=0.01))
        assert station.policy.hindrances(station.now_s).inhibited
        told += all_of(InhibitChanged, station.tell(FREE, after_s=0.01))
    assert len(told) == MOST_TOLD - 1  # it was told that it was free at first
    told += all_of(InhibitChanged, station.wait(TOLD_WITHIN_S))
    assert not told[-1].active, "what holds in the end is told"


def test_what_keeps_commands_back_is_known_before_anybody_speaks() -> None:
    station = Station(inhibit_required=True, inhibit_max_age_s=60)
    closed, locked = {"feed": "door?", "eject": "door?"}, {"feed": "door = locked", "eject": "pressure?"}
    assert station.policy.hindrances(station.now_s) == Hindrances(
        inhibited=True, reason="lockout state unknown", unavailable_count=2, unavailable=closed
    )
    station.tell(FREE)
    station.tell(StateReported("door", "locked"))
    assert station.policy.hindrances(station.now_s) == Hindrances(
        inhibited=False, reason="", unavailable_count=2, unavailable=locked
    )
    assert station.policy.hindrances(station.now_s + 61).reason == "lockout state out of date"
    station.tell(LOCKED)
    assert station.policy.hindrances(station.now_s).reason == "Kim: oil change"


def test_freedom_from_before_an_outage_is_not_believed_after_it() -> None:
    """Somebody may have locked out while the link was down; what topics keep comes again at once."""
    station = Station(inhibit_required=True)
    station.tell(FREE)
    assert outcome(station.say("belt")) == "accept"
    station.tell(Reconnected(2))
    assert outcome(station.say("belt", after_s=5)) == "inhibited"
    station.tell(FREE)
    assert outcome(station.say("belt")) == "accept"


def test_a_release_that_is_too_old_says_so_and_a_fresh_one_takes_that_back() -> None:
    station = Station(inhibit_required=True, inhibit_max_age_s=60)
    old = InhibitReported(active=False, who="Kim", why="", age_s=3600)
    assert all_of(InhibitChanged, station.tell(old)) == [InhibitChanged(False, "Kim", "", Detail.OUTDATED)]
    assert outcome(station.say("belt")) == "inhibited"
    fresh = InhibitReported(active=False, who="Kim", why="")
    assert all_of(InhibitChanged, station.tell(fresh)) == [InhibitChanged(False, "Kim", "")]
    assert outcome(station.say("belt")) == "accept"


def test_a_release_that_gets_too_old_says_so_until_it_is_said_again() -> None:
    station = Station(inhibit_required=True, inhibit_max_age_s=60)
    station.tell(FREE)
    effects = station.wait(61)
    assert all_of(InhibitChanged, effects) == [InhibitChanged(False, "", "", Detail.OUTDATED)]
    assert texts(effects) == "Commands locked out: lockout state out of date"
    assert all_of(InhibitChanged, station.tell(FREE)) == [InhibitChanged(False, "", "")]
    station.tell(LOCKED)
    assert all_of(InhibitChanged, station.wait(61)) == [], "a lockout does not age"


def test_a_lockout_holds_over_an_outage() -> None:
    station = Station(inhibit_required=False)
    station.tell(LOCKED)
    station.tell(Reconnected(2))
    assert outcome(station.say("lamp")) == "inhibited"


def said_at(said_s: float, *, active: bool) -> InhibitReported:
    return InhibitReported(active, "Kim", "oil change", said_s=said_s)


def test_a_release_from_before_a_lockout_does_not_end_it() -> None:
    """A broker gives what it had saved earlier, a bridge was behind: the order of arrival is no proof."""
    station = Station()
    station.tell(said_at(100, active=True))
    station.tell(Reconnected(2))
    station.tell(said_at(99, active=False))
    assert outcome(station.say("lamp")) == "inhibited"
    station.tell(said_at(100, active=False))
    assert outcome(station.say("lamp")) == "accept", "said at the same time, heard later"


def test_a_lockout_counts_whatever_its_time_and_sets_none_back() -> None:
    station = Station()
    station.tell(said_at(100, active=False))
    station.tell(said_at(1, active=True))
    assert outcome(station.say("lamp")) == "inhibited"
    station.tell(said_at(100, active=True))
    station.tell(said_at(50, active=True))
    station.tell(said_at(60, active=False))
    assert outcome(station.say("lamp")) == "inhibited"
    station.tell(said_at(101, active=False))
    assert outcome(station.say("lamp")) == "accept"


def test_the_operator_is_told_that_a_release_did_not_count() -> None:
    """Once, however often it is repeated: somebody's clock is behind."""
    station = Station()
    station.tell(said_at(100, active=True))
    effects = station.tell(said_at(50, active=False))
    assert "Kim: oil change (a release from before it does not count)" in texts(effects)
    (change,) = all_of(InhibitChanged, effects)
    assert change.active
    assert station.tell(said_at(51, active=False)) == []
    assert "does not count" in texts(station.say("lamp"))
    (change,) = all_of(InhibitChanged, station.tell(said_at(101, active=False)))
    assert not change.active


def test_machine_states_from_before_an_outage_count_as_unknown() -> None:
    station = Station()
    station.tell(StateReported("door", "closed"))
    station.tell(StateReported("pressure", 6))
    assert outcome(station.say("feed", after_s=0.5)) == "accept"
    station.tell(Reconnected(2))
    assert outcome(station.say("feed")) == "requirement"


def test_a_statement_from_the_future_is_no_fresher_than_now() -> None:
    station = Station(inhibit_required=True, inhibit_max_age_s=60)
    station.tell(InhibitReported(active=False, age_s=-1e9))
    assert outcome(station.say("belt", after_s=61)) == "inhibited"


def test_without_a_lockout_topic_a_lockout_is_still_obeyed() -> None:
    station = Station(inhibit_required=False)
    assert outcome(station.say("belt")) == "accept"
    station.lock_out()
    assert outcome(station.say("lamp")) == "inhibited"


def test_the_operator_is_told_who_and_why() -> None:
    station = Station()
    assert "Kim: oil change" in texts(station.tell(LOCKED))
    effects = station.say("belt")
    assert texts(effects) == "Locked out: Kim: oil change: belt"
    assert tones(effects) == ["refused"]


def test_a_repeated_statement_is_no_news() -> None:
    station = Station()
    assert all_of(InhibitChanged, station.tell(LOCKED)) == [InhibitChanged(True, "Kim", "oil change")]
    assert station.tell(LOCKED) == []
    assert all_of(InhibitChanged, station.tell(FREE)) == [InhibitChanged(False, "", "")]


@pytest.mark.parametrize(
    ("door", "pressure", "expected"),
    [
        ("closed", 6, "accept"),
        ("closed", 4, "accept"),
        ("closed", 8.1, "requirement"),
        ("open", 6, "requirement"),
        ("closed", None, "requirement"),
        (None, 6, "requirement"),
        (True, 6, "requirement"),
        ("closed", True, "requirement"),
        ("closed", "6", "requirement"),
        ("closed", float("nan"), "requirement"),
        (["closed"], 6, "requirement"),
    ],
)
def test_required_machine_states(door: object, pressure: object, expected: str) -> None:
    station = Station()
    for state, value in (("door", door), ("pressure", pressure)):
        if value is not None:
            station.tell(StateReported(state, value))
    assert outcome(station.say("feed")) == expected
    assert ("feed" in all_of(Enable, station.done)[-1].commands) == (expected == "accept")


def test_commands_leave_and_enter_what_can_be_recognized() -> None:
    station = Station()
    assert all_of(Enable, station.done)[-1].commands == {"lamp", "belt", "press", "drain"}
    station.tell(StateReported("door", "closed"))
    (enable,) = all_of(Enable, station.tell(StateReported("pressure", 6)))
    assert enable.commands == {"lamp", "belt", "press", "drain", "feed", "eject"}
    assert station.tell(StateReported("pressure", 6.5)) == [], "nothing changed"
    (enable,) = all_of(Enable, station.tell(StateReported("door", "open")))
    assert enable.commands == {"lamp", "belt", "press", "drain"}


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [
        (("open", 10.0), ("closed", 9.0), "requirement"),
        (("closed", 10.0), ("open", 9.0), "requirement"),
        (("closed", 10.0), ("closed", 9.0), "accept"),
        (("open", 10.0), ("closed", 10.0), "accept"),
    ],
)
def test_a_reading_from_before_the_known_one_makes_nothing_hold(
    known: tuple[str, float], told: tuple[str, float], expected: str
) -> None:
    """Where the two differ none is believed: it may be late, and it may be true and its clock set back."""
    station = Station()
    station.tell(StateReported("pressure", 6))
    for value, said_s in (known, told):
        station.tell(StateReported("door", value, said_s=said_s))
    assert outcome(station.say("feed")) == expected
    station.tell(StateReported("pressure", 6))
    station.tell(StateReported("door", "closed", said_s=10.0))
    assert outcome(station.say("feed")) == "accept"


def test_a_reading_from_before_the_known_one_does_not_make_it_younger() -> None:
    station = Station()
    station.tell(StateReported("door", "closed", age_s=8, said_s=10))
    station.tell(StateReported("door", "closed", said_s=9))
    station.tell(StateReported("pressure", 6), after_s=3)
    assert outcome(station.say("feed")) == "requirement"


def test_a_new_recognizer_is_told_what_can_be_recognized() -> None:
    station = Station()
    (enable,) = all_of(Enable, station.tell(LOADED))
    assert enable.commands == {"lamp", "belt", "press", "drain"}


def test_a_machine_state_that_a_grammar_did_not_ask_for_counts_as_unknown_to_the_next() -> None:
    """Nobody listened to it meanwhile."""
    commands = {name: LOADED.grammar.commands[name] for name in ("lamp", "belt")}
    other = LOADED.grammar.model_copy(update={"commands": commands})
    station = Station()
    station.tell(StateReported("door", "closed"))
    station.tell(StateReported("pressure", 5.0))
    station.tell(LOADED)
    assert outcome(station.say("feed", after_s=1.0)) == "accept"
    station.tell(StateReported("pressure", 5.0))
    station.tell(replace(LOADED, grammar=other))
    station.tell(LOADED)
    assert outcome(station.say("feed", after_s=1.0)) == "requirement"


def test_an_old_machine_state_counts_as_unknown() -> None:
    station = Station()
    station.tell(StateReported("door", "closed"))
    station.tell(StateReported("pressure", 6, age_s=2))
    assert "feed" in all_of(Enable, station.done)[-1].commands
    assert "feed" not in all_of(Enable, station.wait(1.5))[-1].commands
    station.tell(StateReported("pressure", 6, age_s=3.5))
    assert outcome(station.say("feed")) == "requirement"


def test_the_operator_is_told_which_state() -> None:
    station = Station()
    station.tell(StateReported("door", "open"))
    effects = station.say("feed")
    assert texts(effects) == "Not possible now: door = open: feed"
    assert tones(effects) == ["refused"]


@pytest.mark.parametrize(
    ("latency_s", "expected"), [(0.3, "accept"), (1.99, "accept"), (2.0, "expired"), (60, "expired")]
)
def test_time_to_live_counts_from_the_end_of_speech(latency_s: float, expected: str) -> None:
    station = Station()
    effects = station.say("lamp", latency_s=latency_s)
    assert outcome(effects) == expected
    assert tones(effects) == ["heard" if expected == "accept" else "failed"]


def test_a_late_confirmation_is_dropped() -> None:
    station = Station()
    station.say("press")
    effects = station.say(CONFIRM, after_s=3, latency_s=1.6)
    assert outcome(effects) == "expired"
    assert not station.published()


def test_refractory_time_is_per_command() -> None:
    station = Station()
    assert outcome(station.say("belt", speed=5)) == "accept"
    assert outcome(station.say("belt", speed=5)) == "repeated"
    assert outcome(station.say("lamp", after_s=1.2)) == "accept"
    assert outcome(station.say("belt", speed=5)) == "accept"


def test_only_what_is_done_already_is_refused_in_silence() -> None:
    """Nobody may take the tones of the first order for those of the second."""
    station = Station()
    station.say("belt", speed=5)
    effects = station.say("belt", speed=10)
    assert (outcome(effects), tones(effects)) == ("too_soon", ["refused"])
    assert tones(station.say("belt", after_s=1.2, speed=5)) == []


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((Fate.NOT_SENT,), "accept"),
        ((Fate.REFUSED,), "accept"),
        ((Fate.ACKNOWLEDGED,), "repeated"),
        ((Fate.ACKNOWLEDGED, Answer.REFUSED), "accept"),
        ((Fate.ACKNOWLEDGED, Answer.ACCEPTED), "repeated"),
        ((Fate.ACKNOWLEDGED, Fate.NOT_SENT), "repeated"),
    ],
)
def test_what_was_not_done_may_be_said_again_at_once(outcomes: tuple[Fate | Answer], expected: str) -> None:
    station = Station()
    station.say("belt", speed=5)
    (order,) = station.published()
    for one in outcomes:
        station.tell(Delivered(order.id, one) if isinstance(one, Fate) else Answered(order.id, one))
    assert outcome(station.say("belt", speed=5)) == expected


@pytest.mark.parametrize("fate", [Fate.ACKNOWLEDGED, Fate.UNCONFIRMED])
def test_what_may_not_have_been_done_is_not_refused_in_silence(fate: Fate) -> None:
    """Whoever heard that it failed waits for an answer when saying it again."""
    station = Station(answer_within_s=1)
    station.say("belt", speed=5)
    station.tell(Delivered(station.published()[0].id, fate))
    assert tones(station.wait(1.1) if fate is Fate.ACKNOWLEDGED else station.done)[-1] == "failed"
    effects = station.say("belt", speed=5)
    assert (outcome(effects), tones(effects)) == ("too_soon", ["refused"])


def test_refractory_time_begins_with_acceptance_not_with_the_question() -> None:
    station = Station()
    station.say("belt", 0.6, speed=5)
    station.say(CONFIRM, after_s=4)
    assert outcome(station.say("belt", after_s=2.5, speed=5)) == "repeated"
    assert len(station.published()) == 1


def test_a_burst_is_noise() -> None:
    station = Station(burst_commands=3, burst_window_s=10)
    outcomes = [outcome(station.say("lamp", after_s=1.2)) for _ in range(8)]
    assert outcomes == ["accept"] * 3 + ["burst"] * 5, "noise that goes on keeps the gate shut"
    assert outcome(station.say("lamp", after_s=10.1)) == "accept"


def test_refused_commands_count_as_noise_too() -> None:
    station = Station(burst_commands=3, burst_window_s=10)
    for _ in range(3):
        assert outcome(station.say("lamp", 0.3, after_s=1)) == "unsure"
    assert outcome(station.say("lamp")) == "burst"


def test_talk_before_arming_is_no_burst() -> None:
    station = Station(arming="wake", burst_commands=2)
    for _ in range(5):
        assert outcome(station.say("lamp")) == "unarmed"
    station.say("voxline.wake")
    assert outcome(station.say("lamp")) == "accept"


def test_a_command_that_the_grammar_does_not_know() -> None:
    station = Station()
    assert outcome(station.tell(Heard(utterance("gone", station.now_s + 1)), after_s=1.2)) == "unknown"


@pytest.mark.parametrize("value", ["x" * 16_300, 10**4000], ids=["text", "number"])
def test_a_value_without_end_is_not_shown_whole(value: object) -> None:
    """The line is in the state, by which others know that a station is there; they refuse one this long."""
    station = Station()
    station.tell(StateReported("door", value))
    effects = station.say("feed")
    assert outcome(effects) == "requirement"
    assert all(len(effect.text) < 200 for effect in all_of(Announce, effects))
