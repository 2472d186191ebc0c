import math
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.audio.levels import (
    HIGHEST_SNR_DB,
    LOWEST_DBFS,
    LOWEST_SNR_DB,
    LevelMeter,
    Levels,
    advice,
    levels_at,
)
from tests.audio.blocks import blocks_of, cuts, noise


def measure(samples: np.ndarray) -> Levels:
    meter = LevelMeter()
    meter.update(samples)
    return meter.levels()


def sine(peak: float, seconds: float = 1.0, hz: float = 1000.0) -> np.ndarray:
    return np.rint(peak * np.sin(2 * np.pi * hz * np.arange(round(16_000 * seconds)) / 16_000)).astype(
        np.int16
    )


@given(hnp.arrays(np.int16, st.integers(0, 5000)), cuts())
def test_how_the_samples_are_cut_does_not_matter(samples: np.ndarray, where: list[int]) -> None:
    meter = LevelMeter()
    for block in blocks_of(samples, where):
        meter.update(block)
    assert meter.levels() == measure(samples)


@given(hnp.arrays(np.int16, st.integers(0, 5000)))
def test_every_value_is_finite_and_in_range(samples: np.ndarray) -> None:
    levels = measure(samples)
    assert LOWEST_DBFS <= levels.rms_dbfs <= levels.peak_dbfs <= 0
    assert LOWEST_DBFS <= levels.noise_floor_dbfs <= 0
    assert 0 <= levels.clipping_ratio <= 1
    assert LOWEST_SNR_DB <= levels.snr_db <= HIGHEST_SNR_DB


@pytest.mark.parametrize("peak", [32767, 3277, 328])
def test_a_sine_of_known_level(peak: int) -> None:
    levels = measure(sine(peak))
    assert levels.peak_dbfs == pytest.approx(20 * math.log10(peak / 32768), abs=0.05)
    assert levels.rms_dbfs == pytest.approx(20 * math.log10(peak / 32768) - 3.01, abs=0.05)


def test_the_level_around_a_sample() -> None:
    loud = sine(3277.0, seconds=0.1)
    sound = np.concatenate((np.zeros(1600, np.int16), loud))
    levels = levels_at(sound, np.array([0, 800, 1600, 2400, 3200]), reach=400)
    half = -23.01 - 3.01
    assert levels == pytest.approx([LOWEST_DBFS, LOWEST_DBFS, half, -23.01, half], abs=0.05)
    assert len(levels_at(sound, np.empty(0, np.int64), reach=400)) == 0


