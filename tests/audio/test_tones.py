from itertools import combinations, pairwise

import numpy as np
import pytest

from agent.audio.tones import _SCORES, Tone, render
from tests.audio.blocks import noise

RATES = [8_000, 16_000, 44_100, 48_000]


def notes(tone: Tone) -> list[int]:
    """The pitches in Hz, without pauses."""
    return [hz for hz, _ in _SCORES[tone] if hz]


def contour(tone: Tone) -> tuple[int, ...]:
    """The steps between the notes: 1 up, 0 level, -1 down."""
    return tuple(int(np.sign(after - before)) for before, after in pairwise(notes(tone)))


@pytest.mark.parametrize("tone", Tone)
@pytest.mark.parametrize("rate_hz", RATES)
def test_short_loud_enough_and_without_a_click(tone: Tone, rate_hz: int) -> None:
    samples = render(tone, rate_hz)
    assert samples.dtype == np.int16
    assert 0.05 <= len(samples) / rate_hz <= 0.75
    assert 0.3 < np.abs(samples.astype(int)).max() / 32768 <= 0.5
    assert samples[0] == samples[-1] == 0
    # The steepest step is that of the wave itself, nowhere that of a note cut off.
    steepest = 0.5 * 2 * np.pi * (1 + 2 * 0.3) / 1.3 * max(notes(tone)) / rate_hz
    assert np.abs(np.diff(samples.astype(float) / 32768)).max() <= steepest * 1.01


def test_told_apart_without_hearing_pitch() -> None:
    assert len({contour(tone) for tone in Tone}) == len(Tone)


def test_good_news_rises_bad_news_does_not() -> None:
    assert set(contour(Tone.ACCEPTED)) == set(contour(Tone.DONE)) == {1}
    assert 1 not in contour(Tone.REJECTED) + contour(Tone.FAILED)
    assert contour(Tone.CONFIRM)[-1] == 1, "a question"


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(np.correlate(one, other, "full")).max() / np.sqrt((one @ one) * (other @ other)))


def test_no_two_sound_alike() -> None:
    rendered = {tone: render(tone, 8_000).astype(float) for tone in Tone}
    alike = {pair: similarity(rendered[pair[0]], rendered[pair[1]]) for pair in combinations(Tone, 2)}
    assert max(alike.values()) < 0.6, max(alike, key=lambda pair: alike[pair])


@pytest.mark.parametrize("tone", Tone)
def test_recognized_in_noise_louder_than_the_tone(tone: Tone) -> None:
    rendered = {each: render(each, 8_000).astype(float) for each in Tone}
    heard = noise(0.5, 1.5 * float(np.std(rendered[tone])), seed=3).astype(float)
    heard[500 : 500 + len(rendered[tone])] += rendered[tone]

    def score(each: Tone) -> float:
        wanted = rendered[each]
        return float(np.abs(np.correlate(heard, wanted, "valid")).max() / np.sqrt(wanted @ wanted))

    assert max(Tone, key=score) is tone
