import numpy as np
import pytest
from numpy.typing import NDArray

from agent.acoustics.stream import Emission, Frames
from agent.recognition.hindsight import Hindsight

HOP, AHEAD = 2, 3
Rows = NDArray[np.float32]


def window(end: int, share: float, revised: int) -> Emission:
    """Hear `HOP` new frames that end at frame `end`; every frame is token 1 with this probability."""

    def frames(start: int, stop: int) -> Frames:
        rows = np.log(np.tile(np.array([1 - share, share], np.float32), (stop - start, 1)))
        return Frames(rows, np.arange(start, stop, dtype=np.float64))

    begin = end - HOP
    return Emission(frames(begin, end), frames(end, end + AHEAD), frames(begin - revised, begin))


def shares(frames: Frames) -> list[float]:
    return [round(float(share), 3) for share in np.exp(frames.log_probs[:, 1])]


@pytest.fixture
def hindsight() -> Hindsight:
    memory = Hindsight(tokens=2, frames=6)
    for index, share in enumerate((0.2, 0.4, 0.9)):
        memory.push(window(HOP * (index + 1), share, revised=min(index, 2) * HOP))
    return memory


def test_a_frame_is_the_mean_of_all_windows_that_heard_it(hindsight: Hindsight) -> None:
    frames = hindsight.frames(6, 0)
    assert shares(frames) == [0.5, 0.5, 0.65, 0.65, 0.9, 0.9]
    assert list(frames.times_s) == [0, 1, 2, 3, 4, 5]


def test_frames_up_to_an_older_and_to_a_provisional_one(hindsight: Hindsight) -> None:
    assert list(hindsight.frames(3, -2).times_s) == [1, 2, 3]
    ahead = hindsight.frames(3, 2)
    assert list(ahead.times_s) == [5, 6, 7]
    assert shares(ahead) == [0.9, 0.9, 0.9]


def test_more_than_is_kept_cannot_be_had(hindsight: Hindsight) -> None:
    hindsight.push(window(8, 0.5, revised=0))
    assert list(hindsight.frames(100, 0).times_s) == [2, 3, 4, 5, 6, 7]


def test_who_joins_later_takes_of_the_revised_what_it_knows() -> None:
    late = Hindsight(tokens=2, frames=6)
    late.push(window(4, 0.2, revised=2))
    late.push(window(6, 0.6, revised=4))
    assert shares(late.frames(6, 0)) == [0.4, 0.4, 0.6, 0.6]


def test_a_copy_is_independent(hindsight: Hindsight) -> None:
    other = hindsight.copy()
    other.push(window(8, 0.1, revised=4))
    assert shares(hindsight.frames(6, 0)) == [0.5, 0.5, 0.65, 0.65, 0.9, 0.9]


def test_what_was_cleared_is_gone(hindsight: Hindsight) -> None:
    hindsight.clear()
    assert len(hindsight.frames(6, 0)) == 0