@given(st.integers(1, 2000), st.integers(2, 8))
def test_twice_as_loud_is_6_db_more(level: int, factor: int) -> None:
    quiet = np.resize(np.array([level, -level, level // 2], np.int16), 16_000)
    more_db = 20 * math.log10(factor)
    assert measure(quiet * factor).rms_dbfs == pytest.approx(measure(quiet).rms_dbfs + more_db, abs=1e-6)
    assert measure(quiet * factor).peak_dbfs == pytest.approx(measure(quiet).peak_dbfs + more_db, abs=1e-6)


def test_clipping_is_the_share_of_samples_at_full_scale() -> None:
    samples = np.zeros(16_000, np.int16)
    samples[:800], samples[800:1600] = 32767, -32768
    assert measure(samples).clipping_ratio == pytest.approx(0.1)
    assert measure(sine(20_000)).clipping_ratio == 0


@pytest.mark.parametrize("snr_db", [0, 6, 12, 20, 30])
@pytest.mark.parametrize("noise_rms", [30, 300])
def test_bursts_in_noise_have_the_snr_they_were_made_with(snr_db: int, noise_rms: int) -> None:
    background = noise(8, noise_rms).astype(float)
    burst = sine(noise_rms * 10 ** (snr_db / 20) * math.sqrt(2), 0.5, 700).astype(float)
    for start in range(16_000, 120_000, 32_000):
        background[start : start + len(burst)] += burst
    levels = measure(np.clip(background, -32768, 32767).astype(np.int16))
    assert levels.snr_db == pytest.approx(snr_db, abs=1.5)
    assert levels.noise_floor_dbfs == pytest.approx(20 * math.log10(noise_rms / 32768), abs=1.0)


def test_noise_alone_has_no_snr() -> None:
    assert measure(noise(6)).snr_db < -5


@pytest.mark.parametrize("gap_s", [0.05, 0.3, 2.0])
def test_digital_silence_is_no_noise_floor(gap_s: float) -> None:
    """The station's own tones, a noise gate, a muted microphone and a recording's edges are exact zeros."""
    gap = np.zeros(round(16_000 * gap_s), np.int16)
    levels = measure(np.concatenate([gap, noise(1, 100), noise(0.5, 1000), noise(0.5, 100), gap]))
    assert levels.noise_floor_dbfs == pytest.approx(20 * math.log10(100 / 32768), abs=1.0)
    assert levels.snr_db == pytest.approx(20, abs=1.5)


def test_without_a_floor_nothing_stands_out() -> None:
    gap = np.zeros(800, np.int16)
    levels = measure(np.concatenate([gap, noise(0.05, 1000)] * 20))
    assert levels.noise_floor_dbfs > 20 * math.log10(1000 / 32768) - 4
    assert levels.snr_db == LOWEST_SNR_DB


def test_louder_noise_is_followed_within_5_s_and_quieter_at_once() -> None:
    meter = LevelMeter()
    meter.update(noise(6, 100))
    meter.update(noise(5.2, 1000))
    assert meter.levels().noise_floor_dbfs == pytest.approx(20 * math.log10(1000 / 32768), abs=1.0)
    meter.update(noise(0.2, 100))
    assert meter.levels().noise_floor_dbfs == pytest.approx(20 * math.log10(100 / 32768), abs=1.0)


def test_another_thread_may_ask_at_any_step_of_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = LevelMeter()
    shown = []

    class Watched(deque[Any]):
        def append(self, item: Any) -> None:
            super().append(item)
            shown.append(meter.levels())

    for name in ("_sums", "_peaks", "_clipped", "_spans"):
        monkeypatch.setattr(meter, name, Watched())
    meter.update(noise(0.01))
    assert len(shown) == 4
    assert set(shown[:3]) == {LevelMeter().levels()}
    assert shown[3] == meter.levels() == measure(noise(0.01))


@pytest.mark.parametrize("offset", [-2000, 160, 2000])
def test_what_a_converter_adds_to_every_sample_is_neither_noise_nor_speech(offset: int) -> None:
    sound = np.concatenate([noise(3, 30), noise(0.5, 1000), noise(0.4, 30)])
    plain, shifted = measure(sound), measure(sound + np.int16(offset))
    assert shifted.noise_floor_dbfs == pytest.approx(plain.noise_floor_dbfs, abs=0.1)
    assert shifted.snr_db == pytest.approx(plain.snr_db, abs=0.1)
    assert shifted.rms_dbfs == pytest.approx(plain.rms_dbfs, abs=0.1)
    assert advice(shifted) is None
    centres = np.arange(8000, 60_000, 800)
    levels = levels_at(sound + np.int16(offset), centres, reach=400)
    assert levels == pytest.approx(levels_at(sound, centres, reach=400), abs=0.1)


def test_a_constant_is_silence_and_no_noise_floor() -> None:
    flat = np.full(1600, 500, np.int16)
    assert measure(flat).rms_dbfs == LOWEST_DBFS
    levels = measure(np.concatenate([flat, noise(1, 100) + np.int16(500), flat]))
    assert levels.noise_floor_dbfs == pytest.approx(20 * math.log10(100 / 32768), abs=1.0)


def test_before_any_sound() -> None:
    assert LevelMeter().levels() == measure(np.zeros(159, np.int16))
    assert measure(np.zeros(16_000, np.int16)).rms_dbfs == LOWEST_DBFS


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(16_000, np.int16), "silence"),
        (np.clip(noise(1, 30_000), -32768, 32767), "clipping"),
        (noise(1, 20), "very quiet"),
        (noise(1, 2000), "hardly above the noise"),
    ],
)
def test_advice(samples: np.ndarray, says: str) -> None:
    assert says in str(advice(measure(samples)))


def test_no_advice_for_good_speech() -> None:
    assert advice(measure(np.concatenate([noise(2, 30), noise(0.5, 3000)]))) is None
