import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.audio import stuck
from agent.audio.convert import Resampler
from agent.audio.stuck import Stuck, StuckDetector
from tests.audio.blocks import noise


def seconds_until(
    detector: StuckDetector, frames: np.ndarray, start_s: float = 0.0
) -> tuple[Stuck | None, float]:
    """Feed 10 ms frames in real time; what is found first, and when."""
    now_s = start_s
    for frame in frames[: len(frames) // 160 * 160].reshape(-1, 160):
        now_s += 0.01
        detector.update(frame, now_s)
        if finding := detector.finding(now_s):
            return finding, now_s - start_s
    return None, now_s - start_s


@pytest.mark.parametrize(
    ("value", "expected"), [(0, Stuck.SILENT), (1, Stuck.CONSTANT), (-32768, Stuck.CONSTANT)]
)
def test_one_value_for_ever(value: int, expected: Stuck) -> None:
    detector = StuckDetector()
    assert seconds_until(detector, noise(4))[0] is None
    finding, after_s = seconds_until(detector, np.full(80_000, value, np.int16), 4.0)
    assert finding is expected
    assert after_s <= 5


@settings(max_examples=15, deadline=None)
@given(period=st.integers(2, 16_000), level=st.sampled_from([0.3, 1.0, 1000.0]), seed=st.integers(0, 9))
def test_the_same_buffer_again_and_again(period: int, level: float, seed: int) -> None:
    buffer = noise(1, level, seed)[:period]
    assume(len(set(buffer.tolist())) > 1)
    detector = StuckDetector()
    detector.update(noise(4), 4.0)
    finding, after_s = seconds_until(detector, np.resize(buffer, 80_000), 4.0)
    assert finding is Stuck.REPEATING
    assert after_s <= 5


@pytest.mark.parametrize("rate_hz", [48_000, 32_000, 8_000])
@pytest.mark.parametrize("buffer", [480, 512, 1024, 4096])
def test_a_buffer_repeated_at_a_native_rate(rate_hz: int, buffer: int) -> None:
    repeated = np.resize(np.random.default_rng(0).standard_normal(buffer) * 0.1, rate_hz * 6).astype(
        np.float32
    )
    resampler = Resampler(rate_hz)
    chunks = [resampler.push(chunk) for chunk in repeated.reshape(-1, rate_hz // 100)]
    finding, after_s = seconds_until(StuckDetector(), np.concatenate(chunks))
    assert finding is Stuck.REPEATING
    assert after_s <= 5


def up_and_down(seconds: float, level: int) -> NDArray[np.int16]:
    return np.tile(np.array([level, -level], np.int16), round(seconds * 8000))


def test_clicks_in_a_buffer_that_else_goes_up_and_down_are_found_by_the_click() -> None:
    buffer = up_and_down(1, 1000)
    buffer[5000] = 7
    finding, after_s = seconds_until(StuckDetector(), np.tile(buffer, 5))
    assert finding is Stuck.REPEATING
    assert after_s <= 3.3


@pytest.mark.parametrize("level", [1, 3000])
def test_garbage_that_almost_repeats_takes_no_time_from_hearing(
    level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    monkeypatch.setattr(stuck, "_same", lambda *_: compared.append(1))
    detector = StuckDetector()
    detector.update(np.concatenate([noise(1.0), up_and_down(2, level)]), 3.0)
    assert detector.finding(3.0) is None
    assert len(compared) <= 100


def test_no_frames_at_all() -> None:
    detector = StuckDetector()
    assert detector.finding(10.0) is None
    assert detector.finding(15.0) is Stuck.STOPPED
    detector.update(noise(0.01), 16.0)
    assert detector.finding(16.0) is None
    assert detector.finding(21.0) is Stuck.STOPPED


@pytest.mark.parametrize("level", [0.25, 1.0, 1000.0])
def test_sound_is_never_stuck(level: float) -> None:
    assert seconds_until(StuckDetector(), noise(20, level))[0] is None


def test_pauses_of_a_noise_gate_are_not_stuck() -> None:
    talk = np.concatenate(
        [np.concatenate([noise(0.5, seed=n), np.zeros(32_000, np.int16)]) for n in range(6)]
    )
    assert seconds_until(StuckDetector(), talk)[0] is None


def test_it_recovers_with_the_first_sound() -> None:
    detector = StuckDetector()
    detector.update(np.zeros(80_000, np.int16), 5.0)
    assert detector.finding(5.0) is Stuck.SILENT
    detector.update(noise(0.5), 5.5)
    assert detector.finding(5.5) is None


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=20))
def test_how_the_samples_are_cut_does_not_matter(lengths: list[int]) -> None:
    samples = np.concatenate(
        [noise(1), np.zeros(60_000, np.int16), noise(1, seed=1), np.resize(noise(0.1), 64_000)]
    )
    at_once, in_parts = StuckDetector(), StuckDetector()
    position = 0
    for length in lengths:
        at_once.update(samples[position : position + length], 1.0)
        for sample in np.array_split(samples[position : position + length], 7):
            in_parts.update(sample, 1.0)
        position += length
        assert at_once.finding(1.0) == in_parts.finding(1.0)
