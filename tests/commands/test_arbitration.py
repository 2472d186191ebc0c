"""Two stations hear the same sentence: one acts, and a lone one does not wait."""

import heapq
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.arbitration import LEASE_S, MAX_CLAIMS
from agent.commands.effects import Ask, Claim, Effect, Publish
from agent.commands.events import Claimed, ClaimsLost, Heard, Loaded, PeersChanged, Reconnected
from tests.commands.station import GRAMMAR, Station, all_of, decisions, outcome, tones, utterance


def with_peer() -> Station:
    station = Station()
    station.tell(PeersChanged(frozenset({"press-2", "press-3"})))
    return station


def claim_of(effects: list[Effect]) -> Claimed:
    (claim,) = all_of(Claim, effects)
    return Claimed(claim.order.origin.station, claim.order.id, claim.order.command)


def test_a_lone_station_acts_at_once() -> None:
    station = Station()
    effects = station.say("lamp")
    assert all_of(Publish, effects)
    assert all_of(Claim, effects), "a peer that we have not met must know all the same"
    assert station.tell(claim_of(effects)) == []


def test_a_station_is_no_peer_of_its_own() -> None:
    station = Station()
    station.tell(PeersChanged(frozenset({"press-2"})))
    assert all_of(Publish, station.say("lamp"))


def test_the_first_claim_wins() -> None:
    station = with_peer()
    effects = station.say("lamp")
    assert not all_of(Publish, effects)
    assert outcome(station.tell(claim_of(effects), after_s=0.02)) == "accept"
    assert len(station.published()) == 1


def test_a_claim_before_ours_wins() -> None:
    station = with_peer()
    effects = station.say("lamp")
    lost = station.tell(Claimed("press-3", UUID(int=77), "lamp"), after_s=0.01)
    assert (outcome(lost), tones(lost)) == ("other_station", [])
    assert station.tell(claim_of(effects), after_s=0.01) == []
    assert not station.published()


def test_a_claim_before_we_understood_wins() -> None:
    station = with_peer()
    station.tell(Claimed("press-3", UUID(int=77), "lamp"), after_s=1)
    effects = station.say("lamp", after_s=0.2)
    assert outcome(effects) == "other_station"
    assert not all_of(Claim, effects)


def test_a_claim_tells_how_old_its_sentence_is() -> None:
    """Both stations are overloaded and late: the sentence counts, not when somebody got round to it."""
    station = with_peer()
    station.tell(Claimed("press-3", UUID(int=77), "drain", age_s=6.0))
    assert outcome(station.say("drain", after_s=1, latency_s=7.0)) == "other_station"
    assert all_of(Claim, station.say("drain", after_s=3)), "said again"


def test_a_claim_holds_for_its_sentence_only() -> None:
    station = with_peer()
    station.tell(Claimed("press-3", UUID(int=77), "lamp"))
    assert all_of(Claim, station.say("belt", after_s=0.5, speed=5)), "another command"
    assert all_of(Claim, station.say("lamp", after_s=LEASE_S + 0.3)), "another time"


def test_a_later_claim_hides_no_earlier_one() -> None:
    """A slow station hears of the first sentence only when a second one has been claimed already."""
    station = with_peer()
    for ended_s in (0.0, 2.5):
        station.tell(Claimed("press-3", UUID(int=77), "drain", age_s=0.3), after_s=ended_s + 0.3)
    assert outcome(station.say("drain", after_s=0.2, latency_s=3.3)) == "other_station"
    assert all_of(Claim, station.say("drain", after_s=3))


def test_without_the_broker_nothing_happens() -> None:
    station = with_peer()
    effects = station.say("lamp")
    late = station.wait(1.2)
    assert (outcome(late), tones(late)) == ("unsettled", ["failed"])
    assert station.tell(claim_of(effects)) == []
    assert not station.published()


def test_what_changed_while_waiting_counts() -> None:
    station = with_peer()
    effects = station.say("lamp")
    station.lock_out()
    assert outcome(station.tell(claim_of(effects))) == "inhibited"
    assert not station.published()


def test_a_new_grammar_ends_the_wait() -> None:
    station = with_peer()
    effects = station.say("lamp")
    assert outcome(station.tell(Loaded(GRAMMAR, "cell@9", "tiny@1.0.0"))) == "changed"
    assert station.tell(claim_of(effects)) == []


def test_only_the_winner_asks() -> None:
    station = with_peer()
    effects = station.say("press")
    assert not all_of(Ask, effects)
    assert all_of(Ask, station.tell(claim_of(effects), after_s=0.02))


