"""What is heard while nobody turned to the station is an event, never a command."""

import pytest

from agent.commands.arming import LONGEST_PRESS_S
from agent.commands.effects import Armed, Enable
from agent.commands.events import Button, Heard, Reconnected
from agent.grammar.schema import WAKE
from agent.recognition.hypothesis import Reject
from tests.commands.station import Station, all_of, outcome, texts, tones, utterance


def test_open_microphone_always_listens() -> None:
    station = Station(arming="open")
    assert outcome(station.say("lamp")) == "accept"
    assert not all_of(Armed, station.done)


def test_unarmed_speech_is_an_event_and_silent() -> None:
    station = Station(arming="wake")
    effects = station.say("lamp")
    assert outcome(effects) == "unarmed"
    assert not station.published()
    assert not texts(effects)


def test_wake_phrase_arms_for_its_window() -> None:
    station = Station(arming="wake", armed_window_s=5)
    effects = station.say(WAKE)
    assert (outcome(effects), tones(effects)) == ("wake", ["armed"])
    assert all_of(Armed, effects)[0].until_s == pytest.approx(station.now_s - 0.3 + 5)
    assert outcome(station.say("lamp")) == "accept"
    assert all_of(Armed, station.wait(5))[-1].until_s is None
    assert outcome(station.say("belt", speed=5)) == "unarmed"


def test_speech_that_begins_in_the_window_counts_though_it_ends_after() -> None:
    station = Station(arming="wake", armed_window_s=5)
    station.say(WAKE)
    ended_s = station.now_s - 0.3 + 5
    late = utterance("lamp", ended_s + 0.6)
    assert outcome(station.tell(Heard(late), after_s=6)) == "accept"
    too_late = utterance("belt", ended_s + 0.9, speed=5)
    assert outcome(station.tell(Heard(too_late), after_s=0.1)) == "unarmed"


def test_speech_before_the_wake_phrase_is_not_armed_by_it() -> None:
    station = Station(arming="wake")
    before = utterance("lamp", station.now_s + 0.5)
    station.say(WAKE)
    assert outcome(station.tell(Heard(before))) == "unarmed"


@pytest.mark.parametrize(("probability", "reject"), [(0.4, None), (0.95, Reject.WEAK_WORD)])
def test_an_unsure_wake_phrase_arms_nothing(probability: float, reject: Reject | None) -> None:
    station = Station(arming="wake")
    station.say(WAKE, probability, reject=reject)
    assert outcome(station.say("lamp")) == "unarmed"


@pytest.mark.parametrize("arming", ["open", "push_to_talk"])
def test_the_wake_phrase_is_recognized_only_where_it_arms(arming: str) -> None:
    assert WAKE not in all_of(Enable, Station(arming=arming).done)[-1].commands
    assert WAKE in all_of(Enable, Station(arming="wake").done)[-1].commands


def test_button_arms_while_held() -> None:
    station = Station(arming="push_to_talk")
    assert outcome(station.say("lamp")) == "unarmed"
    station.tell(Button(pressed=True), after_s=1)
    assert outcome(station.say("lamp")) == "accept"
    station.tell(Button(pressed=False))
    assert outcome(station.say("belt", speed=5)) == "unarmed"


def test_speech_begun_before_the_button_came_up_counts() -> None:
    station = Station(arming="push_to_talk")
    station.tell(Button(pressed=True))
    heard = utterance("lamp", station.now_s + 1.5)
    station.tell(Button(pressed=False), after_s=1)
    assert outcome(station.tell(Heard(heard), after_s=0.8)) == "accept"


def test_speech_of_one_press_is_judged_rightly_after_the_next() -> None:
    station = Station(arming="push_to_talk")
    station.tell(Button(pressed=True))
    heard = utterance("lamp", station.now_s + 1)
    station.tell(Button(pressed=False), after_s=1)
    station.tell(Button(pressed=True), after_s=0.4)
    assert outcome(station.tell(Heard(heard))) == "accept"


def test_a_stuck_button_disarms() -> None:
    station = Station(arming="push_to_talk")
    station.tell(Button(pressed=True))
    station.wait(LONGEST_PRESS_S + 1)
    assert outcome(station.say("lamp")) == "unarmed"
    assert all_of(Armed, station.done)[-1].until_s is None


def test_a_release_without_a_press_does_nothing() -> None:
    station = Station(arming="push_to_talk")
    assert station.tell(Button(pressed=False)) == []
    assert outcome(station.say("lamp")) == "unarmed"


@pytest.mark.parametrize("arming", ["open", "wake"])
def test_the_button_means_nothing_in_other_modes(arming: str) -> None:
    station = Station(arming=arming)
    assert station.tell(Button(pressed=True)) == []


def test_a_button_whose_release_an_outage_may_have_hidden_counts_as_released() -> None:
    """Else the station would take for a command what is said near it, long after the button was let go."""
    station = Station(arming="push_to_talk")
    station.tell(Button(pressed=True))
    during = utterance("belt", station.now_s + 2.5, speed=5)
    effects = station.tell(Reconnected(2), after_s=2)
    assert all_of(Armed, effects)[-1].until_s is None
    assert outcome(station.tell(Heard(during), after_s=1)) == "accept"  # it began before
    assert outcome(station.say("lamp")) == "unarmed"
    station.tell(Button(pressed=True))
    assert outcome(station.say("lamp")) == "accept"


def test_a_press_that_is_told_over_and_over_is_one_press() -> None:
    """As by a screen that repeats `pressed` for as long as the finger is on it."""
    station = Station(arming="push_to_talk")
    station.tell(Button(pressed=True))
    heard = utterance("lamp", station.now_s + 1.0)
    for _ in range(6):
        station.tell(Button(pressed=True), after_s=0.3)
    assert outcome(station.tell(Heard(heard))) == "accept"
    station.tell(Button(pressed=False))
    assert outcome(station.say("belt", speed=5)) == "unarmed"


def test_a_button_counts_from_when_it_was_pressed_not_from_when_that_was_taken() -> None:
    station = Station(arming="push_to_talk")
    meant, later = utterance("lamp", station.now_s + 1), utterance("belt", station.now_s + 2.3, speed=5)
    station.tell(Button(pressed=True, age_s=1.8), after_s=1.8)
    station.tell(Button(pressed=False, age_s=0.5))
    assert outcome(station.tell(Heard(meant))) == "accept"
    assert outcome(station.tell(Heard(later))) == "unarmed"
