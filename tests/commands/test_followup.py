"""After publishing: every outcome is settled once and the operator hears each."""

from uuid import UUID

import pytest

from agent.commands.effects import AnswerSettled, DeliverySettled
from agent.commands.events import Answer, Answered, Delivered, Fate
from agent.commands.followup import FATE_GRACE_S, FORGET_S
from agent.commands.order import Order
from tests.commands.station import Station, all_of, texts, tones


def ordered(answer_within_s: float = 5) -> tuple[Station, Order]:
    station = Station(answer_within_s=answer_within_s)
    station.say("belt", speed=50)
    return station, station.published()[0]


def test_sent_accepted_done() -> None:
    station, order = ordered()
    (settled,) = all_of(DeliverySettled, station.tell(Delivered(order.id, Fate.ACKNOWLEDGED), after_s=0.2))
    assert settled.fate is Fate.ACKNOWLEDGED
    assert settled.latency_s == pytest.approx(0.5)
    effects = station.tell(Answered(order.id, Answer.ACCEPTED), after_s=0.1)
    assert (tones(effects), texts(effects)) == (["accepted"], "Accepted: belt (speed 50)")
    effects = station.tell(Answered(order.id, Answer.DONE), after_s=60)
    assert (tones(effects), texts(effects)) == (["done"], "Done: belt (speed 50)")
    assert tones(station.done) == ["heard", "accepted", "done"]


def test_refused_with_its_reason() -> None:
    station, order = ordered()
    station.tell(Delivered(order.id, Fate.ACKNOWLEDGED))
    effects = station.tell(Answered(order.id, Answer.REFUSED, "belt in manual mode"))
    assert all_of(AnswerSettled, effects)[0].reason == "belt in manual mode"
    assert tones(effects) == ["refused"]
    assert texts(effects) == "Refused by the machine: belt in manual mode: belt (speed 50)"


def test_no_answer_is_an_outcome_of_its_own() -> None:
    station, order = ordered(answer_within_s=3)
    station.tell(Delivered(order.id, Fate.ACKNOWLEDGED))
    assert not all_of(AnswerSettled, station.wait(2.8))
    effects = station.wait(0.4)
    assert [settled.answer for settled in all_of(AnswerSettled, effects)] == [Answer.NO_ANSWER]
    assert tones(effects) == ["failed"]
    assert station.wait(5) == []


def test_a_late_answer_is_still_told() -> None:
    station, order = ordered(answer_within_s=3)
    station.tell(Delivered(order.id, Fate.ACKNOWLEDGED))
    station.wait(4)
    assert tones(station.tell(Answered(order.id, Answer.DONE))) == ["done"]


def test_where_nobody_answers_the_broker_has_the_last_word() -> None:
    station, order = ordered(answer_within_s=0)
    assert tones(station.tell(Delivered(order.id, Fate.ACKNOWLEDGED))) == ["accepted"]
    assert station.wait(10) == []


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.ACKNOWLEDGED])
def test_failures_are_heard_once(fate: Fate) -> None:
    station, order = ordered()
    effects = station.tell(Delivered(order.id, fate, "why"))
    (settled,) = all_of(DeliverySettled, effects)
    assert (settled.fate, settled.reason) == (fate, "why")
    assert tones(effects) == ["failed"]
    assert station.tell(Delivered(order.id, Fate.ACKNOWLEDGED)) == []
    assert station.wait(10) == []


@pytest.mark.parametrize("fate", [Fate.NOT_SENT, Fate.REFUSED])
def test_nobody_answers_what_never_left(fate: Fate) -> None:
    station, order = ordered()
    station.tell(Delivered(order.id, fate))
    assert station.tell(Answered(order.id, Answer.DONE)) == []


def test_the_machine_knows_better_what_the_broker_did_not_confirm() -> None:
    """Only the acknowledgement was lost: whoever hears "failed", then nothing, says it again."""
    station, order = ordered()
    station.tell(Delivered(order.id, Fate.UNCONFIRMED))
    assert tones(station.tell(Answered(order.id, Answer.ACCEPTED), after_s=4)) == ["accepted"]
    effects = station.tell(Answered(order.id, Answer.DONE), after_s=4)
    assert (tones(effects), all_of(DeliverySettled, effects)) == (["done"], [])


def test_a_link_that_says_nothing_is_a_failure() -> None:
    station, _ = ordered()
    quiet = station.wait(2 - 0.3 + FATE_GRACE_S - 0.2)
    assert not all_of(DeliverySettled, quiet)
    effects = station.wait(0.4)
    assert [settled.fate for settled in all_of(DeliverySettled, effects)] == [Fate.UNCONFIRMED]
    assert tones(effects) == ["failed"]


def test_only_the_first_fate_counts() -> None:
    station, order = ordered()
    station.tell(Delivered(order.id, Fate.ACKNOWLEDGED))
    assert station.tell(Delivered(order.id, Fate.NOT_SENT)) == []


@pytest.mark.parametrize("answer", [Answer.ACCEPTED, Answer.REFUSED, Answer.DONE])
@pytest.mark.parametrize("answer_within_s", [0, 5])
def test_an_answer_faster_than_the_acknowledgement_implies_it(answer: Answer, answer_within_s: float) -> None:
    station, order = ordered(answer_within_s=answer_within_s)
    effects = station.tell(Answered(order.id, answer))
    assert [settled.fate for settled in all_of(DeliverySettled, effects)] == [Fate.ACKNOWLEDGED]
    assert [settled.answer for settled in all_of(AnswerSettled, effects)] == [answer]
    assert station.tell(Delivered(order.id, Fate.ACKNOWLEDGED)) == []


def test_answers_twice_or_to_nothing_are_ignored() -> None:
    station, order = ordered()
    station.tell(Answered(order.id, Answer.ACCEPTED))
    assert station.tell(Answered(order.id, Answer.ACCEPTED)) == []
    assert station.tell(Answered(order.id, Answer.NO_ANSWER)) == []
    assert station.tell(Answered(UUID(int=99), Answer.DONE)) == []
    assert station.tell(Delivered(UUID(int=99), Fate.NOT_SENT)) == []


def test_orders_are_forgotten_in_the_end() -> None:
    station, order = ordered()
    station.tell(Answered(order.id, Answer.ACCEPTED))
    station.now_s += FORGET_S
    station.wait(1)
    assert station.tell(Answered(order.id, Answer.DONE)) == []
