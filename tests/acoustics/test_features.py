import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.acoustics.features import LogMelFrontEnd, WaveformFrontEnd, log_mel, mel_matrix, window_rows
from agent.acoustics.manifest import LogMel, Manifest, Waveform

MEAN, DEVIATION = np.linspace(-8, -4, 80), np.linspace(1, 3, 80)
SPEC = LogMel(kind="logmel", mean=tuple(MEAN), deviation=tuple(DEVIATION))
SOUND = np.random.default_rng(3).integers(-32768, 32768, 30_000).astype(np.int16)


def test_log_mel_equals_a_slow_reading_of_its_definition() -> None:
    """The reference: a discrete Fourier sum and triangles drawn one by one, in double precision."""

    def mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    def hertz(mel: float) -> float:
        return 700 * (10 ** (mel / 2595) - 1)

    sound = (0.3 * np.sin(np.arange(900) * 0.4) + 0.01 * np.cos(np.arange(900) * 2.1)).astype(np.float32)
    edges = [hertz(mel(20) + (mel(7600) - mel(20)) * i / 81) for i in range(82)]
    got = log_mel(sound)
    assert got.shape == (4, 80)
    angle = -2j * np.pi * np.arange(257)[:, None] * np.arange(400) / 512
    for frame in range(4):
        hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)]
        power = (
            abs((np.exp(angle) * (sound[frame * 160 : frame * 160 + 400] * np.array(hann))).sum(axis=1)) ** 2
        )
        for band in range(80):
            low, middle, high = edges[band : band + 3]
            energy = 0.0
            for bin_ in range(257):
                hz = bin_ * 16_000 / 512
                if low < hz <= middle:
                    energy += power[bin_] * (hz - low) / (middle - low)
                elif middle < hz < high:
                    energy += power[bin_] * (high - hz) / (high - middle)
            assert got[frame, band] == pytest.approx(math.log(energy + 1e-8), abs=2e-3)


def test_every_band_hears_something() -> None:
    assert (mel_matrix().sum(axis=0) > 0).all()


def test_a_tone_is_loudest_in_its_own_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    peak_hz = (mel_matrix()[:, log_mel(tone).mean(axis=0).argmax()]).argmax() * 16_000 / 512
    assert peak_hz == pytest.approx(1000, abs=40)


@settings(deadline=None)
@given(hops=st.lists(st.integers(1, 30), min_size=1, max_size=12), rows=st.integers(1, 60))
def test_log_mel_hop_by_hop_equals_the_whole(hops: list[int], rows: int) -> None:
    front_end = LogMelFrontEnd(SPEC, 400 + (rows - 1) * 160)
    heard = np.zeros(400 + 100 * 160, np.int16)
    for hop in hops:
        new = SOUND[: hop * 160]
        heard = np.concatenate((heard, new))
        got = front_end.push(new)
    whole = (log_mel((heard / 32768).astype(np.float32)) - MEAN) / DEVIATION
    assert got.shape == (rows, 80)
    assert np.allclose(got, whole[-rows:], atol=1e-4)
    front_end.reset()
    assert np.allclose(
        front_end.push(np.zeros(160, np.int16)), (math.log(1e-8) - MEAN) / DEVIATION, atol=1e-4
    )


@given(hops=st.lists(st.integers(1, 900), min_size=1, max_size=8))
def test_waveform_rows_follow_the_window(hops: list[int]) -> None:
    front_end = WaveformFrontEnd(Waveform(kind="waveform", kernel_samples=127, stride_samples=64), 1000)
    heard = np.zeros(1000, np.int16)
    for hop in hops:
        heard = np.concatenate((heard, SOUND[:hop]))[-1000:]
        got = front_end.push(SOUND[:hop])
    assert got.shape == (14, 127)
    for row in range(14):
        assert np.array_equal(got[row], heard[row * 64 : row * 64 + 127] / np.float32(32768))
    assert abs(got).max() <= 1


def test_the_rows_of_one_window_are_those_of_its_own_samples() -> None:
    window = SOUND[: 400 + 9 * 160]
    rows = window_rows(Manifest.model_construct(front_end=SPEC, window_samples=len(window)), window)
    assert rows.shape == (10, 80)
    assert np.allclose(rows, (log_mel((window / 32768).astype(np.float32)) - MEAN) / DEVIATION, atol=1e-4)
