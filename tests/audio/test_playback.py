import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audio.playback import Playback
from agent.errors import AudioError
from tests.audio.blocks import blocks_of, cuts, follows, noise


@given(st.integers(1, 3000), cuts())
def test_frames_are_the_blocks_with_even_times_from_0(length: int, where: list[int]) -> None:
    samples = noise(1)[:length]
    frames = list(Playback(blocks_of(samples, where)).frames())
    assert np.array_equal(np.concatenate([frame.samples for frame in frames])[:length], samples)
    assert [frame.time_s for frame in frames] == pytest.approx([0.01 * n for n in range(len(frames))])
    assert all(follows(later, earlier) for earlier, later in itertools.pairwise(frames))


def test_in_real_time_no_frame_comes_before_it_would_have_been_heard() -> None:
    start_s = time.monotonic()
    for number, frame in enumerate(Playback([noise(0.5)], real_time=True).frames()):
        assert time.monotonic() >= frame.time_s + 0.01
        assert frame.time_s >= start_s + number * 0.01 - 1e-9


def test_close_from_another_thread_ends_it_soon() -> None:
    playback = Playback([noise(60)], real_time=True)
    threading.Timer(0.2, playback.close).start()
    start_s = time.monotonic()
    assert len(list(playback.frames())) < 6000
    playback.close()
    assert time.monotonic() - start_s < 5


def test_damage_in_the_middle_is_reported_after_what_was_good() -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield noise(0.1)
        msg = "damaged"
        raise AudioError(msg)

    frames = Playback(blocks()).frames()
    for _ in range(10):
        next(frames)
    with pytest.raises(AudioError):
        next(frames)
