"""What is asked back, and what the answer does."""

import pytest

from agent.commands.effects import Ask, Enable
from agent.commands.events import Claimed, Heard, InhibitReported, Loaded, StateReported
from agent.grammar.schema import CANCEL, CONFIRM
from agent.recognition.hypothesis import Reject
from tests.commands.station import (
    GRAMMAR,
    Station,
    again,
    all_of,
    decisions,
    outcome,
    texts,
    tones,
    utterance,
)


@pytest.mark.parametrize(
    ("command", "probability", "expected"),
    [
        ("lamp", 0.49, "unsure"),
        ("lamp", 0.50, "accept"),
        ("lamp", 0.79, "accept"),
        ("belt", 0.49, "unsure"),
        ("belt", 0.50, "confirm"),
        ("belt", 0.79, "confirm"),
        ("belt", 0.80, "accept"),
        ("press", 0.49, "unsure"),
        ("press", 0.50, "confirm"),
        ("press", 1.00, "confirm"),
    ],
)
def test_risk_and_certainty_decide(command: str, probability: float, expected: str) -> None:
    station = Station(reject_below=0.5, confirm_below=0.8)
    assert outcome(station.say(command, probability)) == expected
    assert bool(station.published()) == (expected == "accept")


@pytest.mark.parametrize("reject", Reject)
def test_what_the_recognizer_refuses_stays_refused(reject: Reject) -> None:
    station = Station()
    assert outcome(station.say("lamp", 1.0, reject=reject)) == reject.value
    assert not station.published()


def test_the_question_reads_back_words_and_slots_and_how_to_answer() -> None:
    station = Station()
    effects = station.say("belt", 0.6, speed=45)
    question = all_of(Ask, effects)[0]
    assert question.text == 'belt (speed 45)? Say "confirm" or "cancel".'
    assert question.until_s == station.now_s + 8
    assert tones(effects) == ["confirm"]


def test_confirmed() -> None:
    station = Station()
    station.say("press")
    effects = station.say(CONFIRM)
    (order,) = station.published()
    assert order.id == station.questions()[0].id
    assert order.confirmed_by == decisions(effects)[0].heard
    assert order.expires_s == pytest.approx(station.now_s - 0.3 + 1.5), "time to live begins anew"
    assert outcome(station.say(CONFIRM)) == "nothing_asked", "one question, one answer"
    assert len(station.published()) == 1


def test_cancelled() -> None:
    station = Station()
    station.say("press")
    effects = station.say(CANCEL, 0.2, reject=Reject.WEAK_WORD)
    assert (outcome(effects), tones(effects)) == ("cancelled", ["rejected"])
    assert outcome(station.say(CONFIRM)) == "nothing_asked"
    assert not station.published()


def test_silence_cancels() -> None:
    station = Station(confirm_window_s=4)
    station.say("press")
    assert outcome(station.wait(3.8)) == "nothing"
    effects = station.wait(0.4)
    assert (outcome(effects), tones(effects)) == ("not_confirmed", ["rejected"])
    assert outcome(station.say(CONFIRM)) == "nothing_asked"
    assert not station.published()


def test_silence_cancels_even_if_no_tick_came() -> None:
    station = Station(confirm_window_s=4)
    station.say("press")
    assert outcome(station.say(CONFIRM, after_s=4)) == "nothing_asked"
    assert not station.published()


@pytest.mark.parametrize(("probability", "reject"), [(0.7, None), (0.95, Reject.WEAK_WORD)])
def test_an_unclear_confirmation_is_asked_again(probability: float, reject: Reject | None) -> None:
    station = Station()
    station.say("press")
    effects = station.say(CONFIRM, probability, reject=reject)
    assert not station.published()
    assert tones(effects) == ["confirm"]
    assert outcome(station.say(CONFIRM)) == "accept"


def test_a_confirmation_begun_before_the_question_is_none() -> None:
    station = Station()
    station.say("press")
    early = utterance(CONFIRM, station.now_s + 0.5)
    station.tell(Heard(early), after_s=0.8)
    assert not station.published()


@pytest.mark.parametrize(
    ("command", "reject"),
    [(None, Reject.BACKGROUND), ("lamp", Reject.WEAK_WORD), ("press", None), (None, Reject.TOO_QUIET)],
)
def test_another_turn_cancels(command: str | None, reject: Reject | None) -> None:
    station = Station()
    first = station.say("press")
    effects = station.say(command, 0.9, reject=reject)
    cancelled = decisions(effects)[0]
    assert cancelled.order == decisions(first)[0].order
    assert cancelled.objection
    assert cancelled.objection.reason == "interrupted"
    assert not station.published()


