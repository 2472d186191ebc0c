import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.audio.mixing import mix, peak_energy
from tests.audio.blocks import noise


def utterance() -> np.ndarray:
    return np.concatenate([noise(0.5, 10), noise(0.4, 3000, seed=1), noise(0.3, 10)])


def test_peak_energy_is_that_of_the_loudest_2048_samples() -> None:
    samples = np.zeros(10_000, np.int16)
    samples[2048:4096] = 16_384
    assert peak_energy(samples) == pytest.approx(0.25)
    assert peak_energy(np.full(1024, 16_384, np.int16)) == pytest.approx(0.125), "filled up with zeros"


@settings(deadline=None)
@given(st.floats(-10, 40), st.integers(0, 100_000))
def test_the_mixture_has_the_ratio_asked_for(snr_db: float, offset: int) -> None:
    speech, background = utterance(), noise(0.7, 200, seed=2)
    mixture = mix(speech, background, snr_db, offset=offset).astype(float)
    bed = np.take(background, np.arange(offset, offset + len(speech)), mode="wrap").astype(float)
    parts = np.stack([speech.astype(float), bed], axis=1)
    (speech_gain, noise_gain), *_ = np.linalg.lstsq(parts, mixture, rcond=None)
    assert np.std(mixture - parts @ (speech_gain, noise_gain)) < 0.5, "only rounding beside the two"
    ratio = speech_gain**2 * peak_energy(speech) / (noise_gain**2 * peak_energy(bed.astype(np.int16)))
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.2)


def test_speech_stays_as_it_is_where_there_is_room() -> None:
    assert np.abs(mix(utterance(), noise(1, 100), 60).astype(int) - utterance()).max() <= 30


def test_too_loud_a_mixture_is_turned_down_as_a_whole_not_clipped() -> None:
    mixture = mix(noise(1, 8000), noise(1, 8000, seed=1), -20)
    assert np.count_nonzero(np.abs(mixture.astype(int)) >= 32767) <= 1


@pytest.mark.parametrize("silent", ["speech", "noise"])
def test_silence_has_no_ratio(silent: str) -> None:
    nothing = np.zeros(4096, np.int16)
    with pytest.raises(ValueError, match="hold sound"):
        mix(nothing if silent == "speech" else noise(1), nothing if silent == "noise" else noise(1), 10)
