import random
from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.updates.probation import Record, Terms, judge
from agent.updates.rollout import Rollout

BEFORE = Record(7200, utterances=400, rejects=40, self_tests=2, latency_s=0.06)
TERMS = Terms(600, 10)


@pytest.mark.parametrize(
    ("now", "evidence"),
    [
        (Record(30, engine_errors=2), "2 engine errors"),
        (Record(30, self_test_failures=2), "2 self test failures"),
        (Record(30, latency_s=0.12), "latency 120 ms, 60 ms before"),
        (Record(300, utterances=20, rejects=10), "10 of 20 utterances rejected, 40 of 400 before"),
        (Record(1300, utterances=50, offline_s=901), "no link to the broker for 901 s"),
        (Record(60, utterances=4, rejects=4), "4 of 4"),
    ],
)
def test_worse_than_before(now: Record, evidence: str) -> None:
    finding = judge(BEFORE, now, TERMS)
    assert finding
    assert finding.worse
    assert evidence in finding.evidence


@pytest.mark.parametrize(
    "now",
    [
        Record(599, utterances=50),  # too short
        Record(700, utterances=50, latency_s=0.06),  # its self-test is still to come
        Record(700, utterances=9, self_tests=1),  # too little was said
        Record(
            700, utterances=50, self_tests=1, offline_s=20
        ),  # a while without a link is no proof of anything
        Record(30, utterances=1, rejects=1),  # somebody coughed
        Record(30, utterances=2, rejects=2),
        Record(30, self_test_failures=1),  # it was busy
        Record(3, utterances=1, latency_s=0.5),  # an engine's first runs are slow
    ],
)
def test_too_early_to_say(now: Record) -> None:
    assert judge(BEFORE, now, TERMS) is None


def test_good_enough() -> None:
    for now in (
        Record(601, utterances=10, rejects=1, self_tests=1, latency_s=0.07),
        Record(90_000, utterances=0),
    ):
        finding = judge(BEFORE, now, TERMS)
        assert finding
        assert not finding.worse


def test_what_was_as_bad_before_is_not_held_against_it() -> None:
    before = Record(3600, utterances=100, rejects=60, engine_errors=60, latency_s=0.2, offline_s=3600)
    now = Record(700, utterances=50, rejects=33, engine_errors=12, latency_s=0.22)
    finding = judge(before, now, TERMS)
    assert finding
    assert not finding.worse


@given(st.integers(1, 500), st.integers(0, 500))
def test_equal_is_never_worse(utterances: int, rejects: int) -> None:
    record = Record(700, utterances=utterances, rejects=min(utterances, rejects), latency_s=0.05)
    finding = judge(record, record, TERMS)
    assert finding is None or not finding.worse


def test_chance_alone_sends_few_back_and_a_bad_bundle_does_not_stay() -> None:
    """The shares that `CHANCE` promises; it is asked after every utterance, as on a station."""
    rng = random.Random(1)

    def sent_back(share: float, utterances: int) -> float:
        return sum(_is_sent_back(rng, share, utterances) for _ in range(600)) / 600

    assert sent_back(0.1, 20) < 0.03
    assert sent_back(0.5, 20) > 0.85


def _is_sent_back(rng: random.Random, share: float, utterances: int) -> bool:
    rejects = 0
    for count in range(1, utterances + 1):
        rejects += rng.random() < share
        finding = judge(BEFORE, Record(60, utterances=count, rejects=rejects), TERMS)
        if finding and finding.worse:
            return True
    return False


def test_a_year_of_speech_is_compared_at_once() -> None:
    before = Record(3e7, utterances=2_000_000, rejects=200_000)
    finding = judge(before, Record(700, utterances=10_000, rejects=5000), TERMS)
    assert finding
    assert finding.worse
    same = judge(before, Record(700, utterances=10_000, rejects=1000), TERMS)
    assert same
    assert not same.worse


def test_counts_since_a_moment() -> None:
    later = Record(100, utterances=9, rejects=3, engine_errors=2, latency_s=0.1)
    assert later.since(Record(40, utterances=4, rejects=3)) == Record(
        60, utterances=5, rejects=0, engine_errors=2, latency_s=0.1
    )


def test_a_larger_share_holds_every_station_of_a_smaller_one() -> None:
    stations = [f"press-{number}" for number in range(2000)]
    shares = [{s for s in stations if Rollout(percent).includes(s)} for percent in (0, 5, 20, 100)]
    assert shares[0] <= shares[1] <= shares[2] <= shares[3] == set(stations)
    assert not shares[0]
    assert 70 < len(shares[1]) < 130
    assert 340 < len(shares[2]) < 460


@pytest.mark.parametrize(
    ("hour", "window", "opens"),
    [
        (12, None, True), (3, (22, 5), True), (23, (22, 5), True), (12, (22, 5), False), (5, (22, 5), False),
        (4, (1, 5), True), (0, (1, 5), False),
        (12, (0, 0), True), (3, (22, 22), True),
    ],
)  # fmt: skip
def test_hours(hour: int, window: tuple[int, int] | None, opens: bool) -> None:
    hours = (time(window[0]), time(window[1])) if window else None
    now = datetime(2026, 11, 23, hour, tzinfo=UTC)
    assert Rollout(window=hours).opens(now, None) is opens
    assert not Rollout(window=hours, not_before=now.replace(year=2027)).opens(now, None)


def test_a_clock_that_woke_up_in_1970_tells_no_hour() -> None:
    night, woken = Rollout(window=(time(22), time(5))), datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert night.opens(woken, None)
    assert not night.opens(woken, datetime(2026, 11, 23, 14, tzinfo=UTC))
    assert Rollout().opens(woken, datetime(2026, 11, 23, 14, tzinfo=UTC))
