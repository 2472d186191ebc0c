"""Two stations hear the same sentence: one acts, and a lone one does not wait."""

import heapq
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.effects import Ask, Claim, Effect, Publish
from agent.commands.events import Claimed, Heard, Loaded, PeersChanged
from agent.commands.floor import LEASE_S
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


def test_a_claim_holds_for_its_sentence_only() -> None:
    station = with_peer()
    station.tell(Claimed("press-3", UUID(int=77), "lamp"))
    assert all_of(Claim, station.say("belt", after_s=0.5, speed=5)), "another command"
    assert all_of(Claim, station.say("lamp", after_s=LEASE_S + 0.3)), "another time"


def test_without_the_broker_nothing_happens() -> None:
    station = with_peer()
    effects = station.say("lamp")
    late = station.wait(2)
    assert (outcome(late), tones(late)) == ("expired", ["failed"])
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


def test_a_claim_with_a_foreign_id_is_not_ours() -> None:
    station = with_peer()
    station.say("lamp")
    assert station.tell(Claimed("press-2", UUID(int=77), "lamp")) == []
    assert not station.published()


def reasons(effects: list[Effect]) -> set[str]:
    return {decision.objection.reason for decision in decisions(effects) if decision.objection}


@pytest.mark.parametrize("command", ["lamp", "press"])
@given(
    heard_after_s=st.lists(st.floats(0.1, 1.2), min_size=2, max_size=4),
    trips_s=st.lists(st.floats(0.001, 0.4), min_size=8, max_size=8),
)
def test_exactly_one_of_many_acts(command: str, heard_after_s: list[float], trips_s: list[float]) -> None:
    """One sentence, several stations with their own latency, a broker with random delay but one order."""
    stations = {f"s{index}": Station(f"s{index}") for index in range(len(heard_after_s))}
    ended_s = 1001.0
    order = count()
    queue: list[tuple[float, int, str, Heard | Claimed]] = []
    for (name, station), after_s in zip(stations.items(), heard_after_s, strict=True):
        station.tell(PeersChanged(frozenset(stations)))
        heapq.heappush(queue, (ended_s + after_s, next(order), name, Heard(utterance(command, ended_s))))
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
                told = Claimed(name, claim.order.id, claim.order.command)
                heapq.heappush(queue, (arrived_s[peer], next(order), peer, told))
    acted = [station for station in stations.values() if station.published() or station.questions()]
    late = any("expired" in reasons(station.done) for station in stations.values())
    assert len(acted) == 1 or (not acted and late)
