import numpy as np
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
    levels = np.zeros(HOP, np.float32)
    return Emission(frames(begin, end), frames(end, end + AHEAD), frames(begin - revised, begin), levels)


def shares(frames: Frames) -> list[float]:
    return [round(float(share), 3) for share in np.exp(frames.log_probs[:, 1])]


def test_a_frame_is_the_mean_of_all_windows_that_heard_it() -> None:
    hindsight = Hindsight(tokens=2, frames=4)
    assert len(hindsight.push(window(2, 0.2, revised=0))) == 0
    assert len(hindsight.push(window(4, 0.4, revised=2))) == 0
    settled = hindsight.push(window(6, 0.9, revised=4))
    assert shares(settled) == [0.5, 0.5]
    assert list(settled.times_s) == [0, 1]
    assert shares(hindsight.open(0)) == [0.65, 0.65, 0.9, 0.9]
    assert list(hindsight.open(0).times_s) == [2, 3, 4, 5]


def test_frames_up_to_an_older_and_to_a_provisional_one() -> None:
    hindsight = Hindsight(tokens=2, frames=4)
    hindsight.push(window(2, 0.2, revised=0))
    hindsight.push(window(4, 0.4, revised=2))
    assert list(hindsight.open(-3).times_s) == [0]
    assert list(hindsight.open(2).times_s) == [0, 1, 2, 3, 4, 5]
    assert shares(hindsight.open(2)) == [0.3, 0.3, 0.4, 0.4, 0.4, 0.4]


def test_who_joins_later_takes_of_the_revised_what_it_knows() -> None:
    late = Hindsight(tokens=2, frames=6)
    late.push(window(4, 0.2, revised=2))
    late.push(window(6, 0.6, revised=4))
    assert shares(late.open(0)) == [0.4, 0.4, 0.6, 0.6]


def test_a_copy_is_independent() -> None:
    hindsight = Hindsight(tokens=2, frames=4)
    hindsight.push(window(2, 0.2, revised=0))
    other = hindsight.copy()
    other.push(window(4, 0.4, revised=2))
    assert shares(hindsight.open(0)) == [0.2, 0.2]


def test_what_was_cleared_is_gone() -> None:
    hindsight = Hindsight(tokens=2, frames=4)
    hindsight.push(window(2, 0.2, revised=0))
    hindsight.clear()
    assert len(hindsight.open(3)) == 0
