import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent.audio.clock import GAP_S, SampleClock

RATE_HZ = 16_000
CHUNK = 160


@given(st.lists(st.floats(0, 0.05), min_size=200, max_size=400), st.floats(-200e-6, 200e-6))
def test_jitter_is_smoothed_and_drift_is_followed(jitter_s: list[float], drift: float) -> None:
    clock = SampleClock(RATE_HZ)
    times = []
    for number, late_s in enumerate(jitter_s):
        true_s = 100 + number * CHUNK / RATE_HZ * (1 + drift)
        assert not clock.observe(number * CHUNK, true_s + late_s)
        times.append(clock.time_of(number * CHUNK))
        assert abs(times[-1] - true_s) <= 0.051
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(abs(step - 0.01) < 0.001 for step in steps)


def test_an_hour_of_a_fast_crystal_stays_true() -> None:
    clock = SampleClock(RATE_HZ)
    for number in range(360_000):
        clock.observe(number * CHUNK, number * 0.01 * (1 + 100e-6))
    assert abs(clock.time_of(359_999 * CHUNK) - 3599.99 * (1 + 100e-6)) < 0.001


@given(st.floats(GAP_S * 1.01, 1e6))
def test_lost_sound_is_a_jump(lost_s: float) -> None:
    clock = SampleClock(RATE_HZ)
    clock.observe(0, 5.0)
    assert clock.observe(CHUNK, 5.01 + lost_s)
    assert clock.time_of(CHUNK) == 5.01 + lost_s


def test_a_reported_overflow_is_believed_at_once() -> None:
    clock = SampleClock(RATE_HZ)
    clock.observe(0, 5.0)
    assert clock.observe(CHUNK, 5.03, gap=True)
    assert clock.time_of(CHUNK) == 5.03


@given(st.lists(st.floats(0, 1e6), min_size=2))
def test_time_never_runs_backwards(measured_s: list[float]) -> None:
    clock = SampleClock(RATE_HZ)
    last_s = float("-inf")
    for number, time_s in enumerate(measured_s):
        clock.observe(number * CHUNK, time_s)
        assert clock.time_of(number * CHUNK) > last_s
        last_s = clock.time_of(number * CHUNK)
