import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.audio.convert import FrameCutter, Resampler, to_int16
from tests.audio.blocks import blocks_of, cuts


@given(hnp.arrays(np.int16, st.integers(0, 2000)), cuts())
def test_frames_hold_the_same_samples_however_they_came(samples: np.ndarray, where: list[int]) -> None:
    cutter = FrameCutter()
    frames = [frame for block in blocks_of(samples, where) for frame in cutter.push(block)]
    frames += cutter.flush()
    assert all(frame.shape == (160,) and frame.dtype == np.int16 for frame in frames)
    joined = np.concatenate([*frames, np.empty(0, np.int16)])
    assert len(joined) - len(samples) in range(160)
    assert np.array_equal(joined[: len(samples)], samples)
    assert not joined[len(samples) :].any()


@given(hnp.arrays(np.int16, st.integers(1, 500)))
def test_int16_survives_the_way_through_floats(samples: np.ndarray) -> None:
    assert np.array_equal(to_int16(samples.astype(np.float32) / np.float32(32768)), samples)


def test_beyond_full_scale_is_clipped_never_wrapped() -> None:
    assert to_int16(np.array([-2, -1, 1, 2], np.float32)).tolist() == [-32768, -32768, 32767, 32767]


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_time_and_level(rate_hz: int) -> None:
    def tone(at_hz: int) -> np.ndarray:
        time_s = np.arange(at_hz) / at_hz
        return (0.5 * np.sin(2 * np.pi * 1000 * time_s) * np.hanning(at_hz)).astype(np.float32)

    resampler = Resampler(rate_hz)
    step = rate_hz // 100
    chunks = [resampler.push(tone(rate_hz)[start : start + step]) for start in range(0, rate_hz, step)]
    heard = np.concatenate([*chunks, resampler.push(np.empty(0, np.float32), last=True)])
    wanted = to_int16(tone(16_000))
    assert abs(len(heard) - len(wanted)) <= 1
    assert np.abs(heard[:15_999].astype(int) - wanted[:15_999]).max() < 30


def test_silence_stays_digital_silence() -> None:
    resampler = Resampler(48_000)
    assert not np.concatenate([resampler.push(np.zeros(480, np.float32)) for _ in range(100)]).any()
