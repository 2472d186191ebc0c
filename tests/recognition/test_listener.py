"""Bad sound explains a reject better than bad speech does."""

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.audio.file import read_audio
from agent.audio.source import FRAME_S
from agent.evaluation.listening import Ear, frames, in_room
from agent.recognition.hypothesis import Hypothesis, Reject
from agent.recognition.listener import Listener
from tests.integration.booth import GOLDEN


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


@pytest.mark.parametrize("at_s", [4.8, 5.0, 5.3])
def test_what_was_understood_is_not_refused_by_the_next_model(ear: Ear, at_s: float) -> None:
    """It hears the last second again, and with it the end of the sentence."""
    said = read_audio(GOLDEN / "13-set-the-speed-of-conveyor-two-to-sixty-five-percent.opus")
    listener, heard = ear.listener(), []
    for number, frame in enumerate(frames(in_room(said, None, None, seed=0))):
        if number == round(at_s / FRAME_S):
            fresh = ear.listener()
            heard += listener.exchange(fresh.stream, fresh.recognizer)
        heard += listener.hear(frame, number * FRAME_S)
    assert [(each.command, each.reject) for each in heard] == [("set_speed", None)]
