"""Bad sound explains a reject better than bad speech does."""

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.recognition.hypothesis import Hypothesis, Reject
from agent.recognition.listener import Listener


class Heard:
    """In the place of stream and recognizer: every block ends an utterance with a given reject."""

    def __init__(self, reject: Reject | None) -> None:
        self._hypothesis = Hypothesis(start_s=0, end_s=1, snr_db=None, reject=reject)

    def push(self, *_: Any) -> list[Any]:
        return [self._hypothesis]


def tone(amplitude: float) -> NDArray[np.int16]:
    wave = amplitude * np.sin(np.arange(16_000) * 0.3)
    clipped: NDArray[np.int16] = np.clip(wave, -32768, 32767).astype(np.int16)
    return clipped


@pytest.mark.parametrize(
    ("amplitude", "said", "told"),
    [
        (60_000, Reject.BACKGROUND, Reject.CLIPPED),
        (60_000, Reject.WEAK_WORD, Reject.CLIPPED),
        (60_000, Reject.INCOMPLETE, Reject.INCOMPLETE),
        (60_000, None, None),
        (40, Reject.AMBIGUOUS, Reject.TOO_QUIET),
        (40, None, None),
        (8_000, Reject.BACKGROUND, Reject.BACKGROUND),
    ],
)
def test_the_reason_names_the_sound_where_the_sound_is_to_blame(
    amplitude: float, said: Reject | None, told: Reject | None
) -> None:
    stand_in = cast(Any, Heard(said))
    [hypothesis] = Listener(stand_in, stand_in).hear(tone(amplitude), 0.0)
    assert hypothesis.reject is told
    assert hypothesis.snr_db is not None