def test_a_sentence_said_again_is_agreed_on_anew() -> None:
    """As a "yes" to the one that asked it would act there, and as a new sentence at the other."""
    station = with_peer()
    station.tell(claim_of(station.say("belt", 0.6, speed=5)), after_s=0.02)
    assert station.questions()
    again = station.say("belt", speed=5)
    assert outcome(again) == "interrupted"
    assert outcome(station.tell(Claimed("press-3", UUID(int=77), "belt"), after_s=0.01)) == "other_station"
    assert station.tell(claim_of(again), after_s=0.01) == []
    assert not station.published()
    again = station.say("belt", after_s=4, speed=5)
    assert outcome(station.tell(claim_of(again), after_s=0.02)) == "accept"


def test_a_claim_with_a_foreign_id_is_not_ours() -> None:
    station = with_peer()
    station.say("lamp")
    assert station.tell(Claimed("press-2", UUID(int=77), "lamp")) == []
    assert not station.published()


@pytest.mark.parametrize("missed", [ClaimsLost(), Reconnected(2)])
def test_where_claims_were_missed_nobody_acts(missed: ClaimsLost | Reconnected) -> None:
    """A peer may act on the sentence already. What is said from then on is claimed anew."""
    station = with_peer()
    effects = station.say("lamp")
    dropped = station.tell(missed, after_s=0.01)
    assert (outcome(dropped), tones(dropped)) == ("unsettled", ["failed"])
    assert station.tell(claim_of(effects), after_s=0.01) == []
    effects = station.say("lamp", after_s=3)
    assert outcome(station.tell(claim_of(effects), after_s=0.02)) == "accept"
    assert len(station.published()) == 1


@pytest.mark.parametrize("missed", [ClaimsLost(), Reconnected(2)])
def test_a_sentence_from_before_missed_claims_is_not_acted_on(missed: ClaimsLost | Reconnected) -> None:
    station = with_peer()
    station.tell(missed)
    assert outcome(station.say("lamp", after_s=0.1)) == "unsettled"


def test_a_lone_station_misses_no_claims_by_an_outage() -> None:
    station = Station()
    station.tell(Reconnected(2))
    assert outcome(station.say("lamp", after_s=0.1)) == "accept"


def test_a_flood_of_claims_takes_no_memory_and_lets_nobody_act_twice() -> None:
    station = with_peer()
    station.tell(Claimed("press-3", UUID(int=77), "lamp"))
    for number in range(MAX_CLAIMS):
        station.tell(Claimed("press-3", UUID(int=100 + number), f"noise {number}"), after_s=1e-4)
    assert len(station.policy._arbiter._taken) <= MAX_CLAIMS
    assert outcome(station.say("lamp", after_s=0.2)) == "unsettled"
    assert all_of(Claim, station.say("lamp", after_s=3))


def reasons(effects: list[Effect]) -> set[str]:
    return {decision.objection.reason for decision in decisions(effects) if decision.objection}


@pytest.mark.parametrize(("command", "slowness"), [("lamp", 1), ("press", 1), ("drain", 10)])
@given(
    heard_after_s=st.lists(st.floats(0.1, 1.2), min_size=2, max_size=4),
    trips_s=st.lists(st.floats(0.001, 0.6), min_size=8, max_size=8),
)
def test_exactly_one_of_many_acts(
    command: str, slowness: int, heard_after_s: list[float], trips_s: list[float]
) -> None:
    """One sentence, several stations with their own latency, a broker with random delay but one order."""
    stations = {f"s{index}": Station(f"s{index}") for index in range(len(heard_after_s))}
    ended_s = 1001.0
    order = count()
    queue: list[tuple[float, int, str, Heard | Claimed]] = []
    for (name, station), after_s in zip(stations.items(), heard_after_s, strict=True):
        station.tell(PeersChanged(frozenset(stations)))
        heard = Heard(utterance(command, ended_s))
        heapq.heappush(queue, (ended_s + after_s * slowness, next(order), name, heard))
    arrived_s = dict.fromkeys(stations, 0.0)
    reached_s = 0.0
    trips = iter(trips_s)
    while queue:
        now_s, _, name, event = heapq.heappop(queue)
        station = stations[name]
        station.now_s = now_s
        for claim in all_of(Claim, station.tell(event)):
            reached_s = max(reached_s, now_s + next(trips))
            for peer in stations:
                # Each subscriber has its own delay, but sees the broker's order.
                arrived_s[peer] = max(arrived_s[peer], reached_s + trips_s[next(order) % 8])
                told = Claimed(name, claim.order.id, claim.order.command, now_s - ended_s)
                heapq.heappush(queue, (arrived_s[peer], next(order), peer, told))
    acted = [station for station in stations.values() if station.published() or station.questions()]
    late = any(reasons(station.done) & {"expired", "unsettled"} for station in stations.values())
    assert len(acted) == 1 or (not acted and late)