def test_a_correction_is_heard() -> None:
    station = Station()
    station.say("belt", 0.6, speed=15)
    assert outcome(station.say("belt", 0.9, speed=50)) == "accept"
    assert [order.slots for order in station.published()] == [{"speed": 50}]


def test_hearing_it_twice_settles_a_doubt() -> None:
    station = Station()
    station.say("belt", 0.6, speed=15)
    assert outcome(station.say("belt", 0.6, speed=15)) == "accept"
    assert len(station.published()) == 1


def test_hearing_it_twice_confirms_no_high_risk() -> None:
    station = Station()
    station.say("press")
    station.say("press", 1.0)
    assert not station.published()


def test_another_station_cancels() -> None:
    station = Station()
    order = decisions(station.say("press"))[0].order
    assert order
    effects = station.tell(Claimed("press-3", order.id, "lamp"), after_s=1)
    assert outcome(effects) == "interrupted"
    assert outcome(station.say(CONFIRM)) == "nothing_asked"


def test_a_slow_detector_of_the_same_sentence_does_not_cancel() -> None:
    station = Station()
    order = decisions(station.say("press"))[0].order
    assert order
    assert station.tell(Claimed("press-3", order.id, "press"), after_s=0.5) == []
    assert outcome(station.say(CONFIRM)) == "accept"


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (StateReported("door", "locked"), "changed"),
        (StateReported("door", "open"), "requirement"),
        (StateReported("pressure", 3.9), "requirement"),
        (StateReported("pressure", 6.5), "nothing"),
        (StateReported("door", "closed"), "nothing"),
        (StateReported("elsewhere", 1), "nothing"),
        (InhibitReported(active=True, who="Kim", why="oil"), "inhibited"),
        (Loaded(GRAMMAR, "cell@5678", "tiny@1.0.0"), "changed"),
        (Loaded(GRAMMAR, "cell@1234", "tiny@1.0.1"), "changed"),
    ],
)
def test_a_changed_machine_cancels(report: StateReported | InhibitReported | Loaded, expected: str) -> None:
    station = Station()
    station.tell(StateReported("door", "closed"))
    station.tell(StateReported("pressure", 6))
    assert outcome(station.say("eject")) == "confirm"
    assert outcome(station.tell(report, after_s=1)) == expected
    answer = outcome(station.say(CONFIRM))
    assert answer == ("accept" if expected == "nothing" else "nothing_asked")


def test_a_machine_that_falls_silent_cancels() -> None:
    station = Station(confirm_window_s=20)
    station.tell(StateReported("door", "closed"))
    station.tell(StateReported("pressure", 6))
    station.say("eject")
    effects = station.wait(11)
    assert outcome(effects) == "requirement"
    assert not station.published()


def test_confirm_and_cancel_are_recognized_only_while_asked() -> None:
    station = Station()
    assert not {CONFIRM, CANCEL} & all_of(Enable, station.done)[-1].commands
    assert {CONFIRM, CANCEL} <= all_of(Enable, station.say("press"))[-1].commands
    assert not {CONFIRM, CANCEL} & all_of(Enable, station.say(CANCEL))[-1].commands


@pytest.mark.parametrize("command", [CONFIRM, CANCEL])
def test_an_answer_without_a_question_is_an_event(command: str) -> None:
    station = Station()
    assert outcome(station.say(command)) == "nothing_asked"
    assert not station.published()


def test_every_question_ends_in_one_decision() -> None:
    station = Station()
    for answer in (CONFIRM, CANCEL, None, "lamp"):
        station.say("press", after_s=5)
        if answer:
            station.say(answer)
        station.wait(9)
    asked = [order.id for order in station.questions()]
    ended = [
        decision.order.id
        for decision in decisions(station.done)
        if decision.order and decision.order.id in asked and decision.verdict != "confirm"
    ]
    assert sorted(ended) == sorted(asked)
    assert len(asked) == 4


def test_the_operator_reads_what_was_cancelled() -> None:
    station = Station()
    station.say("press")
    assert texts(station.wait(9)) == "Cancelled, not confirmed: press"


def test_one_sentence_heard_twice_by_the_recognizer_acts_once() -> None:
    station = Station()
    effects = station.say("lamp")
    heard = decisions(effects)[0].heard
    shifted = again(heard, heard.start_s + 0.5)
    assert outcome(station.tell(Heard(shifted), after_s=0.2)) == "repeated"
    assert len(station.published()) == 1
